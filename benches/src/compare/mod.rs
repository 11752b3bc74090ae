//! The comparison: contenders in turn in one run, medians of rounds, ratios, and the promises they keep or break.
//!
//! Machines are shared and noisy, so only ratios within one run mean anything. Read `run`, then `measure`
//! (one measurement) and `contender` (how each program is configured); `workload` has the numbers to reach.

mod child;
mod connections;
mod contender;
mod measure;
mod report;
mod table;
mod workload;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::child::{Child, TempDir};
use self::connections::Held;
use self::contender::{Contender, Programs};
use self::measure::{Bench, LOAD_CORES, Sample};
use self::report::Report;
use self::table::Row;
use self::workload::{WORKLOADS, Workload};
use crate::args::Args;
use crate::sys;

/// What to compare, and how thoroughly.
#[derive(Debug)]
pub struct Options {
    rounds: usize,
    seconds: u64,
    quick: bool,
    nice: i32,
    only: Vec<String>,
    ringway: Option<PathBuf>,
    repository: PathBuf,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// On an unknown flag, value or name.
    pub fn parse(mut args: Args) -> Result<Self, String> {
        let quick = args.flag("--quick");
        let repository: PathBuf = args.value("--repository")?.unwrap_or_else(|| PathBuf::from("."));
        let ringway = args.value("--ringway")?.unwrap_or_else(|| repository.join("target/release/ringway"));
        let options = Self {
            rounds: args.value("--rounds")?.unwrap_or(if quick { 1 } else { 3 }).max(1),
            seconds: args.value("--seconds")?.unwrap_or(if quick { 1 } else { 3 }).max(1),
            quick,
            nice: args.value("--nice")?.unwrap_or(0),
            only: args.values("--only")?,
            ringway: (!args.flag("--skip-ringway")).then_some(ringway),
            repository,
        };
        args.finish()?;
        options.check_names()?;
        Ok(options)
    }

    fn check_names(&self) -> Result<(), String> {
        let names: Vec<&str> = names().collect();
        match self.only.iter().find(|only| !names.contains(&only.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(format!("--only {unknown}: not one of {}", names.join(", "))),
        }
    }

    /// Whether `name` is wanted: when no name of its kind was given, all are.
    fn wants(&self, name: &str, kind: &[&str]) -> bool {
        let mut of_kind = self.only.iter().filter(|only| kind.contains(&only.as_str())).peekable();
        of_kind.peek().is_none() || of_kind.any(|only| only == name)
    }

    fn wants_contender(&self, contender: Contender) -> bool {
        let is_ours = matches!(contender, Contender::Ringway | Contender::RingwayTwoWorkers);
        let kind: Vec<&str> = Contender::ALL.iter().map(|contender| contender.name()).collect();
        (self.ringway.is_some() || !is_ours) && self.wants(contender.name(), &kind)
    }

    fn wants_work(&self, name: &str) -> bool {
        self.wants(name, &work_names().collect::<Vec<_>>())
    }
}

/// Runs the comparison, prints it and writes it to `benches/results`; returns the path written.
///
/// # Errors
/// When the run cannot start or is interrupted. A contender that fails is a row in the report.
pub fn run(options: &Options) -> io::Result<PathBuf> {
    child::catch_interrupts();
    let descriptor_limit = sys::raise_descriptor_limit(DESCRIPTORS_WANTED);
    sys::pin(&[0, 1]).map_err(|error| io::Error::other(format!("two cores are needed: {error}")))?;
    sys::pin(LOAD_CORES)?;
    // All alike, before any of them starts: they are compared with each other.
    let _priority = sys::set_nice(options.nice)?;
    let dir = TempDir::new()?;
    let tools = std::env::current_exe()?.parent().unwrap_or(Path::new(".")).to_owned();
    let programs = Programs { ringway: options.ringway.clone(), tools, descriptor_limit };
    let (_origin, origin) = start_origin(&programs, dir.path())?;
    let bench = Bench {
        programs: &programs,
        origin,
        dir: dir.path(),
        report_script: &options.repository.join("scripts/wrk/report.lua"),
        warm: Duration::from_secs(1),
        duration: Duration::from_secs(options.seconds),
    };
    let mut report = Report::start(options, &programs);
    for workload in WORKLOADS.iter().filter(|workload| options.wants_work(workload.name)) {
        compare_requests(&bench, options, workload, &mut report)?;
    }
    for work in Held::ALL.into_iter().filter(|work| options.wants_work(work.name())) {
        let rows = connections::compare(&bench, options, work)?;
        report.add_held(work, &rows);
    }
    report.finish(&options.repository)
}

/// One workload: at full load, and where that left core 0 idle for somebody, at one rate for all.
fn compare_requests(
    bench: &Bench<'_>,
    options: &Options,
    workload: &Workload,
    report: &mut Report,
) -> io::Result<()> {
    let contenders: Vec<Contender> =
        workload.contenders.iter().copied().filter(|contender| options.wants_contender(*contender)).collect();
    if contenders.is_empty() {
        return Ok(());
    }
    let rows = rounds(bench, options, workload, &contenders, None)?;
    let valid = || rows.iter().filter(|row| row.is_valid());
    let slowest = valid().map(|row| row.median(Sample::per_second)).reduce(f64::min);
    let uneven = valid().any(|row| row.is_below_full_load() && row.contender.cores().len() == 1);
    report.add_requests(workload, &rows, None);
    if let Some(slowest) = slowest.filter(|_| uneven) {
        // What the slowest can take with time to spare, rounded to a number that can be repeated.
        let rate = (slowest * FIXED_RATE_SHARE / 50.0).floor().max(1.0) * 50.0;
        let rows = rounds(bench, options, workload, &contenders, Some(rate))?;
        report.add_requests(workload, &rows, Some(rate));
    }
    Ok(())
}

/// A B C A B C …: whatever else the machine does in between hits all alike.
fn rounds(
    bench: &Bench<'_>,
    options: &Options,
    workload: &Workload,
    contenders: &[Contender],
    rate: Option<f64>,
) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = contenders.iter().copied().map(Row::new).collect();
    for round in 1..=options.rounds {
        for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
            eprintln!("{} round {round}/{}: {}", workload.name, options.rounds, row.contender.name());
            match least_disturbed(bench, row.contender, workload, rate) {
                Ok(sample) => row.samples.push(sample),
                Err(error) => row.failure = Some(error),
            }
            child::check_interrupt()?;
        }
    }
    Ok(rows)
}

/// Measures again, a few times at most, while somebody else is at work on core 0; keeps the quietest.
fn least_disturbed(
    bench: &Bench<'_>,
    contender: Contender,
    workload: &Workload,
    rate: Option<f64>,
) -> io::Result<Sample> {
    let mut best = bench.measure(contender, workload, rate)?;
    for _ in 0..ATTEMPTS_MORE {
        // Two workers share core 0 with nobody by definition: their time is the process's.
        if best.others_share() <= table::OTHERS_SHARE_MAX || contender.cores().len() > 1 {
            break;
        }
        let again = bench.measure(contender, workload, rate)?;
        if again.errors > 0 || again.others_share() < best.others_share() {
            best = again;
        }
    }
    Ok(best)
}

fn start_origin(programs: &Programs, dir: &Path) -> io::Result<(Child, std::net::SocketAddr)> {
    let mut command = Command::new(programs.tools.join("origin"));
    command.arg("127.0.0.1:0");
    let mut child = Child::start(command, LOAD_CORES, dir)?;
    let addr = child.wait_for_address()?;
    Ok((child, addr))
}

fn work_names() -> impl Iterator<Item = &'static str> {
    WORKLOADS.iter().map(|workload| workload.name).chain(Held::ALL.into_iter().map(Held::name))
}

fn names() -> impl Iterator<Item = &'static str> {
    work_names().chain(Contender::ALL.into_iter().map(Contender::name))
}

const DESCRIPTORS_WANTED: u64 = 100_000;
const FIXED_RATE_SHARE: f64 = 0.8;
const ATTEMPTS_MORE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(only: &[&str]) -> Options {
        Options {
            rounds: 1,
            seconds: 1,
            quick: true,
            nice: 0,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            ringway: None,
            repository: PathBuf::new(),
        }
    }

    #[test]
    fn only_restricts_the_kinds_that_it_names() {
        let some = options(&["get-1b", "idle", "HAProxy"]);
        assert!(some.wants_work("get-1b") && some.wants_work("idle") && !some.wants_work("get-1k"));
        assert!(some.wants_contender(Contender::Haproxy) && !some.wants_contender(Contender::Nginx));
        let works = options(&["get-1b"]);
        assert!(works.wants_contender(Contender::Nginx) && !works.wants_contender(Contender::Ringway));
        assert!(options(&["get-2b"]).check_names().is_err());
    }

    #[test]
    fn every_target_names_a_workload_with_both_contenders() {
        for target in &workload::TARGETS {
            let workload = WORKLOADS.iter().find(|workload| workload.name == target.workload).unwrap();
            assert!(workload.contenders.contains(&target.contender));
            assert!(workload.contenders.contains(&target.reference));
        }
    }
}

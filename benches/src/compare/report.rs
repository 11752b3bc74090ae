//! The report: who was compared on what machine, a table per workload, and the promises at the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Options;
use super::connections::{Finding, Held};
use super::contender::{self, Contender, Programs};
use super::table::{self, Row};
use super::workload::{Cost, TARGETS, Target, Workload};
use crate::procfs;

/// A report in the making; every part is printed as it is added.
#[derive(Debug)]
pub(super) struct Report {
    text: String,
    verdicts: Vec<Verdict>,
    stamp: Stamp,
}

/// A promise and what came of it.
#[derive(Debug)]
struct Verdict {
    what: String,
    found: Option<f64>,
    limit: f64,
    /// Somebody else was at work on core 0: the figure decides nothing.
    disturbed: bool,
    note: String,
}

impl Report {
    pub(super) fn start(options: &Options, programs: &Programs) -> Self {
        let stamp = Stamp::now();
        let mut report = Self { text: String::new(), verdicts: Vec::new(), stamp };
        report.add(&format!("# Comparison of {}\n\n{}", report.stamp.readable, machine(options)));
        let mut contenders = String::new();
        for contender in Contender::ALL.into_iter().filter(|contender| options.wants_contender(*contender)) {
            let version = contender.version(programs).unwrap_or_else(|error| format!("MISSING: {error}"));
            contenders += &format!("- {}: {version}\n", contender.name());
        }
        report.add(&contenders);
        report.add(METHOD);
        report
    }

    /// `rate`: offered to all alike, instead of all they can take.
    pub(super) fn add_requests(&mut self, workload: &Workload, rows: &[Row], rate: Option<f64>) {
        let at = rate.map_or_else(String::new, |rate| format!(", at {rate:.0} requests/s"));
        let table = table::of_workload(rows, rate.is_none());
        self.add(&format!("## {}: {}{at}\n\n{table}", workload.name, workload.title));
        for target in TARGETS.iter().filter(|target| target.workload == workload.name) {
            let verdict = Verdict::of_requests(target, rows, at.trim_start_matches(", "));
            // Measured again at one rate because somebody was not at full load: that is the fair figure.
            self.verdicts.retain(|known| known.what != verdict.what);
            self.verdicts.push(verdict);
        }
    }

    pub(super) fn add_held(&mut self, work: Held, findings: &[Finding]) {
        let head = ["contender", work.unit(), "notes"].map(str::to_owned);
        let row = |finding: &Finding| {
            let name = finding.contender.name().to_owned();
            match &finding.result {
                Ok((value, words)) => vec![name, format!("{value:.0}"), words.clone()],
                Err(error) => vec![name, "-".to_owned(), format!("FAILED: {error}")],
            }
        };
        let table = table::markdown(&head, findings.iter().map(row).collect());
        self.add(&format!("## {}: {}\n\n{table}", work.name(), work.title()));
        let ours = findings.iter().find(|finding| finding.contender == Contender::Ringway);
        self.verdicts.push(Verdict {
            what: format!("{}: {}", work.name(), work.unit()),
            found: ours.and_then(|finding| finding.result.as_ref().ok()).map(|(value, _)| *value),
            limit: work.limit(),
            disturbed: false,
            note: String::new(),
        });
    }

    /// Adds the verdicts and writes the file, named by date and time.
    pub(super) fn finish(mut self, repository: &Path) -> io::Result<PathBuf> {
        let head = ["target", "found", "at most", "verdict"].map(str::to_owned);
        let verdicts = self.verdicts.iter().map(Verdict::cells).collect();
        let table = table::markdown(&head, verdicts);
        self.add(&format!("## Targets\n\n{table}"));
        let dir = repository.join("benches/results");
        fs::create_dir_all(&dir)?;
        let path = dir.join(format!("{}.md", self.stamp.file));
        fs::write(&path, self.text)?;
        Ok(path)
    }

    fn add(&mut self, part: &str) {
        println!("{part}");
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(part);
    }
}

impl Verdict {
    fn of_requests(target: &Target, rows: &[Row], note: &str) -> Self {
        let cost = match target.cost {
            Cost::Core => "",
            Cost::Process => " (process CPU)",
        };
        let (of, against) = (target.contender, target.reference);
        let mut notes = vec![note.to_owned()];
        let disturbed = target.cost == Cost::Core && table::is_disturbed(rows, of, against);
        let by_process = table::ratio(rows, of, against, Cost::Process);
        if let Some(by_process) = by_process.filter(|_| disturbed) {
            notes.push(format!("others at work on core 0; by process CPU {by_process:.3}"));
        }
        notes.retain(|note| !note.is_empty());
        Self {
            what: format!("{}: {} / {}{cost}", target.workload, of.name(), against.name()),
            found: table::ratio(rows, of, against, target.cost),
            limit: target.limit,
            disturbed,
            note: notes.join("; "),
        }
    }

    fn cells(&self) -> Vec<String> {
        let verdict = match self.found {
            None => "not measured",
            Some(_) if self.disturbed => "undecided",
            Some(found) if found <= self.limit => "kept",
            Some(_) => "MISSED",
        };
        let note = if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) };
        let found = self.found.map_or_else(|| "-".to_owned(), number);
        vec![self.what.clone(), found, number(self.limit), format!("{verdict}{note}")]
    }
}

/// Ratios with three places, counts with none.
fn number(value: f64) -> String {
    if value.abs() < 10.0 && value != 0.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

fn machine(options: &Options) -> String {
    let git = |args: &[&str]| {
        let mut all = vec!["-C", options.repository.to_str().unwrap_or(".")];
        all.extend(args);
        contender::output(Path::new("git"), &all).unwrap_or_default().trim().to_owned()
    };
    let changed = if git(&["status", "--porcelain"]).is_empty() { "" } else { ", with local changes" };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let wrk = contender::output(Path::new("wrk"), &["-v"]).unwrap_or_default();
    let wrk = wrk.lines().next().unwrap_or("wrk MISSING").split(" Copyright").next().unwrap_or("wrk");
    format!(
        "- revision: {}{changed}\n- machine: {}, kernel {}\n- load average at the start: {load}\n\
         - generator: {wrk}\n- rounds: {} of {} s\n",
        git(&["rev-parse", "--short", "HEAD"]),
        procfs::cpu_model(),
        procfs::kernel(),
        options.rounds,
        options.seconds,
    )
}

/// The local time of a report.
#[derive(Debug)]
struct Stamp {
    file: String,
    readable: String,
}

impl Stamp {
    fn now() -> Self {
        // SAFETY: plain call; a null pointer means that only the value is returned.
        let now = unsafe { libc::time(std::ptr::null_mut()) };
        // SAFETY: an all-zero tm is valid; the call fills it.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both live over the call.
        unsafe { libc::localtime_r(&raw const now, &raw mut tm) };
        let date = format!("{:04}-{:02}-{:02}", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        let (hour, minute) = (tm.tm_hour, tm.tm_min);
        Self {
            file: format!("{date}-{hour:02}{minute:02}"),
            readable: format!("{date} {hour:02}:{minute:02}"),
        }
    }
}

const METHOD: &str = "\
Each proxy on core 0 with one worker, generator and origin on core 1, access logs off, contenders in turn; medians.
CPU per request is everything core 0 did (user, nice, system, interrupts) divided by completed requests; the
process's own time is given beside it, and its ratio in parentheses, for when others were at work on core 0.
Only ratios within this run mean anything. Rows with errors are invalid and have no ratio.
";

//! One measurement: a fresh process on core 0, load and origin on core 1, CPU time before and after.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{self, Child};
use super::contender::{Contender, Programs};
use super::workload::Workload;
use crate::client;
use crate::load::{self, Offer};
use crate::procfs::{self, CoreTimes};

/// Everything a measurement needs besides what is measured.
#[derive(Debug)]
pub(super) struct Bench<'b> {
    pub(super) programs: &'b Programs,
    pub(super) origin: SocketAddr,
    pub(super) dir: &'b Path,
    /// The wrk script that reports as JSON.
    pub(super) report_script: &'b Path,
    pub(super) warm: Duration,
    pub(super) duration: Duration,
}

/// What one contender cost in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) seconds: f64,
    pub(super) p99_us: f64,
    pub(super) core: CoreTimes,
    pub(super) process: Duration,
}

impl Sample {
    /// CPU time of core 0 per request.
    pub(super) fn core_us(&self) -> f64 {
        self.core.busy.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    /// CPU time of the process per request.
    pub(super) fn process_us(&self) -> f64 {
        self.process.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }

    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// The share of core 0's work that the process does not account for. Some soft interrupts run outside it;
    /// much more than that is somebody else's work.
    pub(super) fn others_share(&self) -> f64 {
        let busy = self.core.busy.as_secs_f64().max(f64::MIN_POSITIVE);
        (busy - self.process.as_secs_f64()) / busy
    }
}

impl Bench<'_> {
    /// Starts a contender and waits until it accepts.
    pub(super) fn start(&self, contender: Contender) -> io::Result<(Child, SocketAddr)> {
        let listen = child::free_address()?;
        let command = contender.command(listen, self.origin, self.programs, self.dir)?;
        let mut child = Child::start(command, contender.cores(), self.dir)?;
        child.wait_for_port(listen)?;
        Ok((child, listen))
    }

    /// Measures a workload at full load, or offers `per_second` requests per second.
    pub(super) fn measure(
        &self,
        contender: Contender,
        workload: &Workload,
        per_second: Option<f64>,
    ) -> io::Result<Sample> {
        let (child, listen) = self.start(contender)?;
        client::verify(listen, workload.path, workload.body_bytes, workload.close)?;
        self.load(listen, workload, per_second, self.warm)?;
        let (core, process, start) =
            (procfs::core_times(0)?, procfs::process_cpu(child.pid())?, Instant::now());
        let loaded = self.load(listen, workload, per_second, self.duration)?;
        let seconds = start.elapsed().as_secs_f64();
        let core = procfs::core_times(0)?.since(core);
        let process = procfs::process_cpu(child.pid())? - process;
        Ok(Sample {
            requests: loaded.requests,
            errors: loaded.errors + loaded.missing(workload.body_bytes),
            seconds,
            p99_us: loaded.p99_us,
            core,
            process,
        })
    }

    fn load(
        &self,
        listen: SocketAddr,
        workload: &Workload,
        per_second: Option<f64>,
        duration: Duration,
    ) -> io::Result<Loaded> {
        child::check_interrupt()?;
        let Some(per_second) = per_second else { return self.wrk(listen, workload, duration) };
        let offer = Offer {
            path: workload.path.to_owned(),
            connections: workload.connections,
            per_second,
            duration,
            close: workload.close,
        };
        let done = load::offer(listen, &offer)?;
        Ok(Loaded {
            requests: done.answered,
            errors: done.errors,
            bytes: done.body_bytes,
            p99_us: done.p99_us,
        })
    }

    fn wrk(&self, listen: SocketAddr, workload: &Workload, duration: Duration) -> io::Result<Loaded> {
        let mut command = Command::new("wrk");
        command.args(["-t1", "--timeout", "10s", "-s"]).arg(self.report_script);
        command.arg(format!("-c{}", workload.connections)).arg(format!("-d{}s", duration.as_secs().max(1)));
        if workload.close {
            command.args(["-H", "Connection: close"]);
        }
        command.arg(format!("http://{listen}{}", workload.path));
        let mut wrk = Child::start(command, LOAD_CORES, self.dir)?;
        wrk.wait(duration + WRK_GRACE)?;
        Loaded::parse(&wrk.output()).ok_or_else(|| io::Error::other(format!("wrk said: {}", wrk.output())))
    }
}

/// What a load generator reports.
#[derive(Debug, PartialEq)]
struct Loaded {
    requests: u64,
    errors: u64,
    bytes: u64,
    p99_us: f64,
}

impl Loaded {
    /// Reads the line that `scripts/wrk/report.lua` prints.
    fn parse(output: &str) -> Option<Self> {
        let line = output.lines().find(|line| line.starts_with("{\"requests\""))?;
        let number = |key: &str| -> Option<f64> {
            let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
            rest.split([',', '}']).next()?.parse().ok()
        };
        let mut errors = 0.0;
        for kind in ["connect", "read", "write", "status", "timeout"] {
            errors += number(kind)?;
        }
        Some(Self {
            requests: number("requests")? as u64,
            errors: errors as u64,
            bytes: number("bytes")? as u64,
            p99_us: number("p99")?,
        })
    }

    /// Responses that were counted and cannot have been whole; all, when there were none.
    fn missing(&self, body_bytes: u64) -> u64 {
        if self.requests == 0 {
            return 1;
        }
        (self.requests * body_bytes).saturating_sub(self.bytes).div_ceil(body_bytes)
    }
}

/// Where load generators and the origin run.
pub(super) const LOAD_CORES: &[usize] = &[1];
const WRK_GRACE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_wrk_is_read() {
        let output = concat!(
            "Running 1s test\n",
            r#"{"requests":100,"duration_us":1000,"bytes":25600,"rps":1.0,"latency_us":{"mean":1.5,"p50":1,"#,
            r#""p90":2,"p99":7,"p999":8,"max":9},"errors":{"connect":0,"read":1,"write":0,"status":2,"timeout":0}}"#,
        );
        let loaded = Loaded::parse(output).unwrap();
        assert_eq!(loaded, Loaded { requests: 100, errors: 3, bytes: 25_600, p99_us: 7.0 });
        assert_eq!(loaded.missing(256), 0);
        assert_eq!(loaded.missing(512), 50);
        assert_eq!(Loaded::parse("nothing"), None);
    }
}

//! Times and instruction counts of the proxy's own pieces, without a socket.
//!
//! A [`Case`] does one operation again and again. Its time is that of many short batches, of which the least and the
//! median are told: the machine has neighbours, so the least says what the code costs and the median how much the
//! neighbours took. Instructions are counted by callgrind within [`counted_batch`], after warming up, so that neither
//! the start of the program nor what a case prepares is counted.
//!
//! What is measured: [`heads`], [`timers`], [`pools`], and whole exchanges in [`exchange`], [`hooks`] and
//! [`compression`], on the sockets of [`wire`]. Parsing heads is measured beside the parser, in `proto/benches/head.rs`. `docs/performance.md` has the
//! numbers.

mod compression;
mod exchange;
mod heads;
mod hooks;
mod pools;
mod timers;
#[path = "../../../proto/tests/vectors/heads.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with proto's tests, which use all of it")]
mod vectors;
mod wire;

use std::process::Command;
use std::time::{Duration, Instant};

/// One thing that is measured.
#[derive(Debug)]
pub struct Case {
    /// Its name: what is measured, a slash, which kind.
    pub name: String,
    work: Box<dyn Work>,
}

/// What a case does.
trait Work: std::fmt::Debug {
    /// Prepares `times` operations; neither timed nor counted.
    fn stage(&mut self, times: usize);
    /// Does them.
    fn run(&mut self, times: usize);
    /// How many operations may be prepared at once.
    fn times_max(&self) -> usize;
}

/// Every case.
pub fn cases() -> Vec<Case> {
    [heads::cases(), timers::cases(), pools::cases(), exchange::cases(), hooks::cases(), compression::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// What one operation of a case takes.
#[derive(Clone, Copy, Debug)]
pub struct Nanoseconds {
    /// In the batch that was disturbed least.
    pub least: f64,
    /// In the batch in the middle.
    pub median: f64,
}

impl Case {
    /// An operation that needs nothing but what it keeps.
    fn each(name: &str, operation: impl FnMut() + 'static) -> Self {
        Self { name: name.to_owned(), work: Box::new(Each(operation)) }
    }

    /// An operation on something that `make` prepares and that is spent by it.
    fn staged<T: 'static>(
        name: &str,
        make: impl FnMut() -> T + 'static,
        operation: impl FnMut(&mut T) + 'static,
    ) -> Self {
        Self { name: name.to_owned(), work: Box::new(Staged { made: Vec::new(), make, operation }) }
    }

    /// The time of one operation, of [`BATCHES`] batches.
    pub fn time(&mut self) -> Nanoseconds {
        let times = self.times_in_a_batch();
        let mut each: Vec<f64> = (0..BATCHES).map(|_| self.batch(times) / times as f64).collect();
        each.sort_by(f64::total_cmp);
        Nanoseconds { least: each[0], median: each[BATCHES / 2] }
    }

    /// The instructions of one operation, counted in a run of this program under callgrind.
    ///
    /// # Errors
    /// When valgrind is missing or says no number.
    pub fn instructions(&self) -> Result<f64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let ran = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_batch*"])
            .arg(program)
            .args(["repeat", &self.name, &COUNTED.to_string()])
            .output()
            .map_err(|error| format!("valgrind: {error}"))?;
        let log = String::from_utf8_lossy(&ran.stderr);
        let line = log.lines().find_map(|line| line.split_once("Collected : "));
        let count: f64 =
            line.and_then(|(_, count)| count.trim().parse().ok()).ok_or_else(|| log.to_string())?;
        Ok(count / COUNTED as f64)
    }

    /// Warms up, then does the operation `times` times within [`counted_batch`]: for a profiler.
    pub fn repeat(&mut self, times: usize) {
        let step = self.work.times_max().min(COUNTED);
        self.work.stage(step);
        self.work.run(step);
        let mut left = times;
        while left > 0 {
            let now = left.min(step);
            self.work.stage(now);
            counted_batch(&mut *self.work, now);
            left -= now;
        }
    }

    fn batch(&mut self, times: usize) -> f64 {
        self.work.stage(times);
        let begin = Instant::now();
        self.work.run(times);
        begin.elapsed().as_nanos() as f64
    }

    /// So many that a batch is much longer than reading the clock, and shorter than a neighbour's turn.
    fn times_in_a_batch(&mut self) -> usize {
        let max = self.work.times_max();
        let mut times = 16.min(max);
        // The least of a few, or a neighbour's turn would pass for the operation's time.
        let mut least = |times| (0..5).map(|_| self.batch(times)).fold(f64::INFINITY, f64::min);
        while times < max && least(times) < BATCH.as_nanos() as f64 {
            times = (times * 2).min(max);
        }
        times
    }
}

/// What callgrind counts: a name that it can be told.
#[inline(never)]
fn counted_batch(work: &mut dyn Work, times: usize) {
    work.run(times);
}

struct Each<F>(F);

impl<F: FnMut()> Work for Each<F> {
    fn stage(&mut self, _times: usize) {}

    fn run(&mut self, times: usize) {
        for _ in 0..times {
            (self.0)();
        }
    }

    fn times_max(&self) -> usize {
        usize::MAX
    }
}

impl<F> std::fmt::Debug for Each<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Each")
    }
}

struct Staged<T, M, F> {
    made: Vec<T>,
    make: M,
    operation: F,
}

impl<T, M: FnMut() -> T, F: FnMut(&mut T)> Work for Staged<T, M, F> {
    fn stage(&mut self, times: usize) {
        // What the operation left is dropped here, on nobody's account.
        self.made.clear();
        self.made.extend(std::iter::repeat_with(&mut self.make).take(times));
    }

    fn run(&mut self, times: usize) {
        assert_eq!(self.made.len(), times, "as many were prepared");
        self.made.iter_mut().for_each(&mut self.operation);
    }

    fn times_max(&self) -> usize {
        STAGED_MAX
    }
}

impl<T, M, F> std::fmt::Debug for Staged<T, M, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Staged")
    }
}

/// Batches of a measurement of time.
pub const BATCHES: usize = 301;
/// How long a batch is at least.
const BATCH: Duration = Duration::from_micros(100);
/// Operations that are prepared at once: few enough to lie in the cache nearest but one.
const STAGED_MAX: usize = 128;
/// Operations that are counted.
const COUNTED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_under_its_own_name() {
        let mut names = Vec::new();
        for mut case in cases() {
            case.repeat(3);
            assert!(!names.contains(&case.name), "{}", case.name);
            names.push(case.name);
        }
    }
}

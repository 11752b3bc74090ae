//! What `/proc` says about a process and a core: memory, CPU time, the machine's name.

use std::fs;
use std::io;
use std::time::Duration;

/// Time a core has spent since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CoreTimes {
    /// Working: user, nice, system, interrupts, soft interrupts.
    pub busy: Duration,
    /// Everything, idle and stolen time included.
    pub total: Duration,
}

impl CoreTimes {
    /// What was spent since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { busy: self.busy.saturating_sub(earlier.busy), total: self.total.saturating_sub(earlier.total) }
    }

    /// The share of time spent working, 0 to 1.
    pub fn busy_share(self) -> f64 {
        self.busy.as_secs_f64() / self.total.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Reads the times of core `core` from `/proc/stat`.
///
/// # Errors
/// When the core does not exist.
pub fn core_times(core: usize) -> io::Result<CoreTimes> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).ok_or_else(|| missing(&name))?;
    Ok(parse_core_times(line))
}

/// CPU time, user and system, that the process has used so far.
///
/// # Errors
/// When the process is gone.
pub fn process_cpu(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command, in parentheses, may contain spaces and parentheses; the fields after it do not.
    let (_, fields) = text.rsplit_once(')').ok_or_else(|| missing("command"))?;
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(from_ticks(ticks))
}

/// Resident memory of the process in bytes: anonymous and file pages that are in memory now.
///
/// # Errors
/// When the process is gone.
pub fn process_rss(pid: u32) -> io::Result<u64> {
    // Exact, unlike `status`, whose counters are kept per CPU and lag by up to a batch of pages each.
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")).and_then(first_number);
    kib.map(|kib| kib * 1024).ok_or_else(|| missing("Rss"))
}

/// The processor's model, as `/proc/cpuinfo` names it.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name).to_owned()
}

/// The kernel's release.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

fn parse_core_times(fields: &str) -> CoreTimes {
    let mut ticks = [0u64; 8];
    for (to, from) in ticks.iter_mut().zip(fields.split_whitespace()) {
        *to = from.parse().unwrap_or(0);
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks;
    let busy = user + nice + system + irq + softirq;
    CoreTimes { busy: from_ticks(busy), total: from_ticks(busy + idle + iowait + steal) }
}

fn from_ticks(ticks: u64) -> Duration {
    // SAFETY: plain call that reads a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(100).max(1)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{what} is missing in /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_work_and_not_waiting_or_stolen_time() {
        let times = parse_core_times("100 10 200 5000 300 1 39 50 0 0");
        assert_eq!(times.busy, from_ticks(350));
        assert_eq!(times.total, from_ticks(5700));
    }

    #[test]
    fn a_process_can_read_itself() {
        let pid = std::process::id();
        assert!(process_rss(pid).unwrap() > 0);
        assert!(process_cpu(pid).is_ok());
        assert!(core_times(0).unwrap().total > Duration::ZERO);
    }
}

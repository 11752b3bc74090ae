//! What of the machine this process may use: cores, CPU quota, descriptors.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// The cores that this thread may run on, lowest first; at least one.
pub(super) fn allowed_cores() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let cores: Vec<_> = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// How many shards a server has that is not told: one per core that this thread may run on, fewer when the
/// control group's CPU quota is smaller, rounded up.
pub fn default_workers() -> usize {
    let cores = allowed_cores().len();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let quota = quota_cores(&groups, Path::new("/sys/fs/cgroup"));
    quota.map_or(cores, |quota| quota.min(cores)).max(1)
}

/// The core of each shard. With as many shards as cores each has its own; with fewer, where to begin depends on
/// the process, so that two servers on one machine do not crowd its first cores.
pub(super) fn assign_cores(cores: &[usize], workers: usize, process_id: u32) -> Vec<usize> {
    let offset = if workers < cores.len() { process_id as usize } else { 0 };
    (0..workers).map(|index| cores[(offset + index) % cores.len()]).collect()
}

/// The smallest quota of the process's control group (version 2) and the groups around it, in whole cores.
fn quota_cores(groups: &str, mount: &Path) -> Option<usize> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut group = mount.join(own);
    let mut smallest: Option<usize> = None;
    // The group's own path may be that of another namespace; what does not exist sets no quota.
    while group.starts_with(mount) {
        let quota = fs::read_to_string(group.join("cpu.max")).ok().and_then(|text| parse_quota(&text));
        smallest = [smallest, quota].into_iter().flatten().min();
        if !group.pop() {
            break;
        }
    }
    smallest
}

/// `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn parse_quota(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (usize, usize) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period))
}

/// Raises the number of descriptors to what the process may have, and says so when that does not suffice.
pub(super) fn raise_descriptor_limit(connections: usize) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    // A proxied connection has two ends.
    let wanted = connections.saturating_mul(2).saturating_add(DESCRIPTORS_BESIDES) as u64;
    match raised {
        Ok(hard) if hard < wanted => log::info!(
            "{hard} open files are allowed, {connections} connections may need {wanted}; accepting will pause when they run out"
        ),
        Ok(_) => {}
        Err(error) => log::warn!("the limit of open files cannot be raised: {error}"),
    }
}

/// Listeners, rings, logs and the like.
const DESCRIPTORS_BESIDES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::TempDir;

    #[test]
    fn a_quota_is_rounded_up_to_cores() {
        assert_eq!(parse_quota("150000 100000\n"), Some(2));
        assert_eq!(parse_quota("100000 100000\n"), Some(1));
        assert_eq!(parse_quota("1000 100000\n"), Some(1));
        assert_eq!(parse_quota("max 100000\n"), None);
        assert_eq!(parse_quota("1 0"), None);
        assert_eq!(parse_quota(""), None);
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let dir = TempDir::new();
        fs::create_dir_all(dir.path("a/b")).unwrap();
        fs::write(dir.path("a/cpu.max"), "200000 100000\n").unwrap();
        fs::write(dir.path("a/b/cpu.max"), "max 100000\n").unwrap();
        let mount = dir.path("");
        assert_eq!(quota_cores("1:cpu:/x\n0::/a/b\n", &mount), Some(2));
        assert_eq!(quota_cores("0::/elsewhere\n", &mount), None);
        assert_eq!(quota_cores("1:cpu:/\n", &mount), None);
        fs::write(dir.path("cpu.max"), "50000 100000\n").unwrap();
        assert_eq!(quota_cores("0::/a/b\n", &mount), Some(1));
    }

    #[test]
    fn shards_get_their_own_cores_where_there_are_enough() {
        assert_eq!(assign_cores(&[2, 3, 7], 3, 99), [2, 3, 7]);
        assert_eq!(assign_cores(&[2, 3, 7], 5, 99), [2, 3, 7, 2, 3]);
        assert_eq!(assign_cores(&[0, 1, 2, 3], 2, 3), [3, 0]);
    }

    #[test]
    fn this_machine_has_cores() {
        let cores = allowed_cores();
        assert!((1..=cores.len()).contains(&default_workers()));
    }
}

//! Which event loop a shard runs on: io_uring as finely tuned as the kernel allows, else epoll.

use crate::limits::{RING_COMPLETIONS, RING_ENTRIES};
use io_uring::{Builder, IoUring};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::future::Future;
use std::io;

/// A set of ring flags and what it is called.
type Tuning = (&'static str, fn(&mut Builder));

/// From the finest to the coarsest. Each is tried on the shard's own thread, since a ring with a single issuer
/// belongs to the thread that built it.
const TUNINGS: &[Tuning] = &[
    ("single_issuer+defer_taskrun+coop_taskrun", |ring| {
        ring.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    }),
    ("coop_taskrun", |ring| {
        ring.setup_coop_taskrun();
    }),
    ("plain", |_| {}),
];

/// Which event loop a shard is to run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// io_uring, or epoll where there is none.
    Any,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

impl Driver {
    /// What the environment variable `RINGWAY_IO` forces: `epoll` or `io_uring`.
    pub fn from_env() -> Self {
        match std::env::var(FORCE).unwrap_or_default().as_str() {
            "epoll" => Self::Epoll,
            "io_uring" => Self::IoUring,
            _ => Self::Any,
        }
    }
}

const FORCE: &str = "RINGWAY_IO";

/// Runs the future that `make` builds, which is told the driver's name, until it ends.
pub(super) fn run<F>(driver: Driver, make: impl FnOnce(String) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let reason = match driver {
        Driver::Epoll => format!("{FORCE}=epoll"),
        Driver::Any | Driver::IoUring => match build_ring() {
            Ok((mut runtime, tuning)) => {
                let result = runtime.block_on(make(format!("io_uring ({tuning})")));
                // What the kernel may still complete into lives in the runtime: it stays until the process ends.
                std::mem::forget(runtime);
                return result;
            }
            Err(error) if driver == Driver::IoUring => return Err(error),
            Err(error) => format!("io_uring is not available: {error}"),
        },
    };
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).build()?;
    let result = runtime.block_on(make(format!("epoll ({reason})")));
    std::mem::forget(runtime);
    result
}

fn build_ring() -> io::Result<(monoio::Runtime<IoUringDriver>, &'static str)> {
    let mut last = None;
    for (name, tune) in TUNINGS {
        let mut ring = IoUring::builder();
        tune(&mut ring);
        ring.setup_cqsize(RING_COMPLETIONS).setup_clamp();
        let runtime =
            RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(RING_ENTRIES).build();
        match runtime {
            Ok(runtime) => return Ok((runtime, name)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is at least one tuning"))
}

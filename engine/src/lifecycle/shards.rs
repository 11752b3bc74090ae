//! The shards' threads: how one is started, reached and told dead.

use super::supervisor::Request;
use crate::observe::{Counters, LogWriter};
use crate::service::Services;
use crate::settings::Settings;
use crate::shard::{Command, ListenerSocket, Report, Start};
use crate::time::Instant;
use core_affinity::CoreId;
use crossbeam_channel::{Sender, unbounded};
use std::any::Any;
use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// What runs on a shard's thread; tests put their own here.
#[derive(Clone)]
pub(super) struct Program {
    pub(super) main: Arc<dyn Fn(Start) + Send + Sync>,
    pub(super) outcome_labels: &'static [&'static str],
}

/// Everything that starting a shard takes and that is the same for all of them.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) program: Program,
    pub(super) settings: Arc<Settings>,
    pub(super) services: Services,
    pub(super) log: Option<LogWriter>,
    pub(super) reports: Sender<Report>,
    pub(super) requests: Sender<Request>,
}

/// One shard, seen from outside.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) core: usize,
    /// The originals of its listening sockets, from which a successor gets its own. As long as they are open
    /// the kernel queues connections for them, so they go before the shard is told to stop.
    pub(super) listeners: Vec<ListenerSocket>,
    /// Stay over restarts.
    pub(super) counters: Arc<Counters>,
    pub(super) state: State,
    pub(super) restarts: u64,
    /// Failures one soon after the other.
    pub(super) failures_in_row: u32,
}

#[derive(Debug)]
pub(super) enum State {
    /// Its thread runs; `driver` is empty until it is ready.
    Alive { link: Link, driver: String, since: Instant },
    /// It failed and will be started again.
    Down { again_at: Instant },
    /// Its thread has ended for good.
    Ended,
}

/// The way to a shard's thread.
#[derive(Debug)]
pub(super) struct Link {
    mailbox: Sender<Command>,
    wake: UnixStream,
}

impl Launcher {
    /// Starts the thread of a shard on copies of its listening sockets.
    pub(super) fn launch(&self, index: usize, shard: &Shard) -> io::Result<Link> {
        let (mailbox, incoming) = unbounded();
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let copy = |listener: &ListenerSocket| {
            Ok(ListenerSocket { socket: listener.socket.try_clone()?, kind: listener.kind })
        };
        let start = Start {
            index,
            settings: Arc::clone(&self.settings),
            services: self.services.clone(),
            listeners: shard.listeners.iter().map(copy).collect::<io::Result<_>>()?,
            mailbox: incoming,
            wake: woken,
            counters: Arc::clone(&shard.counters),
            log: self.log.as_ref().map(|log| log.sink(Arc::clone(&shard.counters))),
            reports: self.reports.clone(),
        };
        let (core, main, requests) = (shard.core, Arc::clone(&self.program.main), self.requests.clone());
        thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            if !core_affinity::set_for_current(CoreId { id: core }) {
                log::warn!("shard {index} cannot be pinned to core {core}");
            }
            let result = catch_unwind(AssertUnwindSafe(|| main(start)));
            let panic = result.err().map(|payload| message_of(payload.as_ref()));
            // The supervisor may have given up waiting.
            _ = requests.send(Request::ShardEnded { index, panic });
        })?;
        Ok(Link { mailbox, wake })
    }
}

impl Shard {
    /// Sends a command and wakes the shard. A shard that is not alive gets nothing.
    pub(super) fn tell(&self, command: Command) {
        if let State::Alive { link, .. } = &self.state {
            // Both fail only when the thread is ending, or the second when wakes enough are waiting.
            _ = link.mailbox.send(command);
            _ = (&link.wake).write(&[1]);
        }
    }

    /// Whether it has reported that it accepts.
    pub(super) fn is_ready(&self) -> bool {
        matches!(&self.state, State::Alive { driver, .. } if !driver.is_empty())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

/// What `panic!` was given.
pub(super) fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

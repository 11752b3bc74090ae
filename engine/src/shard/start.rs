//! What the control thread gives a shard at its start, and what the two say to each other afterwards.

use crate::exchange::Outcome;
use crate::observe;
use crate::service::Services;
use crate::settings::Settings;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Everything a shard needs; moved to the shard's own thread.
#[derive(Debug)]
pub struct Start {
    /// Which shard this is, from 0.
    pub index: usize,
    /// What the server was told to do.
    pub settings: Arc<Settings>,
    /// Who serves its listeners, and what runs beside them.
    pub services: Services,
    /// The shard's own listening sockets.
    pub listeners: Vec<ListenerSocket>,
    /// Commands from the control thread.
    pub mailbox: crossbeam_channel::Receiver<Command>,
    /// Becomes readable when the mailbox has something: whoever sends writes one byte, or none when the socket
    /// is full, since then the shard has a reason to look already. monoio without `sync` cannot be woken from
    /// another thread in any other way. At its end, when nothing is left to read, nobody commands any more: the
    /// shard stops.
    pub wake: UnixStream,
    /// The shard's counters; it is the only writer.
    pub counters: Arc<observe::Counters>,
    /// Where access log lines go, if anywhere.
    pub log: Option<observe::LogSink>,
    /// Answers to the control thread.
    pub reports: crossbeam_channel::Sender<Report>,
}

/// One listening socket of a shard: non-blocking, closed on exec.
#[derive(Debug)]
pub struct ListenerSocket {
    /// The socket.
    pub socket: socket2::Socket,
    /// What it accepts.
    pub kind: ListenerKind,
}

/// What a listening socket accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// HTTP, as [`Settings::listeners`] says at this index.
    Http {
        /// Index into the settings.
        index: usize,
    },
    /// Raw TCP, as [`Settings::tcp`] says at this index.
    Tcp {
        /// Index into the settings.
        index: usize,
    },
}

/// What the control thread tells a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Accept no more, let exchanges end for at most this long, then stop.
    Drain {
        /// How long exchanges may take from now on.
        deadline: Duration,
    },
    /// Cut every connection and stop.
    Stop,
    /// Hand buffered log lines to the writer now.
    FlushLog,
}

/// What a shard tells the control thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It accepts connections.
    Ready {
        /// Which shard.
        index: usize,
        /// Which driver runs its event loop, and why.
        driver: String,
    },
    /// It has no connections left and its thread is about to end.
    Stopped {
        /// Which shard.
        index: usize,
    },
    /// It cannot run.
    Failed {
        /// Which shard.
        index: usize,
        /// One line that says why.
        error: String,
    },
}

impl Start {
    /// What people read for the outcomes that [`Start::counters`] counts by number.
    pub const OUTCOME_LABELS: &'static [&'static str] = &{
        let mut labels = [""; Outcome::ALL.len()];
        let mut index = 0;
        while index < labels.len() {
            labels[index] = Outcome::ALL[index].label();
            index += 1;
        }
        labels
    };
}

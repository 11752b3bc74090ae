//! The one place where the binary meets the engine: it starts a server, says where that listens, and waits.
//!
//! Signals, draining and the control socket are the engine's; it ends when they say so.

use crate::command::Failure;
use engine::Server;
use ringway_engine::settings::Settings;
use std::process::ExitCode;

pub(crate) use engine::Bound;

/// Runs a server until it is told to stop. `on_ready` is called once every listener accepts.
///
/// # Errors
/// It cannot start: the port is in use, a permission is missing.
pub(crate) fn serve(settings: Settings, on_ready: impl FnOnce(&[Bound])) -> Result<ExitCode, Failure> {
    let server = Server::start(settings).map_err(|error| Failure::Run(error.to_string()))?;
    for bound in server.bound() {
        crate::say(&format!("listening on {} ({})", bound.address, bound.scheme));
    }
    on_ready(server.bound());
    Ok(server.wait())
}

/// How many shards the engine starts for `settings`.
pub(crate) fn shards(settings: &Settings) -> usize {
    settings.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// What serving costs; the engine's bounds, from which `ringway check` makes its bill.
pub(crate) mod cost {
    /// One shard without connections: its ring, its stack, its pools.
    pub(crate) const SHARD_BYTES: u64 = 8 << 20;
    /// A client connection between requests, at most.
    pub(crate) const IDLE_CONNECTION_BYTES: u64 = 2 << 10;
    /// What waits in one direction of an exchange, at most.
    pub(crate) const QUEUE_BYTES: u64 = 64 << 10;
    /// Descriptors of one shard besides its connections: ring, listeners aside, wake-ups.
    pub(crate) const SHARD_DESCRIPTORS: u64 = 4;
    /// Descriptors of the process besides its shards: standard streams, control socket, log, signals.
    pub(crate) const PROCESS_DESCRIPTORS: u64 = 16;
}

/// What stands here until the engine has a server to start.
mod engine {
    use ringway_engine::settings::{Address, Settings};
    use std::fmt::{self, Display, Formatter};
    use std::process::ExitCode;

    /// A running server. There is none yet, so it has no value.
    pub(crate) enum Server {}

    /// Why a server does not run; one line.
    #[derive(Debug)]
    pub(crate) struct StartError;

    /// Where a server listens.
    pub(crate) struct Bound {
        /// The address in use, with the port that the kernel chose.
        pub(crate) address: Address,
        /// `http`, or `tcp` for raw connections.
        pub(crate) scheme: &'static str,
    }

    impl Server {
        /// Binds and starts every shard.
        pub(crate) fn start(_settings: Settings) -> Result<Self, StartError> {
            Err(StartError)
        }

        /// Where it listens, in the order of the settings.
        pub(crate) fn bound(&self) -> &[Bound] {
            match *self {}
        }

        /// Waits until it has stopped.
        pub(crate) fn wait(self) -> ExitCode {
            match self {}
        }
    }

    impl Display for StartError {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("engine not linked")
        }
    }
}

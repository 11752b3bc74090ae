//! The one place where the binary meets the engine: it starts a server, says where that listens, and waits.
//!
//! Signals, draining and the control socket are the engine's; it ends when they say so.

use crate::command::Failure;
use ringway_engine::lifecycle::{Server, StartError, Stopped};
use ringway_engine::limits;
use ringway_engine::settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use ringway_engine::lifecycle::Bound;

/// Starts a server: every listener accepts when this returns.
///
/// # Errors
/// Something cannot be had: the port is in use, a permission is missing.
pub(crate) fn start(settings: Settings) -> Result<Server, Failure> {
    Server::start(settings).map_err(|error| Failure::Run(error.to_string()))
}

/// Starts a server with a control socket at `path`, or without one when that cannot be had: nobody asked for this
/// path, and a second server on the machine, or a read-only `/run`, must not keep it from serving.
///
/// # Errors
/// As [`start`].
pub(crate) fn start_with_default_control(mut settings: Settings, path: PathBuf) -> Result<Server, Failure> {
    settings.control = Some(path);
    match Server::start(settings.clone()) {
        Err(StartError::Control { path, error }) => {
            log::warn!("no control socket at {}: {error}; `control` names another", path.display());
            settings.control = None;
            start(settings)
        }
        result => result.map_err(|error| Failure::Run(error.to_string())),
    }
}

/// Says where `server` listens, calls `on_ready`, and waits until it is told to stop.
///
/// # Errors
/// A shard did not end.
pub(crate) fn serve(server: &Server, on_ready: impl FnOnce(&[Bound])) -> Result<ExitCode, Failure> {
    // Whoever reads the next lines may signal at once.
    server.handle_signals();
    for bound in server.bound() {
        crate::say(&format!("listening on {} ({})", bound.address, bound.scheme));
    }
    on_ready(server.bound());
    match server.wait() {
        // Cutting was asked for, or announced by the drain timeout: either way the server did as it was told.
        Stopped::Drained | Stopped::Cut => Ok(ExitCode::SUCCESS),
        Stopped::Abandoned => Err(Failure::Run("a shard did not stop and was left behind".into())),
    }
}

/// How many shards the engine starts for `settings`.
pub(crate) fn shards(settings: &Settings) -> usize {
    settings.workers.unwrap_or_else(ringway_engine::lifecycle::default_workers)
}

/// What serving costs; the engine's bounds, from which `ringway check` makes its bill.
pub(crate) mod cost {
    use super::limits;
    use ringway_engine::coding::Coding;

    /// One shard without connections: its ring, its stack, its pools. Measured: 1.4 MiB, and the ring's entries
    /// in the kernel.
    pub(crate) const SHARD_BYTES: u64 = 4 << 20;
    /// A client connection between requests, at most. Measured: 1.4 KiB.
    pub(crate) const IDLE_CONNECTION_BYTES: u64 = 2 << 10;
    /// What one connection holds in the middle of an exchange, at most: sent but not taken by the peer, and
    /// received but not decoded.
    pub(crate) const BUSY_CONNECTION_BYTES: u64 =
        (limits::QUEUE_HIGH_BYTES + limits::UNDECODED_HIGH_BYTES) as u64;
    /// What one key of a limit of rate takes.
    pub(crate) const RATE_KEY_BYTES: u64 = 8;
    /// What a limit of number takes.
    pub(crate) const CONCURRENCY_LIMIT_BYTES: u64 = 32 << 10;
    /// What a decoder holds at most: the window of Brotli or Zstandard, and as much again on the way.
    pub(crate) const DECODER_BYTES: u64 = 17 << 20;

    /// What a coder holds at most, at the default level. Measured: 0.4, 3.1 and 1.8 MiB.
    pub(crate) const fn encoder_bytes(coding: Coding) -> u64 {
        match coding {
            Coding::Gzip | Coding::Deflate => 512 << 10,
            Coding::Brotli => 4 << 20,
            Coding::Zstd => 2 << 20,
        }
    }
    /// Descriptors of one shard besides its connections: ring, listeners aside, wake-ups. Counted: 6.
    pub(crate) const SHARD_DESCRIPTORS: u64 = 8;
    /// Descriptors of the process besides its shards: standard streams, control socket, log, signals.
    pub(crate) const PROCESS_DESCRIPTORS: u64 = 16;
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_engine::settings::Address;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_default_control_socket_that_is_taken_keeps_no_server_from_serving() {
        let path = std::env::temp_dir().join(format!("ringway-taken-{}", std::process::id()));
        let _taken = UnixListener::bind(&path).unwrap();
        let any_port = Address::Tcp(([127, 0, 0, 1], 0).into());
        let mut settings = Settings::reverse_proxy(any_port, vec![Address::Unix("/nowhere".into())]);
        settings.workers = Some(1);
        let server = start_with_default_control(settings.clone(), path.clone()).expect("it serves");
        assert_eq!(server.bound().len(), 1);
        settings.control = Some(path.clone());
        let refused = start(settings).expect_err("asked for by name, it is an error").to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(refused.contains("cannot make the control socket"), "{refused}");
        assert_eq!(refused.lines().count(), 1);
    }
}

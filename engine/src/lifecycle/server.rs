//! A running server, as its user holds it.

use super::control::ControlSocket;
use super::listen::Bound;
use super::shards::Program;
use super::signals::{self, Forwarding};
use super::status::Status;
use super::supervisor::{Request, Supervisor};
use crate::service::Services;
use crate::settings::{Address, Settings};
use crate::shard::{self, Start};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io, thread};

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    bound: Vec<Bound>,
    requests: Sender<Request>,
    /// Carries nothing: it disconnects when the server has stopped.
    ended: Receiver<Infallible>,
    last: Arc<OnceLock<(Stopped, Status)>>,
    signals: OnceLock<Forwarding>,
}

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Accepts no more and lets exchanges end, for [`Settings::drain_timeout`] at most.
    Graceful,
    /// Cuts every connection.
    Fast,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every exchange ended by itself.
    Drained,
    /// Connections were cut: that was asked for, or exchanges took longer than they may.
    Cut,
    /// A shard did not even stop when told to.
    Abandoned,
}

/// Why a server did not start. Each is one line for people.
#[derive(Debug)]
pub enum StartError {
    /// The settings contradict themselves.
    Settings(Vec<String>),
    /// A listening socket cannot be had.
    Listen {
        /// Where it should have been.
        address: Address,
        /// Why not.
        error: io::Error,
    },
    /// The access log cannot be opened.
    Log(io::Error),
    /// The control socket cannot be had.
    Control {
        /// Its path.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A shard failed before it was ready.
    Shard {
        /// Which.
        index: usize,
        /// Why.
        error: String,
    },
    /// A thread or its channel could not be made.
    Thread(io::Error),
}

impl Server {
    /// Starts a server. When this returns, every listener of every shard accepts. Installs no signal handlers.
    ///
    /// # Errors
    /// When the settings contradict themselves, or anything that they ask for cannot be had.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(settings, Services::default())
    }

    /// As [`Server::start`], with services of its user's.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(settings: Settings, services: Services) -> Result<Self, StartError> {
        let main = Arc::new(shard::run);
        Self::start_program(settings, services, Program { main, outcome_labels: Start::OUTCOME_LABELS })
    }

    pub(super) fn start_program(
        settings: Settings,
        services: Services,
        program: Program,
    ) -> Result<Self, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let control = settings.control.as_deref().map(ControlSocket::bind).transpose()?;
        let supervisor = Supervisor::start(settings, services, program)?;
        let (bound, requests) = (supervisor.bound().to_vec(), supervisor.requests());
        let control = control.map(|socket| socket.serve(requests.clone())).transpose();
        let control = control.map_err(StartError::Thread)?;

        let (ending, ended) = bounded(0);
        let last = Arc::new(OnceLock::new());
        let result = Arc::clone(&last);
        let supervise = move || {
            _ = result.set(supervisor.run());
            drop(control);
            drop::<Sender<Infallible>>(ending);
        };
        thread::Builder::new().name("supervisor".into()).spawn(supervise).map_err(StartError::Thread)?;
        Ok(Self { bound, requests, ended, last, signals: OnceLock::new() })
    }

    /// Where the server listens: HTTP first, each in the order of the settings.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Handles the process's signals from now on, as long as the server is not dropped: whoever announces that
    /// the server is there, and is stopped by a signal in return, needs them handled before.
    ///
    /// TERM stops gracefully, INT at once, a second INT ends the process; USR1 reopens logs; HUP and USR2 are
    /// ignored with a line in the log. Afterwards those signals stay without effect.
    pub fn handle_signals(&self) {
        if self.signals.get().is_none() {
            match signals::forward(self.requests.clone()) {
                Ok(forwarding) => _ = self.signals.set(forwarding),
                Err(error) => log::error!("signals cannot be handled: {error}"),
            }
        }
    }

    /// [Handles signals](Self::handle_signals) until the server has stopped, by a signal or otherwise.
    pub fn wait(&self) -> Stopped {
        self.handle_signals();
        self.wait_stopped()
    }

    /// Stops the server and waits until it has stopped.
    pub fn stop(&self, how: Stop) -> Stopped {
        self.begin_stop(how);
        self.wait_stopped()
    }

    /// Asks the server to stop and returns at once.
    pub fn begin_stop(&self, how: Stop) {
        // An error means that it has stopped.
        _ = self.requests.send(Request::Stop(how));
    }

    /// What the server is doing; its last state when it has stopped.
    pub fn status(&self) -> Status {
        Request::ask_status(&self.requests).unwrap_or_else(|| {
            self.wait_stopped();
            self.last.get().map(|(_, status)| status.clone()).unwrap_or_default()
        })
    }

    /// Opens the access log's file anew, after it was rotated away.
    pub fn reopen_logs(&self) {
        _ = self.requests.send(Request::ReopenLogs);
    }

    fn wait_stopped(&self) -> Stopped {
        _ = self.ended.recv();
        // Empty only if the supervisor itself panicked.
        self.last.get().map_or(Stopped::Abandoned, |(stopped, _)| *stopped)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop(Stop::Fast);
        _ = self.ended.recv_timeout(DROP_PATIENCE);
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(errors) => f.write_str(&errors.join("; ")),
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Log(error) => write!(f, "cannot open the access log: {error}"),
            Self::Control { path, error } => {
                write!(f, "cannot make the control socket {}: {error}", path.display())
            }
            Self::Shard { index, error } => write!(f, "shard {index} cannot start: {error}"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Longer than the supervisor's own patience with shards and the log.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

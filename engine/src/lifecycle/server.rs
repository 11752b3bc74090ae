//! A running server, as its user holds it.

use super::builder::ServerBuilder;
use super::control::ControlSocket;
use super::crew::Crew;
use super::handle::ServerHandle;
use super::life::{Latches, Life, Watch};
use super::listen::Bound;
use super::shards::Program;
use super::signals::{self, Forwarding};
use super::status::Status;
use super::supervisor::{Plan, Request, Supervisor};
use crate::service::Services;
use crate::settings::{Address, Settings};
use crate::shard::{self, Start};
use crossbeam_channel::{Receiver, unbounded};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io, thread};

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    bound: Vec<Bound>,
    handle: ServerHandle,
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
    /// A shard or a background service did not even stop when told to.
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
    /// A background service that something depends on did not become ready.
    Background {
        /// Its name.
        name: String,
        /// What it did instead, behind its name.
        error: String,
    },
    /// It was told to stop before it was ready.
    Stopped,
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

    /// A server that is put together in code.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(super) fn start_program(
        settings: Settings,
        services: Services,
        program: Program,
    ) -> Result<Self, StartError> {
        settings.check().map_err(StartError::Settings)?;
        services.check(&settings).map_err(StartError::Settings)?;
        let crew = Crew::new(Vec::new()).map_err(StartError::Settings)?;
        let extras = Extras { services, crew };
        Launch::new().start(settings, extras, program)
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
            match signals::forward(self.handle.requests.clone()) {
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
        self.handle.stop(how);
    }

    /// Stops and watches the server from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// What the server is doing; its last state when it has stopped.
    pub fn status(&self) -> Status {
        Request::ask_status(&self.handle.requests).unwrap_or_else(|| {
            self.wait_stopped();
            self.last.get().map(|(_, status)| status.clone()).unwrap_or_default()
        })
    }

    /// Opens the access log's file anew, after it was rotated away.
    pub fn reopen_logs(&self) {
        _ = self.handle.requests.send(Request::ReopenLogs);
    }

    fn wait_stopped(&self) -> Stopped {
        self.handle.wait_for(Life::Stopped);
        // Empty only if the supervisor itself panicked.
        self.last.get().map_or(Stopped::Abandoned, |(stopped, _)| *stopped)
    }
}

/// A server that was not started. It can be stopped and watched already.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) handle: ServerHandle,
    requests: Receiver<Request>,
    latches: Latches,
}

/// What a server runs besides what its settings say.
#[derive(Debug)]
pub(super) struct Extras {
    pub(super) services: Services,
    pub(super) crew: Crew,
}

impl Launch {
    pub(super) fn new() -> Self {
        let (to_requests, requests) = unbounded();
        let (latches, watch) = Watch::new();
        Self { handle: ServerHandle { requests: to_requests, watch }, requests, latches }
    }

    /// Starts a server of settings that were checked.
    pub(super) fn start(
        self,
        settings: Settings,
        extras: Extras,
        program: Program,
    ) -> Result<Server, StartError> {
        let Self { handle, requests, latches } = self;
        let Latches { serving, draining, stopped } = latches;
        let control = settings.control.as_deref().map(ControlSocket::bind).transpose()?;
        let plan = Plan {
            services: extras.services,
            crew: extras.crew,
            program,
            to_requests: handle.requests.clone(),
            requests,
            not_serving: serving,
            not_draining: draining,
        };
        let supervisor = Supervisor::start(settings, plan)?;
        let bound = supervisor.bound().to_vec();
        let control = control.map(|socket| socket.serve(handle.requests.clone())).transpose();
        let control = control.map_err(StartError::Thread)?;

        let last = Arc::new(OnceLock::new());
        let result = Arc::clone(&last);
        let supervise = move || {
            _ = result.set(supervisor.run());
            drop(control);
            drop(stopped);
        };
        thread::Builder::new().name("supervisor".into()).spawn(supervise).map_err(StartError::Thread)?;
        Ok(Server { bound, handle, last, signals: OnceLock::new() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop(Stop::Fast);
        self.handle.wait_for_timeout(Life::Stopped, DROP_PATIENCE);
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
            Self::Background { name, error } => write!(f, "background service \"{name}\" {error}"),
            Self::Stopped => f.write_str("it was told to stop before it was ready"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Longer than the supervisor's own patience with shards and the log.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

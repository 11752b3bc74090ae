//! The loop behind a server: shards that fail are started again, a stop is seen through.

use super::crew::{Crew, Needed};
use super::life::{Latch, ServingLatch};
use super::listen::{self, Bound, Listening, SocketFile};
use super::resources;
use super::server::{StartError, Stop, Stopped};
use super::shards::{Launcher, Program, Shard, State};
use super::status::{ShardStatus, Status};
use crate::observe::{Counters, LogWriter, Snapshot};
use crate::service::Services;
use crate::settings::Settings;
use crate::shard::{Command, Report};
use crate::time::{Clock, Instant};
use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use std::sync::Arc;
use std::time::Duration;

/// What the supervisor is asked or told.
#[derive(Debug)]
pub(super) enum Request {
    Stop(Stop),
    ReopenLogs,
    Status(Sender<Status>),
    /// The thread of a shard is over; the panic that ended it, if one did.
    ShardEnded {
        index: usize,
        panic: Option<String>,
    },
}

impl Request {
    /// The status, or none when the supervisor is gone or busy.
    pub(super) fn ask_status(requests: &Sender<Self>) -> Option<Status> {
        let (answer, answered) = bounded(1);
        requests.send(Self::Status(answer)).ok()?;
        answered.recv_timeout(ANSWER_PATIENCE).ok()
    }
}

/// Watches over the shards of one server.
#[derive(Debug)]
pub(super) struct Supervisor {
    clock: Clock,
    started: Instant,
    phase: Phase,
    shards: Vec<Shard>,
    launcher: Launcher,
    bound: Vec<Bound>,
    files: Vec<SocketFile>,
    requests: Receiver<Request>,
    reports: Receiver<Report>,
    crew: Crew,
    /// Until a stop is asked for.
    not_draining: Option<Latch>,
}

/// What a supervisor starts, besides what the settings say.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) services: Services,
    pub(super) crew: Crew,
    pub(super) program: Program,
    pub(super) to_requests: Sender<Request>,
    pub(super) requests: Receiver<Request>,
    pub(super) not_serving: ServingLatch,
    pub(super) not_draining: Latch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Exchanges may end until then.
    Draining {
        until: Instant,
    },
    /// Shards have been told to cut everything and are expected to end until then.
    Stopping {
        until: Instant,
    },
}

impl Supervisor {
    /// Starts background services, binds, opens the log, starts the shards and waits until all accept. Of what cannot
    /// start nothing is left running.
    pub(super) fn start(mut settings: Settings, plan: Plan) -> Result<Self, StartError> {
        let Plan { services, mut crew, program, to_requests, requests, not_serving, not_draining } = plan;
        resources::raise_descriptor_limit(settings.limits.connections);
        let cores = resources::allowed_cores();
        let workers = settings.workers.unwrap_or_else(resources::default_workers).max(1);
        // Each shard allows its share of what the whole process may have.
        settings.workers = Some(workers);
        let opened = crew.start(Needed::ByListeners, &requests).and_then(|()| open(&settings, workers));
        let (listening, log) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                crew.end(STOP_PATIENCE);
                return Err(error);
            }
        };

        let clock = Clock::real();
        let assigned = resources::assign_cores(&cores, workers, std::process::id());
        let shards = assigned.into_iter().zip(listening.per_shard).map(|(core, listeners)| Shard {
            core,
            listeners,
            counters: Arc::new(Counters::new(program.outcome_labels)),
            state: State::Down { again_at: clock.now() },
            restarts: 0,
            failures_in_row: 0,
        });
        let shards = shards.collect();
        let (to_reports, reports) = unbounded();
        let settings = Arc::new(settings);
        let launcher =
            Launcher { program, settings, services, log, reports: to_reports, requests: to_requests };
        let supervisor = Self {
            started: clock.now(),
            clock,
            phase: Phase::Running,
            shards,
            launcher,
            bound: listening.bound,
            files: listening.files,
            requests,
            reports,
            crew,
            not_draining: Some(not_draining),
        };
        supervisor.start_shards(not_serving)
    }

    /// Starts every shard. If one cannot start, none is left running.
    fn start_shards(mut self, not_serving: ServingLatch) -> Result<Self, StartError> {
        let started = self.try_start_shards().and_then(|()| {
            not_serving.open();
            self.crew.start(Needed::ByAnything, &self.requests)
        });
        match started {
            Ok(()) => Ok(self),
            Err(error) => {
                self.stop(Stop::Fast);
                self.run();
                Err(error)
            }
        }
    }

    fn try_start_shards(&mut self) -> Result<(), StartError> {
        let now = self.clock.now();
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let link = self.launcher.launch(index, shard);
            let link = link.map_err(|error| StartError::Shard { index, error: error.to_string() })?;
            shard.state = State::Alive { link, driver: String::new(), since: now };
        }
        let deadline = now + START_PATIENCE;
        while let Some(index) = self.shards.iter().position(|shard| !shard.is_ready()) {
            let error = select! {
                recv(self.reports) -> report => match report {
                    Ok(Report::Failed { index, error }) => Some((index, error)),
                    Ok(report) => { self.on_report(report); None }
                    Err(_) => unreachable!("we hold a sender"),
                },
                recv(self.requests) -> request => match request {
                    Ok(Request::ShardEnded { index, panic }) => {
                        self.shards[index].state = State::Ended;
                        // What it reported before it ended says more than that it ended.
                        let error = self.failure_of(index).or(panic);
                        Some((index, error.unwrap_or_else(|| "its thread ended".into())))
                    }
                    Ok(Request::Stop(_)) => return Err(StartError::Stopped),
                    _ => None,
                },
                default(deadline - self.clock.now()) => Some((index, "it takes too long".into())),
            };
            if let Some((index, error)) = error {
                return Err(StartError::Shard { index, error });
            }
        }
        Ok(())
    }

    /// A report of failure by this shard that waits to be read.
    fn failure_of(&self, shard: usize) -> Option<String> {
        self.reports.try_iter().find_map(|report| match report {
            Report::Failed { index, error } if index == shard => Some(error),
            _ => None,
        })
    }

    /// Where the server listens.
    pub(super) fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Runs until the server has stopped.
    pub(super) fn run(mut self) -> (Stopped, Status) {
        let mut stopped = Stopped::Drained;
        loop {
            let now = self.clock.now();
            let has_shards = self.shards.iter().any(|shard| !matches!(shard.state, State::Ended));
            if !has_shards && self.crew.has_ended() {
                break;
            }
            match self.phase {
                Phase::Running => self.restart_shards(now),
                // What is left can be cut, if there are shards; background services had their time.
                Phase::Draining { until } if now >= until && has_shards => self.stop(Stop::Fast),
                Phase::Draining { until } | Phase::Stopping { until } if now >= until => {
                    self.crew.abandon();
                    stopped = Stopped::Abandoned;
                    break;
                }
                _ => {}
            }
            let crew_ended = if self.crew.has_ended() { never() } else { self.crew.ended().clone() };
            select! {
                recv(self.requests) -> request => self.on_request(request.expect("we hold a sender")),
                recv(self.reports) -> report => self.on_report(report.expect("we hold a sender")),
                recv(crew_ended) -> _ => {}
                default(self.next_deadline() - now) => {}
            }
        }
        if stopped == Stopped::Drained && matches!(self.phase, Phase::Stopping { .. }) {
            stopped = Stopped::Cut;
        }
        (stopped, self.finish())
    }

    /// Writes what is left of the log, and sums up.
    fn finish(mut self) -> Status {
        let mut status = self.status();
        status.state = "stopped";
        if let Some(log) = self.launcher.log.take()
            && !log.stop(LOG_PATIENCE)
        {
            log::warn!("the access log does not take its last lines in time");
        }
        status
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Stop(how) => self.stop(how),
            Request::ReopenLogs => {
                if let Some(log) = &self.launcher.log {
                    log.reopen();
                }
            }
            // Nobody waits any more: not our concern.
            Request::Status(answer) => _ = answer.send(self.status()),
            Request::ShardEnded { index, panic } => self.on_shard_ended(index, panic),
        }
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Ready { index, driver: ready } => {
                log::info!("shard {index} runs on core {}: {ready}", self.shards[index].core);
                if let State::Alive { driver, .. } = &mut self.shards[index].state {
                    *driver = if ready.is_empty() { "unknown".into() } else { ready };
                }
            }
            Report::Stopped { index } => log::debug!("shard {index} has no connections left"),
            Report::Failed { index, error } => log::error!("shard {index} failed: {error}"),
        }
    }

    /// A shard that ends while the server runs has failed, whatever it says. It loses its connections; what
    /// waits in the queues of its listening sockets it finds when it starts again.
    fn on_shard_ended(&mut self, index: usize, panic: Option<String>) {
        let now = self.clock.now();
        let shard = &mut self.shards[index];
        if let Some(message) = &panic {
            // The shard's thread is gone, so the counters have no other writer.
            shard.counters.panics.add(1);
            log::error!("shard {index} panicked: {message}");
        }
        if self.phase != Phase::Running {
            shard.state = State::Ended;
            return;
        }
        let lived = match shard.state {
            State::Alive { since, .. } => now - since,
            _ => Duration::ZERO,
        };
        shard.failures_in_row = if lived < LONG_LIFE { shard.failures_in_row + 1 } else { 1 };
        let delay = RESTART_DELAY * 2_u32.saturating_pow(shard.failures_in_row - 1);
        let delay = delay.min(RESTART_DELAY_MAX);
        shard.state = State::Down { again_at: now + delay };
        log::error!("shard {index} ended and starts again in {delay:?}");
    }

    /// Starts the shards again whose time has come.
    fn restart_shards(&mut self, now: Instant) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let State::Down { again_at } = shard.state else { continue };
            if again_at > now {
                continue;
            }
            shard.counters.reset_gauges();
            shard.restarts += 1;
            shard.state = match self.launcher.launch(index, shard) {
                Ok(link) => State::Alive { link, driver: String::new(), since: now },
                Err(error) => {
                    log::error!("shard {index} cannot start: {error}");
                    State::Down { again_at: now + RESTART_DELAY_MAX }
                }
            };
        }
    }

    /// Goes on to draining or to stopping, never back.
    fn stop(&mut self, how: Stop) {
        let now = self.clock.now();
        let command = match (self.phase, how) {
            (Phase::Running, Stop::Graceful) => {
                let deadline = self.launcher.settings.drain_timeout;
                log::info!("draining for at most {deadline:?}");
                self.phase = Phase::Draining { until: now + deadline };
                Command::Drain { deadline }
            }
            (Phase::Running | Phase::Draining { .. }, Stop::Fast) => {
                log::info!("stopping");
                self.phase = Phase::Stopping { until: now + STOP_PATIENCE };
                Command::Stop
            }
            (Phase::Draining { .. }, Stop::Graceful) => return log::info!("draining already"),
            (Phase::Stopping { .. }, _) => return,
        };
        self.not_draining = None;
        self.crew.shut_down();
        // The paths belong to whoever binds them next; nobody finds us there from now on.
        self.files.clear();
        for shard in &mut self.shards {
            shard.listeners.clear();
            if let State::Down { .. } = shard.state {
                shard.state = State::Ended;
            }
            shard.tell(command);
        }
    }

    /// When something is to be done even if nobody says anything.
    fn next_deadline(&self) -> Instant {
        match self.phase {
            Phase::Draining { until } | Phase::Stopping { until } => until,
            Phase::Running => {
                let restarts = self.shards.iter().filter_map(|shard| match shard.state {
                    State::Down { again_at } => Some(again_at),
                    _ => None,
                });
                restarts.min().unwrap_or(Instant::FAR_FUTURE)
            }
        }
    }

    fn status(&self) -> Status {
        let mut counters = Snapshot::default();
        self.shards.iter().for_each(|shard| counters.add(&shard.counters));
        counters.panics += self.crew.panics();
        counters.log_lines_dropped += self.launcher.log.as_ref().map_or(0, LogWriter::lost_lines);
        let shards = self.shards.iter().map(|shard| {
            let (state, driver) = match &shard.state {
                State::Alive { driver, .. } if driver.is_empty() => ("starting", ""),
                State::Alive { driver, .. } => ("running", driver.as_str()),
                State::Down { .. } => ("down", ""),
                State::Ended => ("ended", ""),
            };
            ShardStatus { state, core: shard.core, driver: driver.into(), restarts: shard.restarts }
        });
        Status {
            state: match self.phase {
                Phase::Running => "running",
                Phase::Draining { .. } => "draining",
                Phase::Stopping { .. } => "stopping",
            },
            uptime: self.clock.now() - self.started,
            bound: self.bound.clone(),
            shards: shards.collect(),
            services: self.crew.status(),
            counters,
        }
    }
}

/// Binds what the settings name and opens the access log.
fn open(settings: &Settings, workers: usize) -> Result<(Listening, Option<LogWriter>), StartError> {
    let listening = listen::listen(settings, workers)?;
    let log = LogWriter::start(&settings.access_log.target, settings.access_log.format);
    Ok((listening, log.map_err(StartError::Log)?))
}

/// For a shard to build its event loop.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// For a shard to cut its connections, and for background services to end in a fast stop; a test shows what happens otherwise and should not take long.
const STOP_PATIENCE: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(5) };
/// For the log's target to take the last lines.
const LOG_PATIENCE: Duration = Duration::from_secs(2);
/// For the supervisor to answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Before a failed shard starts again; doubled with every failure in a row, since it fails for a reason that may
/// last.
const RESTART_DELAY: Duration = Duration::from_millis(50);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(10);
/// A shard that ran for so long failed for a new reason.
const LONG_LIFE: Duration = Duration::from_secs(60);

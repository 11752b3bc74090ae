//! The background services of a server at work: started in the order of what they need, run again, told to end.
//!
//! Each has a thread that runs it again by itself; what is here starts them and waits for those that something depends
//! on. A thread is over when its latch is gone, however it ended.

use super::background::{Background, Ready, Shutdown};
use super::life::{self, Gate, Latch};
use super::server::StartError;
use super::shards::message_of;
use super::status::ServiceStatus;
use super::supervisor::Request;
use crate::time::{Clock, Instant};
use crossbeam_channel::{Receiver, Sender, select, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What happens to a service on its thread. Twice in its life at most.
#[derive(Debug)]
pub(super) enum Event {
    /// It is ready.
    Ready(usize),
    /// It does not run again; why, if it failed.
    Over(usize, Option<String>),
}

/// All background services of a server.
#[derive(Debug)]
pub(super) struct Crew {
    clock: Clock,
    /// In the order in which they were given.
    members: Vec<Member>,
    events: Receiver<Event>,
    to_events: Sender<Event>,
    /// Until they are told to end.
    shutdown: Option<Latch>,
    is_shut_down: Gate,
    /// Until no more are started; each thread has another.
    running: Option<Latch>,
    ended: Gate,
}

#[derive(Debug)]
struct Member {
    name: String,
    after: Vec<usize>,
    is_before_listening: bool,
    /// Whether anything depends on it.
    is_needed: bool,
    ready_within: Duration,
    tally: Arc<Tally>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// For those it comes after.
    Waiting(Box<Background>),
    /// Its thread runs, but it is not ready.
    Started {
        ready_until: Instant,
    },
    Ready,
    /// Nothing depended on it.
    Failed,
}

/// For whom a start waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    ByListeners,
    ByAnything,
}

/// What is known of a service while it runs; written by its thread.
#[derive(Debug, Default)]
pub(super) struct Tally {
    state: AtomicU8,
    is_ready: AtomicBool,
    restarts: AtomicU64,
    failures: AtomicU64,
    panics: AtomicU64,
}

/// What a service does, by its number in [`Tally::state`].
const STATES: [&str; 6] = ["waiting", "running", "ready", "restarting", "ended", "failed"];
const RUNNING: u8 = 1;
const READY: u8 = 2;
const RESTARTING: u8 = 3;
const ENDED: u8 = 4;
const FAILED: u8 = 5;

impl Tally {
    /// It is ready; whether for the first time.
    pub(super) fn set_ready(&self) -> bool {
        // A clone of the notifier may be used late, when the service has ended.
        _ = self.state.compare_exchange(RUNNING, READY, Ordering::AcqRel, Ordering::Acquire);
        !self.is_ready.swap(true, Ordering::AcqRel)
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        // One that waits has no thread.
        !(RUNNING..=RESTARTING).contains(&self.state.load(Ordering::Acquire))
    }
}

impl Crew {
    /// Finds what is wrong with the services before any is started: each error is a sentence.
    pub(super) fn new(services: Vec<Background>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() || name.contains(char::is_control) {
                errors.push(format!("{name:?} is no name for a background service"));
            } else if names[..index].contains(name) {
                errors.push(format!("background service \"{name}\" is given twice"));
            }
        }
        let mut resolve = |service: &Background| -> Vec<usize> {
            let index = |other: &String| {
                let found = names.iter().position(|name| name == other);
                if found.is_none() {
                    let Background { name, .. } = service;
                    errors.push(format!(
                        "background service \"{name}\" comes after \"{other}\", which is not there"
                    ));
                }
                found
            };
            service.after.iter().filter_map(index).collect()
        };
        let after: Vec<Vec<usize>> = services.iter().map(&mut resolve).collect();
        if let Some(cycle) = find_cycle(&after) {
            let cycle: Vec<_> = cycle.into_iter().map(|index| format!("\"{}\"", names[index])).collect();
            errors.push(format!("background services wait for each other: {}", cycle.join(" after ")));
        }
        if !errors.is_empty() {
            return Err(errors);
        }

        let is_depended_on = |index: usize| after.iter().any(|after| after.contains(&index));
        let members = services.into_iter().enumerate().map(|(index, service)| Member {
            name: service.name.clone(),
            after: after[index].clone(),
            is_before_listening: service.is_before_listening,
            is_needed: service.is_before_listening || is_depended_on(index),
            ready_within: service.ready_within,
            tally: Arc::default(),
            stage: Stage::Waiting(Box::new(service)),
        });
        let ((to_events, events), (shutdown, is_shut_down), (running, ended)) =
            (unbounded(), life::gate(), life::gate());
        Ok(Self {
            clock: Clock::real(),
            members: members.collect(),
            events,
            to_events,
            shutdown: Some(shutdown),
            is_shut_down,
            running: Some(running),
            ended,
        })
    }

    /// Starts every service whose time comes, until those are ready that are needed. [`Needed::ByAnything`] leaves none
    /// that was not started.
    pub(super) fn start(&mut self, needed: Needed, requests: &Receiver<Request>) -> Result<(), StartError> {
        let is_goal = |member: &Member| match needed {
            Needed::ByListeners => member.is_before_listening,
            Needed::ByAnything => member.is_needed,
        };
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.on_event(event)?;
            }
            self.launch()?;
            let is_ready = |member: &Member| matches!(member.stage, Stage::Ready);
            if self.members.iter().filter(|member| is_goal(member)).all(is_ready) {
                return Ok(());
            }
            let now = self.clock.now();
            let deadlines = self.members.iter().filter_map(|member| match member.stage {
                Stage::Started { ready_until } if member.is_needed => Some((ready_until, member)),
                _ => None,
            });
            let (deadline, late) = deadlines
                .min_by_key(|(deadline, _)| *deadline)
                .expect("without a cycle, one of those that are waited for was started");
            if deadline <= now {
                let error = format!("was not ready within {:?}", late.ready_within);
                return Err(StartError::Background { name: late.name.clone(), error });
            }
            select! {
                recv(self.events) -> event => self.on_event(event.expect("we hold a sender"))?,
                recv(requests) -> request => {
                    if let Ok(Request::Stop(_)) = request {
                        return Err(StartError::Stopped);
                    }
                }
                default(deadline - now) => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<(), StartError> {
        let (index, failure) = match event {
            Event::Ready(index) => (index, None),
            Event::Over(index, failure) => (index, failure),
        };
        let member = &mut self.members[index];
        if let Stage::Started { .. } = member.stage {
            if let (Some(failure), true) = (&failure, member.is_needed) {
                let error = format!("failed before it was ready: {failure}");
                return Err(StartError::Background { name: member.name.clone(), error });
            }
            member.stage = if failure.is_none() { Stage::Ready } else { Stage::Failed };
        }
        Ok(())
    }

    /// Starts those that wait for nothing any more.
    fn launch(&mut self) -> Result<(), StartError> {
        for index in 0..self.members.len() {
            let is_ready = |other: &usize| matches!(self.members[*other].stage, Stage::Ready);
            let is_free = self.members[index].after.iter().all(is_ready);
            let (Some(running), Stage::Waiting(_), true) =
                (&self.running, &self.members[index].stage, is_free)
            else {
                continue;
            };
            let running = running.clone();
            let shutdown = Shutdown { gate: self.is_shut_down.clone() };
            let member = &mut self.members[index];
            let ready = Ready { index, events: self.to_events.clone(), tally: Arc::clone(&member.tally) };
            let ready_until = self.clock.now() + member.ready_within;
            let started = Stage::Started { ready_until };
            let Stage::Waiting(service) = std::mem::replace(&mut member.stage, started) else { continue };
            member.tally.set(RUNNING);
            let thread = thread::Builder::new().name(member.name.clone());
            let spawned = thread.spawn(move || {
                serve(*service, &ready, &shutdown);
                drop(running);
            });
            if let Err(error) = spawned {
                member.tally.set(FAILED);
                return Err(StartError::Thread(error));
            }
        }
        Ok(())
    }

    /// Tells the services to end, and starts no more.
    pub(super) fn shut_down(&mut self) {
        self.shutdown = None;
        self.running = None;
    }

    /// Tells the services to end and waits for them.
    pub(super) fn end(&mut self, patience: Duration) {
        self.shut_down();
        if !life::wait(&self.ended, Some(patience)) {
            self.abandon();
        }
    }

    /// Says which services are left behind.
    pub(super) fn abandon(&self) {
        for Member { name, .. } in self.members.iter().filter(|member| !member.tally.is_over()) {
            log::error!("background service \"{name}\" does not end and is left behind");
        }
    }

    /// Opens when every thread has ended behind a [`Crew::shut_down`].
    pub(super) fn ended(&self) -> &Gate {
        &self.ended
    }

    /// Whether every thread has ended behind a [`Crew::shut_down`].
    pub(super) fn has_ended(&self) -> bool {
        life::is_open(&self.ended)
    }

    /// The services, in the order in which they were given.
    pub(super) fn status(&self) -> Vec<ServiceStatus> {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let status = |Member { name, tally, .. }: &Member| ServiceStatus {
            name: name.clone(),
            state: STATES[usize::from(tally.state.load(Ordering::Acquire))],
            restarts: count(&tally.restarts),
            failures: count(&tally.failures),
        };
        self.members.iter().map(status).collect()
    }

    /// Panics of services that were caught.
    pub(super) fn panics(&self) -> u64 {
        self.members.iter().map(|member| member.tally.panics.load(Ordering::Relaxed)).sum()
    }
}

/// Runs a service, again where it is to run again.
fn serve(background: Background, ready: &Ready, shutdown: &Shutdown) {
    let Background { mut service, name, restart, .. } = background;
    let clock = Clock::real();
    let tally = &ready.tally;
    let mut failures_in_row = 0;
    let failure = loop {
        tally.set(RUNNING);
        let begun = clock.now();
        let run = || service.run(ready.clone(), shutdown.clone());
        let failure = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => break None,
            Ok(Err(failure)) => failure.to_string(),
            Err(payload) => {
                tally.panics.fetch_add(1, Ordering::Relaxed);
                format!("it panicked: {}", message_of(payload.as_ref()))
            }
        };
        tally.failures.fetch_add(1, Ordering::Relaxed);
        failures_in_row = if clock.now() - begun < LONG_RUN { failures_in_row + 1 } else { 1 };
        let delay = restart.delay(failures_in_row);
        match delay.filter(|_| !shutdown.is_requested()) {
            Some(delay) => {
                log::error!("background service \"{name}\" failed and runs again in {delay:?}: {failure}");
                tally.set(RESTARTING);
                if shutdown.wait_timeout(delay) {
                    break Some(failure);
                }
                tally.restarts.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                log::error!("background service \"{name}\" failed: {failure}");
                break Some(failure);
            }
        }
    };
    if failure.is_none() && !shutdown.is_requested() {
        log::info!("background service \"{name}\" is done");
    }
    tally.set(if failure.is_some() { FAILED } else { ENDED });
    // Nobody listens any more when the server is gone.
    _ = ready.events.send(Event::Over(ready.index, failure));
    // Last: it is its author's code, and may panic.
    drop(service);
}

/// Members that come after each other in a circle, the first one again at the end.
fn find_cycle(after: &[Vec<usize>]) -> Option<Vec<usize>> {
    // Those that come after nothing, then those that come after these only, and so on.
    let mut is_placed = vec![false; after.len()];
    while let Some(next) = (0..after.len())
        .find(|index| !is_placed[*index] && after[*index].iter().all(|other| is_placed[*other]))
    {
        is_placed[next] = true;
    }
    // Whoever is left comes after one that is left: from there every way ends in a circle.
    let mut path = vec![is_placed.iter().position(|is_placed| !is_placed)?];
    loop {
        let last = *path.last().expect("it begins with one");
        let next = *after[last].iter().find(|other| !is_placed[**other]).expect("or it would be placed");
        let seen = path.iter().position(|index| *index == next);
        path.push(next);
        if let Some(start) = seen {
            return Some(path.split_off(start));
        }
    }
}

/// A service that ran for so long fails for a new reason.
const LONG_RUN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Background {
        Background::from_fn(name, |ready, shutdown| {
            ready.notify();
            shutdown.wait();
            Ok(())
        })
    }

    fn errors(services: Vec<Background>) -> Vec<String> {
        Crew::new(services).err().unwrap_or_default()
    }

    #[test]
    fn a_cycle_is_named() {
        assert_eq!(find_cycle(&[vec![1], vec![], vec![0, 1]]), None);
        assert_eq!(find_cycle(&[vec![0]]), Some(vec![0, 0]));
        assert_eq!(find_cycle(&[vec![1], vec![2, 3], vec![], vec![1]]), Some(vec![1, 3, 1]));
        let services = vec![service("a").after("b"), service("b").after("c"), service("c").after("a")];
        assert_eq!(
            errors(services),
            ["background services wait for each other: \"a\" after \"b\" after \"c\" after \"a\""]
        );
    }

    #[test]
    fn every_mistake_is_found() {
        let services = vec![service("a").after("gone"), service("a"), service(""), service("x\0")];
        assert_eq!(
            errors(services),
            [
                "background service \"a\" is given twice",
                "\"\" is no name for a background service",
                "\"x\\0\" is no name for a background service",
                "background service \"a\" comes after \"gone\", which is not there",
            ]
        );
    }
}

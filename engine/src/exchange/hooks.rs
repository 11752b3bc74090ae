//! How a phase is visited: one member of the chain after the other, each of which may wait.

use super::state::State;
use super::{Env, Exchange, Fault, Outcome};
use crate::error::Error;
use crate::phase::chain::Link;
use crate::phase::{Answer, Phase, Phases, Session, Visit};
use crate::time::Instant;
use ringway_proto::message::RequestHead;
use std::task::{Context, Poll};

/// A hook that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    phase: Phase,
    /// Members of the chain that were visited, this one included.
    visited: usize,
    since: Instant,
}

/// What an exchange leaves to the next.
#[derive(Debug)]
pub struct Spare {
    visit: Box<Visit>,
    chain: Vec<Link>,
}

impl Spare {
    /// For an exchange with this session, from what an earlier one left.
    pub(super) fn renewed(spare: Option<Self>, session: Session) -> Self {
        match spare {
            Some(mut spare) => {
                spare.visit.session = session;
                spare
            }
            None => Self { visit: Box::new(Visit::new(session)), chain: Vec::new() },
        }
    }

    pub(super) fn into_parts(self) -> (Box<Visit>, Vec<Link>) {
        (self.visit, self.chain)
    }
}

impl Exchange {
    /// Gives the hooks of `phase` their turn, and goes on behind it.
    #[inline]
    pub(super) fn enter(&mut self, phase: Phase, env: &mut Env<'_>) {
        if self.asked.has(phase) {
            self.visit_from(phase, 0, env);
        } else {
            self.after(phase, Answer::Continue, env);
        }
    }

    /// Visits the members of the chain that follow the first `visited`.
    fn visit_from(&mut self, phase: Phase, mut visited: usize, env: &mut Env<'_>) {
        while visited < self.chain.len() {
            let index = self.index(phase, visited);
            visited += 1;
            let link = &mut self.chain[index];
            if !link.asked.has(phase) {
                continue;
            }
            self.ran = index;
            let visit = self.visit.take().expect("one hook at a time");
            match link.hooks.visit(phase, visit, &mut Context::from_waker(env.waker)) {
                Poll::Ready((visit, answer)) => {
                    self.visit = Some(visit);
                    if let Some(answer) = self.note(phase, answer) {
                        return self.after(phase, answer, env);
                    }
                }
                Poll::Pending => {
                    self.parked = Some(Parked { phase, visited, since: env.now });
                    return;
                }
            }
        }
        self.after(phase, Answer::Continue, env);
    }

    /// The hook that waits was woken. Whoever is woken too often is polled once more, which every future must bear.
    pub fn on_woken(&mut self, env: &mut Env<'_>) {
        let Some(Parked { phase, visited, .. }) = self.parked else { return };
        let link = &mut self.chain[self.ran];
        let Poll::Ready((visit, answer)) = link.hooks.resume(&mut Context::from_waker(env.waker)) else {
            if self.is_taking_in() {
                self.answer_expectation(env);
            }
            return;
        };
        self.visit = Some(visit);
        self.parked = None;
        match self.note(phase, answer) {
            Some(answer) => self.after(phase, answer, env),
            None => self.visit_from(phase, visited, env),
        }
    }

    /// What is left to be done with an answer, unless the next member of the chain is asked.
    #[inline]
    fn note(&mut self, phase: Phase, answer: Answer) -> Option<Answer> {
        if !self.session_mut().attached.is_empty() {
            self.attach(phase);
        }
        match answer {
            Answer::Continue => None,
            // Every member of the chain may write its line.
            _ if phase == Phase::Finished => None,
            answer => Some(answer),
        }
    }

    /// Lets filters join that the hook which ran has named.
    fn attach(&mut self, phase: Phase) {
        let attached = std::mem::take(&mut self.session_mut().attached);
        if phase == Phase::Finished {
            return;
        }
        for pool in attached {
            let link = pool.take();
            self.asked = self.asked.union(link.asked);
            self.chain.push(link);
        }
    }

    /// Which member of the chain is visited behind so many others: a response meets them in the opposite order.
    #[inline]
    fn index(&self, phase: Phase, visited: usize) -> usize {
        match phase {
            Phase::UpstreamResponse | Phase::Response | Phase::ResponseData | Phase::ResponseTrailers => {
                self.chain.len() - 1 - visited
            }
            _ => visited,
        }
    }

    /// Goes on behind a phase.
    fn after(&mut self, phase: Phase, answer: Answer, env: &mut Env<'_>) {
        match phase {
            Phase::EarlyRequest => self.after_early_request(answer, env),
            Phase::Request => self.after_request(answer, env),
            Phase::Select => self.after_select(answer, env),
            Phase::Connected => self.after_connected(answer, env),
            Phase::UpstreamRequest => self.after_upstream_request(answer, env),
            Phase::RequestData => self.after_request_data(answer, env),
            Phase::RequestTrailers => self.after_request_trailers(answer, env),
            Phase::UpstreamResponse => self.after_upstream_response(answer, env),
            Phase::Response => self.after_response(answer, env),
            Phase::ResponseData => self.after_response_data(answer, env),
            Phase::ResponseTrailers => self.after_response_trailers(answer, env),
            Phase::ConnectFailed => self.after_connect_failed(env),
            Phase::Retry => self.after_retry(env),
            Phase::Failed => self.after_failed(answer, env),
            Phase::Finished => {}
        }
    }

    /// What failed in a hook fails the exchange.
    pub(super) fn fail_with(&mut self, error: Error, env: &mut Env<'_>) {
        let outcome = error.outcome();
        if outcome.fault() == Fault::Local {
            log::warn!("{error} request={}", String::from_utf8_lossy(self.session_mut().id()));
        }
        if let Some(visit) = &mut self.visit {
            visit.error = Some(error);
        }
        self.fail(outcome, env);
    }

    /// Notes what went wrong, where hooks will want to know.
    pub(super) fn note_error(&mut self, outcome: Outcome) {
        let wants = [Phase::ConnectFailed, Phase::Retry, Phase::Failed, Phase::Finished];
        if wants.iter().any(|&phase| self.asked.has(phase))
            && let Some(visit) = &mut self.visit
            && visit.error.as_ref().is_none_or(|error| error.outcome() != outcome)
        {
            let error = Error::new(outcome);
            visit.error = Some(match self.rule {
                Some(rule) if outcome == Outcome::Malformed => {
                    error.with_status(rule.status()).context(rule.word())
                }
                _ => error,
            });
        }
    }

    /// A hook took longer than it may: it is dropped where it waits.
    pub(super) fn on_hook_timeout(&mut self, env: &mut Env<'_>) {
        let Some(Parked { phase, .. }) = self.parked else { return };
        self.cancel_hook();
        if self.is_over() {
            log::warn!("{} of a hook took too long", phase.word());
        } else {
            self.fail_with(Error::new(Outcome::HookTimeout).context(phase.word()), env);
        }
    }

    /// Since when a hook waits, if one does.
    #[inline]
    pub fn parked_since(&self) -> Option<Instant> {
        self.parked.as_ref().map(|parked| parked.since)
    }

    /// Whether a hook waits.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Ends the hook that waits, where one does: what it had comes back.
    pub(super) fn cancel_hook(&mut self) {
        if self.parked.take().is_some()
            && let Some(link) = self.chain.get_mut(self.ran)
        {
            self.visit = link.hooks.cancel();
        }
    }

    /// Takes the member whose hook panicked out of the chain, and back what it had.
    pub(super) fn expel(&mut self) {
        self.parked = None;
        if self.visit.is_some() || self.ran >= self.chain.len() {
            return;
        }
        let mut link = self.chain.remove(self.ran);
        self.visit = link.hooks.cancel();
        self.asked = self.chain.iter().fold(Phases::NONE, |asked, link| asked.union(link.asked));
    }

    /// It is over: the last phase. Whoever waits in it is waited for; [`Exchange::is_parked`] tells.
    pub fn on_finished(&mut self, env: &mut Env<'_>) {
        if self.asked.has(Phase::Finished) && self.visit.is_some() {
            let outcome = self.outcome().unwrap_or(Outcome::Internal);
            if outcome.fault() != Fault::None {
                self.note_error(outcome);
            }
            self.visit_from(Phase::Finished, 0, env);
        }
    }

    /// What hooks leave to the client's connection.
    pub fn take_connection_context(&mut self) -> Option<Box<dyn std::any::Any>> {
        self.visit.as_mut()?.session.connection.take()
    }

    /// Gives the hooks that wait up, and everything back that the next exchange may use.
    pub fn dismantle(&mut self) -> Option<Spare> {
        self.cancel_hook();
        let mut visit = self.visit.take()?;
        visit.clear();
        self.intake = None;
        let mut chain = std::mem::take(&mut self.chain);
        chain.drain(..).for_each(Link::put_back);
        Some(Spare { visit, chain })
    }

    /// The request as it is sent in this attempt.
    pub(super) fn upstream_request_mut(&mut self) -> Option<&mut RequestHead> {
        self.visit.as_mut()?.upstream_request.as_mut()
    }

    /// Whether it has its outcome.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }
}

//! How a phase is visited: one member of the chain after the other, each of which may wait.

use super::replay::Replay;
use super::state::State;
use super::{Env, Exchange, Fault, Outcome, Side};
use crate::error::Error;
use crate::phase::chain::Chain;
use crate::phase::content::Wish;
use crate::phase::{Answer, ContentUse, Downstream, Phase, Verdict, Visit};
use crate::time::Instant;
use ringway_proto::message::RequestHead;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A hook that waits.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    phase: Phase,
    /// The places of the members that are visited behind this one.
    left: Left,
    since: Instant,
}

/// What came of a hook.
enum Reply {
    /// It lets its exchange go on.
    Continue,
    /// It decided otherwise.
    Decided(Box<Verdict>),
    Waits,
}

/// The places of the members that are still to be visited in a phase. Who is attached in between is not among them.
type Left = Range<usize>;

/// Content hooks that want to be called without a piece of content.
#[derive(Debug, Default)]
pub(super) struct Callbacks {
    /// Those that have more to send; the last one first.
    more: Vec<More>,
    /// The members of the chain that keep something of the request and of the response back.
    pauses: [Option<usize>; 2],
}

/// A hook that has more to send.
#[derive(Clone, Copy, Debug)]
struct More {
    phase: Phase,
    /// The member of the chain.
    index: usize,
    /// Whether it had the last piece.
    is_end: bool,
}

/// When a content hook is called without a piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    /// At once.
    Now,
    /// When there is room for more of what comes from this side.
    Room(Side),
    /// When nothing more is there from this side.
    Pause(Side),
}

impl Callbacks {
    #[inline]
    pub(super) fn are_none(&self) -> bool {
        self.more.is_empty() && self.pauses == [None; 2]
    }

    /// Whether a hook has more to send of what came from `side`.
    #[inline]
    pub(super) fn have_more(&self, side: Side) -> bool {
        !self.more.is_empty() && self.more.iter().any(|more| side_of(more.phase) == side)
    }

    /// Another piece has come.
    #[inline]
    pub(super) fn end_pause(&mut self, phase: Phase) {
        self.pauses[usize::from(phase.is_backward())] = None;
    }
}

/// Where the content of `phase` comes from.
fn side_of(phase: Phase) -> Side {
    if phase.is_backward() { Side::Upstream } else { Side::Downstream }
}

/// What an exchange leaves to the next.
#[derive(Debug)]
pub struct Spare {
    visit: Box<Visit>,
    chain: Chain,
}

impl Spare {
    /// What an exchange needs, where none left it.
    pub(super) fn new(downstream: Rc<Downstream>) -> Self {
        Self { visit: Box::new(Visit::new(downstream)), chain: Chain::default() }
    }

    pub(super) fn into_parts(self) -> (Box<Visit>, Chain) {
        (self.visit, self.chain)
    }
}

impl Exchange {
    /// Gives the hooks of `phase` their turn, and goes on behind it.
    // Callers name the phase, so that of one that nobody asks for nothing is left but what comes behind it, and of one
    // that a single member asks for little more than the call.
    #[inline(always)]
    pub(super) fn enter(&mut self, phase: Phase, env: &mut Env<'_>) {
        if !self.asked.has(phase) {
            self.after(phase, env);
        } else if self.chain.is_single() {
            match self.ask(phase, 0, env) {
                Reply::Continue => self.after(phase, env),
                Reply::Decided(verdict) => self.obey(phase, *verdict, env),
                Reply::Waits => self.park(Parked { phase, left: 0..0, since: env.now }),
            }
        } else {
            self.visit(phase, self.chain.places(), env);
        }
    }

    /// Visits the members of the chain that are left, one after the other.
    pub(super) fn visit(&mut self, phase: Phase, mut left: Left, env: &mut Env<'_>) {
        while let Some(place) = if phase.is_backward() { left.next_back() } else { left.next() } {
            match self.ask(phase, place, env) {
                Reply::Continue => {}
                Reply::Decided(verdict) => return self.obey(phase, *verdict, env),
                Reply::Waits => return self.park(Parked { phase, left, since: env.now }),
            }
        }
        self.after(phase, env);
    }

    /// Starts the hook of the member in this place, if it has one.
    #[inline(always)]
    fn ask(&mut self, phase: Phase, place: usize, env: &mut Env<'_>) -> Reply {
        let Some(link) = self.chain.get_mut(place).filter(|link| link.asked.has(phase)) else {
            return Reply::Continue;
        };
        let mut visit = self.visit.take().expect("one hook at a time");
        self.ran = place;
        if link.observes.has(phase) {
            visit.content.set_aside();
        }
        match link.start(phase, visit, &mut Context::from_waker(env.waker)) {
            Poll::Ready((visit, answer)) => match self.hear(phase, visit, answer) {
                None => Reply::Continue,
                Some(verdict) => Reply::Decided(verdict),
            },
            Poll::Pending => Reply::Waits,
        }
    }

    #[cold]
    fn park(&mut self, parked: Parked) {
        // A head may wait for the content, too.
        if matches!(parked.phase, Phase::UpstreamResponse | Phase::Response | Phase::ResponseData) {
            self.chain.note_held_response();
        }
        self.parked = Some(parked);
    }

    /// The hook that waits was woken. Whoever is woken too often is polled once more, which every future must bear.
    pub fn on_woken(&mut self, env: &mut Env<'_>) {
        let (Some(parked), Some(link)) = (&self.parked, self.chain.get_mut(self.ran)) else { return };
        let Poll::Ready((visit, answer)) = link.hooks.resume(&mut Context::from_waker(env.waker)) else {
            if self.is_taking_in() {
                self.answer_expectation(env);
            }
            return;
        };
        let (phase, left) = (parked.phase, parked.left.clone());
        self.parked = None;
        self.resumed = env.now;
        match self.hear(phase, visit, answer) {
            Some(verdict) => self.obey(phase, *verdict, env),
            None => self.visit(phase, left, env),
        }
    }

    /// Takes back what a hook had. What it decided, unless the next member of the chain is asked.
    #[inline(always)]
    fn hear(&mut self, phase: Phase, visit: Box<Visit>, answer: Answer) -> Option<Box<Verdict>> {
        let has_said = visit.session.has_said;
        self.visit = Some(visit);
        if has_said {
            self.heed(phase);
        }
        if matches!(phase, Phase::RequestData | Phase::ResponseData) {
            self.heed_content(phase);
        }
        // Every member of the chain may write its line.
        answer.verdict().filter(|_| phase != Phase::Finished)
    }

    /// Notes what the hook that ran has said about its content, and lets filters join that it has named.
    #[cold]
    fn heed(&mut self, phase: Phase) {
        let session = self.session_mut();
        // Settled with the first attempt, and with the response's head: what is said later has no effect.
        let is_response_settled = session.status.is_some() || phase == Phase::ResponseData;
        let uses = [
            session.request_content.filter(|_| session.attempts == 0),
            session.response_content.filter(|_| !is_response_settled),
        ];
        let options = session.downstream_options.clone();
        let mut attached = std::mem::take(&mut session.attached);
        session.unsay();
        self.downstream_options = options;
        if phase != Phase::Finished {
            for (phase, what) in [Phase::RequestData, Phase::ResponseData].into_iter().zip(uses) {
                if let Some(what) = what {
                    self.chain.use_content(self.ran, phase, what);
                }
            }
            attached.iter().for_each(|filter| self.chain.attach(filter));
            self.asked = self.chain.asked();
        }
        attached.clear();
        self.session_mut().attached = attached;
    }

    /// Notes when the content hook that ran wants to be called again.
    #[inline]
    fn heed_content(&mut self, phase: Phase) {
        let index = self.ran;
        let content = &mut self.visit.as_mut().expect("the hook has answered").content;
        content.restore();
        match std::mem::take(&mut content.wish) {
            Wish::None => {}
            Wish::Room => {
                self.callbacks.more.push(More { phase, index, is_end: content.is_end() });
                content.put_off_end();
            }
            Wish::Pause if content.is_end() => {}
            Wish::Pause => {
                let is_back = phase.is_backward();
                let pause = &mut self.callbacks.pauses[usize::from(is_back)];
                // Who has its turn first; the others see its empty piece.
                let first = |other: usize| if is_back { other.max(index) } else { other.min(index) };
                *pause = Some(pause.map_or(index, first));
            }
        }
    }

    pub(super) fn next_callback(&self) -> Option<Callback> {
        match (&self.state, self.callbacks.more.last()) {
            (State::Answering(_), Some(_)) => Some(Callback::Now),
            (State::Relaying(_), Some(more)) => Some(Callback::Room(side_of(more.phase))),
            (State::Relaying(_), None) => {
                let side = if self.callbacks.pauses[1].is_some() { Side::Upstream } else { Side::Downstream };
                Some(Callback::Pause(side))
            }
            _ => None,
        }
    }

    /// Calls the hook that asked for `callback`.
    pub fn on_callback(&mut self, callback: Callback, env: &mut Env<'_>) {
        let (phase, index, is_end) = match callback {
            Callback::Now | Callback::Room(_) => {
                let Some(More { phase, index, is_end }) = self.callbacks.more.pop() else { return };
                (phase, index, is_end)
            }
            Callback::Pause(side) => {
                let is_back = side == Side::Upstream;
                let Some(index) = self.callbacks.pauses[usize::from(is_back)].take() else { return };
                (if is_back { Phase::ResponseData } else { Phase::RequestData }, index, false)
            }
        };
        let Some(visit) = &mut self.visit else { return };
        visit.content.begin_empty(is_end, matches!(callback, Callback::Pause(_)));
        let content_use = if phase.is_backward() { self.response_use } else { self.request_use };
        if content_use != ContentUse::Rewrite {
            visit.content.close();
        }
        let left = if phase.is_backward() { 0..index + 1 } else { index..self.chain.places().end };
        self.visit(phase, left, env);
    }

    /// Goes on behind a phase.
    #[inline(always)]
    fn after(&mut self, phase: Phase, env: &mut Env<'_>) {
        match phase {
            Phase::EarlyRequest => self.after_early_request(env),
            Phase::Request => self.after_request(env),
            Phase::Select => self.after_select(env),
            Phase::Connected => self.after_connected(env),
            Phase::UpstreamRequest => self.after_upstream_request(env),
            Phase::RequestData => self.after_request_data(env),
            Phase::RequestTrailers => self.end_request(env),
            Phase::UpstreamResponse => self.after_upstream_response(env),
            Phase::Response => self.after_response(env),
            Phase::ResponseData => self.after_response_data(env),
            Phase::ResponseTrailers => self.end_response(env),
            Phase::ConnectFailed | Phase::Retry => self.after_failed_attempt(env),
            Phase::Failed => self.after_failed(env),
            Phase::Finished => {}
        }
    }

    /// A hook decided otherwise than to go on.
    #[cold]
    fn obey(&mut self, phase: Phase, verdict: Verdict, env: &mut Env<'_>) {
        match (phase, verdict) {
            (Phase::Failed, Verdict::Respond(response)) => self.respond_to_failure(response, env),
            (_, Verdict::Respond(response)) => self.respond(response, env),
            (Phase::UpstreamResponse, Verdict::Fail(error)) if error.retry() == Some(true) => {
                self.reject_response(error, env);
            }
            (_, Verdict::Fail(error)) => {
                // What says so is not shown to the hooks of whoever failed with it.
                self.is_bare |= phase == Phase::Response;
                self.fail_with(error, env);
            }
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
        // Another attempt would miss the content that the hook had.
        self.replay = Replay::Lost;
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

    /// What hooks together do with the content of `phase`.
    #[inline]
    pub(super) fn content_use(&self, phase: Phase) -> ContentUse {
        if self.asked.has(phase) { self.chain.content_use(phase) } else { ContentUse::Skip }
    }

    /// A hook took longer than it may: it is dropped where it waits.
    pub(super) fn on_hook_timeout(&mut self, env: &mut Env<'_>) {
        let Some(Parked { phase, left, .. }) = self.parked.clone() else { return };
        // A hook that waits for content is not the one who is late.
        let outcome = if self.is_taking_in() { Outcome::BodyTimeout } else { Outcome::HookTimeout };
        self.cancel_hook();
        match phase {
            // It failed before, and is over without anybody's word.
            Phase::Finished | Phase::Failed => {
                log::warn!("{}: {}", Outcome::HookTimeout, phase.word());
                if phase == Phase::Finished {
                    self.visit(phase, left, env);
                } else {
                    self.give_up_asking(env);
                }
            }
            phase => {
                // What says so is not shown to who did not answer.
                self.is_bare |= phase == Phase::Response;
                self.fail_with(Error::new(outcome).context(phase.word()), env);
            }
        }
    }

    /// Whether hooks are asked what to say of a failure.
    pub(super) fn is_asking(&self) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.phase == Phase::Failed)
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
            self.forget_what_was_said();
        }
    }

    /// A hook ended before it answered: what it said until then does not count.
    fn forget_what_was_said(&mut self) {
        if let Some(visit) = &mut self.visit {
            visit.session.unsay();
            visit.session.downstream_options.clone_from(&self.downstream_options);
            visit.content.restore();
        }
    }

    /// Takes the member whose hook panicked out of the chain, and back what it had.
    pub(super) fn expel(&mut self) -> bool {
        self.parked = None;
        self.callbacks = Callbacks::default();
        if self.visit.is_none()
            && let Some((mut link, asked)) = self.chain.expel(self.ran)
        {
            self.visit = link.hooks.cancel();
            self.asked = asked;
            self.forget_what_was_said();
            return self.visit.is_some();
        }
        false
    }

    /// It is over: the last phase. Whoever waits in it is waited for; [`Exchange::is_parked`] tells.
    pub fn on_finished(&mut self, env: &mut Env<'_>) {
        if self.asked.has(Phase::Finished) && self.visit.is_some() {
            let outcome = self.outcome().unwrap_or(Outcome::Internal);
            if outcome.fault() != Fault::None {
                self.note_error(outcome);
            }
            self.enter(Phase::Finished, env);
        }
    }

    /// What hooks leave to the client's connection.
    pub fn take_connection_context(&mut self) -> Option<Box<dyn std::any::Any>> {
        self.visit.as_mut()?.session.connection.take()
    }

    /// Gives the hooks that wait up, and everything back that the next exchange may use.
    pub fn dismantle(&mut self) -> Option<Spare> {
        self.cancel_hook();
        self.chain.clear();
        let mut visit = self.visit.take()?;
        visit.clear();
        self.intake = None;
        Some(Spare { visit, chain: std::mem::take(&mut self.chain) })
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

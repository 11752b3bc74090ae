//! The response: interim responses, the final head, its content, and every way it can stop.

use super::local::Rest;
use super::state::{Caller, Expect, State};
use super::{Action, Env, Exchange, Fault, Goal, Outcome, Part, Replay, Reset, ResponseHead, Side, Source};
use crate::error::Error;
use crate::limits::ATTEMPTS_MAX;
use crate::phase::{ContentUse, Phase};
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Body, Fields, Method, Name, Status};
use ringway_proto::rules::hop_by_hop;

impl Exchange {
    pub(super) fn on_response(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        let State::Relaying(_) = &self.state else { return };
        if hop_by_hop::strip_response(&mut head.fields).is_err() {
            return self.fail(Outcome::UpstreamMalformed, env);
        }
        if head.status == Status::SWITCHING_PROTOCOLS {
            return self.switch_protocols(head, env);
        }
        if head.status.is_informational() {
            return self.on_interim(head, env);
        }
        self.session_mut().facts.times.first_byte = Some(env.now);
        self.begin_response(head, env);
    }

    /// Phases `upstream_response` and `response` of an origin's answer.
    fn begin_response(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        if !self.asked.has(Phase::UpstreamResponse) {
            // Nobody is left who could reject it: there will be no other attempt.
            self.replay = Replay::Lost;
        }
        if self.caller == Caller::Within {
            return self.send_response(head, env);
        }
        if self.upstream_request_mut().is_some_and(|request| request.method() == Method::Head)
            && self.request().is_some_and(|request| request.received_method() != b"HEAD")
        {
            // A hook asked for the head alone: there is no content for the client, whatever is announced.
            head.set_body(Body::Empty);
        }
        if !matches!(self.goal, Goal::App(_)) {
            self.snapshot.via.append(&mut head.fields, head.version);
        }
        if !head.fields.has(Name::Date) {
            // RFC 9110 section 6.6.1: a recipient with a clock adds what the origin left out.
            head.fields.append_line(env.date);
        }
        if !self.asked.has(Phase::UpstreamResponse) && !self.asked.has(Phase::Response) {
            return self.send_response(head, env);
        }
        if self.chain.may_hold_response() {
            head.retain(env.pool);
        }
        self.visit.as_mut().expect("no hook waits").response = Some(head);
        self.enter(Phase::UpstreamResponse, env);
    }

    pub(super) fn after_upstream_response(&mut self, env: &mut Env<'_>) {
        self.replay = Replay::Lost;
        self.enter(Phase::Response, env);
    }

    /// A hook does not take an origin's answer, and wants it from elsewhere.
    pub(super) fn reject_response(&mut self, error: Error, env: &mut Env<'_>) {
        let outcome = error.outcome();
        if let Some(visit) = &mut self.visit {
            visit.response = None;
            visit.error = Some(error);
        }
        // Its connection answered: those that are idle are no worse than a new one.
        self.source = Source::Any;
        let may_retry = self.session_mut().attempts < ATTEMPTS_MAX;
        self.fail_attempt(outcome, may_retry, env);
    }

    /// Phase `response` is over, of an origin's answer or one of our own.
    pub(super) fn after_response(&mut self, env: &mut Env<'_>) {
        let Some(head) = self.visit.as_mut().and_then(|visit| visit.response.take()) else { return };
        match &self.state {
            State::Answering(_) => self.filter_answer(head, env),
            _ => self.send_response(head, env),
        }
    }

    /// The head of an origin's answer goes to the client.
    fn send_response(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        let State::Relaying(relay) = &mut self.state else { return };
        if relay.is_switching && head.status == Status::SWITCHING_PROTOCOLS {
            self.session_mut().status = Some(head.status.0);
            env.outlets.send(Side::Downstream, Part::Response(head));
            return self.begin_tunnel(env);
        }
        if relay.is_switching || !is_final(head.status) {
            // What follows is framed otherwise than the new status would have it.
            return self.refuse_status(env);
        }
        let announced = head.body();
        self.settle_response_use(&mut head);
        if let Body::Length(length) = announced
            && self.response_use == ContentUse::Rewrite
            && (length == 0 || env.outlets.has_received(Side::Upstream, length))
        {
            // All of it comes next, and with it what hooks make of it: then it is known how long that is.
            if self.chain.may_hold_response() {
                head.retain(env.pool);
            }
            self.visit.as_mut().expect("no hook waits").response = Some(head);
            return;
        }
        self.send_head(head, env);
    }

    fn send_head(&mut self, head: ResponseHead, env: &mut Env<'_>) {
        if let State::Relaying(relay) = &mut self.state {
            relay.is_response_begun = true;
        }
        let session = self.session_mut();
        session.status = Some(head.status.0);
        let wants_close = session.wants_close;
        if wants_close || (!self.is_request_ended() && self.rest_of_request() == Rest::Unwelcome) {
            env.outlets.set_last();
        }
        env.outlets.send(Side::Downstream, Part::Response(head));
    }

    /// A hook made something of a response that is none: an interim one, or one that nobody understands.
    pub(super) fn refuse_status(&mut self, env: &mut Env<'_>) {
        self.is_bare = true;
        self.fail_with(Error::failed("a hook set a status that no final response has"), env);
    }

    /// From now on it is settled what hooks do with the content, and the head says how long it is.
    pub(super) fn settle_response_use(&mut self, head: &mut ResponseHead) {
        if !self.asked.has(Phase::ResponseData) || self.is_bare {
            self.response_use = ContentUse::Skip;
            return;
        }
        let response_use = self.content_use(Phase::ResponseData);
        let is_head = self.request().is_some_and(|request| request.received_method() == b"HEAD");
        let has_content = !is_head && !head.status.is_bodiless() && head.body() != Body::Empty;
        if response_use == ContentUse::Rewrite {
            // What is not there cannot be measured: neither where it would be sent nor where HEAD asks for it.
            head.set_body(if has_content { Body::Streamed } else { Body::Empty });
        }
        self.response_use = match head.body() {
            _ if has_content => response_use,
            // There is nothing to change, and nothing is made of it; but it has an end.
            Body::Empty if !is_head && !head.status.is_bodiless() => response_use.max(ContentUse::Observe),
            _ => ContentUse::Skip,
        };
    }

    /// Interim responses go on as they come, any number up to the codec's limit (RFC 9110 section 15.2).
    fn on_interim(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        let is_awaited = head.status == Status::CONTINUE && self.expect == Expect::Forwarded;
        if head.status == Status::CONTINUE {
            match self.expect {
                // The client has its 100 already; a second one could be taken for another request's.
                Expect::AnsweredHere => return,
                Expect::Forwarded => self.expect = Expect::Nothing,
                Expect::Nothing => {}
            }
        }
        // The origin has begun to answer: it did not idle out, and the client would get its hints twice.
        self.replay = Replay::Lost;
        if !is_awaited && self.downstream_options().is_some_and(|own| own.drops_interim) {
            return;
        }
        self.snapshot.via.append(&mut head.fields, head.version);
        env.outlets.send(Side::Downstream, Part::Response(head));
    }

    /// The codec let a 101 pass only because the request asked for just this protocol. An app has chosen among those
    /// that the client offers.
    fn switch_protocols(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        let is_choice = matches!(self.goal, Goal::App(_)) && self.caller == Caller::Client;
        if !is_choice {
            head.upgrade = self.upstream_request_mut().and_then(|request| request.upgrade.clone());
        }
        if head.upgrade.is_none() {
            return self.fail(Outcome::UpstreamMalformed, env);
        }
        if let State::Relaying(relay) = &mut self.state {
            relay.is_switching = true;
        }
        self.session_mut().facts.times.first_byte = Some(env.now);
        self.begin_response(head, env);
    }

    pub(super) fn on_response_data(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        match &self.state {
            State::Relaying(_) if self.response_use != ContentUse::Skip => {
                let is_last = env.outlets.take_end(Side::Upstream);
                self.visit_response_data(chunk, is_last, env);
            }
            State::Relaying(_) | State::Tunneling(_) => self.send_content(chunk, env),
            _ => {}
        }
    }

    fn send_content(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        self.session_mut().facts.traffic.sent += chunk.len() as u64;
        env.outlets.send(Side::Downstream, Part::Data(chunk));
    }

    /// Shows the hooks a piece of content.
    fn visit_response_data(&mut self, chunk: Chunk, is_end: bool, env: &mut Env<'_>) {
        self.callbacks.end_pause(Phase::ResponseData);
        let visit = self.visit.as_mut().expect("no hook waits");
        match self.response_use {
            ContentUse::Rewrite => visit.content.begin(chunk, is_end),
            ContentUse::Observe => visit.content.show(chunk, is_end),
            ContentUse::Skip => {}
        }
        self.enter(Phase::ResponseData, env);
    }

    pub(super) fn after_response_data(&mut self, env: &mut Env<'_>) {
        if let State::Answering(answering) = &mut self.state {
            let visit = self.visit.as_mut().expect("no hook waits");
            if self.callbacks.have_more(Side::Upstream) {
                // All of it is made before its length is announced.
                answering.made.extend(std::iter::from_fn(|| visit.content.pop()));
                return;
            }
            visit.content.put_in_front(std::mem::take(&mut answering.made));
            return self.send_answer(env);
        }
        if self.visit.as_ref().is_some_and(|visit| visit.response.is_some()) {
            self.send_waiting_head(env);
        }
        let visit = self.visit.as_mut().expect("no hook waits");
        visit.content.settle();
        let is_end = visit.content.is_end();
        while let Some(chunk) = self.visit.as_mut().and_then(|visit| visit.content.pop()) {
            self.send_content(chunk, env);
        }
        if is_end {
            self.after_response_content(env);
        }
    }

    /// Sends the head of a response that waits for what hooks make of all its content.
    fn send_waiting_head(&mut self, env: &mut Env<'_>) {
        let visit = self.visit.as_mut().expect("no hook waits");
        let Some(mut head) = visit.response.take() else { return };
        let length = visit.content.len() as u64;
        // Else there is more than fits into one piece.
        if visit.content.is_end() {
            head.set_body(Body::Length(length));
        }
        self.send_head(head, env);
    }

    fn after_response_content(&mut self, env: &mut Env<'_>) {
        if self.asked.has(Phase::ResponseTrailers)
            && self.visit.as_ref().is_some_and(|visit| visit.response_trailers.is_some())
        {
            self.enter(Phase::ResponseTrailers, env);
        } else {
            self.end_response(env);
        }
    }

    /// Trailers are shown to hooks behind the last content, which they may make of nothing.
    pub(super) fn on_response_trailers(&mut self, fields: Fields, _: &mut Env<'_>) {
        if let (State::Relaying(_), Some(visit)) = (&self.state, &mut self.visit) {
            visit.response_trailers = Some(fields);
        }
    }

    pub(super) fn on_response_end(&mut self, env: &mut Env<'_>) {
        match &self.state {
            State::Relaying(_) if self.response_use == ContentUse::Skip => self.after_response_content(env),
            State::Relaying(_) => self.visit_response_data(Chunk::EMPTY, true, env),
            State::Tunneling(_) => self.on_tunnel_end(Side::Upstream, env),
            _ => {}
        }
    }

    /// The response goes to its end.
    pub(super) fn end_response(&mut self, env: &mut Env<'_>) {
        if let Some(trailers) = self.visit.as_mut().and_then(|visit| visit.response_trailers.take()) {
            env.outlets.send(Side::Downstream, Part::Trailers(trailers));
        }
        if self.session_mut().wants_close {
            env.outlets.set_last();
        }
        env.outlets.send(Side::Downstream, Part::End);
        let rest = self.rest_of_request();
        // An origin that answered before it had the whole request may or may not read the rest: its
        // connection is used no more.
        env.actions.push_back(if rest == Rest::Over { Action::Release } else { Action::Abandon });
        self.state = match rest {
            Rest::Discard => State::Discarding { outcome: Outcome::Complete, since: env.now, bytes: 0 },
            Rest::Over | Rest::Unwelcome => State::Flushing(Outcome::Complete),
        };
    }

    /// The response will never be complete.
    pub(super) fn on_response_reset(&mut self, reset: Reset, env: &mut Env<'_>) {
        let has_begun = match &self.state {
            State::Relaying(relay) => relay.is_response_begun,
            State::Tunneling(_) => return self.cut(Outcome::TunnelClosed, env),
            _ => return,
        };
        let outcome = match reset {
            Reset::Malformed(rule) => {
                self.rule = Some(rule);
                Outcome::UpstreamMalformed
            }
            _ if has_begun => Outcome::UpstreamTruncated,
            Reset::Unanswered if !self.is_answering() => {
                return self.fail_unanswered(env);
            }
            // User code dropped its end without an answer.
            _ if matches!(self.goal, Goal::App(_)) => Outcome::HookFailed,
            Reset::Unanswered | Reset::Truncated | Reset::Cancelled => Outcome::UpstreamClosed,
        };
        self.fail(outcome, env);
    }

    /// Whether an origin has begun to answer, be it with an interim response.
    fn is_answering(&self) -> bool {
        self.session().is_some_and(|session| session.facts.times.first_byte.is_some())
    }

    /// The exchange cannot go on. Before the response began the client gets an answer that says so; after, its
    /// connection is cut, since a clean end would make half a response look like a whole one.
    pub(super) fn fail(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        match &self.state {
            State::Relaying(relay) if !relay.is_response_begun => {
                let is_of_attempt = outcome.fault() == Fault::Upstream && outcome != Outcome::RequestTimeout;
                if is_of_attempt && !self.is_answering() && self.asked.has(Phase::Retry) {
                    self.source = Source::Dial;
                    return self.fail_attempt(outcome, false, env);
                }
                env.actions.push_back(Action::Abandon);
                self.answer(outcome, env);
            }
            State::Deciding | State::Attempting { .. } | State::Failing { .. } => {
                env.actions.push_back(Action::Abandon);
                self.answer(outcome, env);
            }
            // What was to say so failed, too.
            State::Answering(_) => {
                self.is_bare = true;
                self.answer_plainly(outcome, env);
            }
            State::Discarding { outcome: answered, .. } => {
                // The answer is out; only the rest of the request is bad or late.
                let answered = *answered;
                env.outlets.set_last();
                self.state =
                    State::Flushing(if answered.fault() == Fault::None { outcome } else { answered });
            }
            State::Relaying(_) | State::Tunneling(_) | State::Flushing(_) => self.cut(outcome, env),
            State::Finished(_) => {}
        }
    }

    /// Ends it at once, visibly.
    pub(super) fn cut(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        if !self.is_over() {
            env.actions.push_back(Action::Abandon);
            env.actions.push_back(Action::Cut);
            self.finish(outcome);
        }
    }
}

/// Whether a response with this status is the last one to its request, and the status can be written. Those from 600 on
/// are nobody's, but are sent all the same.
pub(super) fn is_final(status: Status) -> bool {
    (200..1000).contains(&status.0)
}

//! The response: interim responses, the final head, its content, and every way it can stop.

use super::local::Rest;
use super::state::{Expect, State};
use super::{Action, Env, Exchange, Fault, Outcome, Part, Replay, Reset, ResponseHead, Side};
use crate::phase::fields::apply;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Fields, Name, Status};
use ringway_proto::rules::hop_by_hop;

impl Exchange {
    pub(super) fn on_response(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        let State::Relaying(relay) = &mut self.state else { return };
        if hop_by_hop::strip_response(&mut head.fields).is_err() {
            return self.fail(Outcome::UpstreamMalformed, env);
        }
        if head.status == Status::SWITCHING_PROTOCOLS {
            return self.switch_protocols(head, env);
        }
        if head.status.is_informational() {
            return self.on_interim(head, env);
        }
        relay.is_response_begun = true;
        self.facts.times.first_byte = Some(env.now);
        // An answer has begun: there will be no other attempt.
        self.replay = Replay::Lost;
        self.finish_response_head(&mut head, env);
        self.status = Some(head.status.0);
        if !self.is_request_ended() && self.rest_of_request() == Rest::Unwelcome {
            env.outlets.set_last();
        }
        env.outlets.send(Side::Downstream, Part::Response(head));
    }

    /// Phases `upstream_response` and `response`.
    fn finish_response_head(&self, head: &mut ResponseHead, env: &Env<'_>) {
        self.snapshot.via.append(&mut head.fields, head.version);
        if !head.fields.has(Name::Date) {
            // RFC 9110 section 6.6.1: a recipient with a clock adds what the origin left out.
            head.fields.append_line(env.date);
        }
        if let Some(route) = self.route {
            apply(&self.snapshot.route(route).response_edits, &mut head.fields);
        }
    }

    /// Interim responses go on as they come, any number up to the codec's limit (RFC 9110 section 15.2).
    fn on_interim(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
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
        self.snapshot.via.append(&mut head.fields, head.version);
        env.outlets.send(Side::Downstream, Part::Response(head));
    }

    /// The codec let a 101 pass only because the request asked for just this protocol.
    fn switch_protocols(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        head.upgrade = self.request.as_ref().and_then(|request| request.upgrade.clone());
        if head.upgrade.is_none() {
            return self.fail(Outcome::UpstreamMalformed, env);
        }
        self.facts.times.first_byte = Some(env.now);
        self.status = Some(head.status.0);
        self.replay = Replay::Lost;
        self.finish_response_head(&mut head, env);
        env.outlets.send(Side::Downstream, Part::Response(head));
        self.begin_tunnel(env);
    }

    pub(super) fn on_response_data(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        if matches!(self.state, State::Relaying(_) | State::Tunneling(_)) {
            self.facts.traffic.sent += chunk.len() as u64;
            env.outlets.send(Side::Downstream, Part::Data(chunk));
        }
    }

    pub(super) fn on_response_trailers(&mut self, fields: Fields, env: &mut Env<'_>) {
        if matches!(self.state, State::Relaying(_)) {
            env.outlets.send(Side::Downstream, Part::Trailers(fields));
        }
    }

    pub(super) fn on_response_end(&mut self, env: &mut Env<'_>) {
        match &self.state {
            State::Relaying(_) => {
                env.outlets.send(Side::Downstream, Part::End);
                let rest = self.rest_of_request();
                // An origin that answered before it had the whole request may or may not read the rest: its
                // connection is used no more.
                env.actions.push_back(if rest == Rest::Over { Action::Release } else { Action::Abandon });
                self.state = match rest {
                    Rest::Discard => {
                        State::Discarding { outcome: Outcome::Complete, since: env.now, bytes: 0 }
                    }
                    Rest::Over | Rest::Unwelcome => State::Flushing(Outcome::Complete),
                };
            }
            State::Tunneling(_) => self.on_tunnel_end(Side::Upstream, env),
            _ => {}
        }
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
            Reset::Unanswered if self.try_again(env) => return,
            _ if has_begun => Outcome::UpstreamTruncated,
            Reset::Unanswered | Reset::Truncated | Reset::Cancelled => Outcome::UpstreamClosed,
        };
        self.fail(outcome, env);
    }

    /// The exchange cannot go on. Before the response began the client gets an answer that says so; after, its
    /// connection is cut, since a clean end would make half a response look like a whole one.
    pub(super) fn fail(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        match &self.state {
            State::Relaying(relay) if !relay.is_response_begun => {
                env.actions.push_back(Action::Abandon);
                self.answer(outcome, env);
            }
            State::Attempting { .. } => {
                env.actions.push_back(Action::Abandon);
                self.answer(outcome, env);
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
        if !matches!(self.state, State::Finished(_)) {
            env.actions.push_back(Action::Abandon);
            env.actions.push_back(Action::Cut);
            self.finish(outcome);
        }
    }
}

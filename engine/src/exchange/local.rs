//! Answers of our own: error pages, redirects, fixed responses. Another source of the same parts.

use super::request::Refusal;
use super::response::is_final;
use super::state::{Answering, Caller, Expect, State};
use super::{Env, Exchange, Fault, Outcome, Part, Side};
use crate::error::Error;
use crate::limits::DISCARD_BYTES_MAX;
use crate::phase::{ContentUse, Phase, Response};
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Body, Method, Name, ResponseHead, Status};

impl Exchange {
    /// Refuses the request.
    pub(super) fn refuse(&mut self, refusal: Refusal, env: &mut Env<'_>) {
        match refusal {
            Refusal::Rule(rule) => {
                self.rule = Some(rule);
                self.answer(Outcome::Malformed, env);
            }
            Refusal::Outcome(outcome) => self.answer(outcome, env),
        }
    }

    /// Says to the client what went wrong, as hooks want it said.
    pub(super) fn answer(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        if self.caller == Caller::Within {
            return self.cut(outcome, env);
        }
        self.note_error(outcome);
        if self.asked.has(Phase::Failed) && self.request().is_some() {
            self.state = State::Failing { outcome, may_retry: false };
            return self.enter(Phase::Failed, env);
        }
        self.answer_plainly(outcome, env);
    }

    pub(super) fn after_failed(&mut self, env: &mut Env<'_>) {
        if let State::Failing { outcome, .. } = self.state {
            self.answer_plainly(outcome, env);
        }
    }

    /// A hook has the answer to what went wrong.
    pub(super) fn respond_to_failure(&mut self, response: Response, env: &mut Env<'_>) {
        let State::Failing { outcome, .. } = self.state else { return };
        match response.into_parts() {
            Ok((head, body)) => self.begin_answer(head, Vec::from(body).into(), outcome, env),
            Err(_) => self.answer_plainly(outcome, env),
        }
    }

    /// Hooks had their time to say what is to be said of a failure.
    pub(super) fn give_up_asking(&mut self, env: &mut Env<'_>) {
        if let State::Failing { outcome, .. } = self.state {
            self.answer_plainly(outcome, env);
        }
    }

    /// Says to the client what went wrong, with a line of text.
    pub(super) fn answer_plainly(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        let said = self.error().filter(|error| error.outcome() == outcome).map(Error::status);
        let status = match (self.rule, outcome) {
            (Some(rule), Outcome::Malformed) => Status(rule.status()),
            _ => Status(said.unwrap_or(outcome.status())),
        };
        if self.request().is_none() && self.rule.is_none() && outcome.fault() != Fault::Downstream {
            // A raw tunnel has no answers.
            return self.cut(outcome, env);
        }
        let mut head = ResponseHead::local(status, Body::Empty);
        let (name, value): (&[u8], &[u8]) = match outcome {
            Outcome::MethodRefused => (b"allow", ALLOW),
            _ => (b"cache-control", b"no-store"),
        };
        let _ = head.fields.append(name, value);
        let body = env.pool.copy(format!("{} {}\n", status.0, status.reason()).as_bytes());
        self.begin_answer(head, body, outcome, env);
    }

    /// A hook has the answer.
    pub(super) fn respond(&mut self, response: Response, env: &mut Env<'_>) {
        match response.into_parts() {
            Ok((head, body)) => self.begin_answer(head, Vec::from(body).into(), Outcome::Answered, env),
            Err(_) => self.fail_with(Error::failed("a hook's answer cannot be sent"), env),
        }
    }

    /// `Max-Forwards: 0`: the request was meant for us (RFC 9110 section 7.6.2). TRACE is never reflected, since
    /// that would show a script what its browser hides (section 9.3.8 lets us exclude fields; we exclude all).
    pub(super) fn answer_as_final_recipient(&mut self, env: &mut Env<'_>) {
        let is_trace = self.request().is_some_and(|head| head.method() == Method::Trace);
        if is_trace {
            return self.answer(Outcome::MethodRefused, env);
        }
        let mut head = ResponseHead::local(Status(200), Body::Empty);
        let _ = head.fields.append(b"allow", ALLOW);
        self.begin_answer(head, Chunk::EMPTY, Outcome::Answered, env);
    }

    /// Phase `response` of an answer of our own.
    fn begin_answer(&mut self, mut head: ResponseHead, body: Chunk, outcome: Outcome, env: &mut Env<'_>) {
        let is_bodiless = head.status.is_bodiless();
        head.set_body(if is_bodiless { Body::Empty } else { Body::Length(body.len() as u64) });
        head.fields.append_line(env.date);
        if !body.is_empty() && !is_bodiless && !head.fields.has(Name::ContentType) {
            let _ = head.fields.append(b"content-type", b"text/plain; charset=utf-8");
        }
        let body = if is_bodiless { Chunk::EMPTY } else { body };
        self.state = State::Answering(Answering { outcome, body, made: Vec::new() });
        let visit = self.visit.as_mut().expect("no hook waits");
        if self.is_bare || !self.asked.has(Phase::Response) {
            return self.filter_answer(head, env);
        }
        visit.response = Some(head);
        self.enter(Phase::Response, env);
    }

    /// Phase `response_data` of an answer of our own: all of it is there, so its length is known before its head is
    /// sent.
    pub(super) fn filter_answer(&mut self, mut head: ResponseHead, env: &mut Env<'_>) {
        if !is_final(head.status) {
            return self.refuse_status(env);
        }
        self.settle_response_use(&mut head);
        let State::Answering(Answering { body, .. }) = &mut self.state else { return };
        let body = std::mem::take(body);
        let visit = self.visit.as_mut().expect("no hook waits");
        visit.response = Some(head);
        match self.response_use {
            ContentUse::Rewrite => visit.content.begin(body, true),
            ContentUse::Observe => visit.content.show(body, true),
            ContentUse::Skip => {
                visit.content.begin(body, true);
                return self.send_answer(env);
            }
        }
        self.enter(Phase::ResponseData, env);
    }

    /// An answer of our own goes to the client.
    pub(super) fn send_answer(&mut self, env: &mut Env<'_>) {
        let State::Answering(Answering { outcome, .. }) = self.state else { return };
        let rest = self.rest_behind(outcome);
        let visit = self.visit.as_mut().expect("no hook waits");
        let Some(mut head) = visit.response.take() else { return };
        if head.body() == Body::Streamed {
            head.set_body(Body::Length(visit.content.len() as u64));
        }
        visit.session.status = Some(head.status.0);
        if rest == Rest::Unwelcome || visit.session.wants_close {
            env.outlets.set_last();
        }
        let method = visit.session.request.as_ref().map(|head| Method::from_token(head.received_method()));
        let is_head = method.or(self.refused.as_ref().map(|head| head.method)) == Some(Method::Head);
        let sends_body = !is_head && !head.status.is_bodiless();
        env.outlets.send(Side::Downstream, Part::Response(head));
        visit.content.settle();
        while let Some(chunk) = visit.content.pop() {
            if sends_body {
                visit.session.facts.traffic.sent += chunk.len() as u64;
                env.outlets.send(Side::Downstream, Part::Data(chunk));
            }
        }
        env.outlets.send(Side::Downstream, Part::End);
        self.state = match rest {
            Rest::Discard => State::Discarding { outcome, since: env.now, bytes: 0 },
            Rest::Over | Rest::Unwelcome => State::Flushing(outcome),
        };
    }

    /// What is to be done with the rest of a request that ends like this.
    fn rest_behind(&self, outcome: Outcome) -> Rest {
        match outcome {
            // Who took too long for the content is not waited for again, and is told so (RFC 9110 section 15.5.9).
            Outcome::BodyTimeout => Rest::Unwelcome,
            // Nobody knows where a malformed request ends; one with an expectation of its own is whole.
            Outcome::Malformed if self.rule.is_none_or(|rule| rule.status() != 417) => Rest::Unwelcome,
            _ => self.rest_of_request(),
        }
    }

    /// What is to be done with what may still come of the request once it is answered.
    pub(super) fn rest_of_request(&self) -> Rest {
        if self.is_request_ended() {
            return Rest::Over;
        }
        let Some(head) = self.request() else { return Rest::Over };
        match head.body() {
            // The client holds its content back for a 100 that will not come, and may or may not send it.
            _ if self.expect == Expect::Forwarded => Rest::Unwelcome,
            Body::Length(length) if length > DISCARD_BYTES_MAX => Rest::Unwelcome,
            _ => Rest::Discard,
        }
    }

    pub(super) fn ending(&self) -> Outcome {
        match self.state {
            State::Flushing(outcome) | State::Finished(outcome) | State::Discarding { outcome, .. } => {
                outcome
            }
            _ => Outcome::Internal,
        }
    }
}

/// What an answer of our own says that it serves.
const ALLOW: &[u8] = b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// The part of a request that was not received when its answer was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// There is none.
    Over,
    /// It is read and dropped, so that the connection can be used again.
    Discard,
    /// It is too long, or nobody knows whether it comes: the connection ends.
    Unwelcome,
}

/// 100 (Continue).
pub(super) fn interim() -> ResponseHead {
    ResponseHead::local(Status::CONTINUE, Body::Empty)
}

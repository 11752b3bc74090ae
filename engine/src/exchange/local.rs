//! Answers of our own: error pages, redirects, fixed responses. Another source of the same parts.

use super::request::Refusal;
use super::state::{Expect, State};
use super::{Env, Exchange, Fault, Outcome, Part, Side};
use crate::limits::DISCARD_BYTES_MAX;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Body, Method, ResponseHead, Status};

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

    /// Says to the client what went wrong.
    pub(super) fn answer(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        let status = match (self.rule, outcome) {
            (Some(rule), Outcome::Malformed) => Status(rule.status()),
            _ => Status(outcome.status()),
        };
        if self.request.is_none() && self.rule.is_none() && outcome.fault() != Fault::Downstream {
            // A raw tunnel has no answers.
            return self.cut(outcome, env);
        }
        let text = format!("{} {}\n", status.0, status.reason());
        let body = env.pool.copy(text.as_bytes());
        let fields: &[(&[u8], &[u8])] = match outcome {
            Outcome::MethodRefused => &[(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")],
            _ => &[(b"cache-control", b"no-store")],
        };
        self.send_local(status, b"text/plain; charset=utf-8", body, fields, outcome, env);
    }

    pub(super) fn redirect(&mut self, status: u16, location: &[u8], env: &mut Env<'_>) {
        let fields: &[(&[u8], &[u8])] = &[(b"location", location)];
        self.send_local(
            Status(status),
            b"text/plain; charset=utf-8",
            Chunk::EMPTY,
            fields,
            Outcome::Answered,
            env,
        );
    }

    pub(super) fn respond(&mut self, status: u16, content_type: &[u8], body: &[u8], env: &mut Env<'_>) {
        let body = env.pool.copy(body);
        self.send_local(Status(status), content_type, body, &[], Outcome::Answered, env);
    }

    /// `Max-Forwards: 0`: the request was meant for us (RFC 9110 section 7.6.2). TRACE is never reflected, since
    /// that would show a script what its browser hides (section 9.3.8 lets us exclude fields; we exclude all).
    pub(super) fn answer_as_final_recipient(&mut self, env: &mut Env<'_>) {
        let is_trace = self.request.as_ref().is_some_and(|head| head.method == Method::Trace);
        if is_trace {
            return self.answer(Outcome::MethodRefused, env);
        }
        let fields: &[(&[u8], &[u8])] = &[(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")];
        self.send_local(
            Status(200),
            b"text/plain; charset=utf-8",
            Chunk::EMPTY,
            fields,
            Outcome::Answered,
            env,
        );
    }

    fn send_local(
        &mut self,
        status: Status,
        content_type: &[u8],
        body: Chunk,
        fields: &[(&[u8], &[u8])],
        outcome: Outcome,
        env: &mut Env<'_>,
    ) {
        let is_bodiless = status.is_bodiless();
        let length = if is_bodiless { Body::Empty } else { Body::Length(body.len() as u64) };
        let mut head = ResponseHead::local(status, length);
        head.fields.append_line(env.date);
        let mut add = |name: &[u8], value: &[u8]| {
            // A configured value that cannot be sent is left out rather than sent broken.
            let _ = head.fields.append(name, value);
        };
        if !body.is_empty() && !is_bodiless {
            add(b"content-type", content_type);
        }
        fields.iter().for_each(|(name, value)| add(name, value));
        if let Some(route) = self.route {
            crate::phase::fields::apply(&self.snapshot.route(route).response_edits, &mut head.fields);
        }
        self.status = Some(status.0);
        let rest = match outcome {
            // Who took too long for the content is not waited for again, and is told so (RFC 9110 section 15.5.9).
            Outcome::BodyTimeout => Rest::Unwelcome,
            // Nobody knows where a malformed request ends; one with an expectation of its own is whole.
            Outcome::Malformed if self.rule.is_none_or(|rule| rule.status() != 417) => Rest::Unwelcome,
            _ => self.rest_of_request(),
        };
        if rest == Rest::Unwelcome {
            env.outlets.set_last();
        }
        let method = self.request.as_ref().map(|head| head.method);
        let is_head = method.or(self.refused.as_ref().map(|head| head.method)) == Some(Method::Head);
        let sends_body = !body.is_empty() && !is_head && !is_bodiless;
        env.outlets.send(Side::Downstream, Part::Response(head));
        if sends_body {
            self.facts.traffic.sent += body.len() as u64;
            env.outlets.send(Side::Downstream, Part::Data(body));
        }
        env.outlets.send(Side::Downstream, Part::End);
        self.state = match rest {
            Rest::Discard => State::Discarding { outcome, since: env.now, bytes: 0 },
            Rest::Over | Rest::Unwelcome => State::Flushing(outcome),
        };
    }

    /// What is to be done with what may still come of the request once it is answered.
    pub(super) fn rest_of_request(&self) -> Rest {
        if self.is_request_ended() {
            return Rest::Over;
        }
        let Some(head) = &self.request else { return Rest::Over };
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

//! The request: what happens before an origin is chosen, and how its content is relayed.

use super::state::{Expect, Half, Relay, State};
use super::{Downstream, Env, Exchange, Facts, Id, Outcome, Replay, Side, Source, Times, Traffic};
use crate::limits::DISCARD_BYTES_MAX;
use crate::phase::fields::apply;
use crate::route::NoRoute;
use crate::snapshot;
use crate::time::Instant;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Fields, Method, Name, Part, RefusedRequest, RequestHead, Reset, TargetForm};
use ringway_proto::rules::{Rule, expect, forwarded, hop_by_hop, max_forwards, upgrade};
use std::rc::Rc;

impl Exchange {
    /// An exchange that has not begun: [`Exchange::on_request`], [`Exchange::on_refused`] or [`Exchange::on_raw`] says
    /// what it is to be.
    pub fn new(
        downstream: Rc<Downstream>,
        number: u64,
        id: Id,
        snapshot: &Rc<snapshot::Snapshot>,
        now: Instant,
    ) -> Self {
        let times = Times { begun: now, connected: None, attempted: None, first_byte: None };
        Self {
            state: State::Flushing(Outcome::Internal),
            snapshot: Rc::clone(snapshot),
            request: None,
            refused: None,
            route: None,
            rule: None,
            expect: Expect::Nothing,
            replay: Replay::new(),
            tried: Vec::new(),
            endpoint: None,
            attempts: 0,
            status: None,
            is_host_ours: false,
            facts: Facts { downstream, number, id, host: Chunk::EMPTY, times, traffic: Traffic::default() },
        }
    }

    /// A client's request head came: runs the phases up to the choice of an origin.
    pub fn on_request(&mut self, head: RequestHead, env: &mut Env<'_>) {
        self.facts.host = head.authority_chunk();
        self.request = Some(head);
        if let Err(refusal) = self.run_request_phases(env) {
            self.refuse(refusal, env);
        }
    }

    /// What came is no request, or not in time: the exchange only answers and ends the connection. `refused` is what
    /// was read.
    pub fn on_refused(&mut self, refusal: Refusal, refused: Option<Box<RefusedRequest>>, env: &mut Env<'_>) {
        self.facts.host = refused.as_ref().map(|head| head.authority_chunk()).unwrap_or_default();
        self.refused = refused;
        env.outlets.set_last();
        self.refuse(refusal, env);
        self.state = State::Flushing(self.ending());
    }

    /// It is a raw connection that is relayed to an endpoint of `cluster`.
    pub fn on_raw(&mut self, cluster: usize, env: &mut Env<'_>) {
        self.open(cluster, Source::Dial, env);
    }

    /// Phases `early_request`, `request` and `select`.
    fn run_request_phases(&mut self, env: &mut Env<'_>) -> Result<(), Refusal> {
        let head = self.request.as_mut().expect("set when the exchange began");
        if head.method == Method::Connect {
            return Err(Refusal::Outcome(Outcome::MethodRefused));
        }
        if self.snapshot.via.passes(&head.fields) >= self.snapshot.passes_max {
            return Err(Refusal::Outcome(Outcome::LoopDetected));
        }
        let index = self.snapshot.table.find(head.authority(), head.path(), head.method_bytes())?;
        self.route = Some(index);
        let snapshot = Rc::clone(&self.snapshot);
        let route = snapshot.route(index);
        match &route.action {
            snapshot::Action::Proxy { cluster } => {
                if max_forwards::step(head)? == max_forwards::Forward::AnswerHere {
                    self.answer_as_final_recipient(env);
                    return Ok(());
                }
                self.prepare_upstream_request(route)?;
                self.open(*cluster, Source::Any, env);
            }
            snapshot::Action::Redirect { status, location } => self.redirect(*status, location, env),
            snapshot::Action::Respond { status, body, content_type } => {
                self.respond(*status, content_type, body, env);
            }
        }
        Ok(())
    }

    /// Phase `upstream_request`: turns the request that was received into the one that is sent.
    fn prepare_upstream_request(&mut self, route: &snapshot::Route) -> Result<(), Refusal> {
        let head = self.request.as_mut().expect("set when the exchange began");
        if expect::check(head)? == expect::Expectation::Continue {
            self.expect = Expect::Forwarded;
        } else {
            head.fields.remove(Name::Expect);
        }
        if head.fields.has(Name::Upgrade) {
            let allowed: Vec<&[u8]> = route.upgrades.iter().map(|token| &**token).collect();
            head.upgrade = upgrade::wanted(head, &allowed).map(Into::into);
        }
        let takes_trailers = hop_by_hop::takes_trailers(&head.fields);
        hop_by_hop::strip_request(&mut head.fields)?;
        if takes_trailers {
            set(&mut head.fields, Name::Te, b"trailers")?;
        }
        to_origin_form(head)?;
        let downstream = &self.facts.downstream;
        let hop = forwarded::Hop {
            client_ip: (downstream.port != 0).then_some(&*downstream.address),
            scheme: downstream.scheme,
            host: &self.facts.host,
            is_trusted: downstream.is_trusted,
        };
        forwarded::set_x_forwarded(&mut head.fields, &hop);
        if self.snapshot.settings.forwarding.forwarded {
            forwarded::set_forwarded(&mut head.fields, &hop);
        } else if !downstream.is_trusted {
            head.fields.remove(Name::Forwarded);
        }
        self.snapshot.via.append(&mut head.fields, head.version);
        set(&mut head.fields, Name::XRequestId, &self.facts.id)?;
        apply(&route.request_edits, &mut head.fields);
        Ok(())
    }

    /// HTTP/1.0 clients may leave out `Host`; what we send is HTTP/1.1 and needs it (RFC 9112 section 3.2). Another
    /// attempt names another endpoint.
    pub(super) fn complete_host(&mut self, endpoint: &str) {
        let Some(head) = &mut self.request else { return };
        self.is_host_ours |= !head.fields.has(Name::Host);
        if self.is_host_ours {
            let host = if endpoint.starts_with("unix:") { "localhost" } else { endpoint };
            let is_set = head.fields.replace(Name::Host, host.as_bytes());
            debug_assert!(is_set.is_ok());
        }
    }

    pub(super) fn on_request_data(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        self.facts.traffic.received += chunk.len() as u64;
        match &mut self.state {
            State::Relaying(_) => {
                self.replay.on_data(&chunk, self.snapshot.settings.limits.replay_bytes, env.pool);
                env.outlets.send(Side::Upstream, Part::Data(chunk));
            }
            State::Tunneling(_) => {
                env.outlets.send(Side::Upstream, Part::Data(chunk));
            }
            State::Discarding { outcome, bytes, .. } => {
                *bytes += chunk.len() as u64;
                if *bytes > DISCARD_BYTES_MAX {
                    let outcome = *outcome;
                    env.outlets.set_last();
                    self.state = State::Flushing(outcome);
                }
            }
            State::Attempting { .. } | State::Flushing(_) | State::Finished(_) => {}
        }
    }

    pub(super) fn on_request_trailers(&mut self, fields: Fields, env: &mut Env<'_>) {
        if matches!(self.state, State::Relaying(_)) {
            self.replay.on_trailers(&fields);
            env.outlets.send(Side::Upstream, Part::Trailers(fields));
        }
    }

    pub(super) fn on_request_end(&mut self, env: &mut Env<'_>) {
        match &mut self.state {
            State::Relaying(relay) => {
                relay.request = Half::Ended;
                self.replay.on_end();
                env.outlets.send(Side::Upstream, Part::End);
            }
            State::Discarding { outcome, .. } => self.state = State::Flushing(*outcome),
            State::Tunneling(_) => self.on_tunnel_end(Side::Downstream, env),
            State::Attempting { .. } | State::Flushing(_) | State::Finished(_) => {}
        }
    }

    /// The request will never be complete: the client closed in the middle, or what it sent breaks a rule.
    pub(super) fn on_request_reset(&mut self, reset: Reset, env: &mut Env<'_>) {
        match reset {
            Reset::Malformed(rule) => {
                self.rule = Some(rule);
                self.fail(Outcome::Malformed, env);
            }
            Reset::Truncated | Reset::Unanswered | Reset::Cancelled => self.on_downstream_gone(env),
        }
    }

    /// Nobody answered the expectation in time: we say 100 (Continue) ourselves, once.
    pub(super) fn answer_expectation(&mut self, env: &mut Env<'_>) {
        if self.expect == Expect::Forwarded {
            self.expect = Expect::AnsweredHere;
            env.outlets.send(Side::Downstream, Part::Response(super::local::interim()));
        }
    }

    pub(super) fn is_request_ended(&self) -> bool {
        matches!(self.state, State::Relaying(Relay { request: Half::Ended, .. }))
    }
}

/// Why a request is not forwarded.
#[derive(Clone, Copy, Debug)]
pub enum Refusal {
    /// It breaks a rule.
    Rule(Rule),
    /// We do not serve it.
    Outcome(Outcome),
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<NoRoute> for Refusal {
    fn from(no_route: NoRoute) -> Self {
        Self::Outcome(match no_route {
            NoRoute::Host | NoRoute::Path => Outcome::NoRoute,
            NoRoute::Refused(_) => Outcome::PathRefused,
        })
    }
}

/// Origins get origin-form (RFC 9112 section 3.2.1); the target's host decides (section 3.2.2), and an absolute
/// OPTIONS without path means the whole server (section 3.2.4).
fn to_origin_form(head: &mut RequestHead) -> Result<(), Refusal> {
    if head.target.form != TargetForm::Absolute {
        return Ok(());
    }
    let host: Box<[u8]> = head.authority().into();
    set(&mut head.fields, Name::Host, &host)?;
    let is_whole_server = head.method == Method::Options && head.target.path.len == 0;
    let target: Box<[u8]> = match head.path_and_query() {
        _ if is_whole_server => b"*".as_slice().into(),
        query if query.first() == Some(&b'?') => [b"/", query].concat().into(),
        path => path.into(),
    };
    head.set_target(&target).map_err(|_| Refusal::Rule(Rule::TargetForm))
}

fn set(fields: &mut Fields, name: Name, value: &[u8]) -> Result<(), Refusal> {
    fields.replace(name, value).map_err(|_| Refusal::Outcome(Outcome::Internal))
}

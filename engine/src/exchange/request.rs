//! The request: what happens before an origin is chosen, and how its content is relayed.

use super::hooks::{Callbacks, Spare};
use super::state::{Caller, Expect, Half, State};
use super::{Downstream, Env, Exchange, Goal, Id, Outcome, Replay, Side, Source};
use crate::limits::DISCARD_BYTES_MAX;
use crate::phase::intake::Intake;
use crate::phase::{App, ContentUse, Members, Peer, Phase, Phases};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::upstream::Speaks;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{
    Body, Fields, Method, Name, Part, RefusedRequest, RequestHead, Reset, TargetForm,
};
use ringway_proto::rules::{Rule, expect, forwarded, hop_by_hop, host, max_forwards, upgrade};
use std::any::Any;
use std::rc::Rc;

impl Exchange {
    /// An exchange that has not begun: [`Exchange::on_request`], [`Exchange::on_refused`] or [`Exchange::on_raw`] says
    /// what it is to be.
    pub fn new(
        downstream: Rc<Downstream>,
        number: u64,
        id: Id,
        snapshot: &Rc<Snapshot>,
        spare: Option<Spare>,
        now: Instant,
    ) -> Self {
        let spare = spare.unwrap_or_else(|| Spare::new(Rc::clone(&downstream)));
        let (mut visit, chain) = spare.into_parts();
        visit.session.begin(downstream, number, id, now);
        Self {
            state: State::Flushing(Outcome::Internal),
            caller: Caller::Client,
            snapshot: Rc::clone(snapshot),
            visit: Some(visit),
            chain,
            asked: Phases::NONE,
            parked: None,
            callbacks: Callbacks::default(),
            ran: 0,
            begun: now,
            intake: None,
            resumed: now,
            refused: None,
            rule: None,
            is_host_ours: false,
            is_bare: false,
            request: Half::Open,
            source: Source::Any,
            is_reused: false,
            expect: Expect::Nothing,
            replay: Replay::new(),
            request_use: ContentUse::Skip,
            response_use: ContentUse::Skip,
            goal: Goal::Cluster(0),
            timeouts: None,
            retries_max: 0,
            downstream_options: None,
            tried: Vec::new(),
            balance_key: None,
            endpoint: None,
        }
    }

    /// A client's request head came, for what `members` say: runs the phases up to the choice of an origin.
    /// `connection` is what the client's connection kept of earlier requests.
    pub fn on_request(
        &mut self,
        head: RequestHead,
        members: &Rc<Members>,
        connection: Option<Box<dyn Any>>,
        env: &mut Env<'_>,
    ) {
        let session = self.session_mut();
        session.facts.host = head.authority_chunk();
        session.is_draining = env.is_draining;
        session.connection = connection;
        let head_has_content = head.body() != Body::Empty;
        if head_has_content && matches!(expect::check(&head), Ok(expect::Expectation::Continue)) {
            self.expect = Expect::Forwarded;
        }
        let (method, passes) = (head.method(), &head.fields);
        let passes = self.snapshot.via.passes(passes);
        self.session_mut().request = Some(head);
        if head_has_content {
            // Hooks may want it before it is relayed.
            let intake = Rc::new(Intake::default());
            self.session_mut().intake = Some(Rc::clone(&intake));
            self.intake = Some(intake);
        }
        self.asked = self.chain.engage(members);
        self.state = State::Deciding;
        if method == Method::Connect {
            return self.fail(Outcome::MethodRefused, env);
        }
        if passes >= self.snapshot.passes_max {
            return self.fail(Outcome::LoopDetected, env);
        }
        self.enter(Phase::EarlyRequest, env);
    }

    /// What came is no request, or not in time: the exchange only answers and ends the connection. `refused` is what
    /// was read.
    pub fn on_refused(&mut self, refusal: Refusal, refused: Option<Box<RefusedRequest>>, env: &mut Env<'_>) {
        self.session_mut().facts.host =
            refused.as_ref().map(|head| head.authority_chunk()).unwrap_or_default();
        self.refused = refused;
        env.outlets.set_last();
        self.refuse(refusal, env);
        self.state = State::Flushing(self.ending());
    }

    /// It is a raw connection that asks for `host`, if for any, and is relayed to an endpoint of `cluster`; without one it
    /// leads nowhere.
    pub fn on_raw(&mut self, cluster: Option<usize>, host: Chunk, env: &mut Env<'_>) {
        self.session_mut().facts.host = host;
        let Some(cluster) = cluster else { return self.on_unserved(Outcome::NoRoute, env) };
        self.goal = Goal::Cluster(cluster);
        self.retries_max = self.snapshot.settings.clusters[cluster].retries_max;
        self.attempt(Source::Dial, env);
    }

    /// It is a connection that ends before anything could be asked.
    pub fn on_unserved(&mut self, outcome: Outcome, env: &mut Env<'_>) {
        self.state = State::Deciding;
        self.cut(outcome, env);
    }

    /// It is a raw connection that an app serves.
    pub fn on_raw_app(&mut self, app: App, env: &mut Env<'_>) {
        self.goal = Goal::App(app);
        self.attempt(Source::Dial, env);
    }

    /// User code asks `peer` with this head.
    pub fn on_call(&mut self, head: RequestHead, peer: Peer, env: &mut Env<'_>) {
        self.caller = Caller::Within;
        self.session_mut().request = Some(head);
        self.state = State::Deciding;
        self.visit.as_mut().expect("no hook waits").peer = Some(peer);
        self.after_select(env);
    }

    /// User code wants a stream to `peer`.
    pub fn on_raw_call(&mut self, peer: Peer, env: &mut Env<'_>) {
        self.caller = Caller::Within;
        if self.aim_at(peer).is_err() {
            return self.fail(Outcome::PeerInvalid, env);
        }
        match &mut self.goal {
            Goal::Place(place) => place.speaks = Speaks::Bytes,
            // What is idle there speaks HTTP.
            Goal::Cluster(_) | Goal::App(_) => self.source = Source::Dial,
        }
        self.attempt(self.source, env);
    }

    pub(super) fn after_early_request(&mut self, env: &mut Env<'_>) {
        self.enter(Phase::Request, env);
    }

    pub(super) fn after_request(&mut self, env: &mut Env<'_>) {
        match max_forwards::step(self.session_mut().request_mut()) {
            Ok(max_forwards::Forward::AnswerHere) => self.answer_as_final_recipient(env),
            Ok(_) => self.select(Source::Any, env),
            Err(rule) => self.refuse(Refusal::Rule(rule), env),
        }
    }

    /// Turns the request that was received into the one that is sent.
    pub(super) fn prepare_upstream_request(&mut self) -> Result<(), Refusal> {
        let request_use = self.content_use(Phase::RequestData);
        let visit = self.visit.as_mut().expect("no hook waits");
        let session = &mut visit.session;
        let received = session.request.as_ref().expect("a raw connection has none to prepare");
        let head = match &mut visit.upstream_request {
            Some(head) => {
                head.copy_from(received);
                head
            }
            none => none.insert(received.clone()),
        };
        if expect::check(head)? == expect::Expectation::Continue {
            match self.expect {
                Expect::Nothing => self.expect = Expect::Forwarded,
                Expect::Forwarded => {}
                Expect::AnsweredHere => head.fields.remove(Name::Expect),
            }
        } else {
            head.fields.remove(Name::Expect);
        }
        // A call asks in so many words, see `client::Request::upgrade`, or not at all.
        if head.fields.has(Name::Upgrade) && self.caller == Caller::Client {
            let upgrades = session.upgrades.as_ref().unwrap_or(&self.snapshot.upgrades);
            let allowed: Vec<&[u8]> = upgrades.iter().map(|token| &**token).collect();
            head.upgrade = upgrade::wanted(head, &allowed).map(Into::into);
        }
        let takes_trailers = hop_by_hop::takes_trailers(&head.fields);
        hop_by_hop::strip_request(&mut head.fields)?;
        if takes_trailers {
            set(&mut head.fields, Name::Te, b"trailers")?;
        }
        if self.caller == Caller::Within {
            self.request_use = ContentUse::Skip;
            return Ok(());
        }
        to_origin_form(head)?;
        let downstream = &session.facts.downstream;
        let hop = forwarded::Hop {
            client_ip: (&*downstream.address != "unix").then_some(&*downstream.address),
            scheme: downstream.scheme,
            host: &session.facts.host,
            is_trusted: downstream.is_trusted,
        };
        forwarded::set_x_forwarded(&mut head.fields, &hop);
        if self.snapshot.settings.forwarding.forwarded {
            forwarded::set_forwarded(&mut head.fields, &hop);
        } else if !downstream.is_trusted {
            head.fields.remove(Name::Forwarded);
        }
        self.snapshot.via.append(&mut head.fields, head.version);
        set(&mut head.fields, Name::XRequestId, &session.facts.id)?;
        // Settled once: what an earlier attempt has sent goes again as it is.
        if session.attempts == 0 {
            self.request_use = possible(request_use, head);
        }
        if self.request_use == ContentUse::Rewrite {
            head.set_body(Body::Streamed);
        }
        Ok(())
    }

    /// What we send names one host, whatever hooks did (RFC 9112 section 3.2). HTTP/1.0 clients may leave it out: then it
    /// is the endpoint's, and another attempt names another endpoint.
    pub(super) fn settle_host(&mut self) -> Result<(), &'static str> {
        let Some(visit) = &mut self.visit else { return Ok(()) };
        let (Some(head), Some(endpoint)) = (&mut visit.upstream_request, &visit.session.endpoint) else {
            return Ok(());
        };
        // A received one was checked when it came.
        if matches!(self.goal, Goal::App(_)) || head.fields.is_one_received(Name::Host) {
            return Ok(());
        }
        self.is_host_ours |= !head.fields.has(Name::Host);
        if self.is_host_ours {
            let host = if endpoint.starts_with("unix:") { "localhost" } else { endpoint };
            let is_set = head.fields.replace(Name::Host, host.as_bytes());
            debug_assert!(is_set.is_ok());
            return Ok(());
        }
        let mut hosts = head.fields.get_all(Name::Host);
        match (hosts.next(), hosts.next()) {
            (Some(host), None) if host::parse(host).is_ok() => Ok(()),
            (_, None) => Err("a hook gave the request a Host that is none"),
            (_, Some(_)) => Err("a hook gave the request a second Host"),
        }
    }

    /// Whoever joined since the head was made sees the content, too, as long as nothing of it was sent.
    pub(super) fn include_joined(&mut self) {
        let request_use = self.content_use(Phase::RequestData);
        if request_use >= self.request_use || !self.replay.is_fresh() {
            return;
        }
        let Some(head) = self.upstream_request_mut() else { return };
        let request_use = possible(request_use, head);
        if request_use == ContentUse::Rewrite {
            head.set_body(Body::Streamed);
        }
        self.request_use = request_use;
    }

    /// Whether a hook waits for content that is not relayed yet.
    pub(super) fn is_taking_in(&self) -> bool {
        self.intake.as_ref().is_some_and(|intake| intake.is_wanted())
    }

    /// Content came for a hook that waits for it.
    pub(super) fn on_intake(&mut self, part: Part, env: &mut Env<'_>) {
        match (part, &self.intake) {
            (Part::Reset(reset), _) => {
                self.cancel_hook();
                self.on_request_reset(reset, env);
            }
            (part, Some(intake)) => {
                if matches!(part, Part::End) {
                    self.request = Half::Ended;
                }
                intake.push(part, env.pool);
            }
            (_, None) => {}
        }
    }

    /// The next part of what hooks read before: it is relayed in front of what still comes.
    #[inline]
    pub fn poll_intake(&mut self) -> Option<Part> {
        if self.parked.is_some() {
            return None;
        }
        let part = self.intake.as_ref()?.pop();
        if part.is_none() || matches!(part, Some(Part::End)) {
            self.intake = None;
        }
        part
    }

    pub(super) fn on_request_data(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        let len = chunk.len() as u64;
        self.session_mut().facts.traffic.received += len;
        match &mut self.state {
            State::Relaying(_) if self.request_use == ContentUse::Skip => self.forward_data(chunk, env),
            State::Relaying(_) => {
                // Hooks are called once for the last piece and the end, not twice; unless this one was read before.
                let is_last = self.intake.is_none() && env.outlets.take_end(Side::Downstream);
                if is_last {
                    self.request = Half::Ended;
                }
                self.visit_request_data(chunk, is_last, env);
            }
            State::Tunneling(_) => {
                env.outlets.send(Side::Upstream, Part::Data(chunk));
            }
            State::Discarding { outcome, bytes, .. } => {
                *bytes += len;
                if *bytes > DISCARD_BYTES_MAX {
                    let outcome = *outcome;
                    env.outlets.set_last();
                    self.state = State::Flushing(outcome);
                }
            }
            _ => {}
        }
    }

    /// Content goes to the origin, and is kept in case it has to go again.
    fn forward_data(&mut self, chunk: Chunk, env: &mut Env<'_>) {
        self.replay.on_data(&chunk, self.snapshot.settings.limits.replay_bytes, env.pool);
        env.outlets.send(Side::Upstream, Part::Data(chunk));
    }

    /// Shows the hooks a piece of content.
    fn visit_request_data(&mut self, chunk: Chunk, is_end: bool, env: &mut Env<'_>) {
        self.callbacks.end_pause(Phase::RequestData);
        let visit = self.visit.as_mut().expect("no hook waits");
        match self.request_use {
            ContentUse::Rewrite => visit.content.begin(chunk, is_end),
            ContentUse::Observe => visit.content.show(chunk, is_end),
            ContentUse::Skip => {}
        }
        self.enter(Phase::RequestData, env);
    }

    pub(super) fn after_request_data(&mut self, env: &mut Env<'_>) {
        let visit = self.visit.as_mut().expect("no hook waits");
        visit.content.settle();
        let is_end = visit.content.is_end();
        while let Some(chunk) = self.visit.as_mut().and_then(|visit| visit.content.pop()) {
            self.forward_data(chunk, env);
        }
        if is_end {
            self.after_request_content(env);
        }
    }

    fn after_request_content(&mut self, env: &mut Env<'_>) {
        if self.asked.has(Phase::RequestTrailers)
            && self.visit.as_ref().is_some_and(|visit| visit.request_trailers.is_some())
        {
            self.enter(Phase::RequestTrailers, env);
        } else {
            self.end_request(env);
        }
    }

    /// Trailers are shown to hooks behind the last content, which they may make of nothing.
    pub(super) fn on_request_trailers(&mut self, fields: Fields, _: &mut Env<'_>) {
        if let (State::Relaying(_), Some(visit)) = (&self.state, &mut self.visit) {
            visit.request_trailers = Some(fields);
        }
    }

    pub(super) fn on_request_end(&mut self, env: &mut Env<'_>) {
        self.request = Half::Ended;
        match &mut self.state {
            State::Relaying(_) if self.request_use == ContentUse::Skip => self.after_request_content(env),
            State::Relaying(_) => self.visit_request_data(Chunk::EMPTY, true, env),
            State::Discarding { outcome, .. } => self.state = State::Flushing(*outcome),
            State::Tunneling(_) => self.on_tunnel_end(Side::Downstream, env),
            _ => {}
        }
    }

    /// The request goes to its end.
    pub(super) fn end_request(&mut self, env: &mut Env<'_>) {
        if let Some(trailers) = self.visit.as_mut().and_then(|visit| visit.request_trailers.take()) {
            self.replay.on_trailers(&trailers);
            env.outlets.send(Side::Upstream, Part::Trailers(trailers));
        }
        self.replay.on_end();
        env.outlets.send(Side::Upstream, Part::End);
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
        self.request == Half::Ended
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

/// What hooks can do with the content of this request: where there is nothing to change, nothing is made of it.
fn possible(request_use: ContentUse, head: &RequestHead) -> ContentUse {
    match head.body() {
        Body::Empty | Body::Length(0) => request_use.max(ContentUse::Observe),
        Body::Length(_) | Body::Streamed | Body::UntilClose => request_use,
    }
}

/// Origins get origin-form (RFC 9112 section 3.2.1); the target's host decides (section 3.2.2), and an absolute
/// OPTIONS without path means the whole server (section 3.2.4).
fn to_origin_form(head: &mut RequestHead) -> Result<(), Refusal> {
    if head.target.form != TargetForm::Absolute {
        return Ok(());
    }
    // A hook that named another host meant it: what is received says the same as the target.
    if head.fields.is_one_received(Name::Host) || !head.fields.has(Name::Host) {
        let host: Box<[u8]> = head.authority().into();
        set(&mut head.fields, Name::Host, &host)?;
    }
    let is_whole_server = head.method() == Method::Options && head.target.path.len == 0;
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

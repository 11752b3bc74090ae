//! What every hook of an exchange gets: the request, the client, and what can be asked of the engine.

use super::attachable::Attachable;
use super::chain::LinkPool;
use super::downstream::DownstreamOptions;
use super::facts::{Downstream, Facts, Id, Times, Traffic};
use super::intake::{End, Intake};
use crate::error::{Error, Outcome, Result};
use crate::settings::Address;
use crate::time::Instant;
use ringway_proto::chunk::Chunk;
use ringway_proto::message::{Body, RequestHead};
use std::any::Any;
use std::future::poll_fn;
use std::rc::Rc;

/// One request with its client and what has become of it so far.
///
/// It is lent to one hook after the other. What outlives the exchange has to be taken out of it.
pub struct Session {
    pub(crate) request: Option<RequestHead>,
    pub(crate) facts: Facts,
    /// Upgrade tokens that may pass, lower case; `None` for those of the configuration.
    pub(crate) upgrades: Option<Rc<[Box<[u8]>]>>,
    pub(crate) status: Option<u16>,
    pub(crate) attempts: u32,
    pub(crate) endpoint: Option<Rc<str>>,
    pub(crate) is_draining: bool,
    pub(crate) wants_close: bool,
    /// What of the client's side differs in this exchange.
    pub(crate) downstream_options: Option<Box<DownstreamOptions>>,
    /// Whether the hook that runs has said something that the exchange has to heed: the one above, or something for its
    /// member of the chain, the three below.
    pub(crate) has_said: bool,
    pub(crate) request_content: Option<ContentUse>,
    pub(crate) response_content: Option<ContentUse>,
    /// Kept by the client's connection between its requests.
    pub(crate) connection: Option<Box<dyn Any>>,
    /// Content that is read before it is relayed, where somebody wants that.
    pub(crate) intake: Option<Rc<Intake>>,
    /// Filters that join the exchange once the hook that runs has answered.
    pub(crate) attached: Vec<Rc<LinkPool>>,
}

/// What the content hooks of a member of the chain do with a message's content. What reaches further counts for the
/// message: its length stays announced where nobody rewrites it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContentUse {
    /// They may change it. Its length is not known before its end, so it is sent without one (chunked in HTTP/1.1); but the
    /// head of a response that has come as a whole waits for what they make of it, and has a length.
    #[default]
    Rewrite,
    /// They only look at it. What they change all the same is not sent.
    Observe,
    /// They are not called.
    Skip,
}

impl Session {
    /// Of no exchange yet.
    pub(crate) fn new(downstream: Rc<Downstream>) -> Self {
        Self {
            request: None,
            facts: Facts {
                downstream,
                number: 0,
                id: Id::Taken(Box::default()),
                host: Chunk::EMPTY,
                times: Times::since(Instant::ZERO),
                traffic: Traffic::default(),
            },
            upgrades: None,
            status: None,
            attempts: 0,
            endpoint: None,
            is_draining: false,
            wants_close: false,
            downstream_options: None,
            has_said: false,
            request_content: None,
            response_content: None,
            connection: None,
            intake: None,
            attached: Vec::new(),
        }
    }

    /// Is that of a new exchange from now on; a session is too large to be made elsewhere first. What may be large is
    /// gone since [`Session::clear`].
    #[inline]
    pub(crate) fn begin(&mut self, downstream: Rc<Downstream>, number: u64, id: Id, now: Instant) {
        self.facts.downstream = downstream;
        self.facts.number = number;
        self.facts.id = id;
        self.facts.times = Times::since(now);
        self.facts.traffic = Traffic::default();
        self.status = None;
        self.attempts = 0;
        self.is_draining = false;
        self.wants_close = false;
    }

    /// The request as the client sent it, with what filters changed. What is sent to an origin is made of it for each
    /// attempt: hop-by-hop fields are removed, forwarding fields added.
    #[inline]
    pub fn request(&self) -> &RequestHead {
        self.request.as_ref().expect("hooks run for requests")
    }

    /// The request for changing, before an upstream is chosen. Later changes are seen by later attempts only; see
    /// `upstream_request_filter` for the one that is sent.
    ///
    /// What frames the message and concerns the connection (`Content-Length`, `Transfer-Encoding`, `Connection`) is
    /// written anew by whoever sends it: changes to those have no effect. `Host` has to stay one field that names a host,
    /// or the exchange fails with `hook_failed`.
    #[inline]
    pub fn request_mut(&mut self) -> &mut RequestHead {
        self.request.as_mut().expect("hooks run for requests")
    }

    /// The client.
    #[inline]
    pub fn client(&self) -> &Downstream {
        &self.facts.downstream
    }

    /// The address at which the connection was accepted. Where a proxy in front of us says for whom it connects, the
    /// client has connected to [`Downstream::destination`].
    #[inline]
    pub fn server_address(&self) -> Option<&Address> {
        self.facts.downstream.server_address.as_deref()
    }

    /// The client, to keep.
    pub fn client_facts(&self) -> Rc<Downstream> {
        Rc::clone(&self.facts.downstream)
    }

    /// The request's id, which the origin gets as `X-Request-Id`.
    pub fn id(&self) -> &[u8] {
        &self.facts.id
    }

    /// Gives the request another id. One that could do harm in a log is not taken: at most 128 visible characters.
    pub fn set_id(&mut self, id: &[u8]) -> bool {
        let is_acceptable = crate::observe::is_acceptable(id);
        if is_acceptable {
            self.facts.id = Id::Taken(id.into());
        }
        is_acceptable
    }

    /// The host and port that were asked for, as they came; empty where none was.
    pub fn host(&self) -> &[u8] {
        &self.facts.host
    }

    /// Which request of its connection this is, from 1.
    pub fn number(&self) -> u64 {
        self.facts.number
    }

    /// When things happened.
    pub fn times(&self) -> Times {
        self.facts.times
    }

    /// When the request began.
    pub fn begun(&self) -> Instant {
        self.facts.times.begun
    }

    /// Bytes of content that moved until now.
    pub fn traffic(&self) -> Traffic {
        self.facts.traffic
    }

    /// The status of the final response, once its head was sent.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Attempts at an upstream until now, the one under way included: 0 in the first `upstream_peer` of an exchange, 1 in
    /// its second and in the first `fail_to_connect`.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The address of the last attempt, as logs show it.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether the process is finishing what runs and takes no new connections.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Closes the client's connection behind this exchange.
    pub fn close_connection(&mut self) {
        self.wants_close = true;
    }

    /// Lets these upgrades pass to the origin, in lower case. Default: `websocket` alone. `h2c` never passes.
    pub fn set_upgrades(&mut self, tokens: Rc<[Box<[u8]>]>) {
        self.upgrades = Some(tokens);
    }

    /// What the caller's own content hooks do with the request's content. To be said before its first piece: in a
    /// filter of the request. Default: what the type says with `REQUEST_CONTENT`.
    pub fn set_request_content(&mut self, what: ContentUse) {
        self.has_said = true;
        self.request_content = Some(what);
    }

    /// What the caller's own content hooks do with the response's content. To be said before its head is sent: in a
    /// filter of the response, or earlier. Default: what the type says with `RESPONSE_CONTENT`.
    pub fn set_response_content(&mut self, what: ContentUse) {
        self.has_said = true;
        self.response_content = Some(what);
    }

    /// Reads the request's content before it is known where it goes: all of it, which is kept, and relayed later past
    /// the content hooks as if it came then. For filters of the request. A client that waits for 100 (Continue) gets
    /// it.
    ///
    /// # Errors
    /// `too_large` (413) when it is longer than `bytes_max`. A client that leaves ends the hook, and so does one whose
    /// content takes longer than [`crate::settings::Limits::hook_timeout`], which is answered 408 (`body_timeout`).
    pub async fn read_content(&mut self, bytes_max: usize) -> Result<Vec<u8>> {
        if self.request().body() == Body::Empty {
            return Ok(Vec::new());
        }
        let Some(intake) = &self.intake else {
            return Err(Error::failed("content is read in filters of the request"));
        };
        match poll_fn(|context| intake.poll(bytes_max, context)).await {
            End::Complete => Ok(intake.to_vec()),
            End::TooLong => Err(Error::new(Outcome::TooLarge)),
        }
    }

    /// Something that the client's connection keeps for its next request: put there by one exchange, found by the
    /// next. It is gone before `logging` runs, since the next request may have begun by then.
    pub fn connection_context(&mut self) -> &mut Option<Box<dyn Any>> {
        &mut self.connection
    }

    /// Lets a filter take part in this exchange from the next phase on: behind all others for requests, in front of
    /// them for responses.
    ///
    /// One that joins in `upstream_request_filter` of the first attempt or earlier sees all of the request's content;
    /// later, or once content was sent, only what still comes, and where nobody else looks at it, nothing. With the
    /// response's content it is the same for `response_filter`.
    pub fn attach(&mut self, filter: &Attachable) {
        self.attach_pool(filter.pool());
    }

    /// As [`Session::attach`].
    pub(crate) fn attach_pool(&mut self, filter: &Rc<LinkPool>) {
        self.has_said = true;
        self.attached.push(Rc::clone(filter));
    }

    /// Forgets what a hook said that ended before it answered.
    pub(crate) fn unsay(&mut self) {
        self.has_said = false;
        self.request_content = None;
        self.response_content = None;
        self.attached.clear();
    }

    /// As new, for the next exchange.
    pub(crate) fn clear(&mut self) {
        self.request = None;
        self.facts.host = Chunk::EMPTY;
        self.upgrades = None;
        self.downstream_options = None;
        self.endpoint = None;
        self.connection = None;
        self.intake = None;
        self.unsay();
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { request, facts, status, attempts, .. } = self;
        f.debug_struct("Session")
            .field("request", request)
            .field("facts", facts)
            .field("status", status)
            .field("attempts", attempts)
            .finish_non_exhaustive()
    }
}

//! What a hook may touch, and what it answers.

use super::content::Content;
use super::facts::Downstream;
use super::peer::Peer;
use super::response::Response;
use super::session::Session;
use crate::error::{Error, Result};
use ringway_proto::message::{Fields, RequestHead, ResponseHead};
use std::rc::Rc;

/// Everything that the hooks of an exchange may touch. The exchange gives it away while a hook runs.
#[derive(Debug)]
pub struct Visit {
    pub(crate) session: Session,
    /// The request as it is sent in this attempt.
    pub(crate) upstream_request: Option<RequestHead>,
    /// The response on its way back.
    pub(crate) response: Option<ResponseHead>,
    /// The content of a content phase.
    pub(crate) content: Content,
    /// The fields behind the request's content.
    pub(crate) request_trailers: Option<Fields>,
    /// The fields behind the response's content.
    pub(crate) response_trailers: Option<Fields>,
    /// What was chosen.
    pub(crate) peer: Option<Peer>,
    /// What went wrong last.
    pub(crate) error: Option<Error>,
    /// What is known of the upstream connection of this attempt.
    pub(crate) connected: Option<Connected>,
}

/// An upstream connection that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Where it leads, as logs show it.
    pub endpoint: Rc<str>,
    /// Whether it was used before.
    pub is_reused: bool,
}

impl Visit {
    /// Of no exchange yet: [`Session::begin`] makes it one's.
    pub(crate) fn new(downstream: Rc<Downstream>) -> Self {
        Self {
            session: Session::new(downstream),
            upstream_request: None,
            response: None,
            content: Content::default(),
            request_trailers: None,
            response_trailers: None,
            peer: None,
            error: None,
            connected: None,
        }
    }

    /// As new, for the next exchange. The heads' memory is kept for it.
    pub(crate) fn clear(&mut self) {
        self.session.clear();
        if let Some(head) = &mut self.upstream_request {
            head.release();
        }
        self.response = None;
        self.content.release();
        self.request_trailers = None;
        self.response_trailers = None;
        self.peer = None;
        self.error = None;
        self.connected = None;
    }
}

/// What a filter of the request answers.
#[derive(Debug, Default)]
pub enum Flow {
    /// The exchange goes on.
    #[default]
    Continue,
    /// This is the answer; no origin is asked.
    Respond(Response),
}

impl From<Response> for Flow {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}

/// What became of a hook. One word, since nearly every hook lets its exchange go on.
#[derive(Debug, Default)]
pub struct Answer(Option<Box<Verdict>>);

/// What a hook decided instead of letting the exchange go on.
#[derive(Debug)]
pub enum Verdict {
    /// This is the answer.
    Respond(Response),
    /// It failed.
    Fail(Error),
}

impl Answer {
    /// The exchange goes on.
    pub const CONTINUE: Self = Self(None);

    /// What was decided, if anything was.
    #[inline]
    pub(crate) fn verdict(self) -> Option<Box<Verdict>> {
        self.0
    }
}

impl From<()> for Answer {
    #[inline]
    fn from((): ()) -> Self {
        Self::CONTINUE
    }
}

impl From<Result<()>> for Answer {
    #[inline]
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::CONTINUE,
            Err(error) => Verdict::Fail(error).into(),
        }
    }
}

impl From<Result<Flow>> for Answer {
    #[inline]
    fn from(result: Result<Flow>) -> Self {
        match result {
            Ok(Flow::Continue) => Self::CONTINUE,
            Ok(Flow::Respond(response)) => Verdict::Respond(response).into(),
            Err(error) => Verdict::Fail(error).into(),
        }
    }
}

impl From<Option<Response>> for Answer {
    #[inline]
    fn from(response: Option<Response>) -> Self {
        response.map_or(Self::CONTINUE, |response| Verdict::Respond(response).into())
    }
}

impl From<Verdict> for Answer {
    #[cold]
    fn from(verdict: Verdict) -> Self {
        Self(Some(Box::new(verdict)))
    }
}

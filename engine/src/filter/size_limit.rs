//! How long content may be.

use crate::error::{Outcome, Result};
use crate::phase::{Content, ContentUse, Filter, Flow, Session};
use ringway_proto::message::{Body, ResponseHead};

/// Refuses requests whose content is too long, with 413: by their length before any of it is sent on, else when it turns
/// out.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimit {
    bytes_max: u64,
}

/// Refuses responses whose content is too long: by their length with 502, else they are cut when it turns out. Counted
/// is what the origin sends, with its coding.
#[derive(Clone, Copy, Debug)]
pub struct ResponseLimit {
    bytes_max: u64,
}

impl RequestLimit {
    /// So many bytes pass.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }
}

impl ResponseLimit {
    /// So many bytes pass.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }
}

impl Filter for RequestLimit {
    /// Bytes that have passed.
    type Ctx = u64;

    const REQUEST_CONTENT: ContentUse = ContentUse::Observe;

    fn new_ctx(&self) -> u64 {
        0
    }

    async fn request_filter(&self, session: &mut Session, _: &mut u64) -> Result<Flow> {
        match session.request().body() {
            Body::Length(length) if length > self.bytes_max => return Err(Outcome::TooLarge.into()),
            // No more comes than was announced.
            Body::Length(_) | Body::Empty => session.set_request_content(ContentUse::Skip),
            Body::Streamed | Body::UntilClose => {}
        }
        Ok(Flow::Continue)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        passed: &mut u64,
    ) -> Result<()> {
        count(passed, content, self.bytes_max, Outcome::TooLarge)
    }
}

impl Filter for ResponseLimit {
    /// Bytes that have passed.
    type Ctx = u64;

    const RESPONSE_CONTENT: ContentUse = ContentUse::Skip;

    fn new_ctx(&self) -> u64 {
        0
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        upstream_response: &mut ResponseHead,
        _: &mut u64,
    ) -> Result<()> {
        match upstream_response.body() {
            Body::Length(length) if length > self.bytes_max => Err(Outcome::UpstreamTooLarge.into()),
            Body::Length(_) | Body::Empty => Ok(()),
            Body::Streamed | Body::UntilClose => {
                session.set_response_content(ContentUse::Observe);
                Ok(())
            }
        }
    }

    async fn response_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        passed: &mut u64,
    ) -> Result<()> {
        count(passed, content, self.bytes_max, Outcome::UpstreamTooLarge)
    }
}

fn count(passed: &mut u64, content: &Content, bytes_max: u64, outcome: Outcome) -> Result<()> {
    *passed += content.len() as u64;
    if *passed > bytes_max { Err(outcome.into()) } else { Ok(()) }
}

//! Content without its coding.

use super::pace::Pace;
use crate::coding::{Asked, Coding, Decision, DecodeLimits, Decoder, Policy, Progress};
use crate::error::{Error, Outcome, Result};
use crate::phase::{Content, ContentUse, Filter, Session};
use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::message::{Fields, ResponseHead};
use std::collections::VecDeque;

/// Decodes every response that it can decode, whatever the client accepts: for filters in front of it that look into
/// content, or change it. A [`Compression`](super::Compression) in front of those codes it again.
///
/// Left as they are: what has several codings, or one that is not known; partial content; what says `no-transform`.
#[derive(Debug)]
pub struct Decompression {
    policy: Policy,
    plain_only: Fields,
    pool: Pool,
}

/// What becomes of one response.
#[derive(Debug)]
pub struct Ctx {
    decision: Decision,
    decoding: Option<Box<Decoding>>,
}

impl Decompression {
    /// Decodes what stays within `limits`; of what does not, the response is cut.
    pub fn new(limits: DecodeLimits) -> Self {
        let mut plain_only = Fields::default();
        plain_only.append(b"accept-encoding", b"identity").expect("a valid value");
        let policy =
            Policy { offered: Vec::new(), decodes: true, decode_limits: limits, ..Policy::default() };
        Self { policy, plain_only, pool: Pool::new() }
    }
}

impl Default for Decompression {
    fn default() -> Self {
        Self::new(DecodeLimits::default())
    }
}

impl Filter for Decompression {
    type Ctx = Ctx;

    const RESPONSE_CONTENT: ContentUse = ContentUse::Skip;

    fn new_ctx(&self) -> Ctx {
        Ctx { decision: Decision::Leave { varies: false }, decoding: None }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let asked = Asked::new(session.request().method(), &self.plain_only);
        let decision = match self.policy.decide(&asked, response) {
            // Nobody else would have got it otherwise.
            Decision::Leave { .. } => Decision::Leave { varies: false },
            decision => decision,
        };
        decision.edit(&mut response.fields);
        if let Decision::Decode(coding) = decision {
            ctx.decoding =
                Some(Box::new(Decoding::new(coding, self.policy.decode_limits, self.pool.clone())));
            session.set_response_content(ContentUse::Rewrite);
        }
        ctx.decision = decision;
        Ok(())
    }

    async fn response_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        ctx: &mut Ctx,
    ) -> Result<()> {
        match &mut ctx.decoding {
            Some(decoding) => decoding.run(content).await,
            None => Ok(()),
        }
    }

    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut Fields,
        ctx: &mut Ctx,
    ) -> Result<()> {
        ctx.decision.edit_trailers(trailers);
        Ok(())
    }
}

/// A response that is being decoded: so much of it at a time as the client takes.
#[derive(Debug)]
pub(super) struct Decoding {
    decoder: Decoder,
    /// What has come and was not read.
    input: VecDeque<Chunk>,
    pool: Pool,
    pace: Pace,
}

impl Decoding {
    pub(super) fn new(coding: Coding, limits: DecodeLimits, pool: Pool) -> Self {
        let decoder = Decoder::new(coding, limits);
        Self { decoder, input: VecDeque::new(), pool, pace: Pace::new() }
    }

    /// Puts in the place of `content` what it stands for: one buffer of it, and what follows in further calls.
    pub(super) async fn run(&mut self, content: &mut Content) -> Result<()> {
        self.input.extend(std::iter::from_fn(|| content.pop()));
        let mut vacant = self.pool.large();
        loop {
            let mut input = self.input.front().map_or(&[][..], |chunk| chunk);
            let (input_bytes, room_bytes) = (input.len(), vacant.room());
            let progress = self
                .decoder
                .decode(&mut input, &mut vacant)
                .map_err(|error| Error::new(Outcome::UpstreamMalformed).context(error.word()))?;
            let read_bytes = input_bytes - input.len();
            let written_bytes = room_bytes - vacant.room();
            if let Some(chunk) = self.input.front_mut() {
                chunk.advance(read_bytes);
                if chunk.is_empty() {
                    self.input.pop_front();
                }
            }
            if vacant.room() == 0 {
                content.call_again();
                break;
            }
            if progress == Progress::Starved && self.input.is_empty() {
                if content.is_end() {
                    let ended = self.decoder.finish();
                    ended.map_err(|error| Error::new(Outcome::UpstreamMalformed).context(error.word()))?;
                }
                break;
            }
            self.pace.spend(read_bytes + written_bytes).await;
        }
        content.push(vacant.freeze().retain(&self.pool));
        Ok(())
    }
}

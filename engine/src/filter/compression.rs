//! Content codings: responses are coded for clients that accept it, and decoded for those that do not accept what the
//! origin sent.
//!
//! What is decided is [`coding::Policy`](crate::coding::Policy)'s; here it is done to a response that streams by. What
//! the coder holds is brought out when the origin pauses, so that nobody waits for what has come; of events, behind
//! each piece.

use super::decompression::Decoding;
use super::pace::{BYTES_AT_A_TIME, Pace};
use crate::coding::{Asked, Coding, Decision, Encoder, Flush, Levels, Policy};
use crate::error::Result;
use crate::phase::{Content, ContentUse, Filter, Session};
use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::message::{Body, Fields, ResponseHead};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Codes responses as a [`Policy`] says. See [`crate::coding`] for what that may give away (BREACH): only for what is the
/// same for everybody, or does not repeat what the request said.
///
/// In front of it stand filters that want to see what is sent, behind it those that look into content or change it.
///
/// ```
/// use ringway_engine::coding::Policy;
/// use ringway_engine::filter::Compression;
/// use ringway_engine::service::Service;
/// # use ringway_engine::error::Result;
/// # use ringway_engine::phase::{Peer, Proxy, Session};
/// # struct App;
/// # impl Proxy for App {
/// #     type Ctx = ();
/// #     fn new_ctx(&self) {}
/// #     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> { Ok(Peer::cluster("app")) }
/// # }
///
/// let service = Service::proxy(|| App).in_front(|| Compression::new(Policy::default()));
/// # let _ = service;
/// ```
#[derive(Debug)]
pub struct Compression {
    policy: Policy,
    encoders: Rc<Encoders>,
}

/// What becomes of one response.
#[derive(Debug)]
pub struct Ctx {
    decision: Decision,
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    /// It stays as it is.
    Plain,
    Encoding(Encoding),
    Decoding(Box<Decoding>),
}

/// A response that is being coded.
#[derive(Debug)]
struct Encoding {
    lease: Lease,
    flush: Flush,
    /// Whether something may be in the coder that the client could have.
    holds: bool,
    pace: Pace,
    /// What came out and is not sent yet; kept for its memory.
    coded: Vec<Chunk>,
}

impl Compression {
    /// Codes as `policy` says.
    pub fn new(policy: Policy) -> Self {
        let encoders = Encoders {
            levels: policy.levels,
            pool: Pool::new(),
            streams_max: STREAMS_MAX,
            open: Cell::new(0),
            free: RefCell::new(Vec::new()),
        };
        Self { policy, encoders: Rc::new(encoders) }
    }

    /// How many responses are coded at a time, on each shard; further ones are sent as they are. Default:
    /// [`STREAMS_MAX`]. A coder holds up to 0.4 MiB for gzip, 1.8 for Zstandard and 3.1 for Brotli until its response
    /// is over.
    #[must_use]
    pub fn streams_max(mut self, max: usize) -> Self {
        let encoders = Rc::get_mut(&mut self.encoders).expect("no response has come yet");
        encoders.streams_max = max;
        self
    }
}

impl Filter for Compression {
    type Ctx = Ctx;

    /// Where nothing is coded, nothing is looked at.
    const RESPONSE_CONTENT: ContentUse = ContentUse::Skip;

    fn new_ctx(&self) -> Ctx {
        Ctx { decision: Decision::Leave { varies: false }, stream: Stream::Plain }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let asked = Asked::of(session.request());
        let mut decision = self.policy.decide(&asked, response);
        ctx.stream = match decision {
            Decision::Encode(coding, flush) => match self.encoders.lease(coding, length(response)) {
                Some(lease) => Stream::Encoding(Encoding::new(lease, flush)),
                None => {
                    decision = Decision::Leave { varies: true };
                    Stream::Plain
                }
            },
            Decision::Decode(coding) => Stream::Decoding(Box::new(Decoding::new(
                coding,
                self.policy.decode_limits,
                self.encoders.pool.clone(),
            ))),
            _ => Stream::Plain,
        };
        decision.edit(&mut response.fields);
        ctx.decision = decision;
        if !matches!(ctx.stream, Stream::Plain) {
            session.set_response_content(ContentUse::Rewrite);
        }
        Ok(())
    }

    async fn response_body_filter(
        &self,
        _: &mut Session,
        content: &mut Content,
        ctx: &mut Ctx,
    ) -> Result<()> {
        match &mut ctx.stream {
            Stream::Plain => return Ok(()),
            Stream::Encoding(encoding) => encoding.run(content).await,
            Stream::Decoding(decoding) => return decoding.run(content).await,
        }
        if content.is_end() {
            // Its coder may serve the next response while this one is sent.
            ctx.stream = Stream::Plain;
        }
        Ok(())
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

/// The content's length, where the head says it.
fn length(head: &ResponseHead) -> Option<u64> {
    match head.body() {
        Body::Length(length) => Some(length),
        Body::Empty | Body::Streamed | Body::UntilClose => None,
    }
}

impl Encoding {
    fn new(lease: Lease, flush: Flush) -> Self {
        Self { lease, flush, holds: false, pace: Pace::new(), coded: Vec::new() }
    }

    async fn run(&mut self, content: &mut Content) {
        let Self { lease, flush, holds, pace, coded } = self;
        while let Some(chunk) = content.pop() {
            for piece in chunk.chunks(BYTES_AT_A_TIME) {
                pace.spend(piece.len()).await;
                lease.encoder().encode(piece, &mut |chunk| coded.push(chunk));
            }
            *holds = true;
        }
        if content.is_end() {
            lease.encoder().finish(&mut |chunk| coded.push(chunk));
        } else if *holds && (*flush == Flush::EachPart || content.is_pause()) {
            lease.encoder().flush(&mut |chunk| coded.push(chunk));
            *holds = false;
        } else if *holds {
            content.call_on_pause();
        }
        coded.drain(..).for_each(|chunk| content.push(chunk));
    }
}

/// The coders of a shard.
struct Encoders {
    levels: Levels,
    pool: Pool,
    streams_max: usize,
    /// Coders that are in use.
    open: Cell<usize>,
    /// Coders whose memory may serve again.
    free: RefCell<Vec<Encoder>>,
}

/// A coder that goes back when its response is over, in whatever way.
#[derive(Debug)]
struct Lease {
    encoder: Option<Encoder>,
    home: Rc<Encoders>,
}

impl Encoders {
    fn lease(self: &Rc<Self>, coding: Coding, length_bytes: Option<u64>) -> Option<Lease> {
        if self.open.get() >= self.streams_max {
            return None;
        }
        let mut free = self.free.borrow_mut();
        let used = free.iter().position(|encoder| encoder.coding() == coding).map(|at| free.swap_remove(at));
        let encoder = match used {
            Some(mut encoder) => {
                encoder.reset(length_bytes);
                encoder
            }
            None => Encoder::new(coding, self.levels, length_bytes, self.pool.clone()),
        };
        self.open.set(self.open.get() + 1);
        Some(Lease { encoder: Some(encoder), home: Rc::clone(self) })
    }
}

impl Lease {
    fn encoder(&mut self) -> &mut Encoder {
        self.encoder.as_mut().expect("it goes back when this is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.home.open.set(self.home.open.get() - 1);
        let mut free = self.home.free.borrow_mut();
        // The memory of a Brotli stream cannot be used again.
        if let Some(encoder) = self.encoder.take()
            && encoder.coding() != Coding::Brotli
            && free.len() < FREE_MAX
        {
            free.push(encoder);
        }
    }
}

impl std::fmt::Debug for Encoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoders").field("open", &self.open.get()).finish_non_exhaustive()
    }
}

/// Responses that are coded at a time, on each shard, unless somebody says otherwise.
pub const STREAMS_MAX: usize = 256;
/// Coders that are kept for the next responses of a shard: at most 15 MiB.
const FREE_MAX: usize = 8;

//! What every way of running hooks has in common: the heads, the answers, and how an exchange sees its hooks.

use ringway_engine::phase::{Neutral, Phase, Phases};
use ringway_proto::chunk::{Chunk, Pool};
use ringway_proto::h1::Codec;
use ringway_proto::message::{Body, Fields, Part, RequestHead, ResponseHead, Status};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a hook sees of its exchange.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) request: RequestHead,
}

/// What an exchange gives away while a hook runs, and gets back with the answer. Boxed: the box moves, nothing else.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) session: Session,
    pub(crate) response: ResponseHead,
}

/// What a hook answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    #[default]
    Continue,
    /// Answer with this status.
    #[cfg_attr(not(test), expect(dead_code, reason = "the hooks that are measured all go on"))]
    Respond(u16),
}

impl Neutral for Verdict {
    fn neutral() -> Self {
        Self::Continue
    }
}

/// The hooks of one exchange, whoever wrote them and however they run.
///
/// This is all that a shard sees: no type of a user reaches it.
pub(crate) trait Hooks {
    /// The phases that somebody asked for.
    fn asked(&self) -> Phases;

    /// Begins another exchange.
    fn renew(&mut self);

    /// Runs the hook of `phase`. Pending: it has the visit, and [`Hooks::resume`] goes on.
    fn visit(&mut self, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Poll<Answer>;

    /// Goes on with the hook that waits.
    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Answer>;
}

/// Makes the hooks of one exchange after the other.
pub(crate) type Maker = Box<dyn FnMut() -> Box<dyn Hooks>>;

/// What comes back from a hook.
pub(crate) type Answer = (Box<Visit>, Verdict);

impl Default for Visit {
    fn default() -> Self {
        let mut codec = Codec::server(Rc::default(), Pool::new());
        codec.on_received(Chunk::from(b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n".to_vec()));
        let Some(Part::Request(request)) = codec.poll_part() else { unreachable!("the request is complete") };
        Self { session: Session { request }, response: ResponseHead::local(Status::OK, Body::Empty) }
    }
}

impl Visit {
    /// Heads without fields.
    pub(crate) fn renew(&mut self) {
        self.session.request.fields = Fields::default();
        self.response.fields = Fields::default();
    }
}

/// Pending once, as a lookup in another service is.
pub(crate) async fn one_turn() {
    let mut is_second = false;
    poll_fn(|_| if std::mem::replace(&mut is_second, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// The edit that hooks make here.
pub(crate) fn edit(fields: &mut Fields, count: &mut u32) {
    *count += 1;
    fields.set(b"x-from", b"ringway").expect("a valid field");
}

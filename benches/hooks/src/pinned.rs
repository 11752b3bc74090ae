//! Candidate (a): `async fn` hooks that borrow, run in place in the engine's [`HookCell`].

use crate::model::{Answer, Hooks, Maker, Session, Verdict, Visit, edit, one_turn};
use ringway_engine::phase::{HookCell, Phase, Phases, Rooms, Unasked, asks};
use ringway_proto::message::ResponseHead;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What a user implements.
pub(crate) trait Proxy: 'static {
    /// What one exchange remembers from hook to hook.
    type Ctx: Default;

    /// May change, refuse or answer the request.
    fn request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> impl Future<Output = Verdict> {
        let _ = (session, ctx);
        Unasked::new()
    }

    /// May change the response as it comes from upstream.
    fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut Self::Ctx,
    ) -> impl Future<Output = Verdict> {
        let _ = (session, response, ctx);
        Unasked::new()
    }
}

/// The one generic thing between a user's type and the engine.
pub(crate) struct Adapter<P: Proxy> {
    cell: HookCell<Lent<P>, Verdict>,
}

/// What a running hook borrows from.
struct Lent<P: Proxy> {
    proxy: Rc<P>,
    ctx: P::Ctx,
    visit: Option<Box<Visit>>,
}

fn request_filter<P: Proxy>(lent: &mut Lent<P>) -> impl Future<Output = Verdict> {
    let visit = lent.visit.as_mut().expect("put here by `visit`");
    lent.proxy.request_filter(&mut visit.session, &mut lent.ctx)
}

fn upstream_response_filter<P: Proxy>(lent: &mut Lent<P>) -> impl Future<Output = Verdict> {
    let visit = lent.visit.as_mut().expect("put here by `visit`");
    lent.proxy.upstream_response_filter(&mut visit.session, &mut visit.response, &mut lent.ctx)
}

impl<P: Proxy> Adapter<P> {
    pub(crate) fn new(proxy: Rc<P>, rooms: Rooms) -> Self {
        Self { cell: HookCell::new(Lent { proxy, ctx: P::Ctx::default(), visit: None }, rooms) }
    }

    fn back(&mut self, verdict: Verdict) -> Poll<Answer> {
        let lent = self.cell.lent_mut().expect("the hook has answered");
        Poll::Ready((lent.visit.take().expect("put here by `visit`"), verdict))
    }
}

impl<P: Proxy> Hooks for Adapter<P> {
    fn asked(&self) -> Phases {
        Phases::NONE
            .with(Phase::Request, asks::<_, Verdict, _>(request_filter::<P>))
            .with(Phase::UpstreamResponse, asks::<_, Verdict, _>(upstream_response_filter::<P>))
    }

    fn renew(&mut self) {
        self.cell.cancel();
        self.cell.lent_mut().expect("no hook waits").ctx = P::Ctx::default();
    }

    fn visit(&mut self, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Poll<Answer> {
        self.cell.lent_mut().expect("one hook at a time").visit = Some(visit);
        let verdict = match phase {
            Phase::Request => ready!(self.cell.start(request_filter, context)),
            Phase::UpstreamResponse => ready!(self.cell.start(upstream_response_filter, context)),
            _ => Verdict::Continue,
        };
        self.back(verdict)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let verdict = ready!(self.cell.resume(context));
        self.back(verdict)
    }
}

/// A proxy that leaves every hook to its default.
pub(crate) struct Nothing;

impl Proxy for Nothing {
    type Ctx = ();
}

/// Hooks that do nothing.
pub(crate) struct Noop;

impl Proxy for Noop {
    type Ctx = ();

    async fn request_filter(&self, _: &mut Session, _: &mut ()) -> Verdict {
        Verdict::Continue
    }

    async fn upstream_response_filter(&self, _: &mut Session, _: &mut ResponseHead, _: &mut ()) -> Verdict {
        Verdict::Continue
    }
}

/// Hooks that set a field.
pub(crate) struct Edit;

impl Proxy for Edit {
    type Ctx = u32;

    async fn request_filter(&self, session: &mut Session, ctx: &mut u32) -> Verdict {
        edit(&mut session.request.fields, ctx);
        Verdict::Continue
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut u32,
    ) -> Verdict {
        edit(&mut response.fields, ctx);
        Verdict::Continue
    }
}

/// As [`Edit`], and waits once in the first hook, with a token of 256 bytes in hand.
pub(crate) struct Wait;

impl Proxy for Wait {
    type Ctx = u32;

    async fn request_filter(&self, session: &mut Session, ctx: &mut u32) -> Verdict {
        let token = [*ctx as u8; 256];
        one_turn().await;
        *ctx += u32::from(std::hint::black_box(&token)[17]);
        edit(&mut session.request.fields, ctx);
        Verdict::Continue
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut u32,
    ) -> Verdict {
        edit(&mut response.fields, ctx);
        Verdict::Continue
    }
}

/// The hooks of `kind`, with the rooms of a shard.
pub(crate) fn make(kind: &str) -> Option<Maker> {
    let shared = Rooms::new();
    make_in(kind, move || shared.clone())
}

/// The hooks of `kind`, each exchange with a room of its own: it is in the cache no more than its exchange.
pub(crate) fn make_with_own_rooms(kind: &str) -> Option<Maker> {
    make_in(kind, Rooms::new)
}

fn make_in(kind: &str, rooms: impl Fn() -> Rooms + 'static) -> Option<Maker> {
    match kind {
        "nothing" => Some(maker(Nothing, rooms)),
        "noop" => Some(maker(Noop, rooms)),
        "edit" => Some(maker(Edit, rooms)),
        "wait" => Some(maker(Wait, rooms)),
        _ => None,
    }
}

fn maker<P: Proxy>(proxy: P, rooms: impl Fn() -> Rooms + 'static) -> Maker {
    let proxy = Rc::new(proxy);
    Box::new(move || Box::new(Adapter::new(proxy.clone(), rooms())))
}

//! Candidate (b): hooks take owned state, and give a boxed future back when they wait.

use crate::model::{Answer, Hooks, Maker, Verdict, Visit, edit, one_turn};
use ringway_engine::phase::{Phase, Phases};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a user implements.
pub(crate) trait Proxy: 'static {
    /// What one exchange remembers from hook to hook.
    type Ctx: Default + 'static;

    /// May change, refuse or answer the request.
    fn request_filter(self: &Rc<Self>, state: State<Self::Ctx>) -> Flow<Self::Ctx> {
        Flow::Done(state, Verdict::Continue)
    }

    /// May change the response as it comes from upstream.
    fn upstream_response_filter(self: &Rc<Self>, state: State<Self::Ctx>) -> Flow<Self::Ctx> {
        Flow::Done(state, Verdict::Continue)
    }
}

/// What a hook owns while it runs.
pub(crate) struct State<C> {
    pub(crate) visit: Box<Visit>,
    pub(crate) ctx: C,
}

/// What a hook gives back.
pub(crate) enum Flow<C> {
    /// It is done.
    Done(State<C>, Verdict),
    /// It waits, and gives the state back when it is done.
    Wait(Waiting<C>),
}

pub(crate) type Waiting<C> = Pin<Box<dyn Future<Output = (State<C>, Verdict)>>>;

pub(crate) struct Adapter<P: Proxy> {
    proxy: Rc<P>,
    /// `None` while a hook has it.
    ctx: Option<P::Ctx>,
    waiting: Option<Waiting<P::Ctx>>,
}

impl<P: Proxy> Adapter<P> {
    pub(crate) fn new(proxy: Rc<P>) -> Self {
        Self { proxy, ctx: Some(P::Ctx::default()), waiting: None }
    }

    fn back(&mut self, state: State<P::Ctx>, verdict: Verdict) -> Poll<Answer> {
        self.ctx = Some(state.ctx);
        Poll::Ready((state.visit, verdict))
    }
}

impl<P: Proxy> Hooks for Adapter<P> {
    fn asked(&self) -> Phases {
        Phases::NONE.with(Phase::Request, true).with(Phase::UpstreamResponse, true)
    }

    fn renew(&mut self) {
        self.waiting = None;
        self.ctx = Some(P::Ctx::default());
    }

    fn visit(&mut self, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Poll<Answer> {
        let state = State { visit, ctx: self.ctx.take().expect("one hook at a time") };
        let flow = match phase {
            Phase::Request => self.proxy.request_filter(state),
            Phase::UpstreamResponse => self.proxy.upstream_response_filter(state),
            _ => Flow::Done(state, Verdict::Continue),
        };
        match flow {
            Flow::Done(state, verdict) => self.back(state, verdict),
            Flow::Wait(waiting) => {
                self.waiting = Some(waiting);
                self.resume(context)
            }
        }
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let waiting = self.waiting.as_mut().expect("only a hook that waits is resumed");
        match waiting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready((state, verdict)) => {
                self.waiting = None;
                self.back(state, verdict)
            }
        }
    }
}

struct Nothing;

impl Proxy for Nothing {
    type Ctx = ();
}

struct Edit;

impl Proxy for Edit {
    type Ctx = u32;

    fn request_filter(self: &Rc<Self>, mut state: State<u32>) -> Flow<u32> {
        edit(&mut state.visit.session.request.fields, &mut state.ctx);
        Flow::Done(state, Verdict::Continue)
    }

    fn upstream_response_filter(self: &Rc<Self>, mut state: State<u32>) -> Flow<u32> {
        edit(&mut state.visit.response.fields, &mut state.ctx);
        Flow::Done(state, Verdict::Continue)
    }
}

struct Wait;

impl Proxy for Wait {
    type Ctx = u32;

    fn request_filter(self: &Rc<Self>, mut state: State<u32>) -> Flow<u32> {
        Flow::Wait(Box::pin(async move {
            let token = [state.ctx as u8; 256];
            one_turn().await;
            state.ctx += u32::from(std::hint::black_box(&token)[17]);
            edit(&mut state.visit.session.request.fields, &mut state.ctx);
            (state, Verdict::Continue)
        }))
    }

    fn upstream_response_filter(self: &Rc<Self>, mut state: State<u32>) -> Flow<u32> {
        edit(&mut state.visit.response.fields, &mut state.ctx);
        Flow::Done(state, Verdict::Continue)
    }
}

/// The hooks of `kind`. Hooks that do nothing are the defaults: nothing tells them apart.
pub(crate) fn make(kind: &str) -> Option<Maker> {
    match kind {
        "nothing" | "noop" => Some(maker(Nothing)),
        "edit" => Some(maker(Edit)),
        "wait" => Some(maker(Wait)),
        _ => None,
    }
}

fn maker<P: Proxy>(proxy: P) -> Maker {
    let proxy = Rc::new(proxy);
    Box::new(move || Box::new(Adapter::new(proxy.clone())))
}

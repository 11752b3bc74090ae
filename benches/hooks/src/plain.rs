//! The floor: hooks that are functions and cannot wait.

use crate::model::{Answer, Hooks, Maker, Session, Verdict, Visit, edit};
use ringway_engine::phase::{Phase, Phases};
use ringway_proto::message::ResponseHead;
use std::rc::Rc;
use std::task::{Context, Poll};

trait Proxy: 'static {
    type Ctx: Default;

    fn request_filter(&self, session: &mut Session, ctx: &mut Self::Ctx) -> Verdict;
    fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut Self::Ctx,
    ) -> Verdict;
}

struct Adapter<P: Proxy> {
    proxy: Rc<P>,
    ctx: P::Ctx,
}

impl<P: Proxy> Hooks for Adapter<P> {
    fn asked(&self) -> Phases {
        Phases::NONE.with(Phase::Request, true).with(Phase::UpstreamResponse, true)
    }

    fn renew(&mut self) {
        self.ctx = P::Ctx::default();
    }

    fn visit(&mut self, phase: Phase, mut visit: Box<Visit>, _: &mut Context<'_>) -> Poll<Answer> {
        let (session, response) = (&mut visit.session, &mut visit.response);
        let verdict = match phase {
            Phase::Request => self.proxy.request_filter(session, &mut self.ctx),
            Phase::UpstreamResponse => self.proxy.upstream_response_filter(session, response, &mut self.ctx),
            _ => Verdict::Continue,
        };
        Poll::Ready((visit, verdict))
    }

    fn resume(&mut self, _: &mut Context<'_>) -> Poll<Answer> {
        unreachable!("a function does not wait")
    }
}

struct Noop;

impl Proxy for Noop {
    type Ctx = ();

    fn request_filter(&self, _: &mut Session, _: &mut ()) -> Verdict {
        Verdict::Continue
    }

    fn upstream_response_filter(&self, _: &mut Session, _: &mut ResponseHead, _: &mut ()) -> Verdict {
        Verdict::Continue
    }
}

struct Edit;

impl Proxy for Edit {
    type Ctx = u32;

    fn request_filter(&self, session: &mut Session, ctx: &mut u32) -> Verdict {
        edit(&mut session.request.fields, ctx);
        Verdict::Continue
    }

    fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHead,
        ctx: &mut u32,
    ) -> Verdict {
        edit(&mut response.fields, ctx);
        Verdict::Continue
    }
}

/// The hooks of `kind`; a function cannot wait.
pub(crate) fn make(kind: &str) -> Option<Maker> {
    match kind {
        "noop" => Some(maker(Noop)),
        "edit" => Some(maker(Edit)),
        _ => None,
    }
}

fn maker<P: Proxy>(proxy: P) -> Maker {
    let proxy = Rc::new(proxy);
    Box::new(move || Box::new(Adapter { proxy: proxy.clone(), ctx: P::Ctx::default() }))
}

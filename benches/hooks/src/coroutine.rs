//! A third candidate: one future for each exchange runs all of its hooks, and waits between them for the next.
//! The compiler makes the self-reference, so there is no unsafe code.
//!
//! With a box for each hook it is what `async_trait` does (and Pingora with it).

use crate::model::{Answer, Hooks, Maker, Verdict, Visit};
use crate::pinned::{Edit, Noop, Nothing, Proxy, Wait};
use ringway_engine::phase::{Phase, Phases};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

type Driver = Pin<Box<dyn Future<Output = Infallible>>>;

struct Adapter {
    slot: Rc<Slot>,
    driver: Driver,
}

/// Where an exchange and its driver hand each other the visit.
#[derive(Default)]
struct Slot {
    order: Cell<Option<Order>>,
    answer: Cell<Option<Answer>>,
}

enum Order {
    Renew,
    Visit(Phase, Box<Visit>),
}

impl Slot {
    async fn order(&self) -> Order {
        poll_fn(|_| self.order.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

async fn drive<P: Proxy>(proxy: Rc<P>, slot: Rc<Slot>) -> Infallible {
    let mut ctx = P::Ctx::default();
    loop {
        let (phase, mut visit) = match slot.order().await {
            Order::Renew => {
                ctx = P::Ctx::default();
                continue;
            }
            Order::Visit(phase, visit) => (phase, visit),
        };
        let (session, response) = (&mut visit.session, &mut visit.response);
        let verdict = match phase {
            Phase::Request => proxy.request_filter(session, &mut ctx).await,
            Phase::UpstreamResponse => proxy.upstream_response_filter(session, response, &mut ctx).await,
            _ => Verdict::Continue,
        };
        slot.answer.set(Some((visit, verdict)));
    }
}

async fn drive_boxed<P: Proxy>(proxy: Rc<P>, slot: Rc<Slot>) -> Infallible {
    let mut ctx = P::Ctx::default();
    loop {
        let (phase, mut visit) = match slot.order().await {
            Order::Renew => {
                ctx = P::Ctx::default();
                continue;
            }
            Order::Visit(phase, visit) => (phase, visit),
        };
        let (session, response) = (&mut visit.session, &mut visit.response);
        let hook: Pin<Box<dyn Future<Output = Verdict> + '_>> = match phase {
            Phase::Request => Box::pin(proxy.request_filter(session, &mut ctx)),
            _ => Box::pin(proxy.upstream_response_filter(session, response, &mut ctx)),
        };
        let verdict = hook.await;
        slot.answer.set(Some((visit, verdict)));
    }
}

impl Hooks for Adapter {
    fn asked(&self) -> Phases {
        Phases::NONE.with(Phase::Request, true).with(Phase::UpstreamResponse, true)
    }

    fn renew(&mut self) {
        // Run with the next visit's poll would be cheaper, but the old context must go when its exchange does.
        self.slot.order.set(Some(Order::Renew));
        let _ = self.driver.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    }

    fn visit(&mut self, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Poll<Answer> {
        self.slot.order.set(Some(Order::Visit(phase, visit)));
        self.resume(context)
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        let _ = self.driver.as_mut().poll(context);
        self.slot.answer.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The hooks of `kind`.
pub(crate) fn make(kind: &str) -> Option<Maker> {
    match kind {
        "nothing" => Some(maker(Nothing, |proxy, slot| Box::pin(drive(proxy, slot)))),
        "noop" => Some(maker(Noop, |proxy, slot| Box::pin(drive(proxy, slot)))),
        "edit" => Some(maker(Edit, |proxy, slot| Box::pin(drive(proxy, slot)))),
        "wait" => Some(maker(Wait, |proxy, slot| Box::pin(drive(proxy, slot)))),
        _ => None,
    }
}

/// The hooks of `kind`, each call in a box.
pub(crate) fn make_boxed(kind: &str) -> Option<Maker> {
    match kind {
        "nothing" => Some(maker(Nothing, |proxy, slot| Box::pin(drive_boxed(proxy, slot)))),
        "noop" => Some(maker(Noop, |proxy, slot| Box::pin(drive_boxed(proxy, slot)))),
        "edit" => Some(maker(Edit, |proxy, slot| Box::pin(drive_boxed(proxy, slot)))),
        "wait" => Some(maker(Wait, |proxy, slot| Box::pin(drive_boxed(proxy, slot)))),
        _ => None,
    }
}

fn maker<P: Proxy>(proxy: P, driver: impl Fn(Rc<P>, Rc<Slot>) -> Driver + 'static) -> Maker {
    let proxy = Rc::new(proxy);
    Box::new(move || {
        let slot = Rc::<Slot>::default();
        Box::new(Adapter { driver: driver(proxy.clone(), slot.clone()), slot })
    })
}

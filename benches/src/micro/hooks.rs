//! What hooks cost: exchanges of a proxy that somebody wrote, with hooks that do nothing and hooks that wait.
//!
//! `none` has the one hook that has to be written; `noop` every hook there is, each of which does nothing; `noop-observe`
//! says besides that contents are only looked at, so that a response keeps its length. `yield` and `sleep` wait once,
//! in their request filter: for the others that are to run in this turn, and for a timer that has passed at once.

use super::Case;
use super::exchange::{OnWire, Simulated, answer, request};
use ringway_engine::phase::Connected;
use ringway_engine::prelude::*;
use ringway_engine::service::Services;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    let of = |name: &str, services: Services| {
        let (request, answer) = (request(), answer(1));
        let name = format!("exchange/get-1b-hooks-{name}");
        let on_wire = OnWire::new(request, &answer, None, &services);
        let simulated = Simulated::new(request, &answer, &services);
        let simulated = Case { name: format!("{name}-simulated"), work: Box::new(simulated) };
        [Case { name, work: Box::new(on_wire) }, simulated]
    };
    [
        of("none", services(|| Nothing)),
        of("noop", services(|| Everything::<false>)),
        of("noop-observe", services(|| Everything::<true>)),
        of("yield", services(|| Yields)),
        of("sleep", services(|| Sleeps)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn services<P: Proxy>(make: impl Fn() -> P + Send + Sync + 'static) -> Services {
    Services::new(vec![Some(Service::proxy(make))])
}

/// Only what has to be written.
struct Nothing;

impl Proxy for Nothing {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster_at(0))
    }
}

/// Waits for the others of its turn.
struct Yields;

impl Proxy for Yields {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, (): &mut ()) -> Result<Flow> {
        rt::yield_now().await;
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster_at(0))
    }
}

/// Waits for a timer.
struct Sleeps;

impl Proxy for Sleeps {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, (): &mut ()) -> Result<Flow> {
        rt::sleep(Duration::from_micros(1)).await;
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster_at(0))
    }
}

/// Every hook, none of which does anything.
struct Everything<const OBSERVES: bool>;

const fn content_use(observes: bool) -> ContentUse {
    if observes { ContentUse::Observe } else { ContentUse::Rewrite }
}

impl<const OBSERVES: bool> Proxy for Everything<OBSERVES> {
    type Ctx = ();

    const REQUEST_CONTENT: ContentUse = content_use(OBSERVES);
    const RESPONSE_CONTENT: ContentUse = content_use(OBSERVES);

    fn new_ctx(&self) {}

    async fn early_request_filter(&self, _: &mut Session, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn request_filter(&self, _: &mut Session, (): &mut ()) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster_at(0))
    }

    async fn connected_to_upstream(&self, _: &mut Session, _: &Connected, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn upstream_request_filter(&self, _: &mut Session, _: &mut RequestHead, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn request_body_filter(&self, _: &mut Session, _: &mut Content, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn request_trailer_filter(&self, _: &mut Session, _: &mut Fields, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        _: &mut ResponseHead,
        (): &mut (),
    ) -> Result<()> {
        Ok(())
    }

    async fn response_filter(&self, _: &mut Session, _: &mut ResponseHead, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn response_body_filter(&self, _: &mut Session, _: &mut Content, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn response_trailer_filter(&self, _: &mut Session, _: &mut Fields, (): &mut ()) -> Result<()> {
        Ok(())
    }

    async fn fail_to_connect(&self, _: &mut Session, _: &mut Error, (): &mut ()) {}

    async fn error_while_proxy(&self, _: &mut Session, _: &mut Error, (): &mut ()) {}

    async fn fail_to_proxy(&self, _: &mut Session, _: &Error, (): &mut ()) -> Option<Response> {
        None
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, (): &mut ()) {}
}

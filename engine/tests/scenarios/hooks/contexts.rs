//! What one exchange remembers.

use super::*;
use ringway_engine::phase::Filter;
use ringway_engine::service::Service;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts what is under way in its context.
struct Counted(ringway_engine::meter::SharedInflight);

impl Proxy for Counted {
    type Ctx = ringway_engine::meter::SharedGuard;

    fn new_ctx(&self) -> Self::Ctx {
        self.0.begin("exchange")
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::Ctx) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_context_ends_with_its_exchange() {
    scenario(|w| {
        let inflight = ringway_engine::meter::SharedInflight::new();
        let counted = inflight.clone();
        w.proxy(move || Counted(counted.clone()));
        w.origin().on("GET /").reply("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        w.origin().on("GET /silent").hang();
        let (c, waiting) = (w.client(), w.client());
        waiting.get("/silent");
        w.settle();
        assert_eq!(inflight.count("exchange"), 1);
        c.get("/").expect_status(200).expect_body("abc");
        w.settle();
        assert_eq!(inflight.count("exchange"), 1, "the other one is over, and the connection stays");
        waiting.close();
        w.settle();
        assert_eq!(inflight.count("exchange"), 0);
    });
}

/// Its context panics when it is dropped, once the cell says so.
struct Brittle {
    armed: Rc<Cell<bool>>,
}

struct Glass(Rc<Cell<bool>>);

impl Drop for Glass {
    fn drop(&mut self) {
        assert!(!self.0.take(), "as asked");
    }
}

impl Proxy for Brittle {
    type Ctx = Glass;

    fn new_ctx(&self) -> Glass {
        Glass(Rc::clone(&self.armed))
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Glass) -> Result<Peer> {
        ctx.0.set(session.request().path() == b"/break");
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_context_that_breaks_when_it_is_dropped_breaks_nothing_else() {
    scenario(|w| {
        w.bear_panics();
        w.proxy(|| Brittle { armed: Rc::default() });
        w.origin().on("*").reply(OK);
        let c = w.client();
        c.get("/break").expect_ok("abc").get("/").expect_ok("abc").expect_kept_alive();
        c.get("/break").get("/").expect_ok("abc").expect_ok("abc").expect_kept_alive();
        w.expect_outcomes(&["complete"; 4]).expect_counter("exchanges_active", 0);
    });
}

/// Counts the contexts that are made for it, with a hook of responses alone.
#[derive(Clone, Default)]
struct Lazy {
    made: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
}

/// Tells that it is dropped.
struct Made(Arc<AtomicU32>, u32);

impl Drop for Made {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Filter for Lazy {
    type Ctx = Made;

    fn new_ctx(&self) -> Made {
        self.made.fetch_add(1, Ordering::Relaxed);
        Made(Arc::clone(&self.dropped), 0)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        _: &mut ResponseHead,
        made: &mut Made,
    ) -> Result<()> {
        made.1 += 1;
        Ok(())
    }

    async fn response_body_filter(&self, _: &mut Session, _: &mut Content, made: &mut Made) -> Result<()> {
        assert_eq!(made.1, 1, "the context is the one of the head");
        Ok(())
    }
}

#[test]
fn a_context_is_made_when_the_first_hook_runs_and_once() {
    scenario(|w| {
        let lazy = Lazy::default();
        let filter = lazy.clone();
        w.service(Service::proxy(|| Answering).behind(move || filter.clone()));
        let count = || (lazy.made.load(Ordering::Relaxed), lazy.dropped.load(Ordering::Relaxed));
        w.origin().on("GET /").reply(OK);
        w.origin().on("GET /slow").hang();
        let c = w.client();
        // None of its hooks runs.
        c.request("HEAD", "/answered", "", "").expect_status(200);
        w.settle();
        assert_eq!(count(), (0, 0), "no hook of it ran");
        for n in 1..=3 {
            c.get("/").expect_ok("abc");
            w.settle();
            assert_eq!(count(), (n, n));
        }
        c.get("/slow");
        w.settle();
        assert_eq!(count(), (3, 3), "no answer, no hook");
    });
}

/// Answers some requests by itself.
struct Answering;

impl Proxy for Answering {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let is_own = session.request().path() == b"/answered";
        Ok(if is_own { Response::new(200).into() } else { Flow::Continue })
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

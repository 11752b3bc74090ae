//! What one exchange remembers.

use super::*;
use std::cell::Cell;
use std::rc::Rc;

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

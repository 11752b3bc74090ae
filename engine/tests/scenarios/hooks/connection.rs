//! What a client's connection keeps for its next request.

use super::*;

/// Counts the requests of a connection in what that keeps.
struct Counting;

impl Proxy for Counting {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let kept = session.connection_context();
        let count = kept.as_ref().and_then(|kept| kept.downcast_ref::<u32>()).map_or(1, |count| count + 1);
        *kept = Some(Box::new(count));
        if session.request().path() == b"/wait" {
            rt::sleep(Duration::from_millis(5)).await;
        }
        Ok(match session.request().path() {
            b"/refuse" => return Err(Error::refused(418)),
            b"/forget" => {
                *session.connection_context() = None;
                Response::new(200).body("none").into()
            }
            _ => Response::new(200).body(count.to_string()).into(),
        })
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, (): &mut ()) {
        assert!(session.connection_context().is_none(), "the next request may have it by now");
    }
}

#[test]
fn what_a_connection_keeps_is_its_own() {
    scenario(|w| {
        w.proxy(|| Counting);
        let (c, other) = (w.client(), w.client());
        c.get("/").expect_ok("1").get("/").expect_ok("2");
        other.get("/").expect_ok("1");
        c.get("/").get("/wait").get("/").expect_ok("3").expect_ok("4").expect_ok("5");
        c.get("/refuse").expect_status(418);
        c.get("/").expect_ok("7");
        c.get("/forget").expect_ok("none").get("/").expect_ok("1");
        other.get("/").expect_ok("2");
        w.client().get("/").expect_ok("1");
    });
}

/// Keeps something that notes when it is dropped.
struct Keeping {
    diary: Notes,
}

impl Proxy for Keeping {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        if session.connection_context().is_none() {
            *session.connection_context() = Some(Box::new(Dropped(self.diary.clone())));
        }
        if session.request().path() == b"/hang" {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(204).into())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn what_a_connection_keeps_goes_with_it() {
    scenario(|w| {
        let diary = Diary::new();
        let notes = diary.notes.clone();
        w.proxy(move || Keeping { diary: notes.clone() });
        let c = w.client();
        c.get("/").expect_status(204).get("/").expect_status(204);
        w.settle();
        diary.expect(&[]);
        c.close();
        w.settle();
        diary.expect(&["dropped"]);
        let c = w.client();
        c.get("/hang");
        w.settle();
        c.close();
        w.settle();
        diary.expect(&["dropped"]);
    });
}

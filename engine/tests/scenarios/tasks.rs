//! What hooks wait for beside their exchange: other threads, tasks, the end of patience.

use ringway_engine::error::Result;
use ringway_engine::phase::{Flow, Peer, Proxy, Response, Session};
use ringway_engine::rt;
use ringway_testing::{World, scenario, simulated};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Answers every request with what a task has found out, by a way that the path names.
struct Asking {
    found: Rc<Found>,
}

/// What the task finds out, and that it has.
#[derive(Default)]
struct Found {
    number: Cell<Option<u32>>,
    told: rt::Notify,
}

impl Asking {
    fn new() -> Self {
        let found = Rc::new(Found::default());
        let finder = Rc::clone(&found);
        rt::spawn(async move {
            rt::sleep(Duration::from_millis(5)).await;
            finder.number.set(Some(7));
            finder.told.notify_all();
        });
        Self { found }
    }

    async fn number(&self) -> u32 {
        loop {
            match self.found.number.get() {
                Some(number) => return number,
                None => self.found.told.notified().await,
            }
        }
    }
}

impl Proxy for Asking {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, session: &mut Session, (): &mut ()) -> Result<Flow> {
        let answer = match session.request().path() {
            b"/task" => self.number().await.to_string(),
            b"/thread" => rt::offload(|| (1..=10_u32).sum::<u32>())
                .await
                .map_or_else(|e| e.to_string(), |n| n.to_string()),
            b"/spawn" => {
                rt::spawn(async { panic!("as asked") }).await.map_or_else(|e| e.to_string(), |()| "ok".into())
            }
            b"/late" => {
                let late = rt::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
                late.map_or_else(|e| e.to_string(), |()| "in time".into())
            }
            b"/name" => format!("{:?}", rt::resolve("[::1]", 80).await),
            _ => return Ok(Flow::Continue),
        };
        Ok(Response::new(200).body(answer).into())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

fn asking(run: impl Fn(&World)) {
    scenario(|w| {
        w.proxy(Asking::new);
        run(w);
    });
}

#[test]
fn a_hook_waits_for_a_task_that_its_proxy_began() {
    asking(|w| {
        let (a, b) = (w.client(), w.client());
        a.get("/task");
        b.get("/task");
        a.expect_ok("7").get("/task").expect_ok("7");
        b.expect_ok("7");
    });
}

#[test]
fn a_hook_waits_for_another_thread() {
    asking(|w| {
        let c = w.client();
        c.get("/thread").expect_ok("55").get("/thread").expect_ok("55");
    });
}

#[test]
fn a_task_that_panics_is_an_error_for_who_waits_for_it() {
    // On sockets every panic is one too many.
    simulated(|w| {
        w.proxy(Asking::new);
        let c = w.client();
        c.get("/spawn").expect_ok("the task panicked");
        c.get("/task").expect_ok("7");
        w.expect_counter("panics", 1);
    });
}

#[test]
fn a_hook_bounds_what_it_waits_for() {
    asking(|w| {
        let c = w.client();
        c.get("/late").expect_ok("it took too long");
    });
}

#[test]
fn an_address_is_known_without_a_resolver() {
    asking(|w| {
        let c = w.client();
        c.get("/name").expect_ok("Ok([[::1]:80])");
    });
}

/// Answers with what a task beside it has counted.
struct Counting(Arc<AtomicU32>);

impl Proxy for Counting {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn request_filter(&self, _: &mut Session, (): &mut ()) -> Result<Flow> {
        Ok(Response::new(200).body(self.0.load(Ordering::Relaxed).to_string()).into())
    }

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

#[test]
fn a_shard_runs_its_tasks_from_its_start_to_its_end() {
    scenario(|w| {
        let count = Arc::new(AtomicU32::new(0));
        let (counted, counting) = (Arc::clone(&count), Arc::clone(&count));
        w.proxy(move || Counting(Arc::clone(&counted)));
        w.on_each_shard(std::future::pending);
        w.on_each_shard(move || {
            // Made on the shard, where it may use all of it.
            rt::spawn(async {});
            let counting = Arc::clone(&counting);
            async move {
                counting.fetch_add(1, Ordering::Relaxed);
                rt::sleep(Duration::from_millis(5)).await;
                counting.fetch_add(10, Ordering::Relaxed);
                rt::shutdown().await;
                counting.fetch_add(100, Ordering::Relaxed);
            }
        });
        let c = w.client();
        c.get("/").expect_status(200);
        w.after("10ms");
        c.get("/").expect_ok("11");
        c.close();
        w.drain("5s").settle();
        assert_eq!(count.load(Ordering::Relaxed), 111);
    });
}

#[test]
fn a_shard_outlives_its_tasks() {
    simulated(|w| {
        w.bear_panics();
        w.on_each_shard(|| async { panic!("as asked") });
        w.origin().on("GET /").ok("x");
        let c = w.client();
        c.get("/").expect_ok("x");
        w.expect_counter("panics", 1);
    });
}

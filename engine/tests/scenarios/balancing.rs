//! Which endpoint of a cluster is next, by an algorithm of somebody's own.

use ringway_engine::prelude::*;
use ringway_testing::{Client, World, calm, scenario, simulated_calm};

/// Two origins that say who they are, balanced by `algorithm`.
fn balanced_by<B: Balance + 'static>(w: &World, algorithm: fn() -> B) {
    w.origins(2);
    w.origin_at(0).on("GET /").ok("first");
    w.origin_at(1).on("GET /").ok("second");
    w.balance("own", move |_| algorithm());
    w.settings(|s| s.clusters[0].balance = "own".into());
}

/// Always the last one.
struct Last;

impl Balance for Last {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.usable().last().map(|(index, _)| index)
    }
}

/// Whoever has least to do.
struct LeastBusy;

impl Balance for LeastBusy {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        candidates.usable().min_by_key(|(_, endpoint)| endpoint.busy()).map(|(index, _)| index)
    }
}

/// The endpoint whose number is the key, and none without a key.
struct ByKey;

impl Balance for ByKey {
    fn pick(&mut self, candidates: &Candidates<'_>) -> Option<usize> {
        match candidates.key()? {
            b"panic" => panic!("as asked"),
            key => Some(usize::from(key[0] - b'0')),
        }
    }
}

/// Balances by a field of the request.
struct Keyed;

impl Proxy for Keyed {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        let peer = Peer::cluster("app");
        Ok(match session.request().fields.find("x-key") {
            Some(b"address") => Peer::address(([127, 0, 0, 1], 1)).balance_key(*b"1"),
            Some(key) => peer.balance_key(key),
            None => peer,
        })
    }
}

fn ask<'c>(client: &'c Client, key: &str) -> &'c Client {
    client.request("GET", "/", &format!("X-Key: {key}\r\n"), "")
}

#[test]
fn a_cluster_is_balanced_by_the_algorithm_that_its_settings_name() {
    scenario(|w| {
        balanced_by(w, || Last);
        let c = w.client();
        (0..3).for_each(|_| _ = c.get("/").expect_ok("second"));
        w.origin_at(0).expect_connections(0);
    });
}

#[test]
fn what_failed_is_not_shown_to_an_algorithm_while_there_is_another() {
    scenario(|w| {
        balanced_by(w, || Last);
        w.origin_at(1).is_down();
        w.client().get("/").expect_ok("first");
        w.last_record().expect("attempts", "2").expect("endpoint", &w.origin_at(0).address());
    });
}

#[test]
fn an_algorithm_that_names_what_failed_gets_it_once_more() {
    calm(|w| {
        balanced_by(w, || ByKey);
        w.proxy(|| Keyed);
        w.origin_at(1).is_down();
        ask(&w.client(), "1").expect_status(502);
        w.last_record().expect("attempts", "3").expect("endpoint", &w.origin_at(1).address());
    });
}

#[test]
fn an_endpoint_is_busy_while_a_request_is_under_way() {
    simulated_calm(|w| {
        balanced_by(w, || LeastBusy);
        w.origin_at(0).on("GET /slow").wait("5s").ok("slow");
        let (slow, c) = (w.client(), w.client());
        c.get("/").expect_ok("first");
        slow.get("/slow");
        w.after("1s");
        (0..3).for_each(|_| _ = c.get("/").expect_ok("second"));
        slow.expect_ok("slow");
        // Its connection is idle now, and does not count.
        c.get("/").expect_ok("first");
    });
}

#[test]
fn requests_with_one_key_are_for_one_endpoint() {
    calm(|w| {
        balanced_by(w, || ByKey);
        w.proxy(|| Keyed);
        let c = w.client();
        for (key, said) in [("1", "second"), ("1", "second"), ("0", "first"), ("1", "second")] {
            ask(&c, key).expect_ok(said);
        }
        ask(&c, "address").expect_status(500);
        w.last_record().expect("outcome", "peer_invalid");
    });
}

#[test]
fn an_algorithm_may_refuse() {
    scenario(|w| {
        balanced_by(w, || ByKey);
        w.proxy(|| Keyed);
        let c = w.client();
        c.get("/").expect_status(503).expect_body("503 Service Unavailable\n");
        // An endpoint that is not there is none.
        ask(&c, "7").expect_status(503).expect_body("503 Service Unavailable\n").expect_kept_alive();
        w.expect_outcomes(&["no_endpoint", "no_endpoint"]);
    });
}

#[test]
fn an_algorithm_that_panics_ends_only_the_exchange_for_which_it_was_asked() {
    scenario(|w| {
        w.bear_panics();
        balanced_by(w, || ByKey);
        w.proxy(|| Keyed);
        let other = w.client();
        ask(&other, "0").expect_ok("first");
        ask(&w.client(), "panic").expect_status(500);
        ask(&other, "1").expect_ok("second").expect_kept_alive();
        w.expect_outcomes(&["complete", "panicked", "complete"]).expect_counter("panics", 1);
    });
}

//! The crate's own tests, on simulated networks and on sockets.

use outside::{Measure, Status, Tenants};
use ringway_engine::meter::{Inflight, SharedInflight};
use ringway_engine::prelude::*;
use ringway_testing::{World, scenario, simulated};

fn tenants(w: &World) {
    let inflight = SharedInflight::new();
    let service = Service::proxy(move || Tenants::new(inflight.clone()));
    w.service(service.in_front(|| Measure));
}

#[test]
fn a_request_goes_to_its_tenant() {
    scenario(|w| {
        tenants(w);
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.send("GET / HTTP/1.1\r\nHost: ann.example\r\n\r\n").asks("GET");
        c.expect_status(200).expect_header("x-measured", "yes").expect_body("hello (5)");
        w.origin().last().expect_header("x-tenant", "ann");
    });
}

#[test]
fn a_filter_joins_those_who_ask_for_it() {
    scenario(|w| {
        let inflight = SharedInflight::new();
        w.proxy(move || Tenants::new(inflight.clone()));
        w.origin().on("*").ok("hello");
        for (path, content) in [("/", "hello"), ("/measured", "hello (5)"), ("/measured", "hello (5)")] {
            w.client().get(path).expect_status(200).expect_body(content);
        }
    });
}

#[test]
fn a_tenant_has_so_many_requests_at_a_time() {
    simulated(|w| {
        tenants(w);
        w.origin().on("GET /").wait("3s").ok("hello");
        let clients = [w.client(), w.client(), w.client()];
        for c in &clients {
            c.get("/");
            w.after("1s");
        }
        let [one, two, three] = &clients;
        three.expect_status(429).expect_header("retry-after", "1");
        one.expect_status(200);
        two.expect_status(200);
        three.get("/").expect_status(200);
    });
}

#[test]
fn an_origin_that_is_late_is_excused() {
    simulated(|w| {
        tenants(w);
        w.origin().on("GET /").hang();
        w.client().get("/").expect_status(504).expect_body("It takes too long.\n (19)");
    });
}

#[test]
fn an_app_asks_another() {
    scenario(|w| {
        w.service(Service::app(|| Status { asked: Inflight::new() }));
        w.origin().on("GET /health").ok("");
        let c = w.client();
        c.get("/").expect_status(200).expect_body("the app: 200");
        c.post("/", "0123456789").expect_status(200).expect_body("0123456789");
        c.post("/", "0123456789abcdef0").expect_status(413);
    });
}

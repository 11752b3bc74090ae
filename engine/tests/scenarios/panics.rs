//! A fault of ours ends the exchange in which it shows, and nothing else.

use ringway_engine::io::sim::Call;
use ringway_testing::{Client, World, simulated_calm};

/// A client in the middle of a response, which goes on when everything else is over.
fn bystander(w: &World) -> Client {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    w.origin().on("GET /bystander").reply(head).wait("10s").reply("world");
    let c = w.client();
    c.get("/bystander").expect_status(200).expect_body_so_far("hello");
    c
}

/// The bystander has its answer, and whoever comes is served.
fn others_live(w: &World, bystander: &Client, outcomes: &[&str]) {
    w.origin().on("GET /next").ok("next");
    w.client().get("/next").expect_ok("next");
    bystander.expect_body("helloworld").get("/next").expect_ok("next").expect_kept_alive();
    w.expect_outcomes(outcomes).expect_counter("panics", 1);
}

#[test]
fn a_panic_before_the_response_is_a_500() {
    // The dial is begun while the exchange runs, the request is sent when the turn is settled.
    for call in [Call::Dial, Call::Transmit] {
        simulated_calm(|w| {
            let other = bystander(w);
            w.origin().on("GET /").ok("fine");
            let c = w.client();
            w.settle();
            w.panics_at(call);
            c.get("/").expect_status(500).expect_header("Connection", "close");
            c.expect_body("500 Internal Server Error\n").expect_closed();
            w.last_record().expect("status", "500").expect("outcome", "panicked");
            others_live(w, &other, &["panicked", "complete", "complete", "complete"]);
        });
    }
}

#[test]
fn a_panic_in_the_middle_of_a_response_cuts_it() {
    for call in [Call::Receive, Call::Transmit] {
        simulated_calm(|w| {
            let other = bystander(w);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
            w.origin().on("GET /").reply(head).wait("1s").reply("world");
            let c = w.client();
            c.get("/").expect_status(200).expect_body_so_far("hello");
            w.panics_at(call);
            c.expect_body("hello").expect_aborted();
            others_live(w, &other, &["panicked", "complete", "complete", "complete"]);
        });
    }
}

#[test]
fn a_panic_when_a_time_out_is_dealt_with_ends_one_exchange() {
    simulated_calm(|w| {
        w.settings(|s| s.clusters[0].timeouts.first_byte = std::time::Duration::from_secs(5));
        let other = bystander(w);
        w.origin().on("GET /").hang();
        let c = w.client();
        c.get("/");
        w.after("1s");
        // The 504 that is due in a moment is not sent any more.
        w.panics_at(Call::Transmit);
        c.expect_no_response();
        others_live(w, &other, &["panicked", "complete", "complete", "complete"]);
    });
}

#[test]
fn a_panic_between_requests_ends_the_connection() {
    simulated_calm(|w| {
        let other = bystander(w);
        let c = w.client();
        w.settle();
        w.panics_at(Call::Receive);
        c.get("/").expect_no_response();
        others_live(w, &other, &["complete", "complete", "complete"]);
    });
}

#[test]
fn a_panic_in_a_tunnel_cuts_it_on_both_sides() {
    simulated_calm(|w| {
        let other = bystander(w);
        let switch = "HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        w.origin().on("GET /").reply(switch).tunnel().hang();
        let c = w.client();
        c.request("GET", "/", "Connection: upgrade\r\nUpgrade: websocket\r\n", "").expect_status(101);
        w.settle();
        w.panics_at(Call::Transmit);
        c.send("hello").expect_reset();
        w.origin().expect_end(1, Some("reset"));
        others_live(w, &other, &["panicked", "complete", "complete", "complete"]);
    });
}

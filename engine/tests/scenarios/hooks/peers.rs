//! Where a hook sends requests.

use super::*;
use ringway_engine::io::sim::Welcome;
use ringway_engine::settings::{KeepAlive, SocketOptions};
use std::net::SocketAddr;

/// Sends every request to what its path asks for.
struct Chooser {
    origin: SocketAddr,
}

impl Proxy for Chooser {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, session: &mut Session, (): &mut ()) -> Result<Peer> {
        let address = Peer::address(self.origin);
        let short = Duration::from_millis(200);
        Ok(match session.request().path() {
            b"/address" => address,
            b"/group" => address.group(7),
            b"/fresh" => address.fresh(),
            b"/unkept" => address.keepalive(KeepAlive { idle_max: 0, ..KeepAlive::default() }),
            b"/short" => address.keepalive(KeepAlive { idle_timeout: short, ..KeepAlive::default() }),
            b"/first" => address.first_byte_timeout(short),
            b"/between" => address.between_bytes_timeout(short),
            b"/connect" => address.connect_timeout(short),
            b"/cluster" => Peer::cluster("app"),
            b"/index" => Peer::cluster_at(0),
            b"/index9" => Peer::cluster_at(9),
            b"/unknown" => Peer::cluster("nobody"),
            b"/tls" => address.tls("example.com"),
            b"/misused" => Peer::cluster("app").group(1),
            b"/kept" => Peer::cluster("app").keepalive(KeepAlive::default()),
            b"/socket" => Peer::cluster("app").socket(SocketOptions::default()),
            b"/unix" => Peer::unix("/nonexistent/ringway.sock"),
            b"/retries" => address.retries(2),
            _ => unreachable!("nobody asks for it"),
        })
    }
}

fn chosen(run: impl Fn(&World)) {
    scenario(|w| {
        begin_chosen(w);
        run(w);
    });
}

fn begin_chosen(w: &World) {
    let origin = w.origin().address().parse().expect("an address");
    w.proxy(move || Chooser { origin });
}

#[test]
fn a_peer_that_cannot_be_used_is_a_500_and_said_to_be() {
    chosen(|w| {
        let c = w.client();
        let all = ["/unknown", "/index9", "/tls", "/misused", "/kept", "/socket"];
        for path in all {
            c.get(path).expect_status(500).expect_body("500 Internal Server Error\n");
        }
        c.expect_kept_alive();
        w.expect_outcomes(&["peer_invalid"; 6]);
        w.origin().expect_connections(0);
    });
}

#[test]
fn connections_to_an_address_are_kept_by_everything_that_shapes_them() {
    chosen(|w| {
        w.origin().on("*").reply(OK);
        let c = w.client();
        for (path, connection) in [
            ("/address", 0),
            ("/address", 0),
            ("/group", 1),
            ("/group", 1),
            ("/address", 0),
            ("/cluster", 2),
            ("/index", 2),
            ("/fresh", 3),
            ("/group", 1),
        ] {
            c.get(path).expect_ok("abc");
            w.origin().last().expect_line(&format!("GET {path} HTTP/1.1")).expect_connection(connection);
        }
        c.expect_kept_alive();
    });
}

#[test]
fn connections_to_an_address_are_kept_as_the_peer_says() {
    ringway_testing::simulated_calm(|w| {
        begin_chosen(w);
        w.origin().on("*").reply(OK);
        let c = w.client();
        for (path, connection) in
            [("/unkept", 0), ("/unkept", 1), ("/address", 2), ("/short", 3), ("/short", 3), ("/address", 2)]
        {
            c.get(path).expect_ok("abc");
            w.origin().last().expect_line(&format!("GET {path} HTTP/1.1")).expect_connection(connection);
        }
        w.after("1s");
        c.get("/short").expect_ok("abc").get("/address").expect_ok("abc");
        w.origin().last().expect_connection(2);
        w.origin().expect_connections(5);
    });
}

#[test]
fn an_address_that_refuses_is_tried_as_often_as_the_peer_says() {
    chosen(|w| {
        w.origin().is_down();
        let c = w.client();
        c.get("/address").expect_status(502);
        w.last_record().expect("attempts", "1").expect("outcome", "connect_failed");
        c.get("/retries").expect_status(502);
        w.last_record().expect("attempts", "3").expect("outcome", "connect_failed");
        c.get("/unix").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        w.last_record().expect("outcome", "connect_failed");
    });
}

#[test]
fn a_peer_has_time_outs_of_its_own() {
    chosen(|w| {
        w.origin().on("GET /first").hang();
        w.origin().on("GET /between").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang();
        let c = w.client();
        c.get("/first").expect_status(504);
        w.last_record().expect("outcome", "first_byte_timeout");
        c.get("/between").expect_status(200).expect_body("abc").expect_aborted();
        w.last_record().expect("outcome", "between_bytes_timeout");
    });
}

#[test]
fn a_peer_that_says_nothing_is_given_up_in_its_own_time() {
    ringway_testing::simulated(|w| {
        begin_chosen(w);
        w.origin().welcome(Welcome::Silence);
        let c = w.client();
        c.get("/connect").expect_status(504).expect_at("200ms");
        w.last_record().expect("outcome", "connect_timeout");
    });
}

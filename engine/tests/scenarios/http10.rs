//! HTTP/1.0 on either side.

use ringway_testing::http::Framing;
use ringway_testing::scenario;

const GET: &str = "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n";
const GET_AND_STAY: &str = "GET / HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n";

#[test]
fn a5_a39_a_client_that_does_not_ask_for_more_is_closed() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.send(GET).expect_ok("hello").expect_line("HTTP/1.1 200 OK").expect_header("Connection", "close");
        c.expect_header("Content-Length", "5").expect_closed();
        w.origin().last().expect_line("GET / HTTP/1.1").expect_no_header("Connection");
        w.origin().expect_end(0, None);
        w.last_record().expect("protocol", "HTTP/1.0").expect("outcome", "complete");
    });
}

#[test]
fn a39_a_client_that_asks_for_more_is_told_that_it_gets_it() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        for _ in 0..2 {
            c.send(GET_AND_STAY)
                .expect_ok("hello")
                .expect_header("Connection", "keep-alive")
                .expect_kept_alive();
            w.origin().last().expect_no_header("Connection");
        }
        c.send(GET).expect_ok("hello").expect_header("Connection", "close").expect_closed();
        w.origin().expect_connections(1).expect_requests(3);
    });
}

#[test]
fn close_beats_keep_alive() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n").expect_ok("hello");
        c.expect_header("Connection", "close").expect_closed();
    });
}

#[test]
fn a21_chunks_are_taken_apart_for_a_client_that_does_not_know_them() {
    scenario(|w| {
        w.origin().on("GET /").reply(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n",
        );
        let c = w.client();
        c.send(GET_AND_STAY).expect_status(200).expect_framing(Framing::UntilClose).expect_body("abcde");
        c.expect_header("Connection", "close").expect_no_header("Transfer-Encoding").expect_closed();
        w.origin().expect_end(0, None);
    });
}

#[test]
fn b30_b35_interim_responses_are_kept_from_it() {
    scenario(|w| {
        w.origin()
            .on("POST /")
            .reply("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .ok("done");
        let c = w.client();
        c.send("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi");
        c.expect_ok("done").expect_closed();
        w.origin().last().expect_no_header("Expect").expect_body("hi");
    });
}

#[test]
fn b21_its_upgrade_is_ignored() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n");
        c.expect_ok("hello").expect_kept_alive();
        w.origin().last().expect_no_header("Upgrade").expect_no_header("Connection");
    });
}

#[test]
fn a7_a_request_without_host_goes_on_with_the_origins() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        w.client().send("GET / HTTP/1.0\r\n\r\n").expect_ok("hello").expect_closed();
        w.origin()
            .last()
            .expect_header("Host", &w.origin_at(0).address())
            .expect_no_header("X-Forwarded-Host");
    });
}

#[test]
fn a7_a_request_without_host_is_tried_again_with_the_host_of_whom_it_goes_to() {
    scenario(|w| {
        w.origins(2);
        w.origin_at(0).on("GET /first").ok("first");
        w.origin_at(0).on("GET /").close();
        w.origin_at(1).on("GET /second").ok("second");
        w.origin_at(1).on("GET /").ok("hello");
        let c = w.client();
        c.get("/first").expect_ok("first").get("/second").expect_ok("second");
        c.send("GET / HTTP/1.0\r\n\r\n").expect_ok("hello");
        w.origin_at(0).last().expect_line("GET / HTTP/1.1").expect_header("Host", &w.origin_at(0).address());
        w.origin_at(1).last().expect_header("Host", &w.origin_at(1).address());
        w.last_record().expect("attempts", "2");
    });
}

#[test]
fn a7_a_host_that_is_there_is_kept_and_checked() {
    scenario(|w| {
        w.origin().on("GET /").ok("hello");
        w.client().send("GET / HTTP/1.0\r\nHost: old.example\r\n\r\n").expect_ok("hello");
        w.origin().last().expect_header("Host", "old.example");
        let c = w.client();
        c.send("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").expect_status(400);
        c.expect_body("400 Bad Request\n").expect_closed();
        w.last_record().expect("rule", "host_duplicate");
    });
}

#[test]
fn a_post_with_a_length_goes_on() {
    scenario(|w| {
        w.origin().on("POST /").ok("done");
        let c = w.client();
        c.send("POST / HTTP/1.0\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello")
            .expect_ok("done");
        c.expect_kept_alive();
        w.origin().last().expect_line("POST / HTTP/1.1").expect_body("hello");
    });
}

#[test]
fn content_that_ends_with_the_connection_becomes_chunks() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello").close();
        let c = w.client();
        c.get("/")
            .expect_status(200)
            .expect_framing(Framing::Chunked)
            .expect_body("hello")
            .expect_kept_alive();
        c.get("/").expect_ok("hello").expect_no_header("Connection");
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn content_that_ends_with_the_connection_does_so_for_an_old_client() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.0 200 OK\r\n\r\nhello").close();
        let c = w.client();
        c.send(GET_AND_STAY).expect_status(200).expect_framing(Framing::UntilClose).expect_body("hello");
        c.expect_header("Connection", "close").expect_closed();
    });
}

#[test]
fn several_requests_of_http10_at_once_are_answered_once() {
    scenario(|w| {
        w.origin().on("*").ok("hello");
        let c = w.client();
        c.send("GET /1 HTTP/1.0\r\nHost: a\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n")
            .expect_ok("hello")
            .expect_closed();
        w.origin().expect_requests(1);
    });
}

#[test]
fn an_http10_client_may_ask_for_the_head_alone() {
    scenario(|w| {
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let c = w.client();
        c.asks("HEAD")
            .send("HEAD / HTTP/1.0\r\nHost: a\r\n\r\n")
            .expect_ok("")
            .expect_header("Content-Length", "5");
        c.expect_closed();
    });
}

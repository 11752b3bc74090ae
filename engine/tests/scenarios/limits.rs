//! What is too much, and what becomes of the connection then.

use ringway_testing::{calm, scenario, simulated, simulated_calm};

#[test]
fn b8_a_request_head_may_be_as_long_as_the_limit_and_no_longer() {
    scenario(|w| {
        w.settings(|settings| settings.limits.request_head_bytes = 1000);
        w.origin().on("GET /").ok("");
        let head = |len: usize| {
            let rest = "GET / HTTP/1.1\r\nHost: example.com\r\nX-Long: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: example.com\r\nX-Long: {}\r\n\r\n", "x".repeat(len - rest))
        };
        let c = w.client();
        c.send(head(1000)).expect_ok("").expect_kept_alive();
        c.send(head(1001)).expect_status(431).expect_header("Connection", "close");
        c.expect_body("431 Request Header Fields Too Large\n").expect_closed();
        w.origin().expect_requests(1);
        w.last_record()
            .expect("outcome", "malformed")
            .expect("rule", "head_too_large")
            .expect("status", "431");
    });
}

#[test]
fn a_body_that_grows_too_long_under_its_answer_cuts_it() {
    scenario(|w| {
        w.settings(|settings| settings.limits.request_body_bytes = Some(5));
        w.origin().on("POST /").early().reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang();
        let c = w.client();
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n").expect_status(200);
        c.expect_body_so_far("abc").send("3\r\nlo!\r\n").expect_aborted();
        w.last_record()
            .expect("outcome", "malformed")
            .expect("rule", "body_too_large")
            .expect("status", "200");
    });
}

#[test]
fn a_response_head_that_is_too_long_is_502() {
    scenario(|w| {
        w.settings(|settings| settings.limits.response_head_bytes = 1000);
        let head = |len: usize| {
            let rest = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: \r\n\r\n".len();
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: {}\r\n\r\n", "x".repeat(len - rest))
        };
        w.origin().on("GET /fits").reply(head(1000));
        w.origin().on("GET /not").reply(head(1001));
        let c = w.client();
        c.get("/fits").expect_ok("").expect_kept_alive();
        c.get("/not").expect_status(502).expect_body("502 Bad Gateway\n").expect_no_header("X-Long");
        c.expect_kept_alive().get("/fits").expect_ok("");
        let records = w.records();
        records[1]
            .expect("outcome", "upstream_malformed")
            .expect("rule", "head_too_large")
            .expect("status", "502");
        w.origin().expect_connections(2);
    });
}

#[test]
fn a_connection_beyond_the_limit_waits_until_another_ends() {
    simulated(|w| {
        w.settings(|settings| {
            settings.limits.connections = 1;
            settings.workers = Some(1);
        });
        w.origin().on("GET /").ok("a");
        let first = w.client();
        first.get("/").expect_ok("a").expect_kept_alive();
        let second = w.client();
        second.get("/").expect_silence();
        w.after("2s");
        second.expect_silence();
        first.get("/").expect_ok("a").close();
        second.expect_ok("a").expect_kept_alive();
        w.origin().expect_requests(3);
    });
}

#[test]
fn a_short_unwanted_body_is_read_and_the_connection_goes_on() {
    calm(|w| {
        w.settings(|settings| settings.sites[0].hosts = vec!["other.example".into()]);
        let c = w.client();
        for _ in 0..2 {
            c.post("/", "x".repeat(1024 * 1024)).expect_status(404).expect_no_header("Connection");
            c.expect_body("404 Not Found\n").expect_kept_alive();
        }
        c.post_chunks("/", &["x"]).expect_status(404).expect_body("404 Not Found\n").expect_kept_alive();
        w.expect_outcomes(&["no_route"; 3]);
        w.last_record().expect("received", "1").expect("sent", "14");
    });
}

#[test]
fn a_long_unwanted_body_is_answered_and_the_connection_ends() {
    calm(|w| {
        w.settings(|settings| settings.sites[0].hosts = vec!["other.example".into()]);
        let c = w.client();
        c.post("/", "x".repeat(1024 * 1024 + 1)).expect_status(404).expect_header("Connection", "close");
        c.expect_body("404 Not Found\n").expect_closed();
        w.expect_outcomes(&["no_route"]);
    });
}

#[test]
fn an_early_error_reaches_a_client_that_is_still_sending() {
    simulated(|w| {
        let c = w.client();
        c.pace(50, "10ms");
        c.send(format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nX: {}\r\n\r\n", "x".repeat(2000)));
        c.expect_status(400)
            .expect_header("Connection", "close")
            .expect_body("400 Bad Request\n")
            .expect_closed();
        w.expect_outcomes(&["malformed"]);
    });
}

#[test]
fn a_large_head_passes_when_it_is_allowed() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let value = "v".repeat(30_000);
        let c = w.client();
        c.request("GET", "/", &format!("X-Large: {value}\r\n"), "").expect_ok("fine").expect_kept_alive();
        w.origin().last().expect_header("X-Large", &value);
    });
}

#[test]
fn a_large_head_of_an_answer_passes_when_it_is_allowed() {
    scenario(|w| {
        let value = "v".repeat(30_000);
        w.origin()
            .on("*")
            .reply(format!("HTTP/1.1 200 OK\r\nX-Large: {value}\r\nContent-Length: 2\r\n\r\nok"));
        w.client().get("/").expect_ok("ok").expect_header("X-Large", &value).expect_kept_alive();
    });
}

#[test]
fn a_long_target_passes_when_it_is_allowed() {
    scenario(|w| {
        w.origin().on("*").ok("fine");
        let target = format!("/{}", "t".repeat(15_000));
        w.client().get(&target).expect_ok("fine");
        w.origin().last().expect_line(&format!("GET {target} HTTP/1.1"));
        w.last_record().expect("target", &target);
    });
}

#[test]
fn chunk_extensions_are_bounded() {
    calm(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        let endless = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(10_000));
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", endless).expect_status(400);
        c.expect_body("400 Bad Request\n").expect_over();
        w.expect_outcomes(&["malformed"]);
    });
}

#[test]
fn many_small_extensions_are_bounded_too() {
    calm(|w| {
        w.origin().on("*").hang();
        let c = w.client();
        let chunks = format!("1;{}\r\nx\r\n", "e".repeat(500)).repeat(1000);
        c.request("POST", "/", "Transfer-Encoding: chunked\r\n", chunks).expect_status(400);
        c.expect_body("400 Bad Request\n").expect_over();
        w.last_record().expect("rule", "chunk_extension");
    });
}

#[test]
fn a_thousand_idle_clients_hold_no_buffers() {
    simulated_calm(|w| {
        w.origin().on("*").ok("fine");
        let clients: Vec<_> = (0..1000).map(|_| w.client()).collect();
        clients.iter().for_each(|c| _ = c.get("/").expect_ok("fine"));
        w.settle();
        assert_eq!(w.held_bytes(), 0);
    });
}

#[test]
fn a_thousand_begun_heads_hold_little() {
    simulated_calm(|w| {
        let clients: Vec<_> = (0..1000).map(|_| w.client()).collect();
        clients.iter().for_each(|c| _ = c.send("GET / HTTP/1.1\r\nHost: "));
        w.settle();
        assert!(w.held_bytes() <= 1000 * 4096, "{}", w.held_bytes());
        clients.iter().for_each(|c| _ = c.expect_status(408).expect_body("408 Request Timeout\n"));
    });
}

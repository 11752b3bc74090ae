//! One record for each exchange, with what happened.

use ringway_engine::io::sim::Welcome;
use ringway_engine::settings::{Address, FieldEdit, PathPattern, Route, RouteAction, TcpListener};
use ringway_testing::{Record, World, calm, scenario, simulated, simulated_calm};
use std::time::Duration;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn a_complete_exchange_is_described() {
    scenario(|w| {
        w.origin().on("*").ok("hello");
        let c = w.client();
        let fields = "User-Agent: curl/8 (\"x\\y\")\r\nReferer: http://a.example/\r\nContent-Length: 3\r\n";
        c.request("POST", "/a?b=c", fields, "abc").expect_ok("hello");
        let record = w.last_record();
        describes(
            &record,
            &[
                ("peer", "127.1.0.1"),
                ("method", "POST"),
                ("target", "/a?b=c"),
                ("host", "example.com"),
                ("protocol", "HTTP/1.1"),
                ("status", "200"),
                ("received", "3"),
                ("sent", "5"),
                ("user_agent", "curl/8 (\"x\\y\")"),
                ("referer", "http://a.example/"),
                ("cluster", "app"),
                ("endpoint", &w.origin().address()),
                ("attempts", "1"),
                ("outcome", "complete"),
                ("rule", ""),
                ("downstream_request", "1"),
            ],
        );
        c.get("/").expect_ok("hello");
        describes(&w.last_record(), &[("downstream_request", "2"), ("user_agent", ""), ("received", "0")]);
        w.client().get("/").expect_ok("hello");
        describes(&w.last_record(), &[("downstream_request", "1"), ("peer", "127.1.0.2")]);
        assert_eq!(w.records().len(), 3);
    });
}

#[test]
fn fields_are_logged_as_they_were_received_whatever_was_sent_on() {
    scenario(|w| {
        w.settings(|settings| {
            let route = &mut settings.sites[0].routes[0];
            route.request_fields = vec![
                FieldEdit::Set("User-Agent".into(), "ours/1".into()),
                FieldEdit::Remove("Referer".into()),
                FieldEdit::Add("Referer".into(), "http://ours.example/".into()),
            ];
        });
        w.origin().on("*").ok("");
        let c = w.client();
        let fields = "User-Agent: curl/8\r\nReferer: http://a.example/\r\n";
        c.request("GET", "/", fields, "").expect_ok("");
        w.origin().last().expect_headers("User-Agent", &["ours/1"]);
        w.origin().last().expect_headers("Referer", &["http://ours.example/"]);
        describes(&w.last_record(), &[("user_agent", "curl/8"), ("referer", "http://a.example/")]);
        c.get("/").expect_ok("");
        w.origin().last().expect_header("User-Agent", "ours/1");
        describes(&w.last_record(), &[("user_agent", ""), ("referer", "")]);
        // Also where it was meant for this hop only.
        c.request("GET", "/", "Connection: User-Agent\r\nUser-Agent: hop/1\r\n", "").expect_ok("");
        describes(&w.last_record(), &[("user_agent", "hop/1")]);
    });
}

#[test]
fn times_are_told_from_the_beginning_of_the_request() {
    simulated_calm(|w| {
        w.origin()
            .on("GET /")
            .wait("2s")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            .wait("3s")
            .reply("b");
        let c = w.client();
        w.after("1s");
        c.get("/").expect_ok("ab");
        let record = w.last_record();
        assert!(record.text("time").starts_with("2026-11-23T12:00:06."), "{record:?}");
        // A packet travels 100 us: there and back to connect, and for the request.
        describes(&record, &[("select_us", "0"), ("connect_us", "200")]);
        describes(&record, &[("first_byte_us", "2000400"), ("total_us", "5000400")]);
    });
}

#[test]
fn content_is_counted_without_its_framing() {
    scenario(|w| {
        w.origin().on("POST /").reply(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n3\r\nefg\r\n0\r\nX-Sum: 1\r\n\r\n",
        );
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        let c = w.client();
        c.post_chunks("/", &["hello", " ", "world"]).expect_ok("abcdefg");
        describes(&w.last_record(), &[("received", "11"), ("sent", "7")]);
        c.head("/").expect_status(200);
        describes(&w.last_record(), &[("received", "0"), ("sent", "0"), ("outcome", "complete")]);
    });
}

#[test]
fn pipelined_requests_have_a_record_each_in_their_order() {
    scenario(|w| {
        w.origin().on("*").ok("x");
        let c = w.client();
        c.get("/1").get("/2").get("/3").expect_ok("x").expect_ok("x").expect_ok("x");
        let records = w.records();
        let targets: Vec<&str> = records.iter().map(|record| record.text("target")).collect();
        assert_eq!(targets, ["/1", "/2", "/3"]);
        let numbers: Vec<&str> = records.iter().map(|record| record.text("downstream_request")).collect();
        assert_eq!(numbers, ["1", "2", "3"]);
    });
}

#[test]
fn an_answer_of_ours_names_no_origin() {
    scenario(|w| {
        w.settings(|settings| {
            let body = "fixed".into();
            settings.sites[0].routes.push(Route::new(
                PathPattern::Exact("/fixed".into()),
                RouteAction::Respond { status: 203, body, content_type: None },
            ));
        });
        w.client().post("/fixed", "abc").expect_status(203).expect_body("fixed");
        describes(
            &w.last_record(),
            &[("status", "203"), ("outcome", "answered"), ("sent", "5"), ("received", "3")],
        );
        describes(
            &w.last_record(),
            &[("cluster", ""), ("endpoint", ""), ("attempts", "0"), ("first_byte_us", "")],
        );
    });
}

#[test]
fn a_request_without_route_is_described() {
    scenario(|w| {
        w.settings(|settings| settings.sites[0].hosts = vec!["other.example".into()]);
        w.client().get("/a").expect_status(404).expect_body("404 Not Found\n");
        describes(
            &w.last_record(),
            &[("status", "404"), ("outcome", "no_route"), ("sent", "14"), ("target", "/a")],
        );
        describes(&w.last_record(), &[("host", "example.com"), ("cluster", ""), ("attempts", "0")]);
    });
}

#[test]
fn a_malformed_request_names_the_rule_and_what_could_be_read() {
    scenario(|w| {
        w.client()
            .send("nonsense\r\n\r\n")
            .expect_status(400)
            .expect_body("400 Bad Request\n")
            .expect_closed();
        let nothing =
            [("method", "-"), ("target", "-"), ("host", ""), ("protocol", "-"), ("rule", "start_line")];
        describes(&w.last_record(), &nothing);
        describes(
            &w.last_record(),
            &[("status", "400"), ("outcome", "malformed"), ("sent", "16"), ("attempts", "0")],
        );
        let c = w.client();
        c.request("GET", "/a", "Connection: Host\r\n", "")
            .expect_status(400)
            .expect_body("400 Bad Request\n");
        describes(
            &w.last_record(),
            &[("method", "GET"), ("target", "/a"), ("rule", "connection_nomination")],
        );
    });
}

#[test]
fn a_refused_request_is_described_as_far_as_it_was_read() {
    scenario(|w| {
        w.settings(|settings| settings.limits.request_body_bytes = Some(2));
        let refused = |head: &str, status, rule, target, host, protocol| {
            let c = w.client();
            c.send(format!("{head}\r\nUser-Agent: u\r\nReferer: r\r\n\r\n"))
                .expect_status(status)
                .expect_closed();
            let record = w.last_record();
            describes(&record, &[("rule", rule), ("target", target), ("host", host), ("protocol", protocol)]);
            describes(&record, &[("method", "PUT"), ("outcome", "malformed"), ("attempts", "0")]);
            record
        };
        let all = [("user_agent", "u"), ("referer", "r")];
        let long = "PUT /a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3";
        describes(&refused(long, 413, "body_too_large", "/a?b", "a.example", "HTTP/1.1"), &all);
        let absolute = "PUT http://a.example/x HTTP/1.1\r\nHost: b.example";
        describes(
            &refused(absolute, 400, "host_mismatch", "http://a.example/x", "a.example", "HTTP/1.1"),
            &all,
        );
        let two = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked";
        describes(&refused(two, 400, "length_and_encoding", "/", "a", "HTTP/1.1"), &all);
        describes(&refused("PUT / HTTP/1.1\r\nA: b", 400, "host_missing", "/", "", "HTTP/1.1"), &all);
        // Of a head that is no head, the request line.
        let none = [("user_agent", ""), ("referer", "")];
        let field = "PUT /b HTTP/1.0\r\nHost: a\r\nBad(Name): x";
        describes(&refused(field, 400, "field_name", "/b", "", "HTTP/1.0"), &none);
    });
}

#[test]
fn b27_a_refused_head_request_has_an_answer_without_content() {
    scenario(|w| {
        for head in ["HEAD / HTTP/1.1", "HEAD / HTTP/1.1\r\nHost: a\r\nBad Name: x"] {
            w.client()
                .asks("HEAD")
                .send(format!("{head}\r\n\r\n"))
                .expect_status(400)
                .expect_body("")
                .expect_closed();
            w.last_record().expect("sent", "0").expect("method", "HEAD");
        }
    });
}

#[test]
fn an_origin_that_leaves_without_an_answer_is_named() {
    scenario(|w| {
        w.origin().on("GET /").close();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n").expect_kept_alive();
        describes(&w.last_record(), &[("status", "502"), ("outcome", "upstream_closed"), ("attempts", "1")]);
        describes(
            &w.last_record(),
            &[("endpoint", &w.origin().address()), ("first_byte_us", ""), ("sent", "16")],
        );
    });
}

#[test]
fn a_client_that_leaves_is_told_from_one_that_was_answered() {
    scenario(|w| {
        w.origin().on("GET /mute").hang();
        w.origin().on("GET /half").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang();
        let c = w.client();
        c.get("/mute");
        w.settle();
        c.close();
        describes(&w.last_record(), &[("status", "499"), ("outcome", "downstream_closed"), ("sent", "0")]);
        let c = w.client();
        c.get("/half").expect_status(200).expect_body_so_far("abc").close();
        describes(&w.last_record(), &[("status", "200"), ("outcome", "downstream_closed"), ("sent", "3")]);
    });
}

#[test]
fn a_connection_that_never_sends_a_request_has_no_record() {
    scenario(|w| {
        w.client().expect_silence().close();
        w.client().send("\r\n").expect_silence().close();
        assert_eq!(w.records().len(), 0);
    });
}

#[test]
fn late_clients_are_described() {
    simulated(|w| {
        w.origin().on("POST /").ok("");
        let c = w.client();
        c.send("GET / HT")
            .expect_status(408)
            .expect_body("408 Request Timeout\n")
            .expect_at("10s")
            .expect_closed();
        describes(&w.last_record(), &[("status", "408"), ("outcome", "header_timeout"), ("method", "-")]);
        let c = w.client();
        c.request("POST", "/", "Content-Length: 9\r\n", "abc").expect_status(408);
        c.expect_body("408 Request Timeout\n").expect_closed();
        describes(&w.last_record(), &[("status", "408"), ("outcome", "body_timeout"), ("received", "3")]);
        describes(&w.last_record(), &[("method", "POST"), ("endpoint", &w.origin().address())]);
    });
}

#[test]
fn late_origins_are_described() {
    simulated(|w| {
        w.origin().on("GET /mute").hang();
        w.origin().on("GET /half").reply("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").hang();
        w.client().get("/mute").expect_status(504).expect_body("504 Gateway Timeout\n");
        let record = w.last_record();
        describes(&record, &[("status", "504"), ("outcome", "first_byte_timeout"), ("first_byte_us", "")]);
        assert!(record.text("total_us").parse::<u64>().is_ok_and(|us| us >= 30_000_000), "{record:?}");
        w.client().get("/half").expect_status(200).expect_body_so_far("abc").expect_aborted();
        describes(
            &w.last_record(),
            &[("status", "200"), ("outcome", "between_bytes_timeout"), ("sent", "3")],
        );
    });
}

#[test]
fn an_origin_that_cannot_be_reached_in_time_has_its_attempts_counted() {
    simulated(|w| {
        w.settings(|settings| settings.clusters[0].retries_max = 1);
        w.origin().welcome(Welcome::Silence);
        w.client().get("/").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("4s");
        describes(&w.last_record(), &[("status", "504"), ("outcome", "connect_timeout"), ("attempts", "2")]);
        describes(&w.last_record(), &[("endpoint", &w.origin().address()), ("connect_us", "")]);
    });
}

#[test]
fn an_exchange_that_takes_too_long_is_described() {
    simulated(|w| {
        w.settings(|settings| settings.limits.request_timeout = Some(Duration::from_secs(5)));
        w.origin().on("GET /").hang();
        w.client().get("/").expect_status(504).expect_body("504 Gateway Timeout\n").expect_at("5s");
        describes(&w.last_record(), &[("status", "504"), ("outcome", "request_timeout")]);
    });
}

#[test]
fn attempts_are_counted_and_the_last_endpoint_is_named() {
    scenario(|w| {
        w.origins(2);
        w.origin_at(0).is_down();
        w.origin_at(1).on("GET /").ok("a");
        // Whom the balancer asks first is its business: of two requests at least one goes to each first.
        let c = w.client();
        c.get("/").expect_ok("a").get("/").expect_ok("a");
        let records = w.records();
        records.iter().for_each(|record| {
            describes(record, &[("endpoint", &w.origin_at(1).address()), ("outcome", "complete")])
        });
        assert!(records.iter().any(|record| record.text("attempts") == "2"), "{records:#?}");
    });
}

#[test]
fn a_switched_connection_has_one_record_at_its_end() {
    scenario(|w| {
        w.origin().on("GET /ws").reply(SWITCHED).reply("hello").tunnel();
        let c = w.client();
        c.request("GET", "/ws", UPGRADE, "").expect_status(101);
        c.send("abc").expect_raw("hello");
        w.origin().expect_raw(0, "abc");
        assert_eq!(w.records().len(), 0);
        c.finish();
        w.origin().finish_on(0);
        describes(&w.last_record(), &[("status", "101"), ("outcome", "tunnel_closed"), ("method", "GET")]);
        describes(&w.last_record(), &[("received", "3"), ("sent", "5"), ("endpoint", &w.origin().address())]);
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_described() {
    simulated(|w| {
        w.settings(|settings| settings.limits.tunnel_idle = Duration::from_secs(10));
        w.origin().on("GET /ws").reply(SWITCHED).tunnel();
        let c = w.client();
        c.request("GET", "/ws", UPGRADE, "").expect_status(101).expect_over();
        describes(&w.last_record(), &[("status", "101"), ("outcome", "tunnel_idle"), ("sent", "0")]);
    });
}

#[test]
fn a_raw_connection_is_described_without_a_request() {
    scenario(|w| {
        let c = raw_client(w);
        c.send("abc");
        w.origin().expect_raw(0, "abc").send_on(0, "hello");
        c.expect_raw("hello").finish();
        w.origin().finish_on(0);
        let record = w.last_record();
        describes(&record, &[("method", "-"), ("target", "-"), ("host", ""), ("protocol", "TCP")]);
        describes(&record, &[("status", "0"), ("cluster", "app"), ("user_agent", "")]);
        describes(
            &record,
            &[("outcome", "tunnel_closed"), ("received", "3"), ("sent", "5"), ("attempts", "1")],
        );
    });
}

#[test]
fn a_raw_connection_whose_origin_is_down_is_described() {
    scenario(|w| {
        w.origin().is_down();
        raw_client(w).expect_over();
        describes(&w.last_record(), &[("status", "502"), ("outcome", "connect_failed"), ("sent", "0")]);
    });
}

#[test]
fn a_request_without_host_has_none_in_its_record() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        w.client().send("GET / HTTP/1.0\r\n\r\n").expect_ok("");
        describes(&w.last_record(), &[("host", ""), ("protocol", "HTTP/1.0")]);
    });
}

/// A client of a listener whose bytes go to the origin as they are.
fn raw_client(w: &World) -> ringway_testing::Client {
    let address = Address::Tcp(([192, 0, 2, 1], 5432).into());
    w.settings(|settings| {
        settings.tcp.push(TcpListener::new(address.clone(), Some("app".into())));
    });
    w.origin().is_raw();
    let c = w.client_of(&address);
    c.tunnels();
    c
}

fn describes(record: &Record, expected: &[(&str, &str)]) {
    expected.iter().for_each(|(key, value)| _ = record.expect(key, value));
}

#[test]
fn a_value_that_could_forge_a_line_is_escaped() {
    scenario(|w| {
        w.origin().on("*").ok("");
        w.client().request("GET", "/", "User-Agent: a\"b\\c\td\r\n", "").expect_ok("");
        let record = w.last_record();
        assert!(record.text("user_agent").starts_with("a\"b\\c"), "{record:?}");
    });
}

#[test]
fn counters_say_the_same_as_the_log() {
    scenario(|w| {
        w.origin().on("GET /bad").reply("nonsense\r\n\r\n").close();
        w.origin().on("*").ok("fine");
        let c = w.client();
        c.get("/1").expect_ok("fine").get("/bad").expect_status(502).expect_body("502 Bad Gateway\n");
        c.get("/2")
            .expect_ok("fine")
            .send("NONSENSE\r\n\r\n")
            .expect_status(400)
            .expect_body("400 Bad Request\n");
        c.expect_closed().close();
        w.expect_outcomes(&["complete", "upstream_malformed", "complete", "malformed"]);
        w.expect_counter("requests", 4).expect_counter("responses_2xx", 2).expect_counter("responses_4xx", 1);
        w.expect_counter("responses_5xx", 1).expect_counter("outcome_complete", 2);
        w.expect_counter("downstream_accepted", 1).expect_counter("downstream_active", 0);
    });
}

#[test]
fn connections_to_origins_are_counted_while_they_are_open() {
    simulated(|w| {
        w.settings(|settings| settings.clusters[0].keepalive.idle_timeout = Duration::from_secs(5));
        w.origin().on("GET /slow").wait("2s").ok("slow");
        w.origin().on("GET /close").reply("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").close();
        w.origin().on("*").ok("fine");
        let (a, b) = (w.client(), w.client());
        w.expect_counter("upstream_active", 0);
        a.get("/slow");
        b.get("/").expect_ok("fine");
        w.expect_counter("upstream_active", 2).expect_counter("upstream_idle", 1);
        a.expect_ok("slow").get("/close").expect_ok("");
        w.settle().expect_counter("upstream_active", 1).expect_counter("upstream_idle", 1);
        w.after("6s").expect_counter("upstream_active", 0).expect_counter("upstream_idle", 0);
    });
}

#[test]
fn a_connection_that_cannot_be_made_is_not_counted_as_open() {
    scenario(|w| {
        w.origin().is_down();
        w.client().get("/").expect_status(502).expect_body("502 Bad Gateway\n");
        w.expect_counter("upstream_active", 0).expect_counter("upstream_connect_failures", 3);
        w.expect_counter("upstream_connects", 0);
    });
}

#[test]
fn tunnels_are_counted_while_they_are_open() {
    scenario(|w| {
        w.origin().on("GET /ws").reply(SWITCHED).tunnel();
        w.origin().on("*").ok("");
        let (c, d) = (w.client(), w.client());
        c.get("/").expect_ok("");
        w.expect_counter("tunnels_active", 0);
        c.request("GET", "/ws", UPGRADE, "").expect_status(101);
        d.request("GET", "/ws", UPGRADE, "").expect_status(101);
        w.expect_counter("tunnels_active", 2).expect_counter("exchanges_active", 2);
        c.finish();
        w.origin().finish_on(0);
        w.settle().expect_counter("tunnels_active", 1).expect_counter("upstream_active", 1);
        w.stop().settle().expect_counter("tunnels_active", 0).expect_counter("upstream_active", 0);
        d.expect_over();
    });
}

#[test]
fn raw_connections_are_counted_as_tunnels_once_they_lead_somewhere() {
    scenario(|w| {
        let c = raw_client(w);
        c.send("abc");
        w.origin().expect_raw(0, "abc");
        w.expect_counter("tunnels_active", 1).expect_counter("upstream_active", 1);
        c.finish();
        w.origin().finish_on(0);
        w.settle().expect_counter("tunnels_active", 0).expect_counter("upstream_active", 0);
    });
}

#[test]
fn bytes_are_counted_on_all_four_sides() {
    calm(|w| {
        w.origin().on("*").ok("hello");
        w.client().post("/", "abc").expect_ok("hello");
        w.settle();
        let request = "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc";
        w.expect_counter("downstream_received_bytes", request.len() as u64);
        let reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        w.expect_counter("upstream_received_bytes", reply.len() as u64);
    });
}

#[test]
fn a_cut_answer_is_logged_with_the_status_that_went_out_and_the_bytes_that_did() {
    scenario(|w| {
        w.origin()
            .on("*")
            .reply("HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\nabc")
            .wait("20ms")
            .close();
        w.client().get("/").expect_status(206).expect_body("abc").expect_aborted();
        w.last_record().expect("status", "206").expect("outcome", "upstream_truncated").expect("sent", "3");
    });
}

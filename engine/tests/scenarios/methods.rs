//! Methods that mean something to a proxy, and those that do not.

use ringway_testing::http::Framing;
use ringway_testing::scenario;

#[test]
fn b27_a_head_is_answered_with_the_length_and_without_content() {
    scenario(|w| {
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\n");
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.head("/").expect_status(200).expect_header("Content-Length", "5").expect_header("X-A", "1");
        c.expect_body("").expect_kept_alive();
        c.get("/").expect_ok("hello");
        w.origin().expect_connections(1);
        w.expect_outcomes(&["complete", "complete"]);
    });
}

#[test]
fn b27_a_head_of_unknown_length_ends_with_its_head() {
    scenario(|w| {
        w.origin().on("HEAD /chunked").reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        w.origin().on("HEAD /unsaid").reply("HTTP/1.1 200 OK\r\n\r\n");
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        for path in ["/chunked", "/unsaid"] {
            c.head(path)
                .expect_status(200)
                .expect_no_header("Content-Length")
                .expect_body("")
                .expect_kept_alive();
        }
        c.get("/").expect_ok("hello");
        w.origin().expect_connections(1);
    });
}

#[test]
fn b27_content_that_follows_the_answer_to_head_reaches_nobody() {
    scenario(|w| {
        w.origin().on("HEAD /").ok("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        w.origin().on("GET /").ok("hello");
        let c = w.client();
        c.head("/").expect_status(200).expect_body("").expect_kept_alive();
        c.get("/").expect_ok("hello");
        w.origin().expect_connections(2).request(1).expect_connection(1);
    });
}

#[test]
fn connect_is_refused_and_what_follows_it_is_no_request() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        c.asks("CONNECT").send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
        c.send("GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n");
        c.expect_status(405).expect_header("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        c.expect_header("Connection", "close").expect_body("405 Method Not Allowed\n").expect_closed();
        w.origin().expect_connections(0);
        w.expect_outcomes(&["method_refused"]);
        w.last_record()
            .expect("method", "CONNECT")
            .expect("target", "example.com:443")
            .expect("status", "405");
    });
}

#[test]
fn b28_connect_to_a_bad_port_or_with_content_is_malformed() {
    scenario(|w| {
        for (target, fields, rule) in [
            ("example.com", "", "target_authority"),
            ("example.com:0", "", "target_authority"),
            ("example.com:65536", "", "target_authority"),
            ("/", "", "target_authority"),
            ("example.com:443", "Content-Length: 3\r\n", "content_length"),
            ("example.com:443", "Transfer-Encoding: chunked\r\n", "transfer_encoding"),
        ] {
            let c = w.client();
            c.request("CONNECT", target, fields, "").expect_status(400).expect_body("400 Bad Request\n");
            c.expect_closed();
            w.last_record().expect("rule", rule);
        }
        w.origin().expect_connections(0);
    });
}

#[test]
fn b17_max_forwards_of_trace_and_options_counts_down() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for method in ["TRACE", "OPTIONS"] {
            c.request(method, "/", "Max-Forwards: 10\r\n", "").expect_ok("");
            w.origin().last().expect_line(&format!("{method} / HTTP/1.1")).expect_header("Max-Forwards", "9");
            c.request(method, "/", "Max-Forwards: 1\r\n", "").expect_ok("");
            w.origin().last().expect_header("Max-Forwards", "0");
        }
    });
}

#[test]
fn b17_a_request_that_may_go_no_further_is_answered_here() {
    scenario(|w| {
        let c = w.client();
        c.request("OPTIONS", "/", "Max-Forwards: 0\r\n", "").expect_ok("").expect_kept_alive();
        c.expect_header("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        // A reflected TRACE would show a script what its browser hides.
        c.request("TRACE", "/", "Max-Forwards: 0\r\nCookie: secret\r\n", "").expect_status(405);
        c.expect_body("405 Method Not Allowed\n").expect_kept_alive();
        w.origin().expect_connections(0);
        w.expect_outcomes(&["answered", "method_refused"]);
    });
}

#[test]
fn b17_max_forwards_means_nothing_to_other_methods() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for value in ["0", "7", "many"] {
            c.request("GET", "/", &format!("Max-Forwards: {value}\r\n"), "").expect_ok("");
            w.origin().last().expect_header("Max-Forwards", value);
        }
    });
}

#[test]
fn b17_a_max_forwards_that_is_no_number_is_malformed() {
    scenario(|w| {
        for value in ["-1", "x", "1, 2", "", "1\r\nMax-Forwards: 1"] {
            let c = w.client();
            c.request("OPTIONS", "/", &format!("Max-Forwards: {value}\r\n"), "").expect_status(400);
            c.expect_body("400 Bad Request\n").expect_closed();
            w.last_record().expect("outcome", "malformed").expect("rule", "max_forwards");
        }
        w.origin().expect_connections(0);
    });
}

#[test]
fn b29_max_forwards_is_never_invented() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for method in ["TRACE", "OPTIONS"] {
            c.request(method, "/", "", "").expect_ok("");
            w.origin().last().expect_line(&format!("{method} / HTTP/1.1")).expect_no_header("Max-Forwards");
        }
    });
}

#[test]
fn unknown_methods_pass_as_they_are_spelled() {
    scenario(|w| {
        w.origin().on("*").ok("x");
        let c = w.client();
        for method in ["PROPFIND", "M-SEARCH", "get", "Head", "X!#$%&'*+.^_`|~1"] {
            c.request(method, "/", "Content-Length: 1\r\n", "a").expect_ok("x").expect_kept_alive();
            w.origin().last().expect_line(&format!("{method} / HTTP/1.1")).expect_body("a");
        }
    });
}

#[test]
fn content_of_get_and_delete_goes_on() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        c.request("GET", "/", "Content-Length: 4\r\n", "GET ").expect_ok("").expect_kept_alive();
        w.origin().last().expect_header("Content-Length", "4").expect_body("GET ");
        c.request("DELETE", "/", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n").expect_ok("");
        w.origin().last().expect_header("Transfer-Encoding", "chunked").expect_body("abc");
        w.origin().expect_requests(2).expect_connections(1);
    });
}

#[test]
fn methods_with_content_say_when_they_have_none_and_others_do_not() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        for method in ["POST", "PUT", "PATCH"] {
            c.request(method, "/", "", "").expect_ok("");
            w.origin().last().expect_header("Content-Length", "0");
        }
        for method in ["GET", "DELETE", "OPTIONS", "PROPFIND"] {
            c.request(method, "/", "", "").expect_ok("");
            assert_eq!(w.origin().last().message().framing, Framing::None, "{method}");
        }
        c.request("DELETE", "/", "Content-Length: 0\r\n", "").expect_ok("");
        w.origin().last().expect_header("Content-Length", "0");
    });
}

#[test]
fn a_head_is_forwarded_as_a_head() {
    scenario(|w| {
        w.origin().on("HEAD /x").ok("");
        w.client().head("/x").expect_ok("");
        w.origin().last().expect_line("HEAD /x HTTP/1.1");
    });
}

#[test]
fn options_of_the_whole_server_goes_up_as_it_is() {
    scenario(|w| {
        w.origin().on("OPTIONS *").reply("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n");
        w.client().request("OPTIONS", "*", "", "").expect_status(204).expect_header("Allow", "GET");
    });
}

#[test]
fn a10_an_absolute_options_without_a_path_goes_up_as_an_asterisk() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        c.request("OPTIONS", "http://example.com", "", "").expect_ok("");
        w.origin().last().expect_line("OPTIONS * HTTP/1.1").expect_header("Host", "example.com");
        c.request("OPTIONS", "http://example.com/", "", "").expect_ok("");
        w.origin().last().expect_line("OPTIONS / HTTP/1.1");
    });
}

#[test]
fn a_method_that_is_too_long_is_refused() {
    scenario(|w| {
        let c = w.client();
        c.send(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(100))).expect_status(400);
        c.expect_body("400 Bad Request\n").expect_closed();
    });
}

#[test]
fn a_head_of_an_until_close_origin_says_nothing_about_its_length() {
    scenario(|w| {
        w.origin().on("HEAD /").reply("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").close();
        let c = w.client();
        c.head("/").expect_ok("").expect_framing(Framing::UntilClose).expect_kept_alive();
    });
}

//! What a message says about the way it took, and what stays behind at each hop.

use ringway_engine::settings::IpNet;
use ringway_testing::http::Message;
use ringway_testing::{World, scenario, simulated_calm};

/// The first client.
const CLIENT: &str = "127.1.0.1";

#[test]
fn b18_via_is_appended_to_every_forwarded_request() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let c = w.client();
        c.get("/").expect_ok("");
        w.origin().last().expect_headers("Via", &["1.1 ringway"]);
        c.request("GET", "/", "Via: 1.0 fred, 1.1 p.example.net\r\nVia: 2 x\r\n", "").expect_ok("");
        w.origin().last().expect_headers("Via", &["1.0 fred, 1.1 p.example.net", "2 x", "1.1 ringway"]);
        c.send("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n").expect_ok("");
        w.origin().last().expect_headers("Via", &["1.0 ringway"]);
    });
}

#[test]
fn via_is_appended_to_every_forwarded_response_with_the_version_it_came_in() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .reply("HTTP/1.1 200 OK\r\nVia: 1.1 inner\r\nContent-Length: 0\r\n\r\n");
        w.origin().on("GET /old").reply("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        let c = w.client();
        c.get("/").expect_status(103).expect_headers("Via", &["1.1 ringway"]);
        c.expect_status(200).expect_headers("Via", &["1.1 inner", "1.1 ringway"]);
        c.get("/old").expect_status(200).expect_headers("Via", &["1.0 ringway"]);
    });
}

#[test]
fn via_has_the_configured_name_both_ways() {
    scenario(|w| {
        w.settings(|settings| settings.forwarding.via = Some("edge-1".into()));
        w.origin().on("GET /").ok("");
        w.client()
            .request("GET", "/", "Via: 1.1 ringway\r\n", "")
            .expect_ok("")
            .expect_header("Via", "1.1 edge-1");
        w.origin().last().expect_headers("Via", &["1.1 ringway", "1.1 edge-1"]);
    });
}

#[test]
fn b14_a_request_that_was_here_before_is_508() {
    scenario(|w| {
        w.settings(|settings| settings.forwarding.via = Some("ringway".into()));
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "Via: 1.0 fred, HTTP/1.1 RINGWAY (edge)\r\n", "");
        c.expect_status(508).expect_body("508 Loop Detected\n").expect_no_header("Via").expect_kept_alive();
        w.origin().expect_connections(0);
        c.request("GET", "/", "Via: 1.1 ringway2, 1.1 not-ringway (ringway)\r\n", "").expect_ok("");
        w.expect_outcomes(&["loop_detected", "complete"]);
    });
}

#[test]
fn b14_a_chain_of_proxies_without_names_is_no_loop_until_it_is_long() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "Via: 1.1 ringway, 1.1 ringway\r\nVia: 1.1 ringway\r\n", "").expect_ok("");
        w.origin().expect_requests(1);
        let four = "Via: 1.1 ringway, 1.1 ringway, 1.1 ringway, 1.1 ringway\r\n";
        c.request("GET", "/", four, "").expect_status(508);
        w.origin().expect_requests(1);
    });
}

#[test]
fn what_a_stranger_says_about_the_way_is_replaced() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let said = "X-Forwarded-For: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2\r\nX-FORWARDED-PROTO: https\r\n\
                    X-Forwarded-Host: evil.example\r\nForwarded: for=10.0.0.1;proto=https\r\n";
        w.client().request("GET", "/", said, "").expect_ok("");
        let request = w.origin().last();
        request.expect_headers("X-Forwarded-For", &[CLIENT]);
        request.expect_headers("X-Forwarded-Proto", &["http"]);
        request.expect_headers("X-Forwarded-Host", &["example.com"]);
        request.expect_no_header("Forwarded");
    });
}

/// What other proxies say about the client and the way, with fields that we do not write.
const HEARSAY: [&str; 10] = [
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-SSL",
];

#[test]
fn what_a_stranger_says_about_itself_stays_behind() {
    scenario(|w| {
        w.origin().on("POST /").ok("");
        let said: String = HEARSAY.iter().map(|name| format!("{name}: 10.0.0.1\r\n")).collect();
        let fields = format!("{said}X-Mine: 1\r\nTransfer-Encoding: chunked\r\n");
        let c = w.client();
        c.request("POST", "/", &fields, format!("0\r\n{said}X-Mine: 2\r\n\r\n")).expect_ok("");
        let request = w.origin().last();
        HEARSAY.iter().for_each(|name| _ = request.expect_no_header(name));
        request.expect_header("X-Mine", "1").expect_trailers(&[("X-Mine", "2")]);
    });
}

#[test]
fn what_a_trusted_proxy_says_about_the_client_passes() {
    scenario(|w| {
        trust_clients(w);
        w.origin().on("GET /").ok("");
        let said: String = HEARSAY.iter().map(|name| format!("{name}: 10.0.0.1\r\n")).collect();
        let c = w.client();
        c.request("GET", "/", &said, "").expect_ok("");
        let request = w.origin().last();
        HEARSAY.iter().for_each(|name| _ = request.expect_headers(name, &["10.0.0.1"]));
        // Nobody can have it removed by the proxy that is trusted.
        c.request("GET", "/", "Connection: X-Client-IP\r\n", "")
            .expect_status(400)
            .expect_body("400 Bad Request\n");
    });
}

#[test]
fn what_a_trusted_proxy_says_about_the_way_is_continued() {
    scenario(|w| {
        trust_clients(w);
        w.origin().on("GET /").ok("");
        let said = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                    X-Forwarded-Host: public.example\r\nForwarded: for=10.0.0.1\r\n";
        let c = w.client();
        c.request("GET", "/", said, "").expect_ok("");
        let request = w.origin().last();
        request.expect_headers("X-Forwarded-For", &["10.0.0.1, 10.0.0.2, 127.1.0.1"]);
        request.expect_headers("X-Forwarded-Proto", &["https"]);
        request.expect_headers("X-Forwarded-Host", &["public.example"]);
        request.expect_headers("Forwarded", &["for=10.0.0.1"]);
        // What it leaves out is said for it.
        c.get("/").expect_ok("");
        let request = w.origin().last();
        request.expect_headers("X-Forwarded-For", &[CLIENT]);
        request.expect_headers("X-Forwarded-Proto", &["http"]);
        request.expect_headers("X-Forwarded-Host", &["example.com"]);
    });
}

#[test]
fn trust_ends_where_the_range_ends() {
    scenario(|w| {
        w.settings(|settings| {
            settings.forwarding.trusted = vec![IpNet { address: [127, 1, 0, 2].into(), prefix: 32 }];
        });
        w.origin().on("GET /").ok("");
        let (stranger, ours) = (w.client(), w.client());
        stranger.request("GET", "/", "X-Forwarded-For: 10.0.0.1\r\n", "").expect_ok("");
        w.origin().last().expect_headers("X-Forwarded-For", &[CLIENT]);
        ours.request("GET", "/", "X-Forwarded-For: 10.0.0.1\r\n", "").expect_ok("");
        w.origin().last().expect_headers("X-Forwarded-For", &["10.0.0.1, 127.1.0.2"]);
    });
}

#[test]
fn forwarded_is_sent_where_it_is_asked_for() {
    scenario(|w| {
        w.settings(|settings| settings.forwarding.forwarded = true);
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "Forwarded: for=10.0.0.1\r\n", "").expect_ok("");
        w.origin().last().expect_headers("Forwarded", &["for=127.1.0.1;host=example.com;proto=http"]);
        c.send("GET / HTTP/1.1\r\nHost: example.com:81\r\n\r\n").expect_ok("");
        w.origin().last().expect_headers("Forwarded", &["for=127.1.0.1;host=\"example.com:81\";proto=http"]);
        w.origin().last().expect_headers("X-Forwarded-Host", &["example.com:81"]);
    });
}

#[test]
fn forwarded_of_a_trusted_proxy_is_continued() {
    scenario(|w| {
        trust_clients(w);
        w.settings(|settings| settings.forwarding.forwarded = true);
        w.origin().on("GET /").ok("");
        w.client()
            .request("GET", "/", "Forwarded: for=10.0.0.1\r\nForwarded: for=\"[::1]\"\r\n", "")
            .expect_ok("");
        let expected = "for=10.0.0.1, for=\"[::1]\", for=127.1.0.1;host=example.com;proto=http";
        w.origin().last().expect_headers("Forwarded", &[expected]);
    });
}

#[test]
fn a_request_id_is_made_for_every_request_whatever_a_stranger_says() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "X-Request-Id: chosen\r\nx-request-id: twice\r\n", "").expect_ok("");
        c.get("/").expect_ok("");
        let ids = [0, 1].map(|number| request_id(&w.origin().request(number).message()));
        assert_ne!(ids[0], ids[1]);
        for (id, record) in ids.iter().zip(w.records()) {
            assert!(id.len() == 32 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{id}");
            record.expect("id", id);
        }
    });
}

#[test]
fn a_request_id_of_a_trusted_proxy_is_taken_over_when_it_is_harmless() {
    scenario(|w| {
        trust_clients(w);
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "X-Request-Id: edge.1:7_a-b\r\n", "").expect_ok("");
        w.origin().last().expect_headers("X-Request-Id", &["edge.1:7_a-b"]);
        w.last_record().expect("id", "edge.1:7_a-b");
        for odd in ["a b", "a\"b", "<script>", &"x".repeat(129)] {
            c.request("GET", "/", &format!("X-Request-Id: {odd}\r\n"), "").expect_ok("");
            assert_eq!(request_id(&w.origin().last().message()).len(), 32, "{odd}");
        }
    });
}

#[test]
fn b13_b15_b22_what_concerns_the_connection_stays_behind_in_requests() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let fields = "Connection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n\
                      Proxy-Connection: keep-alive\r\nx-private: 2\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\
                      X-Public: 3\r\nconnection: ,Other\r\nOther: 4\r\nTE: gzip\r\n";
        w.client().request("GET", "/", fields, "").expect_ok("").expect_kept_alive();
        let request = w.origin().last().message();
        let names: Vec<&str> = request.fields.iter().map(|(name, _)| name.as_str()).collect();
        let own = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "x-request-id"];
        assert_eq!(names, [&["Host", "X-Public"], &own[..]].concat());
    });
}

#[test]
fn b13_b15_what_concerns_the_connection_stays_behind_in_responses() {
    scenario(|w| {
        w.origin().on("GET /").reply(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, X-Private\r\n\
             Keep-Alive: timeout=5\r\nX-Private: 1\r\nProxy-Connection: keep-alive\r\nX-Public: 2\r\n\
             x-private: 3\r\nUpgrade: h2c\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: (odd),other\r\n\
             Other: 4\r\n\r\n",
        );
        let c = w.client();
        c.get("/").expect_ok("").expect_kept_alive();
        assert_eq!(
            lines(&c.response()),
            ["Content-Length: 0", "X-Public: 2", "Date: Sun, 06 Nov 1994 08:49:37 GMT", "via: 1.1 ringway"]
        );
        c.get("/").expect_ok("");
        w.origin().expect_connections(1);
    });
}

#[test]
fn b15_a_nominated_trailer_stays_behind_both_ways() {
    scenario(|w| {
        w.origin().on("POST /").reply(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Down\r\n\r\n\
             0\r\nX-Down: 1\r\nX-Sum: 2\r\n\r\n",
        );
        let c = w.client();
        let fields = "Transfer-Encoding: chunked\r\nConnection: X-Up\r\n";
        c.request("POST", "/", fields, "1\r\na\r\n0\r\nX-Up: 3\r\nX-Sum: 4\r\n\r\n").expect_ok("");
        c.expect_trailers(&[("X-Sum", "2")]);
        w.origin().last().expect_body("a").expect_trailers(&[("X-Sum", "4")]);
    });
}

#[test]
fn b16_a_request_that_nominates_what_others_rely_on_is_refused() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let protected = ["Host", "Content-Length", "Cookie", "Authorization", "X-Forwarded-For", "Via"];
        for name in protected {
            let c = w.client();
            c.request("GET", "/", &format!("Cookie: a\r\nConnection: close, {name}\r\n"), "");
            c.expect_status(400).expect_body("400 Bad Request\n").expect_closed();
            w.last_record().expect("outcome", "malformed").expect("rule", "connection_nomination");
        }
        w.origin().expect_connections(0);
    });
}

#[test]
fn b16_a_response_that_nominates_what_others_rely_on_keeps_it() {
    scenario(|w| {
        w.origin().on("GET /").reply(
            "HTTP/1.1 200 OK\r\nConnection: content-length, set-cookie, content-type, x-a\r\nSet-Cookie: a=b\r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nok",
        );
        let c = w.client();
        c.get("/").expect_ok("ok").expect_header("Set-Cookie", "a=b").expect_header("Content-Length", "2");
        c.expect_header("Content-Type", "text/plain").expect_no_header("X-A").expect_kept_alive();
    });
}

#[test]
fn a35_b31_te_trailers_goes_on_as_our_own_wish() {
    scenario(|w| {
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.request("GET", "/", "TE: gzip;q=0.5, trailers\r\nConnection: TE\r\n", "").expect_ok("");
        w.origin().last().expect_header("TE", "trailers").expect_header("Connection", "TE");
        c.request("GET", "/", "TE: gzip\r\nConnection: TE\r\n", "").expect_ok("");
        w.origin().last().expect_no_header("TE").expect_no_header("Connection");
    });
}

#[test]
fn b5_b6_unknown_fields_pass_with_their_order_case_and_duplicates() {
    scenario(|w| {
        let mixed = ["X-Zeta: 1", "x-alpha: a,b", "X-ZETA: 2", "Accept: */*", "x-Alpha: ", "Accept: b;q=0.1"];
        let text = mixed.map(|line| format!("{line}\r\n")).concat();
        w.origin().on("GET /").reply(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{text}\r\n"));
        let c = w.client();
        c.request("GET", "/", &text, "").expect_ok("");
        let up = lines(&w.origin().last().message());
        assert_eq!(up[0], "Host: example.com");
        assert_eq!(up[1..7], mixed);
        assert_eq!(lines(&c.response())[1..7], mixed);
    });
}

#[test]
fn values_pass_as_they_are_with_tabs_and_beyond_ascii() {
    scenario(|w| {
        w.origin()
            .on("GET /")
            .reply("HTTP/1.1 200 Gr\u{fc}n\r\nX-V: \u{fc}  a\t\"b\"\r\nContent-Length: 0\r\n\r\n");
        let c = w.client();
        c.request("GET", "/", "X-V: \u{20ac}  a\tb , ,c\r\n", "").expect_ok("");
        c.expect_line("HTTP/1.1 200 Gr\u{fc}n").expect_header("X-V", "\u{fc}  a\t\"b\"");
        w.origin().last().expect_header("X-V", "\u{20ac}  a\tb , ,c");
    });
}

#[test]
fn a11_a_missing_reason_leaves_its_space() {
    scenario(|w| {
        w.origin().on("GET /").reply("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n");
        w.client().get("/").expect_status(299).expect_line("HTTP/1.1 299 ");
    });
}

#[test]
fn b12_date_is_added_only_when_it_is_missing() {
    simulated_calm(|w| {
        w.origin().on("GET /").ok("");
        let old = "Sun, 06 Nov 1994 08:49:37 GMT";
        w.origin()
            .on("GET /old")
            .reply(format!("HTTP/1.1 200 OK\r\ndate: {old}\r\nContent-Length: 0\r\n\r\n"));
        let c = w.client();
        c.get("/").expect_ok("").expect_header("Date", "Mon, 23 Nov 2026 12:00:00 GMT");
        c.get("/old").expect_ok("").expect_header("Date", old);
        w.after("61s");
        c.get("/").expect_ok("").expect_header("Date", "Mon, 23 Nov 2026 12:01:01 GMT");
    });
}

#[test]
fn set_cookie_lines_are_kept_apart() {
    scenario(|w| {
        w.origin().on("GET /").reply(
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: 1\r\n\
             set-cookie: b=2\r\nContent-Length: 0\r\nSet-Cookie: a=3\r\n\r\n",
        );
        let cookies = ["a=1; Expires=Sun, 06 Nov 1994 08:49:37 GMT", "b=2", "a=3"];
        w.client().get("/").expect_ok("").expect_headers("Set-Cookie", &cookies);
    });
}

#[test]
fn b32_b34_authorization_and_conditions_are_the_origins_business() {
    scenario(|w| {
        w.origin().on("PUT /").reply(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\", Digest x=y\r\nAllow: GET, PUT\r\n\
             ETag: \"z\"\r\nContent-Length: 0\r\n\r\n",
        );
        let c = w.client();
        let fields = "Authorization: Basic YTpi\r\nIf-Match: \"x\", W/\"y\"\r\nIf-Modified-Since: never\r\n\
                      Range: bytes=0-1\r\nCache-Control: no-store\r\nContent-Length: 1\r\n";
        c.request("PUT", "/", fields, "a").expect_status(401).expect_header("Allow", "GET, PUT");
        c.expect_header("WWW-Authenticate", "Basic realm=\"a\", Digest x=y").expect_header("ETag", "\"z\"");
        let up = lines(&w.origin().last().message());
        assert_eq!(up[1..7].iter().map(|line| format!("{line}\r\n")).collect::<String>(), fields);
    });
}

/// Takes every client for a proxy of ours.
fn trust_clients(w: &World) {
    w.settings(|settings| {
        settings.forwarding.trusted = vec![IpNet { address: [127, 1, 0, 0].into(), prefix: 16 }];
    });
}

/// The field lines in their order.
fn lines(message: &Message) -> Vec<String> {
    message.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

fn request_id(message: &Message) -> String {
    message.get("X-Request-Id").expect("there is one id").into()
}

#[test]
fn crlf_in_a_target_stays_encoded() {
    scenario(|w| {
        w.origin().on("*").ok("");
        let target = "/x%0d%0aX-Injected:%201%0d%0a%0d%0aGET%20/%20HTTP/1.1";
        w.client().get(target).expect_ok("");
        w.origin().expect_requests(1).last().expect_line(&format!("GET {target} HTTP/1.1"));
    });
}

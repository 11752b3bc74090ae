//! The filters that come along: codings and limits, from settings as a configuration makes them, and from code.

use ringway_engine::coding::{Coding, DecodeLimits, Decoder, Encoder, Levels, Policy, Progress};
use ringway_engine::error::Result;
use ringway_engine::filter;
use ringway_engine::meter::Quota;
use ringway_engine::phase::{Attachable, Content, ContentUse, Filter, Peer, Proxy, Session};
use ringway_engine::service::Service;
use ringway_engine::settings::{Compression, ConcurrencyLimit, Filters, LimitKey, RateLimit, RouteAction};
use ringway_proto::chunk::Pool;
use ringway_proto::message::ResponseHead;
use ringway_testing::http::Framing;
use ringway_testing::{Client, World, calm, scenario, simulated_calm};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Text that gets shorter, with something else in every line.
fn text(lines: usize) -> String {
    (0..lines)
        .map(|line| format!("line {line} of a text that says much the same again and again\n"))
        .collect()
}

fn encoded(coding: Coding, content: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, Levels::default(), None, Pool::new());
    let mut out = Vec::new();
    encoder.encode(content, &mut |chunk| out.extend_from_slice(&chunk));
    encoder.finish(&mut |chunk| out.extend_from_slice(&chunk));
    out
}

/// What `bytes` stand for, as far as they go, and whether that is all.
fn decoded(coding: Coding, mut bytes: &[u8]) -> (String, bool) {
    let mut decoder = Decoder::new(coding, DecodeLimits::default());
    let (pool, mut out) = (Pool::new(), Vec::new());
    loop {
        let mut vacant = pool.large();
        let progress = decoder.decode(&mut bytes, &mut vacant).expect("a stream of this coding");
        out.extend_from_slice(&vacant.freeze());
        if progress == Progress::Starved {
            return (String::from_utf8(out).expect("text"), decoder.finish().is_ok());
        }
    }
}

/// The content of the response that was looked at, once it is complete.
fn whole(client: &Client) -> Vec<u8> {
    client.expect_trailers(&[]);
    client.response().body
}

fn compress(policy: Policy) -> Filters {
    Filters { compression: Some(Compression { policy, streams_max: 16 }), ..Filters::default() }
}

fn with(w: &World, filters: Filters) {
    w.settings(|settings| settings.sites[0].routes[0].filters = filters);
}

fn reply(fields: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn chunked(fields: &str, content: &str) -> String {
    let chunk = format!("{:x}\r\n{content}\r\n", content.len());
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{chunk}")
}

const TEXT: &str = "Content-Type: text/plain\r\n";

#[test]
fn a_response_is_coded_as_its_client_wants() {
    for (accepts, coding) in [
        ("gzip", Coding::Gzip),
        ("gzip;q=0.5, br;q=0.8", Coding::Brotli),
        ("gzip, br, zstd", Coding::Zstd),
        ("*;q=0.1, br;q=0, zstd;q=0", Coding::Gzip),
    ] {
        scenario(|w| {
            with(w, compress(Policy::default()));
            let content = text(1000);
            let fields = format!("{TEXT}ETag: \"a\"\r\nAccept-Ranges: bytes\r\n");
            w.origin().on("GET /").reply(reply(&fields, content.as_bytes()));
            let c = w.client();
            for _ in 0..2 {
                c.request("GET", "/", &format!("Accept-Encoding: {accepts}\r\n"), "");
                c.expect_status(200).expect_header("Content-Encoding", coding.token());
                c.expect_header("Vary", "accept-encoding").expect_header("ETag", "W/\"a\"");
                c.expect_no_header("Accept-Ranges");
                let body = whole(&c);
                assert_eq!(decoded(coding, &body), (content.clone(), true));
            }
        });
    }
}

#[test]
fn what_is_not_coded_keeps_its_length() {
    scenario(|w| {
        with(w, compress(Policy::default()));
        let content = text(100);
        let accepts = "Accept-Encoding: gzip\r\n";
        w.origin().on("GET /text").reply(reply(TEXT, content.as_bytes()));
        w.origin().on("GET /picture").reply(reply("Content-Type: image/png\r\n", content.as_bytes()));
        w.origin().on("GET /short").reply(reply(TEXT, b"abc"));
        let partial = "HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/9\r\n\
                       Content-Length: 3\r\n\r\nabc";
        w.origin().on("GET /partial").reply(partial);
        w.origin().on("GET /same").reply("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
        let c = w.client();
        c.get("/text").expect_ok(&content).expect_header("Vary", "accept-encoding");
        c.expect_header("Content-Length", &content.len().to_string());
        for (path, len) in [("/picture", content.len()), ("/short", 3)] {
            c.request("GET", path, accepts, "").expect_status(200).expect_body_len(len);
            c.expect_no_header("Content-Encoding").expect_no_header("Vary");
            c.expect_header("Content-Length", &len.to_string());
        }
        c.request("GET", "/partial", accepts, "").expect_status(206).expect_body("abc");
        c.expect_header("Content-Length", "3").expect_no_header("Content-Encoding");
        c.request("GET", "/same", &format!("{accepts}If-None-Match: W/\"a\"\r\n"), "").expect_status(304);
        c.expect_header("ETag", "W/\"a\"").expect_no_header("Content-Encoding");
    });
}

#[test]
fn the_response_to_head_has_the_fields_of_get() {
    scenario(|w| {
        with(w, compress(Policy::default()));
        let head = format!("HTTP/1.1 200 OK\r\n{TEXT}Content-Length: 1000\r\nETag: \"a\"\r\n\r\n");
        w.origin().on("HEAD /").reply(head);
        let c = w.client();
        c.request("HEAD", "/", "Accept-Encoding: gzip\r\n", "").expect_status(200).expect_body("");
        c.expect_header("Content-Encoding", "gzip").expect_header("ETag", "W/\"a\"");
        c.expect_header("Vary", "accept-encoding").expect_no_header("Content-Length");
        c.expect_kept_alive();
    });
}

#[test]
fn trailers_follow_coded_content_without_its_digests() {
    scenario(|w| {
        with(w, compress(Policy::default()));
        let content = text(50);
        let end = "0\r\nX-Sum: 1\r\nContent-Digest: sha-256=:x:\r\n\r\n";
        w.origin().on("GET /").reply(chunked(TEXT, &content) + end);
        let c = w.client();
        c.request("GET", "/", "Accept-Encoding: gzip\r\nTE: trailers\r\n", "").expect_status(200);
        c.expect_trailers(&[("X-Sum", "1")]);
        assert_eq!(decoded(Coding::Gzip, &c.response().body), (content, true));
    });
}

#[test]
fn what_has_come_can_be_decoded_while_the_origin_pauses() {
    for content_type in ["text/event-stream", "text/html"] {
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            simulated_calm(|w| {
                with(w, compress(Policy::default()));
                let fields = format!("Content-Type: {content_type}\r\n");
                let (first, second) = ("data: 1\n\n", "data: 2\n\n");
                let script = w.origin().on("GET /").reply(chunked(&fields, first));
                script.wait("300ms").reply(format!("9\r\n{second}\r\n")).wait("300ms").reply("0\r\n\r\n");
                let c = w.client();
                c.request("GET", "/", &format!("Accept-Encoding: {}\r\n", coding.token()), "");
                c.expect_status(200);
                w.after("150ms");
                assert_eq!(decoded(coding, &c.response().body), (first.into(), false));
                w.after("300ms");
                assert_eq!(decoded(coding, &c.response().body), (format!("{first}{second}"), false));
                w.after("300ms");
                assert_eq!(decoded(coding, &c.response().body), (format!("{first}{second}"), true));
            });
        }
    }
}

#[test]
fn a_slow_reader_gets_all_of_a_long_response() {
    calm(|w| {
        with(w, compress(Policy::default()));
        let content = text(60_000);
        w.origin().on("GET /").reply(reply(TEXT, content.as_bytes()));
        let c = w.client();
        c.stop_reading().request("GET", "/", "Accept-Encoding: zstd\r\n", "");
        w.after("200ms");
        c.resume_reading().expect_status(200);
        assert_eq!(decoded(Coding::Zstd, &whole(&c)), (content, true));
    });
}

#[test]
fn a_coded_response_that_breaks_off_is_cut_and_its_coder_serves_the_next() {
    scenario(|w| {
        let mut filters = compress(Policy::default());
        filters.compression.as_mut().unwrap().streams_max = 1;
        with(w, filters);
        w.origin().on("GET /broken").reply(chunked(TEXT, &text(10))).close();
        w.origin().on("GET /long").reply(chunked(TEXT, &text(10))).hang();
        w.origin().on("GET /").reply(reply(TEXT, text(10).as_bytes()));
        let accepts = "Accept-Encoding: gzip\r\n";
        let c = w.client();
        c.request("GET", "/broken", accepts, "").expect_status(200).expect_aborted();
        let (c, d) = (w.client(), w.client());
        c.request("GET", "/long", accepts, "").expect_status(200).expect_header("Content-Encoding", "gzip");
        // All coders are in use.
        d.request("GET", "/", accepts, "").expect_ok(text(10)).expect_header("Vary", "accept-encoding");
        c.reset();
        w.settle();
        d.request("GET", "/", accepts, "").expect_status(200).expect_header("Content-Encoding", "gzip");
        assert_eq!(decoded(Coding::Gzip, &whole(&d)), (text(10), true));
        w.expect_outcomes(&["upstream_truncated", "complete", "downstream_closed", "complete"]);
    });
}

#[test]
fn our_own_answers_are_coded_too() {
    scenario(|w| {
        w.settings(|settings| {
            let route = &mut settings.sites[0].routes[0];
            route.action = RouteAction::Respond { status: 200, body: text(100), content_type: None };
            route.filters = compress(Policy::default());
        });
        let c = w.client();
        c.request("GET", "/", "Accept-Encoding: gzip\r\n", "").expect_status(200);
        c.expect_header("Content-Encoding", "gzip");
        let body = whole(&c);
        c.expect_header("Content-Length", &body.len().to_string());
        assert_eq!(decoded(Coding::Gzip, &body), (text(100), true));
        c.get("/").expect_ok(text(100));
    });
}

fn decompress(limits: DecodeLimits) -> Filters {
    let policy = Policy { offered: Vec::new(), decodes: true, decode_limits: limits, ..Policy::default() };
    compress(policy)
}

#[test]
fn a_client_that_excludes_a_coding_gets_content_decoded() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        scenario(|w| {
            with(w, decompress(DecodeLimits::default()));
            let content = text(2000);
            let fields = format!("{TEXT}Content-Encoding: {}\r\n", coding.token());
            w.origin().on("GET /").reply(reply(&fields, &encoded(coding, content.as_bytes())));
            w.origin().on("GET /empty").reply(reply(&fields, b""));
            let c = w.client();
            c.request("GET", "/", "Accept-Encoding: identity\r\n", "").expect_ok(&content);
            c.expect_no_header("Content-Encoding").expect_header("Vary", "accept-encoding");
            c.request("GET", "/", &format!("Accept-Encoding: {}\r\n", coding.token()), "").expect_status(200);
            c.expect_header("Content-Encoding", coding.token());
            assert_eq!(decoded(coding, &whole(&c)), (content, true));
            c.request("GET", "/empty", "Accept-Encoding: identity\r\n", "").expect_ok("");
        });
    }
}

#[test]
fn a_client_that_takes_nothing_of_a_small_bomb_holds_little() {
    simulated_calm(|w| {
        let passed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&passed);
        let limits = DecodeLimits { ratio_max: 2000, ..DecodeLimits::default() };
        let service = Service::proxy(|| App).in_front(move || filter::Decompression::new(limits));
        w.service(service.in_front(move || Counter(Arc::clone(&counted))));
        let content = vec![b'a'; 20_000_000];
        let fields = format!("{TEXT}Content-Encoding: gzip\r\n");
        w.origin().on("GET /").reply(reply(&fields, &encoded(Coding::Gzip, &content)));
        let c = w.client();
        c.stop_reading().request("GET", "/", "Accept-Encoding: identity\r\n", "");
        w.after("1s");
        let decoded = passed.load(Ordering::Relaxed);
        assert!(decoded < 1_000_000, "{decoded}");
        c.resume_reading().expect_status(200).expect_body_len(content.len());
    });
}

#[test]
fn bombs_and_broken_streams_are_cut() {
    scenario(|w| {
        with(w, decompress(DecodeLimits::default()));
        let fields = format!("{TEXT}Content-Encoding: gzip\r\n");
        let bomb = encoded(Coding::Gzip, &vec![0; 4_000_000]);
        let mut broken = encoded(Coding::Gzip, text(100).as_bytes());
        let last = broken.len() - 6;
        let short = broken[..broken.len() - 9].to_vec();
        broken[last] ^= 1;
        for (path, content) in [("/bomb", bomb), ("/short", short), ("/broken", broken)] {
            // What is all there at once is found to be bad before its head is sent.
            let answer = reply(&fields, &content);
            let (begin, end) = answer.split_at(answer.len() - 2);
            w.origin().on(&format!("GET {path}")).reply(begin).wait("20ms").reply(end);
            let c = w.client();
            c.request("GET", path, "Accept-Encoding: identity\r\n", "").expect_status(200).expect_aborted();
        }
        w.settle();
        w.expect_outcomes(&["upstream_malformed"; 3]);
    });
}

#[test]
fn a_broken_stream_that_is_there_at_once_is_a_bad_gateway() {
    ringway_testing::simulated_calm(|w| {
        with(w, decompress(DecodeLimits::default()));
        let fields = format!("{TEXT}Content-Encoding: gzip\r\n");
        let mut broken = encoded(Coding::Gzip, text(100).as_bytes());
        let last = broken.len() - 6;
        broken[last] ^= 1;
        w.origin().on("GET /").reply(reply(&fields, &broken));
        let c = w.client();
        c.request("GET", "/", "Accept-Encoding: identity\r\n", "").expect_status(502);
        w.expect_outcomes(&["upstream_malformed"]);
    });
}

#[test]
fn a_response_that_is_there_at_once_is_coded_with_a_length() {
    ringway_testing::simulated_calm(|w| {
        with(w, compress(Policy::default()));
        let content = text(1000);
        let answer = reply(TEXT, content.as_bytes());
        let (begin, end) = answer.split_at(answer.len() - 2);
        w.origin().on("GET /whole").reply(&answer);
        w.origin().on("GET /pieces").reply(begin).wait("20ms").reply(end);
        let c = w.client();
        for (path, is_whole) in [("/whole", true), ("/pieces", false)] {
            c.request("GET", path, "Accept-Encoding: gzip\r\n", "").expect_status(200);
            c.expect_header("Content-Encoding", "gzip");
            if is_whole {
                c.expect_headers("Transfer-Encoding", &[]);
            } else {
                c.expect_framing(Framing::Chunked);
            }
            let body = whole(&c);
            if is_whole {
                c.expect_header("Content-Length", &body.len().to_string());
            }
            assert_eq!(decoded(Coding::Gzip, &body), (content.clone(), true));
        }
    });
}

/// Counts content.
struct Counter(Arc<AtomicUsize>);

impl Filter for Counter {
    type Ctx = ();

    const RESPONSE_CONTENT: ContentUse = ContentUse::Observe;

    fn new_ctx(&self) {}

    async fn response_body_filter(&self, _: &mut Session, content: &mut Content, (): &mut ()) -> Result<()> {
        self.0.fetch_add(content.len(), Ordering::Relaxed);
        // In vain.
        content.set("changed");
        Ok(())
    }
}

/// Where requests go.
struct App;

impl Proxy for App {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }
}

/// Writes content in capitals.
struct Capitals;

impl Filter for Capitals {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn response_body_filter(&self, _: &mut Session, content: &mut Content, (): &mut ()) -> Result<()> {
        let capitals = content.to_vec().to_ascii_uppercase();
        content.set(capitals);
        Ok(())
    }
}

#[test]
fn content_is_decoded_rewritten_and_coded_again() {
    scenario(|w| {
        let service = Service::proxy(|| App)
            .in_front(|| filter::ResponseLimit::new(100_000))
            .in_front(filter::Decompression::default)
            .in_front(|| Capitals)
            .in_front(|| filter::Compression::new(Policy::default()));
        w.service(service);
        let content = text(3000);
        let coded = encoded(Coding::Brotli, content.as_bytes());
        let fields = format!("{TEXT}Content-Encoding: br\r\nTransfer-Encoding: chunked\r\n");
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{:x}\r\n", coded.len());
        w.origin().on("GET /").reply([head.as_bytes(), &coded, b"\r\n0\r\n\r\n"].concat());
        let c = w.client();
        c.request("GET", "/", "Accept-Encoding: gzip, br;q=0.1\r\n", "").expect_status(200);
        c.expect_header("Content-Encoding", "gzip");
        assert_eq!(decoded(Coding::Gzip, &whole(&c)), (content.to_uppercase(), true));
        c.get("/").expect_ok(content.to_uppercase());
    });
}

#[test]
fn long_requests_are_refused_before_or_when_it_turns_out() {
    scenario(|w| {
        with(w, Filters { request_bytes_max: Some(10), ..Filters::default() });
        w.origin().on("POST /").ok("taken");
        let c = w.client();
        c.post("/", "0123456789").expect_ok("taken");
        w.origin().last().expect_header("Content-Length", "10");
        c.post("/", "0123456789a").expect_status(413);
        w.origin().expect_requests(1);
        let c = w.client();
        c.post_chunks("/", &["01234", "56789"]).expect_ok("taken");
        c.post_chunks("/", &["01234", "567890"]).expect_status(413);
    });
}

#[test]
fn long_responses_are_refused_or_cut() {
    scenario(|w| {
        with(w, Filters { response_bytes_max: Some(10), ..Filters::default() });
        w.origin().on("GET /fits").reply(reply("", b"0123456789"));
        w.origin().on("GET /long").reply(reply("", b"0123456789a"));
        w.origin().on("GET /stream").reply(chunked("", "01234")).reply("5\r\n56789\r\n0\r\n\r\n");
        w.origin().on("GET /longer").reply(chunked("", "01234")).reply("6\r\n567890\r\n0\r\n\r\n");
        let c = w.client();
        c.get("/fits").expect_ok("0123456789").expect_header("Content-Length", "10");
        c.get("/long").expect_status(502);
        c.get("/stream").expect_ok("0123456789");
        c.get("/longer").expect_status(200).expect_aborted();
        w.settle();
        w.expect_outcomes(&["complete", "upstream_too_large", "complete", "upstream_too_large"]);
    });
}

fn rate(events: u32, per: &str, burst: u32, key: LimitKey, delay_ms: u64) -> RateLimit {
    let per = if per == "s" { Duration::from_secs(1) } else { Duration::from_secs(60) };
    let quota = Quota::new(events, per).burst(burst);
    RateLimit { quota, key, delay_max: Duration::from_millis(delay_ms), keys: 64, announced: None }
}

#[test]
fn requests_that_come_too_often_are_told_when_to_come_again() {
    simulated_calm(|w| {
        let rate_limits = vec![rate(1, "m", 2, LimitKey::Host, 0)];
        with(w, Filters { rate_limits, ..Filters::default() });
        w.origin().on("GET /").ok("x");
        let (c, d) = (w.client(), w.client());
        c.get("/").expect_ok("x");
        d.get("/").expect_ok("x");
        c.get("/")
            .expect_status(429)
            .expect_header("Retry-After", "60")
            .expect_header("Cache-Control", "no-store");
        w.after("30s");
        d.get("/").expect_status(429).expect_header("Retry-After", "30");
        w.after("31s");
        c.get("/").expect_ok("x");
        d.get("/").expect_status(429);
        w.origin().expect_requests(3);
    });
}

#[test]
fn a_limit_that_is_announced_says_what_is_left_of_it() {
    simulated_calm(|w| {
        w.settings(|settings| {
            let announced = |name: &str| Some(name.to_owned());
            let all = RateLimit { announced: announced("all"), ..rate(60, "m", 3, LimitKey::All, 0) };
            let host = RateLimit { announced: announced("host"), ..rate(2, "m", 2, LimitKey::Host, 0) };
            let quiet = rate(9, "m", 9, LimitKey::Path, 0);
            settings.sites[0].rate_limits = vec![all];
            settings.sites[0].routes[0].filters.rate_limits = vec![host, quiet];
        });
        w.origin().on("GET /").reply(reply("RateLimit: \"own\";r=5\r\n", b"x"));
        let c = w.client();
        let expect = |status, expected: &[&str]| {
            c.get("/").expect_status(status);
            let fields = c.response().fields;
            let told = fields.iter().filter(|(name, _)| name.starts_with("RateLimit"));
            let told: Vec<_> = told.map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(told, expected);
        };
        let own = "RateLimit: \"own\";r=5";
        let host = "RateLimit-Policy: \"host\";q=2;w=60";
        let all = "RateLimit-Policy: \"all\";q=60;w=60";
        expect(200, &[own, host, "RateLimit: \"host\";r=1;t=30", all, "RateLimit: \"all\";r=2;t=2"]);
        expect(200, &[own, host, "RateLimit: \"host\";r=0;t=30", all, "RateLimit: \"all\";r=1;t=1"]);
        expect(429, &[host, "RateLimit: \"host\";r=0;t=30", all, "RateLimit: \"all\";r=0;t=1"]);
        c.expect_header("Retry-After", "30");
        // The site's is asked first, and the route's not at all.
        expect(429, &[all, "RateLimit: \"all\";r=0;t=1"]);
        c.expect_header("Retry-After", "1");
    });
}

#[test]
fn limits_count_by_what_they_are_told() {
    scenario(|w| {
        w.settings(|settings| {
            let header = LimitKey::Header("X-Key".into());
            let site = &mut settings.sites[0];
            site.rate_limits = vec![rate(1, "m", 5, LimitKey::All, 0)];
            site.routes[0].filters.rate_limits = vec![rate(1, "m", 1, header, 0)];
            site.routes[0].action =
                RouteAction::Respond { status: 200, body: "x".into(), content_type: None };
        });
        let c = w.client();
        c.get("/").expect_ok("x");
        c.get("/").expect_status(429);
        c.request("GET", "/", "X-Key: 1\r\n", "").expect_ok("x");
        c.request("GET", "/", "X-Key: 2\r\n", "").expect_ok("x");
        c.request("GET", "/", "X-Key: 2\r\n", "").expect_status(429);
        c.request("GET", "/", "X-Key: 3\r\n", "").expect_status(429);
        w.settle();
        let (answered, limited) = ("answered", "rate_limited");
        w.expect_outcomes(&[answered, limited, answered, answered, limited, limited]);
    });
}

#[test]
fn a_request_that_comes_too_early_may_wait() {
    simulated_calm(|w| {
        let rate_limits = vec![rate(1, "s", 1, LimitKey::Path, 1500)];
        with(w, Filters { rate_limits, ..Filters::default() });
        w.origin().on("GET /").ok("x");
        let clients = [w.client(), w.client(), w.client()];
        clients.iter().for_each(|client| _ = client.get("/"));
        let [first, second, third] = clients;
        first.expect_ok("x").expect_at("0s");
        second.expect_ok("x").expect_at("1s");
        // Its turn would have come later than it may wait.
        third.expect_status(429).expect_at("1s");
    });
}

#[test]
fn no_more_requests_are_under_way_than_allowed() {
    scenario(|w| {
        let concurrency_limits = vec![ConcurrencyLimit { max: 1, key: LimitKey::All }];
        with(w, Filters { concurrency_limits, ..Filters::default() });
        w.origin().on("GET /long").hang();
        w.origin().on("GET /").ok("x");
        let (c, d) = (w.client(), w.client());
        d.get("/").expect_ok("x");
        d.get("/").expect_ok("x");
        c.get("/long").sent();
        d.get("/").expect_status(429);
        c.reset();
        w.settle();
        d.get("/").expect_ok("x");
    });
}

/// Lets a filter join when the response is there, which then sees no head but the content.
struct Joined(Attachable);

impl Proxy for Joined {
    type Ctx = u32;

    fn new_ctx(&self) -> u32 {
        0
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut u32) -> Result<Peer> {
        Ok(Peer::cluster("app"))
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        _: &mut ResponseHead,
        visits: &mut u32,
    ) -> Result<()> {
        *visits += 1;
        assert_eq!(*visits, 1, "a hook has its turn once");
        session.attach(&self.0);
        Ok(())
    }
}

#[test]
fn a_filter_may_join_with_the_response() {
    scenario(|w| {
        w.proxy(|| Joined(Attachable::new(Capitals)));
        w.origin().on("GET /").reply(reply("", b"abc"));
        let c = w.client();
        c.get("/").expect_ok("ABC");
        c.get("/").expect_ok("ABC");
    });
}

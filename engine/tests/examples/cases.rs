//! What each example does.

use crate::harness::{Example, Origin, curl};
use std::time::Duration;

/// Makes tests that are left to those who have curl.
macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$doc])*
        #[test]
        #[ignore = "needs other programs: scripts/test runs it"]
        fn $name() $body
    )*};
}

/// The status line of an answer.
fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).expect("a status line");
    status.parse().expect("a number")
}

/// The body of an answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

fn has_field(answer: &str, line: &str) -> bool {
    answer.to_ascii_lowercase().contains(&format!("\r\n{line}\r\n"))
}

cases! {
    fn load_balancer() {
        let (one, two) = (Origin::named("one"), Origin::named("two"));
        let example = Example::run("load_balancer", &[&one.address, &two.address]);
        // One connection of the client, so one shard: in turn.
        let urls = [example.url("/a"), example.url("/b"), example.url("/c"), example.url("/d")];
        curl(&[&urls[0], &urls[1], &urls[2], &urls[3]]);
        for origin in [one, two] {
            assert_eq!(origin.asked().len(), 2);
            assert_eq!(origin.last().field("host"), Some("one.example"));
        }
        example.stop();
    }

    fn gateway() {
        let users = Origin::new(|asked| match asked.field("authorization") {
            Some("Bearer abc") => "HTTP/1.1 200 OK\r\nX-User: ann\r\nContent-Length: 0\r\n\r\n".into(),
            Some("Bearer old") => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".into(),
            Some("Bearer strange") => "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
            _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(),
        });
        let (api, web) = (Origin::named("api"), Origin::named("web"));
        let example = Example::run("gateway", &[&users.address, &api.address, &web.address]);
        let nobody = curl(&[&example.url("/")]);
        assert_eq!(status(&nobody), 401);
        assert!(has_field(&nobody, "www-authenticate: bearer"), "{nobody}");
        for (credentials, expected) in [("Bearer old", 401), ("Bearer other", 403), ("Bearer strange", 503)] {
            let field = format!("authorization: {credentials}");
            assert_eq!(status(&curl(&["-H", &field, &example.url("/")])), expected, "{credentials}");
        }
        assert!(api.asked().is_empty() && web.asked().is_empty());

        let ann = ["-H", "authorization: Bearer abc", "-H", "x-user: root"];
        let answer = curl(&[&ann[..], &[&example.url("/api/things")]].concat());
        assert_eq!((status(&answer), body(&answer)), (200, "api"));
        assert!(has_field(&answer, "x-content-type-options: nosniff"), "{answer}");
        let asked = api.last();
        assert_eq!(asked.field("x-user"), Some("ann"));
        assert_eq!(asked.field("authorization"), None);
        assert_eq!(asked.head.matches("root").count(), 0);
        assert_eq!(body(&curl(&[&ann[..], &[&example.url("/")]].concat())), "web");
        assert_eq!(body(&curl(&[&ann[..], &["-H", "x-api: 1", &example.url("/")]].concat())), "api");
        example.expect_said("ann /api/things 200");
    }

    fn gateway_without_the_service_that_knows_users() {
        let web = Origin::named("web");
        let example = Example::run("gateway", &[&Origin::absent(), &web.address, &web.address]);
        assert_eq!(status(&curl(&["-H", "authorization: Bearer abc", &example.url("/")])), 503);
        assert!(web.asked().is_empty());
    }

    fn rewrite() {
        // Answers what it got, each byte in a chunk of its own.
        let origin = Origin::new(|asked| {
            let mut answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"1\"\r\n\
                Transfer-Encoding: chunked\r\n\r\n".to_owned();
            for byte in asked.body.chars() {
                answer.push_str(&format!("1\r\n{byte}\r\n"));
            }
            answer + "0\r\n\r\n"
        });
        let example = Example::run("rewrite", &[&origin.address, "www.example", "origin.internal"]);
        let text = "wwwww.example, http://www.example/a, www.www.example and www.exampl";
        let there = text.replace("www.example", "origin.internal");
        let answer = curl(&["-d", text, "-H", "content-type: text/plain", "-H", "range: bytes=0-1", &example.url("/")]);
        assert_eq!(origin.last().body, there);
        assert_eq!(origin.last().field("range"), None);
        assert_eq!(body(&answer), text);
        assert!(!answer.to_ascii_lowercase().contains("etag"), "{answer}");

        // Nothing that is no text, and that keeps its length.
        let form = ["-d", text, "-H", "content-type: application/octet-stream"];
        curl(&[&form[..], &[&example.url("/")]].concat());
        assert_eq!(origin.last().body, text);
        assert_eq!(origin.last().field("content-length"), Some(text.len().to_string().as_str()));
    }

    fn rate_limit() {
        let origin = Origin::named("origin");
        let example = Example::run("rate_limit", &[&origin.address, "3", "600"]);
        let ask = |key: &str| curl(&["-H", &format!("x-api-key: {key}"), &example.url("/")]);
        // Each with a connection of its own, so of any shard.
        for _ in 0..3 {
            assert_eq!(status(&ask("a")), 200);
        }
        let refused = ask("a");
        assert_eq!(status(&refused), 429);
        let wait = refused.to_ascii_lowercase();
        let wait = wait.split("retry-after: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let wait: u64 = wait.expect("it says how long").parse().expect("a number");
        assert!((100..=200).contains(&wait), "{wait}");
        assert_eq!(status(&ask("b")), 200);
        assert_eq!(status(&curl(&[&example.url("/")])), 401);
        assert_eq!(origin.asked().len(), 4);
    }

    fn http_app() {
        let example = Example::run("http_app", &[]);
        assert_eq!(body(&curl(&[&example.url("/")])), "hello\n");
        let head = curl(&["-I", &example.url("/")]);
        assert!(has_field(&head, "content-length: 6"), "{head}");
        assert_eq!(body(&curl(&[&example.url("/count")])), "1\n2\n3\n4\n5\n");
        assert_eq!(body(&curl(&["-d", " some words, four ", &example.url("/words")])), "3\n");
        let many = "word ".repeat(20_000);
        let chunked = ["-H", "transfer-encoding: chunked", "-d", &many];
        assert_eq!(body(&curl(&[&chunked[..], &[&example.url("/words")]].concat())), "20000\n");
        assert_eq!(status(&curl(&[&example.url("/words")])), 405);
        assert_eq!(status(&curl(&[&example.url("/other")])), 404);
        example.stop();
    }

    fn tcp_proxy() {
        let origin = Origin::named("origin");
        let example = Example::run("tcp_proxy", &[&origin.address]);
        let answer = curl(&[&example.url("/")]);
        assert_eq!(body(&answer), "origin");
        let (there, back) = (origin.last().head.len(), answer.len());
        example.expect_said(&format!(": {there} bytes there, {back} back"));
    }

    fn failover() {
        let (one, two) = (Origin::named("one"), Origin::named("two"));
        let absent = Origin::absent();
        let example = Example::run("failover", &[&one.address, &two.address]);
        let answer = curl(&[&example.url("/")]);
        assert_eq!(body(&answer), "one");
        assert!(has_field(&answer, "x-attempts: 1"), "{answer}");

        let example = Example::run("failover", &[&absent, &two.address]);
        for method in ["GET", "POST"] {
            let answer = curl(&["-X", method, &example.url("/")]);
            assert_eq!(body(&answer), "two");
            assert!(has_field(&answer, "x-attempts: 2"), "{answer}");
        }

        let example = Example::run("failover", &[&absent, &absent]);
        let answer = curl(&[&example.url("/")]);
        assert_eq!(status(&answer), 502);
        assert!(has_field(&answer, "retry-after: 5"), "{answer}");
        assert_eq!(body(&answer), "Nobody can answer: connect_failed.\n");
    }

    fn failover_from_an_origin_that_fails_under_way() {
        let (failing, two) = (Origin::new(|_| String::new()), Origin::named("two"));
        let example = Example::run("failover", &[&failing.address, &two.address]);
        assert_eq!(body(&curl(&[&example.url("/")])), "two");
        // It may have been carried out.
        assert_eq!(status(&curl(&["-d", "a", &example.url("/")])), 502);
        assert_eq!((failing.asked().len(), two.asked().len()), (2, 1));
    }

    fn custom_balance() {
        let origins = ["one", "two", "three"].map(Origin::named);
        let [one, two, three] = &origins;
        let example = Example::run("custom_balance", &[&one.address, &two.address, &three.address]);
        let asked = || origins.each_ref().map(|origin| origin.asked().len());
        // Of those that have nothing to do, each in turn: on one connection, so that one shard is asked.
        curl(&[&example.url("/"), &example.url("/"), &example.url("/")]);
        assert_eq!(asked(), [1, 1, 1]);

        let before = asked();
        for _ in 0..4 {
            curl(&["-H", "x-session: 17", &example.url("/")]);
        }
        let more = [0, 1, 2].map(|index| asked()[index] - before[index]);
        assert!(more.contains(&4), "{more:?}");
    }

    fn refresh_endpoints() {
        let (one, two) = (Origin::named("one"), Origin::named("two"));
        let file = std::env::temp_dir().join(format!("ringway-endpoints-{}", std::process::id()));
        let path = file.to_str().expect("UTF-8");
        // As a whole or not at all, so that nobody reads half a list.
        let write = |text: &str| {
            let new = format!("{path}.new");
            std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, path)).expect("written");
        };
        write(&format!("{}\n", one.address));
        let example = Example::run("refresh_endpoints", &[path, "20"]);
        assert_eq!(body(&curl(&[&example.url("/")])), "one");
        write(&format!("{}\n", two.address));
        example.expect_said(&format!("endpoints: [{}]", two.address));
        assert_eq!(body(&curl(&[&example.url("/")])), "two");

        // What cannot be understood changes nothing, and does not end the service.
        write("nonsense\n");
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(body(&curl(&[&example.url("/")])), "two");
        write(&format!("{}\n{}\n", one.address, two.address));
        example.expect_said(&format!("endpoints: [{}, {}]", one.address, two.address));
        let urls = [example.url("/"), example.url("/")];
        let both = curl(&[&urls[0], &urls[1]]);
        assert!(both.contains("one") && both.contains("two"), "{both}");
        example.stop();
        _ = std::fs::remove_file(file);
    }
}

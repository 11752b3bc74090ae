//! What curl can be told to do.

use crate::harness::origin::Origin;
use crate::harness::programs::curl;
use crate::harness::proxy::{LISTEN, Proxy, ROUTE};
use crate::harness::{Hash, noise};
use std::io::Read;
use std::process::{Command, Stdio};

const LARGE: usize = 100_000_000;

cases! {
    fn a_get_passes_and_names_us_in_via(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let response = curl(&["-i", "-H", "X-Mine: 1", &proxy.url("/head?a=%2f&b")]);
        let (head, received) = response.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.to_lowercase().contains("\r\nvia: 1.1 ringway"), "{head}");
        assert!(received.starts_with("GET /head?a=%2f&b HTTP/1.1\r\n"), "{received}");
        let received = received.to_lowercase();
        for field in ["x-mine: 1", "via: 1.1 ringway", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"] {
            assert!(received.contains(&format!("\r\n{field}\r\n")), "{field} in {received}");
        }
        assert!(received.contains(&format!("\r\nhost: {}\r\n", proxy.address())), "{received}");
    }

    fn many_bytes_go_up_with_a_length(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let bytes = noise(LARGE);
        let file = proxy.dir.write("up", &bytes);
        let answer = curl(&["--data-binary", &format!("@{file}"), &proxy.url("/hash")]);
        assert_eq!(answer, format!("Length({LARGE}) {} \"\"", Hash::of(&bytes)));
    }

    fn many_bytes_go_up_in_chunks(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let bytes = noise(LARGE);
        let file = proxy.dir.write("up", &bytes);
        let answer = curl(&["-T", &file, "-X", "POST", "-H", "Transfer-Encoding: chunked", &proxy.url("/hash")]);
        assert_eq!(answer, format!("Chunked {} \"\"", Hash::of(&bytes)));
    }

    fn many_bytes_come_down_in_every_framing(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let expected = Hash::of(&noise(LARGE));
        for framing in ["size", "chunked", "close"] {
            let file = proxy.dir.text("down");
            curl(&["-o", &file, &proxy.url(&format!("/{framing}/{LARGE}"))]);
            assert_eq!(Hash::of_file(&proxy.dir.path("down")), expected, "{framing}");
        }
    }

    fn many_bytes_go_both_ways_at_once(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let bytes = noise(LARGE);
        let (up, down) = (proxy.dir.write("up", &bytes), proxy.dir.text("down"));
        curl(&["-H", "Expect:", "--data-binary", &format!("@{up}"), "-o", &down, &proxy.url("/echo")]);
        assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&bytes));
    }

    fn a_head_request_has_a_length_and_no_content(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let response = curl(&["-I", &proxy.url("/size/12345")]);
        assert!(response.to_lowercase().contains("\r\ncontent-length: 12345\r\n"), "{response}");
        // The connection is in order afterwards.
        let twice = curl(&["-I", &proxy.url("/size/5"), "--next", "-s", "-w", "%{num_connects}", &proxy.url("/status/204")]);
        assert!(twice.ends_with('0'), "{twice}");
    }

    fn responses_without_content_keep_the_connection(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let url = |status: u16| proxy.url(&format!("/status/{status}"));
        let shown = curl(&["-w", "%{http_code}/%{num_connects} ", &url(204), &url(304), &url(404), &url(200)]);
        assert_eq!(shown, "204/1 304/0 404/0 200/0 ");
    }

    fn an_origin_that_wants_the_content_is_asked_first(driver) {
        let origin = Origin::start(|peer| {
            while let Some(request) = peer.request()? {
                assert_eq!(request.field("expect"), Some("100-continue"));
                peer.send("HTTP/1.1 100 Continue\r\n\r\n")?;
                let mut hash = Hash::new();
                peer.content(&request, |bytes| { hash.add(bytes); Ok(()) })?;
                peer.reply(200, &hash.to_string())?;
            }
            Ok(())
        });
        let proxy = Proxy::to(driver, &origin.address);
        let file = proxy.dir.write("up", noise(2_000_000));
        // Without a 100 curl would wait for longer than it has time.
        let answer = curl(&["--expect100-timeout", "1000", "-H", "Expect: 100-continue", "-T", &file, &proxy.url("/")]);
        assert_eq!(answer, Hash::of(&noise(2_000_000)).to_string());
    }

    fn an_origin_that_does_not_want_the_content_is_not_sent_it(driver) {
        let origin = Origin::start(|peer| {
            while peer.request()?.is_some() {
                peer.reply(403, "no")?;
                // What came besides would be taken for another request, and fail the case.
            }
            Ok(())
        });
        let proxy = Proxy::to(driver, &origin.address);
        let file = proxy.dir.write("up", noise(2_000_000));
        let format = "%{http_code} %{size_upload}";
        let shown = curl(&[
            "--expect100-timeout", "1000", "-H", "Expect: 100-continue", "-T", &file, "-o", "/dev/null", "-w", format, &proxy.url("/"),
        ]);
        assert_eq!(shown, "403 0");
    }

    /// The first request of a connection, whose origin has to be dialed: no other time limit may come before.
    fn a_client_is_told_to_go_on_when_the_origin_says_nothing(driver) {
        let proxy = Proxy::run(driver, &format!(
            "{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n\
             limits {{ expect-timeout \"200ms\"; header-timeout \"10m\"; body-idle \"10m\"; }}\n",
            Origin::usual().address
        ));
        let file = proxy.dir.write("up", noise(100_000));
        let answer = curl(&["--expect100-timeout", "1000", "-H", "Expect: 100-continue", "-T", &file, &proxy.url("/hash")]);
        assert_eq!(answer, format!("Length(100000) {} \"\"", Hash::of(&noise(100_000))));
    }

    fn trailers_of_a_response_arrive(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let headers = proxy.dir.text("headers");
        let body = curl(&["-H", "TE: trailers", "-D", &headers, &proxy.url("/trailers")]);
        let headers = std::fs::read_to_string(headers).expect("curl wrote them").to_lowercase();
        assert_eq!(body, "body");
        assert!(headers.contains("x-check: sum"), "{headers}");
    }

    fn early_hints_arrive_before_the_response(driver) {
        let origin = Origin::start(|peer| {
            while peer.request()?.is_some() {
                peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")?;
                peer.reply(200, "late")?;
            }
            Ok(())
        });
        let proxy = Proxy::to(driver, &origin.address);
        let response = curl(&["-i", &proxy.url("/")]).to_lowercase();
        assert!(response.starts_with("http/1.1 103 early hints\r\n"), "{response}");
        assert!(response.contains("link: </a.css>") && response.contains("http/1.1 200 ") && response.ends_with("late"));
    }

    fn an_http_1_0_client_gets_no_chunks(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        for (framing, length) in [("size", 1000), ("chunked", 300_000), ("close", 300_000)] {
            let file = proxy.dir.text("down");
            let headers = curl(&["-0", "-D", "-", "-o", &file, &proxy.url(&format!("/{framing}/{length}"))]);
            assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&noise(length)), "{framing}");
            assert!(!headers.to_lowercase().contains("transfer-encoding"), "{headers}");
        }
    }

    fn a_path_is_forwarded_as_it_is(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        for path in ["/a/../b/./c//d", "/%7e/%2e%2e/x?y=/../z", "/a;b=c"] {
            let received = curl(&["--path-as-is", &proxy.url(path)]);
            assert!(received.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{received}");
        }
    }

    fn a_path_that_can_be_read_in_two_ways_is_refused_where_routes_differ(driver) {
        let origin = Origin::usual();
        let proxy = Proxy::run(driver, &format!(
            "listen \"127.0.0.1:0\"\ncluster \"app\" {{ endpoint \"{}\"; }}\n\
             site \"*\" {{\n route \"/private/*\" {{ respond status=403; }}\n route {{ proxy \"app\"; }}\n}}\n",
            origin.address
        ));
        for (path, status) in [
            ("/public/../private/x", "403"), ("/%70rivate/x", "403"), ("/public/../head", "200"),
            ("/..%2fprivate/x", "400"), ("/../private/x", "400"), ("/a%5cb", "400"),
        ] {
            let shown = curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", &proxy.url(path)]);
            assert_eq!(shown, status, "{path}");
        }
    }

    fn hundreds_at_once_are_all_answered(driver) {
        let proxy = Proxy::to_with_all_cores(driver, &Origin::usual().address);
        let urls = proxy.url("/size/[1000-1299]");
        let shown = curl(&["--parallel", "--parallel-max", "100", "-o", "/dev/null", "-w", "%{http_code}:%{size_download}\n", &urls]);
        let mut sizes: Vec<usize> = shown.lines().map(|line| line.strip_prefix("200:").expect("200").parse().unwrap()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, (1000..1300).collect::<Vec<_>>());
    }

    fn a_client_that_leaves_in_the_middle_disturbs_nobody(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        for _ in 0..20 {
            let mut curl = Command::new("curl")
                .args(["-q", "-s", &proxy.url("/chunked/50000000")])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .expect("curl runs");
            let mut out = curl.stdout.take().expect("piped");
            out.read_exact(&mut [0; 10_000]).expect("the beginning");
            curl.kill().expect("it runs");
            curl.wait().expect("it ends");
        }
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{size_download}", &proxy.url("/size/5000000")]), "5000000");
        crate::harness::until("nothing is left of those", || proxy.counter("exchanges_active") == 0);
    }
}

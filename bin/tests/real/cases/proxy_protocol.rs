//! HAProxy and nginx in front of ringway and behind it, with the PROXY protocol between them.

use crate::harness::origin::Origin;
use crate::harness::programs::{Server, curl};
use crate::harness::proxy::{LISTEN, Proxy, ROUTE};

/// ringway behind proxies on this machine.
fn behind(driver: crate::harness::Driver) -> Proxy {
    Proxy::run(
        driver,
        &format!(
            "listen \"127.0.0.1:0\" {{ proxy-protocol from=\"127.0.0.1\" others=\"refuse\"; }}\n\
             cluster \"app\" {{ endpoint \"{}\"; }}\n{ROUTE}",
            Origin::usual().address
        ),
    )
}

/// ringway in front of `origin`.
fn in_front_of(driver: crate::harness::Driver, version: &str, origin: &str) -> Proxy {
    let cluster = format!("cluster \"app\" {{ endpoint \"{origin}\"; send-proxy \"{version}\"; }}\n");
    Proxy::run(driver, &format!("{LISTEN}{cluster}{ROUTE}"))
}

cases! {
    fn haproxy_in_front_names_its_client(driver) {
        for word in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
            let proxy = behind(driver);
            let front = Server::haproxy("", &format!("    unique-id-format %rt\n    server s {} {word}", proxy.address()));
            let url = format!("http://{}/head", front.address);
            let heads = curl(&["--interface", "127.0.0.77", &url, &url]).to_lowercase();
            assert_eq!(heads.matches("x-forwarded-for: 127.0.0.77\r\n").count(), 2, "{word}: {heads}");
        }
    }

    fn haproxy_looks_whether_it_is_alive(driver) {
        let proxy = behind(driver);
        let server = format!("    option httpchk GET /head\n    server s {} send-proxy-v2 check inter 50ms", proxy.address());
        let front = Server::haproxy("", &server);
        crate::harness::until("it was looked at", || proxy.counter("responses_2xx") >= 3);
        assert!(curl(&[&format!("http://{}/head", front.address)]).contains("GET /head"));
        assert!(!proxy.status().contains("outcome_proxy_header"));
    }

    fn who_is_no_proxy_is_refused(driver) {
        let proxy = behind(driver);
        let answer = crate::harness::programs::run("curl", &["-q", "-sS", "--interface", "127.0.0.77", &proxy.url("/head")]);
        assert!(!answer.status.success());
        // A proxy without a header is no better.
        let answer = crate::harness::programs::run("curl", &["-q", "-sS", &proxy.url("/head")]);
        assert!(!answer.status.success());
        crate::harness::until("both are counted", || proxy.status().contains("\noutcome_proxy_header 2\n"));
    }

    fn curl_speaks_it_by_itself(driver) {
        let proxy = behind(driver);
        let head = curl(&["--haproxy-protocol", &proxy.url("/head")]).to_lowercase();
        assert!(head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    }

    fn haproxy_behind_learns_the_client(driver) {
        for version in ["v1", "v2"] {
            let show = "    http-request return status 200 content-type text/plain lf-string \"%[src] %[dst_port]\\n\"";
            let origin = Server::haproxy("accept-proxy", show);
            let proxy = in_front_of(driver, version, &origin.address);
            let port = proxy.address().rsplit_once(':').expect("a port").1.to_owned();
            let url = proxy.url("/");
            let said = curl(&["--interface", "127.0.0.77", &url, &url]);
            assert_eq!(said, format!("127.0.0.77 {port}\n").repeat(2));
            assert_eq!(proxy.counter("upstream_connects"), 1);
            assert_eq!(curl(&["--interface", "127.0.0.78", &url]), format!("127.0.0.78 {port}\n"));
            assert_eq!(proxy.counter("upstream_connects"), 2);
            crate::harness::until("what was theirs is closed", || proxy.counter("upstream_idle") == 0);
        }
    }

    fn nginx_behind_learns_the_client(driver) {
        for version in ["v1", "v2"] {
            let server = "listen LOCAL proxy_protocol; location = /who { return 200 $proxy_protocol_addr; }";
            let local = crate::harness::programs::free_address();
            let _origin = Server::nginx(&[], &server.replace("LOCAL", &local));
            let proxy = in_front_of(driver, version, &local);
            assert_eq!(curl(&["--interface", "127.0.0.77", &proxy.url("/who")]), "127.0.0.77");
        }
    }
}

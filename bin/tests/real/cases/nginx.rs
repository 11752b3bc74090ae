//! nginx as the origin: files, ranges, compression, and its ways of ending connections.

use crate::harness::programs::{Server, curl};
use crate::harness::proxy::Proxy;
use crate::harness::{Hash, noise};

cases! {
    fn one_connection_serves_many_requests(driver) {
        let nginx = Server::nginx(&[("a.txt", b"one")], "");
        let proxy = Proxy::to(driver, &nginx.address);
        let urls: Vec<String> = (0..50).map(|n| proxy.url(&format!("/a.txt?{n}"))).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        assert_eq!(curl(&urls), "one".repeat(50));
        assert_eq!(proxy.counter("downstream_accepted"), 1);
        assert_eq!(proxy.counter("upstream_connects"), 1);
        assert_eq!(proxy.counter("upstream_reuses"), 49);
    }

    fn large_files_and_ranges_of_them_arrive(driver) {
        let bytes = noise(60_000_000);
        let nginx = Server::nginx(&[("big", &bytes)], "");
        let proxy = Proxy::to(driver, &nginx.address);
        let file = proxy.dir.text("down");
        curl(&["-o", &file, &proxy.url("/big")]);
        assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&bytes));
        curl(&["-o", &file, "-r", "12345678-45678901", "-w", "%{http_code}", &proxy.url("/big")]);
        assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&bytes[12_345_678..=45_678_901]));
    }

    fn compressed_chunks_pass_unchanged(driver) {
        let page = "<p>again and again</p>\n".repeat(50_000);
        let nginx = Server::nginx(&[("page.html", page.as_bytes())], "gzip on; gzip_proxied any; gzip_min_length 10;");
        let proxy = Proxy::to(driver, &nginx.address);
        let headers = proxy.dir.text("headers");
        let raw = proxy.dir.text("raw");
        curl(&["-H", "Accept-Encoding: gzip", "-D", &headers, "-o", &raw, &proxy.url("/page.html")]);
        let headers = std::fs::read_to_string(headers).expect("curl wrote them").to_lowercase();
        assert!(headers.contains("content-encoding: gzip") && headers.contains("transfer-encoding: chunked"), "{headers}");
        let compressed = std::fs::read(raw).expect("curl wrote it");
        assert!(compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() < page.len() / 10);
        assert_eq!(curl(&["--compressed", &proxy.url("/page.html")]), page);
    }

    fn what_has_not_changed_is_not_sent_again(driver) {
        let nginx = Server::nginx(&[("a.txt", b"content")], "");
        let proxy = Proxy::to(driver, &nginx.address);
        let headers = curl(&["-I", &proxy.url("/a.txt")]);
        let tag = headers.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a tag").trim();
        let condition = format!("If-None-Match: {tag}");
        let shown = curl(&["-H", &condition, "-w", "%{http_code} %{size_download}", &proxy.url("/a.txt"), &proxy.url("/a.txt")]);
        assert_eq!(shown, "304 0304 0");
    }

    /// A restart closes every idle connection; requests that found one of them are sent again.
    fn a_restarted_origin_is_found_again(driver) {
        let nginx = Server::nginx(&[("a.txt", b"one")], "");
        let proxy = Proxy::to(driver, &nginx.address);
        for _ in 0..10 {
            assert_eq!(curl(&[&proxy.url("/a.txt")]), "one");
            nginx.signal("HUP");
        }
    }

    fn an_origin_that_is_gone_is_502_and_one_that_is_back_serves(driver) {
        let nginx = Server::nginx(&[("a.txt", b"one")], "");
        let gone = crate::harness::programs::free_address();
        let proxy = Proxy::run(driver, &format!(
            "listen \"127.0.0.1:0\"\ncluster \"gone\" {{ endpoint \"{gone}\"; }}\n\
             cluster \"both\" {{\n endpoint \"{gone}\"\n endpoint \"{}\"\n}}\n\
             site \"*\" {{\n route \"/gone\" {{ proxy \"gone\"; }}\n route {{ proxy \"both\"; }}\n}}\n", nginx.address
        ));
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.url("/gone")]), "502");
        // Of two endpoints the one that listens is found every time.
        let url = proxy.url("/a.txt");
        assert_eq!(curl(&[&url, &url, &url, &url]), "oneoneoneone");
    }
}

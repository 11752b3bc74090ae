//! Codings and limits of routes, as curl sees them.

use crate::harness::origin::Origin;
use crate::harness::programs::curl;
use crate::harness::proxy::{LISTEN, Proxy};
use crate::harness::{Driver, Hash, noise};

const LARGE: usize = 10_000_000;

/// A proxy whose one route has these keys.
fn with(driver: Driver, origin: &str, keys: &str) -> Proxy {
    let kdl = format!(
        "{LISTEN}cluster \"app\" {{ endpoint \"{origin}\"; }}\nsite \"*\" {{ route {{ {keys}; proxy \"app\"; }}; }}\n"
    );
    Proxy::run(driver, &kdl)
}

cases! {
    fn curl_understands_every_coding(driver) {
        let origin = Origin::usual();
        let text = "response-header set=\"Content-Type\" value=\"text/plain\"";
        let proxy = with(driver, &origin.address, &format!("{text}; compress \"zstd\" \"gzip\" \"br\""));
        for coding in ["gzip", "br", "zstd"] {
            for framing in ["size", "chunked", "close"] {
                let (file, head) = (proxy.dir.text("down"), proxy.dir.text("head"));
                let accepts = format!("Accept-Encoding: {coding}");
                let url = proxy.url(&format!("/{framing}/{LARGE}"));
                curl(&["--compressed", "-H", &accepts, "-D", &head, "-o", &file, &url]);
                let head = std::fs::read_to_string(&head).expect("curl wrote it").to_lowercase();
                assert!(head.contains(&format!("\r\ncontent-encoding: {coding}\r\n")), "{head}");
                assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&noise(LARGE)), "{coding} {framing}");
            }
        }
        let plain = curl(&["-o", "/dev/null", "-D", "-", &proxy.url("/size/1000")]).to_lowercase();
        assert!(plain.contains("\r\nvary: accept-encoding\r\n") && !plain.contains("content-encoding"), "{plain}");
    }

    fn what_one_proxy_codes_another_decodes(driver) {
        let origin = Origin::usual();
        let text = "response-header set=\"Content-Type\" value=\"text/plain\"";
        let inner = with(driver, &origin.address, &format!("{text}; compress \"br\""));
        let keys = "request-header set=\"Accept-Encoding\" value=\"br\"; decompress \"always\"; compress \"gzip\"";
        let outer = with(driver, inner.address(), keys);
        let expected = Hash::of(&noise(LARGE));
        for accepts in ["identity", "gzip"] {
            let file = outer.dir.text("down");
            let accepts = format!("Accept-Encoding: {accepts}");
            curl(&["--compressed", "-H", &accepts, "-o", &file, &outer.url(&format!("/chunked/{LARGE}"))]);
            assert_eq!(Hash::of_file(&outer.dir.path("down")), expected, "{accepts}");
        }
    }

    fn one_request_too_many_is_429_and_one_byte_too_many_413(driver) {
        let origin = Origin::usual();
        let keys = "rate-limit \"1/h\" burst=3; request-limit \"10B\"";
        let proxy = with(driver, &origin.address, keys);
        let status = |args: &[&str]| {
            let url = proxy.url("/head");
            curl(&[&["-o", "/dev/null", "-w", "%{http_code}", &url], args].concat())
        };
        assert_eq!(status(&["-d", "0123456789"]), "200");
        assert_eq!(status(&["-d", "0123456789a"]), "413");
        assert_eq!(status(&["-H", "Transfer-Encoding: chunked", "-d", "0123456789a"]), "413");
        assert_eq!(status(&[]), "429");
        let refused = curl(&["-i", &proxy.url("/head")]).to_lowercase();
        assert!(refused.contains("\r\nretry-after: 3"), "{refused}");
    }
}

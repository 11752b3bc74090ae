//! Unix-domain sockets on both sides.

use crate::harness::origin::{Origin, serve_usual};
use crate::harness::programs::curl;
use crate::harness::proxy::{Proxy, connect_unix, get_kept};
use crate::harness::{Hash, TempDir, noise};

cases! {
    fn both_sides_can_be_unix_sockets(driver) {
        let dir = TempDir::new();
        let origin = Origin::start_unix(&dir.path("origin"), serve_usual);
        let proxy = Proxy::run(driver, &format!(
            "listen \"unix:DIR/http\"\ncluster \"app\" {{ endpoint \"{}\"; }}\nsite \"*\" {{ route {{ proxy \"app\"; }}; }}\n",
            origin.address
        ));
        let socket = proxy.dir.text("http");
        let received = curl(&["--unix-socket", &socket, "http://name.test/head"]).to_lowercase();
        assert!(received.contains("\r\nhost: name.test\r\n") && received.contains("\r\nx-forwarded-for: unknown\r\n"), "{received}");

        let bytes = noise(30_000_000);
        let (up, down) = (proxy.dir.write("up", &bytes), proxy.dir.text("down"));
        curl(&["--unix-socket", &socket, "-H", "Expect:", "--data-binary", &format!("@{up}"), "-o", &down, "http://a/echo"]);
        assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&bytes));

        let mut stream = connect_unix(proxy.address());
        assert!((0..10).all(|_| get_kept(&mut stream, "/head").starts_with("HTTP/1.1 200 ")));
    }

    fn a_socket_that_nobody_listens_on_is_502(driver) {
        let dir = TempDir::new();
        let proxy = Proxy::to(driver, &format!("unix:{}", dir.text("nobody")));
        assert_eq!(curl(&["-o", "/dev/null", "-w", "%{http_code}", &proxy.url("/")]), "502");
    }

    fn the_socket_is_taken_away_at_the_end(driver) {
        let mut proxy = Proxy::run(driver, "listen \"unix:DIR/http\" mode=\"0600\"\nsite \"*\" { route { respond body=\"a\"; }; }\n");
        assert!(get_kept(&mut connect_unix(proxy.address()), "/").ends_with("\r\n\r\na"));
        proxy.signal("TERM");
        assert!(proxy.wait().success());
        assert!(!proxy.dir.path("http").exists() && !proxy.dir.path("control").exists());
    }
}

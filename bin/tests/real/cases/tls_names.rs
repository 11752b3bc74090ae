//! TLS that is passed through by the name that clients ask for: curl and openssl, to nginx and openssl.

use crate::harness::programs::{Server, free_address, run, run_well};
use crate::harness::proxy::Proxy;
use crate::harness::{Driver, TempDir};

/// nginx that serves TLS for a name.
struct Secured {
    _server: Server,
    address: String,
}

fn secured(name: &str) -> Secured {
    let dir = TempDir::new();
    let (key, cert) = (dir.text("key.pem"), dir.text("cert.pem"));
    let subject = format!("/CN={name}");
    let make =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
    run_well("openssl", &[&make[..], &["-subj", &subject, "-keyout", &key, "-out", &cert]].concat());
    let (key, cert) = (std::fs::read(key).expect("made"), std::fs::read(cert).expect("made"));
    let address = free_address();
    let server = format!(
        "listen {address} ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem;\n\
         location = /who {{ return 200 \"{name} for $ssl_server_name\"; }}"
    );
    let _server = Server::nginx(&[("key.pem", &key), ("cert.pem", &cert)], &server);
    Secured { _server, address }
}

fn by_name(driver: Driver, one: &Secured, other: &Secured, default: &str) -> Proxy {
    Proxy::run(
        driver,
        &format!(
            "tcp \"127.0.0.1:0\" {{ sni \"*.example.com\" {{ proxy \"one\"; }}; {default} }}\n\
             cluster \"one\" {{ endpoint \"{}\"; }}\ncluster \"other\" {{ endpoint \"{}\"; }}\n",
            one.address, other.address
        ),
    )
}

fn get(proxy: &Proxy, host: &str) -> std::process::Output {
    let (_, port) = proxy.address_of("tcp", 0).rsplit_once(':').expect("a port");
    let (resolve, url) = (format!("{host}:{port}:127.0.0.1"), format!("https://{host}:{port}/who"));
    run("curl", &["-q", "-sSk", "--max-time", "100", "--resolve", &resolve, &url])
}

cases! {
    fn each_name_has_its_server_and_its_certificate(driver) {
        let (one, other) = (secured("one.test"), secured("other.test"));
        let proxy = by_name(driver, &one, &other, "proxy \"other\"");
        for (host, answer) in [
            ("a.example.com", "one.test for a.example.com"),
            ("A.b.Example.com", "one.test for a.b.example.com"),
            ("example.org", "other.test for example.org"),
        ] {
            let said = get(&proxy, host);
            assert_eq!(String::from_utf8_lossy(&said.stdout).to_lowercase(), answer, "{said:?}");
        }
        let no_name = run("curl", &["-q", "-sSk", &format!("https://{}/who", proxy.address_of("tcp", 0))]);
        assert_eq!(String::from_utf8_lossy(&no_name.stdout), "other.test for ");
        let shown = run_well(
            "sh",
            &["-c", &format!(
                "openssl s_client -connect {} -servername x.example.com </dev/null 2>&1",
                proxy.address_of("tcp", 0)
            )],
        );
        assert!(shown.contains("CN = one.test"), "{shown}");
    }

    fn without_a_default_other_names_are_closed_and_counted(driver) {
        let (one, other) = (secured("one.test"), secured("other.test"));
        let proxy = by_name(driver, &one, &other, "sni \"only.test\" { proxy \"other\"; }");
        assert!(get(&proxy, "only.test").status.success());
        assert!(!get(&proxy, "example.org").status.success());
        crate::harness::until("it is counted", || proxy.status().contains("\noutcome_no_route 1\n"));
    }
}

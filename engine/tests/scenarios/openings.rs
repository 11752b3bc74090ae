//! What stands before a connection's protocol: PROXY headers, from the proxies in front and towards origins, and the TLS
//! ClientHello by which a connection is passed through.

use ringway_engine::settings::{
    Address, Cluster, Endpoint, IpNet, NameRoute, Others, ProxyProtocol, ProxyVersion, TcpListener,
};
use ringway_testing::{Client, World, calm, origin_address, scenario, simulated, simulated_calm};

const HEADER: &str = "PROXY TCP4 198.51.100.7 203.0.113.9 5000 443\r\n";

/// The same as version 2.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xcb\0\x71\x09\x13\x88\x01\xbb";

/// Every client of a test is a proxy in front, or nobody is.
fn proxies(is_everybody: bool, others: Others) -> Option<ProxyProtocol> {
    let prefix = if is_everybody { 0 } else { 32 };
    let range = IpNet { address: [198, 18, 0, 1].into(), prefix };
    Some(ProxyProtocol { from: vec![range], from_unix: false, others })
}

fn behind_proxies(w: &World) {
    w.settings(|settings| settings.listeners[0].proxy_protocol = proxies(true, Others::Serve));
}

#[test]
fn the_client_is_whom_the_proxy_in_front_names() {
    for header in [HEADER.as_bytes(), BINARY] {
        scenario(|w| {
            behind_proxies(w);
            w.origin().on("GET /").ok("fine");
            let c = w.client();
            c.send(header).get("/").expect_ok("fine");
            c.get("/").expect_ok("fine");
            for number in 0..2 {
                w.origin().request(number).expect_header("x-forwarded-for", "198.51.100.7");
            }
            c.finish();
            w.last_record().expect("peer", "198.51.100.7").expect("downstream_request", "2");
        });
    }
}

#[test]
fn a_client_that_a_proxy_names_is_trusted_for_itself() {
    scenario(|w| {
        behind_proxies(w);
        let of_client = IpNet { address: [198, 51, 100, 0].into(), prefix: 24 };
        w.settings(|settings| settings.forwarding.trusted = vec![of_client]);
        w.origin().on("GET /").ok("");
        let c = w.client();
        c.send(HEADER).request("GET", "/", "X-Forwarded-For: 10.0.0.1\r\n", "").expect_status(200);
        w.origin().request(0).expect_header("x-forwarded-for", "10.0.0.1, 198.51.100.7");
        let other = w.client();
        other.send("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
        other.request("GET", "/", "X-Forwarded-For: 10.0.0.1\r\n", "").expect_status(200);
        w.origin().request(1).expect_header("x-forwarded-for", "2001:db8::1");
    });
}

#[test]
fn a_proxy_that_connects_for_itself_is_the_client() {
    scenario(|w| {
        behind_proxies(w);
        w.origin().on("GET /").ok("");
        for header in
            [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"]
        {
            w.client().send(header).get("/").expect_status(200);
            let said = w.origin().last().message();
            assert!(said.get("x-forwarded-for").unwrap().starts_with("127."), "{said:?}");
        }
    });
}

#[test]
fn what_is_not_a_header_closes_a_proxys_connection() {
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY TCP4 1 2 3 4\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31"]
    {
        scenario(|w| {
            behind_proxies(w);
            w.client().send(bytes).expect_reset().expect_raw("");
            w.expect_outcomes(&["proxy_header"]);
            w.origin().expect_connections(0);
        });
    }
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    simulated(|w| {
        behind_proxies(w);
        w.settings(|settings| settings.limits.header_timeout = ringway_testing::duration("2s"));
        let (silent, begun) = (w.client(), w.client());
        begun.send("PROXY TCP4 192.0.2.1");
        w.after("1900ms");
        silent.expect_silence();
        w.after("1s");
        silent.expect_over();
        begun.expect_over();
        w.expect_outcomes(&["header_timeout"; 2]);
    });
}

#[test]
fn a_request_has_its_own_time_behind_a_header() {
    simulated_calm(|w| {
        behind_proxies(w);
        w.settings(|settings| settings.limits.header_timeout = ringway_testing::duration("2s"));
        w.origin().on("GET /").ok("fine");
        let c = w.client();
        w.after("1500ms");
        c.send(HEADER);
        w.after("1500ms");
        c.get("/").expect_ok("fine");
    });
}

#[test]
fn who_only_looks_whether_somebody_is_there_is_not_logged() {
    scenario(|w| {
        behind_proxies(w);
        w.client().finish().expect_closed();
        w.expect_outcomes(&[]);
        w.client().send("PROXY").finish().expect_over();
        w.expect_outcomes(&["downstream_closed"]);
    });
}

#[test]
fn others_are_served_for_what_they_are_or_refused() {
    scenario(|w| {
        w.settings(|settings| settings.listeners[0].proxy_protocol = proxies(false, Others::Serve));
        w.origin().on("GET /").ok("fine");
        w.client().get("/").expect_ok("fine");
        w.client().send(HEADER).get("/").expect_status(400);
        w.origin().expect_requests(1);
    });
    scenario(|w| {
        w.settings(|settings| settings.listeners[0].proxy_protocol = proxies(false, Others::Refuse));
        w.client().expect_over();
        w.expect_outcomes(&["proxy_header"]);
    });
}

#[test]
fn a_tunnel_begins_behind_the_header() {
    scenario(|w| {
        let listener = TcpListener {
            proxy_protocol: proxies(true, Others::Serve),
            ..TcpListener::new(tcp_address(), Some("app".into()))
        };
        w.settings(|settings| settings.tcp = vec![listener]);
        w.origin().is_raw();
        let c = tunnel(w);
        c.send(HEADER).send("hello");
        w.origin().expect_raw(0, "hello").send_on(0, "hi").close_on(0);
        c.expect_raw("hi").expect_closed().finish();
        w.last_record().expect("peer", "198.51.100.7").expect("outcome", "tunnel_closed");
    });
}

#[test]
fn an_origin_is_told_the_client_before_everything_else() {
    simulated(|w| {
        w.settings(|settings| settings.clusters[0].send_proxy = Some(ProxyVersion::V1));
        w.settings(|settings| settings.tcp = vec![TcpListener::new(tcp_address(), Some("app".into()))]);
        w.origin().is_raw();
        let c = tunnel(w);
        c.send("hello");
        w.origin().expect_raw(0, "PROXY TCP4 127.1.0.1 192.0.2.1 40000 5432\r\nhello").close_on(0);
        c.expect_closed();
    });
    scenario(|w| {
        let header = proxies(true, Others::Serve);
        w.settings(|settings| {
            settings.clusters[0].send_proxy = Some(ProxyVersion::V2);
            let listener = TcpListener::new(tcp_address(), Some("app".into()));
            settings.tcp = vec![TcpListener { proxy_protocol: header, ..listener }];
        });
        w.origin().is_raw();
        let c = tunnel(w);
        // Where the client connected to is what the proxy in front says, too.
        c.send(HEADER).send("hello");
        w.origin().expect_raw(0, [BINARY, b"hello"].concat()).close_on(0);
        c.expect_closed();
    });
}

/// An origin that wants to be told gets HTTP behind a line that it does not understand here: what counts is who shares
/// a connection.
#[test]
fn a_connection_with_a_header_is_one_clients_own() {
    calm(|w| {
        w.settings(|settings| settings.clusters[0].send_proxy = Some(ProxyVersion::V1));
        w.origin().is_raw();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let (a, b) = (w.client(), w.client());
        for (client, conn) in [(&a, 0), (&b, 1), (&a, 0), (&b, 1)] {
            client.get("/");
            w.settle();
            w.origin().send_on(conn, answer);
            client.expect_ok("hi");
        }
        w.origin().expect_connections(2);
        w.expect_counter("upstream_idle", 2);
        a.finish().expect_closed();
        w.settle();
        w.expect_counter("upstream_idle", 1);
        w.origin().expect_end(0, Some("finished"));
        let c = w.client();
        c.get("/");
        w.settle();
        w.origin().expect_connections(3).send_on(2, answer);
        c.expect_ok("hi");
    });
}

/// Clusters by name, each with an origin: `one`, `two` and `app`.
fn by_name(w: &World, default: Option<&str>) {
    w.origins(3);
    w.settings(|settings| {
        let endpoint = |index| Endpoint { address: Address::Tcp(origin_address(index)), weight: 1 };
        settings.clusters[0].endpoints = vec![endpoint(0)];
        settings.clusters.push(Cluster::new("one", vec![endpoint(1)]));
        settings.clusters.push(Cluster::new("two", vec![endpoint(2)]));
        let name =
            |pattern: &str, cluster: &str| NameRoute { pattern: pattern.into(), cluster: cluster.into() };
        let names = vec![name("*.example.com", "one"), name("a.example.com", "two")];
        settings.tcp =
            vec![TcpListener { names, ..TcpListener::new(tcp_address(), default.map(Into::into)) }];
    });
    (0..3).for_each(|index| {
        w.origin_at(index).is_raw();
    });
}

#[test]
fn a_tls_connection_goes_unchanged_where_its_name_says() {
    scenario(|w| {
        by_name(w, None);
        for (number, (name, origin)) in
            [("b.example.com", 1), ("A.Example.Com", 2), ("x.y.example.com", 1)].into_iter().enumerate()
        {
            let c = tunnel(w);
            let hello = hello(name);
            c.send(&hello[..7]).sent().send(&hello[7..]).send("early");
            let conn = if origin == 1 { number / 2 } else { 0 };
            let sent = [&hello[..], b"early"].concat();
            w.origin_at(origin).expect_raw(conn, sent).send_on(conn, "server hello").close_on(conn);
            c.expect_raw("server hello").expect_closed().finish();
            w.last_record().expect("host", name);
        }
        w.expect_outcomes(&["tunnel_closed"; 3]);
    });
}

#[test]
fn a_hello_in_records_and_pieces_of_any_size_arrives_as_it_was() {
    simulated(|w| {
        by_name(w, None);
        let whole = hello("a.example.com");
        let records: Vec<u8> = whole[5..].chunks(9).flat_map(record).collect();
        let c = tunnel(w);
        for piece in records.chunks(4) {
            c.send(piece).sent();
            w.after("10ms");
        }
        w.origin_at(2).expect_raw(0, &records).close_on(0);
        c.expect_closed();
    });
}

#[test]
fn what_names_nothing_goes_to_the_default_or_nowhere() {
    let unnamed = hello("");
    for bytes in [&unnamed[..], &hello("example.org"), b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        scenario(|w| {
            by_name(w, Some("app"));
            let c = tunnel(w);
            c.send(bytes);
            w.origin().expect_raw(0, bytes).send_on(0, "hi").close_on(0);
            c.expect_raw("hi").expect_closed().finish();
        });
        scenario(|w| {
            by_name(w, None);
            tunnel(w).send(bytes).expect_reset().expect_raw("");
            w.expect_outcomes(&["no_route"]);
        });
    }
}

#[test]
fn a_malformed_hello_goes_nowhere() {
    let mut long = hello("a.example.com");
    // A second name in the same list.
    let at = long.len() - 1;
    long[at] = b'.';
    for bytes in [&b"\x16\x03\x01\0\0"[..], b"\x16\x03\x01\xff\xff", &long] {
        scenario(|w| {
            by_name(w, Some("app"));
            tunnel(w).send(bytes).expect_reset().expect_raw("");
            w.expect_outcomes(&["client_hello"]);
            w.origin().expect_connections(0);
        });
    }
}

#[test]
fn a_hello_that_does_not_end_is_not_waited_for() {
    simulated(|w| {
        by_name(w, Some("app"));
        let hello = hello("a.example.com");
        let (silent, slow) = (tunnel(w), tunnel(w));
        for byte in &hello[..30] {
            slow.send([*byte]);
            w.after("300ms");
        }
        w.after("2s");
        silent.expect_over();
        slow.expect_over();
        w.expect_outcomes(&["header_timeout"; 2]);
        w.origin().expect_connections(0);
    });
}

#[test]
fn a_name_is_read_behind_a_header_and_told_on() {
    scenario(|w| {
        by_name(w, None);
        w.settings(|settings| {
            settings.tcp[0].proxy_protocol = proxies(true, Others::Serve);
            settings.clusters[1].send_proxy = Some(ProxyVersion::V2);
        });
        let c = tunnel(w);
        let hello = hello("b.example.com");
        c.send([HEADER.as_bytes(), &hello].concat());
        let mut header = BINARY.to_vec();
        header[15] += 16;
        let told = [&header[..], b"\x02\0\x0db.example.com", &hello].concat();
        w.origin_at(1).expect_raw(0, told).close_on(0);
        c.expect_closed().finish();
        w.last_record().expect("peer", "198.51.100.7").expect("host", "b.example.com");
    });
}

#[test]
fn a_shard_that_drains_does_not_wait_for_who_says_nothing() {
    simulated_calm(|w| {
        by_name(w, None);
        let c = tunnel(w);
        w.settle();
        w.drain("1m");
        w.after("1s");
        c.expect_over();
        assert_eq!(w.connections(), 0);
    });
}

fn tunnel(w: &World) -> Client {
    let c = w.client_of(&tcp_address());
    c.tunnels();
    c
}

fn tcp_address() -> Address {
    Address::Tcp(([192, 0, 2, 1], 5432).into())
}

/// The smallest ClientHello that asks for a host, or for none when it is empty.
fn hello(host: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let name = long(&[&[0], &long(host.as_bytes())[..]].concat());
    let extensions = if host.is_empty() { Vec::new() } else { [&[0, 0], &long(&name)[..]].concat() };
    let body = [&[3, 3], &[7; 32][..], &[0, 0, 2, 0x13, 1, 1, 0], &long(&extensions)].concat();
    let [_, len @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(&[&[1], &len[..], &body].concat())
}

fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

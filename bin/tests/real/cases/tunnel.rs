//! A raw TCP listener.

use crate::harness::origin::Origin;
use crate::harness::programs::curl;
use crate::harness::proxy::{Proxy, connect};
use crate::harness::{Hash, noise};
use std::io::{Read, Write};
use std::net::Shutdown;

fn tunnel_to(driver: crate::harness::Driver, origin: &Origin) -> Proxy {
    Proxy::run(
        driver,
        &format!(
            "tcp \"127.0.0.1:0\" {{ proxy \"db\"; }}\ncluster \"db\" {{ endpoint \"{}\"; }}\n",
            origin.address
        ),
    )
}

cases! {
    fn bytes_pass_both_ways_and_each_end_by_itself(driver) {
        // Answers only after everything has come: that the client finished has to reach it.
        let origin = Origin::start(|peer| {
            let hash = Hash::of_stream(&mut peer.reader)?;
            peer.send(&hash.to_string())?;
            peer.send_bytes(&noise(20_000_000))
        });
        let proxy = tunnel_to(driver, &origin);
        let mut stream = connect(proxy.address_of("tcp", 0));
        stream.write_all(&noise(20_000_000)).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half-closed");
        let expected = Hash::of(&noise(20_000_000));
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("everything");
        let (said, bytes) = answer.split_at(expected.to_string().len());
        assert_eq!(String::from_utf8_lossy(said), expected.to_string());
        assert_eq!(Hash::of(bytes), expected);
        crate::harness::until("the tunnel has ended", || proxy.counter("exchanges_active") == 0);
    }

    fn an_origin_that_speaks_first_is_heard(driver) {
        let origin = Origin::start(|peer| {
            peer.send("220 hello\r\n")?;
            let mut word = [0; 4];
            peer.reader.read_exact(&mut word)?;
            peer.send_bytes(&word)?;
            peer.reader.get_ref().finish()
        });
        let proxy = tunnel_to(driver, &origin);
        let mut stream = connect(proxy.address_of("tcp", 0));
        assert_eq!(crate::harness::proxy::read_exactly(&mut stream, 11), "220 hello\r\n");
        stream.write_all(b"QUIT").expect("sent");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "QUIT");
    }

    fn http_through_it_is_not_looked_at(driver) {
        let proxy = tunnel_to(driver, &Origin::usual());
        let url = format!("http://{}/head", proxy.address_of("tcp", 0));
        let received = curl(&[&url]).to_lowercase();
        assert!(received.starts_with("get /head http/1.1\r\n") && !received.contains("via"), "{received}");
    }

    fn an_origin_that_is_not_there_ends_the_connection(driver) {
        let origin = Origin { address: crate::harness::programs::free_address() };
        let proxy = tunnel_to(driver, &origin);
        let mut bytes = Vec::new();
        // A reset is as good as an end.
        _ = connect(proxy.address_of("tcp", 0)).read_to_end(&mut bytes);
        assert!(bytes.is_empty());
    }
}

//! A machine that has run out of something.

use crate::harness::origin::Origin;
use crate::harness::proxy::{LISTEN, Proxy, ROUTE, connect, get_kept};
use crate::harness::until;
use std::io::{Read, Write};
use std::time::Duration;

/// Whether an answer comes within `limit`.
fn is_answered(stream: &mut std::net::TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).expect("set");
    stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0)
}

cases! {
    fn without_descriptors_what_runs_goes_on_and_accepting_resumes(driver) {
        let kdl = format!("{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n", Origin::usual().address);
        let proxy = Proxy::run_with_descriptors(driver, 60, &kdl);
        let mut early = proxy.connect();
        assert!(get_kept(&mut early, "/early").starts_with("HTTP/1.1 200 "));
        let mut crowd: Vec<_> = (0..100).map(|_| connect(proxy.address())).collect();
        // The last of the crowd is connected by the kernel and accepted by nobody.
        let mut late = crowd.pop().expect("just made");
        late.write_all(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
        assert!(!is_answered(&mut late, Duration::from_millis(500)));
        for _ in 0..20 {
            assert!(get_kept(&mut early, "/early").starts_with("HTTP/1.1 200 "));
        }
        drop(crowd);
        assert!(is_answered(&mut late, crate::harness::PATIENCE), "accepting resumes");
        assert!(get_kept(&mut early, "/early").starts_with("HTTP/1.1 200 "));
        until("the crowd is gone", || proxy.counter("downstream_active") == 2);
        assert!(proxy.counter("accept_backoffs") > 0);
    }

    fn status_is_told_when_no_descriptor_is_left(driver) {
        let kdl = format!("{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n", Origin::usual().address);
        let proxy = Proxy::run_with_descriptors(driver, 60, &kdl);
        let crowd: Vec<_> = (0..100).map(|_| connect(proxy.address())).collect();
        let descriptors = format!("/proc/{}/fd", proxy.id());
        let mut before = 0;
        until("all are taken", || {
            std::thread::sleep(Duration::from_millis(200));
            let open = std::fs::read_dir(&descriptors).expect("it runs").count();
            open > 50 && std::mem::replace(&mut before, open) == open
        });
        for _ in 0..5 {
            assert!(proxy.counter("downstream_active") > 10);
        }
        drop(crowd);
        until("the crowd is gone", || proxy.counter("downstream_active") == 0);
    }

    fn a_full_disk_costs_log_lines_and_nothing_else(driver) {
        let proxy = Proxy::run(driver, &format!(
            "log {{ access \"/dev/full\" format=\"json\"; }}\n{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n",
            Origin::usual().address
        ));
        let mut stream = proxy.connect();
        for _ in 0..200 {
            assert!(get_kept(&mut stream, "/").starts_with("HTTP/1.1 200 "));
        }
        until("somebody is told", || proxy.stderr().contains("access log"));
        assert!(get_kept(&mut stream, "/").starts_with("HTTP/1.1 200 "));
    }

    fn connections_above_the_limit_wait_for_their_turn(driver) {
        let proxy = Proxy::run(driver, &format!(
            "limits {{ connections 5; }}\n{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n",
            Origin::usual().address
        ));
        let mut five: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
        for stream in &mut five {
            assert!(get_kept(stream, "/").starts_with("HTTP/1.1 200 "));
        }
        let mut sixth = proxy.connect();
        sixth.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
        assert!(!is_answered(&mut sixth, Duration::from_millis(300)));
        five.pop();
        assert!(is_answered(&mut sixth, crate::harness::PATIENCE));
    }

    /// Nobody reads: what is held is bounded, and the others are served.
    fn clients_that_do_not_read_hold_little(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let before = resident_kib(&proxy);
        let mut deaf: Vec<_> = (0..50).map(|_| proxy.connect()).collect();
        for stream in &mut deaf {
            stream.write_all(b"GET /size/20000000 HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
        }
        until("all wait", || proxy.counter("exchanges_active") == 50);
        std::thread::sleep(Duration::from_millis(500));
        let held = resident_kib(&proxy).saturating_sub(before);
        assert!(held < 50 * 512, "{held} KiB for 50 clients");
        assert!(get_kept(&mut proxy.connect(), "/head").starts_with("HTTP/1.1 200 "));
    }
}

/// Memory of the process.
fn resident_kib(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

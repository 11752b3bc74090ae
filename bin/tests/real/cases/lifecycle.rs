//! Start, stop and everything that a person does to the process.

use crate::harness::origin::Origin;
use crate::harness::programs::{curl, run};
use crate::harness::proxy::{LISTEN, Proxy, ROUTE, exchange, get_kept, ringway};
use crate::harness::{Hash, PATIENCE, noise, until};
use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

/// An origin that sends half of a response and the other half when it is told to.
fn slow_origin() -> (Origin, Sender<()>) {
    let (go_on, told) = channel();
    let told = Mutex::new(told);
    let origin = Origin::start(move |peer| {
        peer.request()?;
        let bytes = noise(2_000_000);
        peer.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()))?;
        peer.send_bytes(&bytes[..1_000_000])?;
        _ = told.lock().unwrap().recv_timeout(PATIENCE * 2);
        peer.send_bytes(&bytes[1_000_000..])
    });
    (origin, go_on)
}

/// A download of half a response, under way.
fn download(proxy: &Proxy) -> Child {
    let file = proxy.dir.text("down");
    let curl =
        Command::new("curl").args(["-q", "-sN", "--max-time", "100", "-o", &file, &proxy.url("/")]).spawn();
    until("the first half has come", || {
        std::fs::metadata(proxy.dir.path("down")).is_ok_and(|metadata| metadata.len() >= 900_000)
    });
    curl.expect("curl runs")
}

fn refuses(address: &str) -> bool {
    TcpStream::connect(address).is_err()
}

cases! {
    fn term_lets_a_download_end_and_takes_no_more(driver) {
        let (origin, go_on) = slow_origin();
        let mut proxy = Proxy::to(driver, &origin.address);
        let mut curl = download(&proxy);
        let mut idle = proxy.connect();
        proxy.signal("TERM");
        until("new connections are refused", || refuses(proxy.address()));
        // A connection without a request is closed.
        assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
        assert!(proxy.is_running(), "the download is not over");
        go_on.send(()).expect("the origin waits");
        assert!(curl.wait().expect("it ends").success());
        assert_eq!(Hash::of_file(&proxy.dir.path("down")), Hash::of(&noise(2_000_000)));
        assert_eq!(proxy.wait().code(), Some(0));
    }

    fn term_cuts_what_takes_longer_than_it_may(driver) {
        let (origin, _go_on) = slow_origin();
        let mut proxy = Proxy::run(driver, &format!(
            "drain-timeout \"1s\"\n{LISTEN}{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n", origin.address
        ));
        let mut curl = download(&proxy);
        proxy.signal("TERM");
        assert_eq!(proxy.wait().code(), Some(0));
        assert!(!curl.wait().expect("it ends").success(), "half a response is no success");
    }

    fn int_cuts_everything_at_once(driver) {
        let (origin, _go_on) = slow_origin();
        let mut proxy = Proxy::to(driver, &origin.address);
        let mut curl = download(&proxy);
        proxy.signal("INT");
        assert_eq!(proxy.wait().code(), Some(0));
        assert!(!curl.wait().expect("it ends").success(), "half a response is no success");
        assert!(refuses(proxy.address()));
    }

    fn stop_is_what_term_is_and_status_tells(driver) {
        let (origin, go_on) = slow_origin();
        let mut proxy = Proxy::to(driver, &origin.address);
        let mut curl = download(&proxy);
        let status = |args: &[&str]| {
            let output = proxy.control(args);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("text")
        };
        let text = status(&["status"]);
        assert!(text.starts_with("state running\n") && text.contains("exchanges_active 1\n"), "{text}");
        assert!(text.contains(&format!("driver {} (", driver.name())), "{text}");
        let json = status(&["status", "--json"]);
        assert!(json.starts_with("{\"state\":\"running\","), "{json}");
        status(&["stop"]);
        until("it drains", || status(&["status"]).starts_with("state draining\n"));
        go_on.send(()).expect("the origin waits");
        assert!(curl.wait().expect("it ends").success());
        assert_eq!(proxy.wait().code(), Some(0));
        assert!(!proxy.control(&["status"]).status.success());
    }

    fn a_port_in_use_is_one_line_and_a_failure(driver) {
        let proxy = Proxy::to(driver, "127.0.0.1:9");
        let output = ringway(driver).args(["proxy", "--listen", proxy.address(), "127.0.0.1:9"]).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        // Lines of the log begin with the time.
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("ringway")).collect();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(lines.len() == 1 && lines[0].contains(proxy.address()), "{said}");
        assert!(!said.contains("listening on"), "{said}");
    }

    fn a_killed_process_is_replaced_at_once(driver) {
        let origin = Origin::usual();
        let rest = format!("{ROUTE}cluster \"app\" {{ endpoint \"{}\"; }}\n", origin.address);
        let mut address = "127.0.0.1:0".to_owned();
        for _ in 0..5 {
            let mut proxy = Proxy::run(driver, &format!("listen \"{address}\"\n{rest}"));
            address = proxy.address().to_owned();
            let mut crowd: Vec<_> = (0..20).map(|_| proxy.connect()).collect();
            crowd.iter_mut().for_each(|stream| assert!(get_kept(stream, "/").starts_with("HTTP/1.1 200 ")));
            proxy.signal("KILL");
            assert_eq!(proxy.wait().code(), None);
        }
    }

    fn an_error_in_the_configuration_is_shown_where_it_is(driver) {
        let dir = crate::harness::TempDir::new();
        let file = dir.write("wrong.kdl", "listen \"127.0.0.1:0\"\ncluster \"app\" { endpoint \"127.0.0.1:1\"; retrie max=1; }\n");
        let output = ringway(driver).args(["run", "-c", &file]).output().expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("wrong.kdl:2:") && said.contains("retrie") && said.contains("retry"), "{said}");
    }

    fn usr1_opens_the_log_anew(driver) {
        let mut proxy = Proxy::run(driver, "log { access \"DIR/access.log\" format=\"json\"; }\n\
            listen \"127.0.0.1:0\"\nsite \"*\" { route { respond body=\"a\"; }; }\n");
        let lines = |name: &str| std::fs::read_to_string(proxy.dir.path(name)).unwrap_or_default();
        curl(&[&proxy.url("/before")]);
        until("it is logged", || lines("access.log").contains("/before"));
        std::fs::rename(proxy.dir.path("access.log"), proxy.dir.path("old.log")).expect("renamed");
        proxy.signal("USR1");
        until("the file is there again", || proxy.dir.path("access.log").exists());
        curl(&[&proxy.url("/after")]);
        until("it is logged", || lines("access.log").contains("/after"));
        assert!(!lines("old.log").contains("/after"));
        let line = lines("access.log");
        for member in ["\"target\":\"/after\"", "\"status\":200", "\"outcome\":\"answered\"", "\"peer\":\"127.0.0.1\""] {
            assert!(line.contains(member), "{member} in {line}");
        }
        proxy.signal("TERM");
        assert!(proxy.wait().success());
    }

    fn signals_without_a_use_yet_do_no_harm(driver) {
        let proxy = Proxy::to(driver, &Origin::usual().address);
        let mut stream = proxy.connect();
        for signal in ["HUP", "USR2", "PIPE"] {
            proxy.signal(signal);
            assert!(get_kept(&mut stream, "/").starts_with("HTTP/1.1 200 "), "{signal}");
        }
    }

    fn a_drained_keep_alive_connection_is_told_to_close(driver) {
        let (asked, asks) = channel();
        let (go_on, told) = channel::<()>();
        let (asked, told) = (Mutex::new(asked), Mutex::new(told));
        let origin = Origin::start(move |peer| {
            while peer.request()?.is_some() {
                _ = asked.lock().unwrap().send(());
                _ = told.lock().unwrap().recv_timeout(PATIENCE);
                peer.reply(200, "late")?;
            }
            Ok(())
        });
        let mut proxy = Proxy::to(driver, &origin.address);
        let stream = proxy.connect();
        let waiting = std::thread::spawn(move || exchange(stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
        asks.recv_timeout(PATIENCE).expect("the request reaches the origin");
        proxy.signal("TERM");
        until("new connections are refused", || refuses(proxy.address()));
        go_on.send(()).expect("the origin waits");
        let answer = waiting.join().expect("an answer").to_lowercase();
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("late"), "{answer}");
        assert_eq!(proxy.wait().code(), Some(0));
    }

    fn the_demo_starts_without_arguments(driver) {
        let mut child = ringway(driver)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut banner = std::io::BufReader::new(child.stdout.take().expect("piped"));
        let mut url = String::new();
        while !url.contains("/echo") {
            url.clear();
            assert!(std::io::BufRead::read_line(&mut banner, &mut url).expect("text") > 0, "the banner names /echo");
        }
        let url = url.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
        let answer = curl(&[&url]);
        let stopped = run("kill", &["-s", "INT", &child.id().to_string()]);
        let status = child.wait().expect("it ends");
        assert!(answer.starts_with("GET /echo HTTP/1.1\n") && stopped.status.success() && status.success(), "{answer}");
    }
}

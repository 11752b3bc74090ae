//! Programs that other people wrote.

use super::{TempDir, until};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs a program to its end, with a limit of time that `timeout` watches.
pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new("timeout").arg("120").arg(program).args(args).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What a program says, which has to succeed.
#[track_caller]
pub(crate) fn run_well(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// curl, without anybody's configuration, with a time limit.
#[track_caller]
pub(crate) fn curl(args: &[&str]) -> String {
    run_well("curl", &[&["-q", "-sS", "--max-time", "100"], args].concat())
}

/// A program of ours in Python, from the folder `python`.
pub(crate) fn python(script: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/python").join(script);
    // Debian's: that is where Debian's modules are.
    let mut command = Command::new("/usr/bin/python3");
    command.arg("-B").arg(path).stdin(Stdio::null());
    command
}

/// A running server; killed when the case is over.
pub(crate) struct Server {
    child: Child,
    /// What ringway's configuration calls it.
    pub(crate) address: String,
    _dir: Option<TempDir>,
}

impl Server {
    /// A server that says on its first line of output where it listens.
    pub(crate) fn announced(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("text");
        assert!(!line.is_empty(), "the server ended");
        Self { child, address: line.trim().into(), _dir: None }
    }

    /// nginx with these files to serve, and this text in its `server` block.
    pub(crate) fn nginx(files: &[(&str, &[u8])], server: &str) -> Self {
        let dir = TempDir::new();
        for (name, content) in files {
            dir.write(name, content);
        }
        Self::at_free_address(dir, |dir, address| {
            let config =
                NGINX.replace("ADDRESS", address).replace("DIR", &dir.text("")).replace("SERVER", server);
            let mut command = Command::new("/usr/sbin/nginx");
            command.args(["-p", &dir.text(""), "-c", &dir.write("nginx.conf", config)]);
            command.args(["-g", "daemon off;"]);
            command
        })
    }

    /// HAProxy with this text behind `bind ADDRESS`.
    pub(crate) fn haproxy(bind_options: &str, rest: &str) -> Self {
        Self::at_free_address(TempDir::new(), |dir, address| {
            let config = HAPROXY.replace("ADDRESS", address).replace("OPTIONS", bind_options);
            let mut command = Command::new("/usr/sbin/haproxy");
            command.args(["-db", "-f", &dir.write("haproxy.cfg", config.replace("REST", rest))]);
            command
        })
    }

    /// A server that cannot let the kernel choose a port; one that was free a moment ago is free most of the time.
    fn at_free_address(dir: TempDir, command: impl Fn(&TempDir, &str) -> Command) -> Self {
        for _ in 0..10 {
            let address = free_address();
            let mut child = command(&dir, &address).stderr(Stdio::piped()).spawn().expect("it starts");
            let mut has_ended = false;
            until("the server listens", || {
                has_ended = child.try_wait().expect("it is our child").is_some();
                has_ended || TcpStream::connect(&address).is_ok()
            });
            if !has_ended {
                return Self { child, address, _dir: Some(dir) };
            }
            let mut said = String::new();
            _ = child.stderr.take().expect("piped").read_to_string(&mut said);
            assert!(said.to_lowercase().contains("in use"), "{said}");
        }
        panic!("no free port");
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to, not when it is killed.
        _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// An address at which nobody listened a moment ago.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

const HAPROXY: &str = "
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen front
    bind ADDRESS OPTIONS
REST
";

const NGINX: &str = "
worker_processes 1;
pid DIR/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    types { text/html html; text/plain txt; }
    default_type application/octet-stream;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    sendfile on;
    tcp_nopush on;
    server { listen ADDRESS; root DIR; SERVER }
}
";

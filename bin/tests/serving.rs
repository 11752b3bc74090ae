//! The binary with an engine in it: that it says where it listens, serves, and stops as it is told.
//!
//! Ports come from the kernel, so these run beside each other and beside anything else.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside of the machine")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running ringway; killed when the test is over.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stderr }
    }

    /// The address of the next `listening on` line for `scheme`; lines of the log come between.
    fn listening(&mut self, scheme: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.stderr.read_line(&mut line).expect("text") > 0, "it ended before it listened");
            if let Some(rest) = line.strip_prefix("listening on ") {
                return rest.strip_suffix(&format!(" ({scheme})\n")).expect("the scheme").to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

/// An origin that answers every connection with `ok`.
fn origin() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    address
}

fn get(mut stream: impl std::io::Read + std::io::Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    response
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    stream
}

#[test]
fn a_proxy_says_where_it_listens_serves_and_stops() {
    for signal in ["TERM", "INT"] {
        let mut proxy = Running::start(&["proxy", "--listen", "127.0.0.1:0", "--workers", "2", &origin()]);
        let address = proxy.listening("http");
        assert!(get(connect(&address), "/").ends_with("\r\n\r\nok"));
        proxy.signal(signal);
        assert!(proxy.wait().success());
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_port_in_use_is_one_line_and_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut proxy = Running::start(&["proxy", "--listen", &address, "127.0.0.1:9"]);
    let mut shown = String::new();
    proxy.stderr.read_to_string(&mut shown).expect("text");
    assert_eq!(proxy.wait().code(), Some(1));
    assert!(shown.lines().last().expect("a line").contains(&address), "{shown}");
    assert!(!shown.contains("listening on"), "{shown}");
}

#[test]
fn the_demo_serves_its_own_origin() {
    let mut demo = Running::start(&["--listen", "127.0.0.1:0"]);
    let address = demo.listening("http");
    let mut stdout = BufReader::new(demo.child.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("/echo") {
        line.clear();
        assert!(stdout.read_line(&mut line).expect("text") > 0, "the banner names /echo");
    }
    assert!(line.contains(&format!("curl http://{address}/echo")), "{line}");
    let response = get(connect(&address), "/echo");
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("GET /echo HTTP/1.1\n"),
        "{response}"
    );
}

#[test]
fn a_configuration_is_served_and_stopped_over_its_control_socket() {
    let directory = scratch("run");
    let (socket, control, file) =
        (directory.join("http"), directory.join("control"), directory.join("a.kdl"));
    let text = format!(
        "workers 1\ncontrol {control:?}\nlisten \"127.0.0.1:0\"\nlisten \"unix:{}\" mode=\"0600\"\n\
         cluster \"app\" {{ endpoint \"{origin}\"; }}\n\
         site \"*\" {{\n    route \"/health\" {{ respond body=\"fine\"; }}\n    route {{ proxy \"app\"; }}\n}}\n\
         tcp \"127.0.0.1:0\" {{ proxy \"app\"; }}\n",
        socket.display(),
        origin = origin(),
    );
    std::fs::write(&file, text).expect("written");
    let mut server = Running::start(&["run", "-c", file.to_str().expect("text")]);
    let address = server.listening("http");
    assert_eq!(server.listening("http"), format!("unix:{}", socket.display()));
    let raw = server.listening("tcp");

    let metadata = std::fs::metadata(&socket).expect("it is there");
    assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600);
    assert!(get(connect(&address), "/health").ends_with("\r\n\r\nfine"));
    assert!(get(UnixStream::connect(&socket).expect("it accepts"), "/").ends_with("\r\n\r\nok"));
    assert!(get(connect(&raw), "/").ends_with("\r\n\r\nok"));

    let ask = |args: &[&str]| {
        let control = ["--control", control.to_str().expect("text")];
        let output = Command::new(env!("CARGO_BIN_EXE_ringway")).args([args, &control].concat()).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(!ask(&["status"]).is_empty());
    assert!(ask(&["status", "--json"]).starts_with('{'));
    ask(&["stop"]);
    assert!(server.wait().success());
    assert!(!socket.exists() && !control.exists(), "sockets are taken away");
}

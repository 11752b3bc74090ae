//! A running ringway.

use super::{Driver, PATIENCE, TempDir, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A running ringway; killed when the case is over.
pub(crate) struct Proxy {
    child: Child,
    /// Where it listens: scheme and address, in order.
    bound: Vec<(String, String)>,
    stderr: Arc<Mutex<String>>,
    pub(crate) dir: TempDir,
}

/// The command that runs ringway on `driver`, with everything that it says readable.
pub(crate) fn ringway(driver: Driver) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command
        .env("RINGWAY_IO", driver.name())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Proxy {
    /// A reverse proxy in front of one upstream, with one shard: there is one order of events.
    pub(crate) fn to(driver: Driver, upstream: &str) -> Self {
        Self::run(driver, &format!("cluster \"app\" {{ endpoint \"{upstream}\"; }}\n{LISTEN}{ROUTE}"))
    }

    /// As [`Proxy::to`], with a shard for each core.
    pub(crate) fn to_with_all_cores(driver: Driver, upstream: &str) -> Self {
        let mut command = ringway(driver);
        command.args(["proxy", "--listen", "127.0.0.1:0", upstream]);
        Self::start(driver, command, TempDir::new(), 1)
    }

    /// Runs a configuration. It gets a control socket and one worker; `DIR` in it is the case's directory.
    pub(crate) fn run(driver: Driver, kdl: &str) -> Self {
        Self::run_with(driver, ringway(driver), kdl)
    }

    /// Runs a configuration where no more than so many descriptors may be open.
    pub(crate) fn run_with_descriptors(driver: Driver, descriptors: u32, kdl: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_ringway")]);
        command
            .env("RINGWAY_IO", driver.name())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Self::run_with(driver, command, kdl)
    }

    fn run_with(driver: Driver, mut command: Command, kdl: &str) -> Self {
        let dir = TempDir::new();
        let kdl = format!("workers 1\ncontrol \"{}\"\n{kdl}", dir.text("control"));
        let kdl = kdl.replace("DIR", dir.text("").trim_end_matches('/'));
        let listeners =
            kdl.lines().filter(|line| line.starts_with("listen ") || line.starts_with("tcp ")).count();
        command.args(["run", "-c", &dir.write("ringway.kdl", kdl)]);
        Self::start(driver, command, dir, listeners)
    }

    fn start(driver: Driver, mut command: Command, dir: TempDir, listeners: usize) -> Self {
        let mut child = command.spawn().expect("ringway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let stderr = Arc::new(Mutex::new(String::new()));
        let mut bound = Vec::new();
        while bound.len() < listeners {
            let mut line = String::new();
            if lines.read_line(&mut line).expect("text") == 0 {
                panic!("ringway ended with {}: {}", child.wait().expect("it ends"), stderr.lock().unwrap());
            }
            stderr.lock().unwrap().push_str(&line);
            if let Some(rest) = line.strip_prefix("listening on ") {
                let (address, scheme) =
                    rest.trim_end().trim_end_matches(')').split_once(" (").expect("a scheme");
                bound.push((scheme.to_owned(), address.to_owned()));
            }
        }
        assert!(
            stderr.lock().unwrap().contains(&format!(": {} (", driver.name())),
            "it runs on {driver:?}: {}",
            stderr.lock().unwrap()
        );
        let rest = Arc::clone(&stderr);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut stderr = rest.lock().unwrap();
                stderr.push_str(&line);
                stderr.push('\n');
            }
        });
        Self { child, bound, stderr, dir }
    }

    /// The address of the first HTTP listener.
    pub(crate) fn address(&self) -> &str {
        self.address_of("http", 0)
    }

    /// The address of listener number `index` of those with this scheme.
    pub(crate) fn address_of(&self, scheme: &str, index: usize) -> &str {
        let mut of_scheme = self.bound.iter().filter(|(bound, _)| bound == scheme);
        &of_scheme.nth(index).expect("it was configured").1
    }

    /// `http://` and the address of the first HTTP listener, then `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// A connection to the first HTTP listener.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("ringway ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("just seen")
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// What it has written to standard error.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Runs another ringway that talks to this one's control socket.
    pub(crate) fn control(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.args(args).args(["--control", &self.dir.text("control")]).output().expect("it runs")
    }

    /// What `ringway status` shows. Outcomes are among it once there were any.
    pub(crate) fn status(&self) -> String {
        String::from_utf8(self.control(&["status"]).stdout).expect("text")
    }

    /// A number that `ringway status` shows.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.status();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let has_ended_by_itself = !self.is_running();
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            let how = if has_ended_by_itself { "had ended before" } else { "was running" };
            eprintln!("ringway {how} and said:\n{}", self.stderr());
        }
    }
}

/// A connection on which nothing is waited for too long.
pub(crate) fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

/// A connection to a Unix-domain socket.
pub(crate) fn connect_unix(path: &str) -> UnixStream {
    let stream = UnixStream::connect(path.trim_start_matches("unix:")).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Sends bytes and reads until the other end closes. A reset after some answer is an end too: how connections end
/// is not what is asked here.
pub(crate) fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    // Whoever refuses the first half need not read the second.
    _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no end of the answer"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads a head up to its empty line, and nothing behind it.
pub(crate) fn read_head(mut stream: impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).expect("readable"), 1, "{}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// Reads exactly so many bytes.
pub(crate) fn read_exactly(mut stream: impl Read, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("so many bytes");
    String::from_utf8(bytes).expect("text")
}

/// One GET on a connection that stays open; the whole response, whose length its head announces.
pub(crate) fn get_kept(stream: &mut (impl Read + Write), path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let head = read_head(&mut *stream);
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length:").map(|value| value.trim().parse().expect("a number"))
    });
    head + &read_exactly(stream, length.expect("an announced length"))
}

/// The listener of [`Proxy::to`].
pub(crate) const LISTEN: &str = "listen \"127.0.0.1:0\"\n";

/// The site of [`Proxy::to`].
pub(crate) const ROUTE: &str = "site \"*\" { route { proxy \"app\"; }; }\n";

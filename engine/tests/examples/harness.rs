//! An example that runs, an origin that tells what it was asked, and curl.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running example; killed when the case is over.
pub(crate) struct Example {
    child: Child,
    address: String,
    said: Arc<Mutex<String>>,
}

impl Example {
    /// Starts an example on a free port, with these arguments behind that.
    #[track_caller]
    pub(crate) fn run(name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program(name))
            .arg("127.0.0.1:0")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let said = Arc::new(Mutex::new(String::new()));
        listen_to(child.stdout.take().expect("piped"), &said);
        listen_to(child.stderr.take().expect("piped"), &said);
        let mut example = Self { child, address: String::new(), said };
        until("it listens", || {
            if let Ok(Some(status)) = example.child.try_wait() {
                panic!("{name} ended with {status}: {}", example.said());
            }
            let said = example.said();
            let line = said.lines().find_map(|line| line.strip_prefix("listening on "));
            let address = line.and_then(|rest| rest.split(' ').next());
            example.address = address.unwrap_or_default().to_owned();
            !example.address.is_empty()
        });
        example
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All that it has printed.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub(crate) fn expect_said(&self, what: &str) {
        until(what, || self.said().contains(what));
    }

    /// Stops it as an operator would.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().expect("kill runs").success());
        until("it ends", || match self.child.try_wait().expect("it is our child") {
            Some(status) => {
                assert!(status.success(), "{status}");
                true
            }
            None => false,
        });
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the example said:\n{}", self.said());
        }
    }
}

/// Where the program of an example is. Cargo builds examples along with tests, but not where it is asked for one test
/// only; then it is built here.
fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("this runs");
    let profile = exe.parent().and_then(Path::parent).expect("tests are in PROFILE/deps");
    let program = profile.join("examples").join(name);
    let built = program.metadata().and_then(|metadata| metadata.modified());
    if built.is_err() || built.is_ok_and(|built| built < changed()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--offline",
            "--examples",
            "--target-dir",
        ]);
        cargo.arg(profile.parent().expect("a profile is in the target directory"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success());
    }
    program
}

/// When the code was changed last.
fn changed() -> SystemTime {
    fn latest(path: &Path) -> SystemTime {
        let entries = std::fs::read_dir(path).expect("a folder");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let times = paths.map(|path| match path.is_dir() {
            true => latest(&path),
            false => path.metadata().and_then(|metadata| metadata.modified()).expect("a time"),
        });
        times.max().unwrap_or(SystemTime::UNIX_EPOCH)
    }
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [engine.join("examples"), engine.join("src"), engine.join("../proto/src")];
    folders.iter().map(|folder| latest(folder)).max().expect("some")
}

fn listen_to(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock().expect("nobody panics with it");
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// Asks again and again until the answer is yes.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// curl, without anybody's configuration, with a time limit: what it prints, head of the answer included.
#[track_caller]
pub(crate) fn curl(args: &[&str]) -> String {
    let output = curl_command(args).output().expect("curl runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "curl {args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// curl, to be run beside other things.
fn curl_command(args: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sS", "-i", "--max-time", "20", "--noproxy", "*"]).args(args).stdin(Stdio::null());
    curl
}

/// A request as an origin got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Request line and fields.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// An origin on a free port of this machine.
pub(crate) struct Origin {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Origin {
    /// Answers with what `answer` makes of a request: a whole response, with `Content-Length`, or nothing at all.
    pub(crate) fn new(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { address, asked }
    }

    /// Answers 200 with its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::new(move |_| ok(name))
    }

    /// An address where nobody listens.
    pub(crate) fn absent() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address: SocketAddr = listener.local_addr().expect("it is bound");
        address.to_string()
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics with it").clone()
    }

    #[track_caller]
    pub(crate) fn last(&self) -> Asked {
        self.asked().last().expect("it was asked").clone()
    }
}

/// A response with this body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked) -> String) {
    let mut writer = stream.try_clone().expect("a descriptor");
    let mut reader = BufReader::new(stream);
    while let Some(asked) = receive(&mut reader) {
        seen.lock().expect("nobody panics with it").push(asked.clone());
        let response = answer(&asked);
        if response.is_empty() || writer.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut impl BufRead) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut asked = Asked { head, body: String::new() };
    if let Some(length) = asked.field("content-length") {
        let mut body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        asked.body = String::from_utf8_lossy(&body).into_owned();
    } else if asked.field("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            asked.body.push_str(&String::from_utf8_lossy(&chunk[..size]));
        }
    }
    Some(asked)
}

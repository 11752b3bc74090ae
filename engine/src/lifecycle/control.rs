//! The control socket: one line in, a text out, close.
//!
//! It belongs to the user who runs the server; the file's mode and the peer's credentials both say so. Commands
//! are answered one at a time, and each within a bounded time.

use super::listen::{SocketFile, bind_unix};
use super::server::{StartError, Stop};
use super::supervisor::Request;
use crate::time::Clock;
use crossbeam_channel::Sender;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use socket2::Socket;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// A bound control socket that nobody serves yet. It has every descriptor that it will need: clients are let in before
/// it is served, and may take all the others.
#[derive(Debug)]
pub(super) struct ControlSocket {
    socket: Socket,
    file: SocketFile,
    quit: (UnixStream, UnixStream),
    reserve: Reserve,
}

/// A served control socket. Dropping it removes the file and ends the thread.
#[derive(Debug)]
pub(super) struct Control {
    _file: SocketFile,
    /// The thread sees it close.
    _quit: UnixStream,
}

type Command = fn(&Sender<Request>) -> Answer;

/// The answer to a command.
struct Answer {
    text: String,
    /// What is asked of the supervisor once the peer has the text: a process that stops at once would take it along.
    then: Option<Request>,
}

/// What can be said, and what answers it.
const COMMANDS: &[(&str, Command)] = &[
    ("ping", |_| "pong\n".into()),
    ("status text", |requests| status(requests, super::Status::to_text)),
    ("status json", |requests| status(requests, super::Status::to_json)),
    ("stop", |_| stop(Stop::Graceful)),
    ("stop fast", |_| stop(Stop::Fast)),
];

impl<T: Into<String>> From<T> for Answer {
    fn from(text: T) -> Self {
        Self { text: text.into(), then: None }
    }
}

impl ControlSocket {
    /// Binds the socket, for this user alone.
    pub(super) fn bind(path: &Path) -> Result<Self, StartError> {
        let failed = |error| StartError::Control { path: path.to_owned(), error };
        let (socket, file) = bind_unix(path, Some(0o600)).map_err(failed)?;
        let quit = UnixStream::pair().map_err(failed)?;
        Ok(Self { socket, file, quit, reserve: Reserve::new() })
    }

    /// Answers commands on a thread of its own.
    #[expect(clippy::disallowed_methods, reason = "this thread serves nobody else while it sleeps")]
    pub(super) fn serve(self, requests: Sender<Request>) -> io::Result<Control> {
        let Self { socket, file, quit: (quit, quitting), mut reserve } = self;
        thread::Builder::new().name("control".into()).spawn(move || {
            while wait_for_peer(&socket, &quitting) {
                match reserve.accept(&socket) {
                    Ok(mut peer) => {
                        answer(&mut peer, &requests);
                        reserve.refill(peer);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // Somebody else was faster: do not spin until a descriptor is closed.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(Control { _file: file, _quit: quit })
    }
}

/// A descriptor that is good for nothing but to be closed: when clients have taken all the others, somebody wants to
/// know what is going on.
#[derive(Debug)]
struct Reserve(Option<OwnedFd>);

impl Reserve {
    fn new() -> Self {
        Self(File::open("/dev/null").ok().map(Into::into))
    }

    /// Accepts a peer, in place of the reserve when no descriptor is left.
    fn accept(&mut self, socket: &Socket) -> io::Result<UnixStream> {
        let accepted = match socket.accept() {
            Err(error) if is_out_of_descriptors(&error) => {
                self.0 = None;
                socket.accept()
            }
            accepted => accepted,
        };
        accepted.map(|(peer, _)| peer.into())
    }

    /// Ends the connection of a peer. Its descriptor is the next reserve if there is none: closed, it could go to
    /// whoever is waiting for one.
    fn refill(&mut self, peer: UnixStream) {
        _ = peer.shutdown(Shutdown::Both);
        self.0.get_or_insert_with(|| peer.into());
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

/// False when it is time to go.
fn wait_for_peer(socket: &Socket, quitting: &UnixStream) -> bool {
    let mut fds =
        [PollFd::new(socket.as_fd(), PollFlags::POLLIN), PollFd::new(quitting.as_fd(), PollFlags::POLLIN)];
    // Interrupted by a signal: the peer, if there is one, is found by the next round.
    _ = poll(&mut fds, PollTimeout::NONE);
    fds[1].revents().is_none_or(|events| events.is_empty())
}

fn answer(peer: &mut UnixStream, requests: &Sender<Request>) {
    let Answer { text, then } = if !is_trusted(peer) {
        "error: not for you\n".into()
    } else {
        match read_line(peer) {
            Ok(line) => execute(&line, requests),
            Err(error) => format!("error: {error}\n").into(),
        }
    };
    // Who does not read the answer does not get it.
    _ = peer.set_write_timeout(Some(PEER_PATIENCE));
    _ = peer.write_all(text.as_bytes());
    then.into_iter().for_each(|request| _ = requests.send(request));
}

/// The user we run as, or root.
fn is_trusted(peer: &UnixStream) -> bool {
    let user = getsockopt(peer, PeerCredentials).map(|credentials| credentials.uid());
    user.is_ok_and(|user| user == 0 || user == geteuid().as_raw())
}

fn read_line(peer: &mut UnixStream) -> io::Result<String> {
    let clock = Clock::real();
    let deadline = clock.now() + PEER_PATIENCE;
    let mut line = Vec::new();
    let mut buffer = [0; LINE_BYTES_MAX];
    while !line.contains(&b'\n') {
        if line.len() >= LINE_BYTES_MAX {
            return Err(io::Error::other("the command is too long"));
        }
        // Not zero, which would mean for ever.
        let left = (deadline - clock.now()).max(Duration::from_millis(1));
        peer.set_read_timeout(Some(left))?;
        match peer.read(&mut buffer)? {
            0 => break,
            n => line.extend_from_slice(&buffer[..n]),
        }
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).trim().to_owned())
}

fn execute(line: &str, requests: &Sender<Request>) -> Answer {
    match COMMANDS.iter().find(|(command, _)| *command == line) {
        Some((_, answer)) => answer(requests),
        None => {
            let known: Vec<_> = COMMANDS.iter().map(|(command, _)| *command).collect();
            format!("error: unknown command {line:?}; there are: {}\n", known.join(", ")).into()
        }
    }
}

fn status(requests: &Sender<Request>, render: fn(&super::Status) -> String) -> Answer {
    match Request::ask_status(requests) {
        Some(status) => render(&status).into(),
        None => "error: no answer\n".into(),
    }
}

fn stop(how: Stop) -> Answer {
    Answer { text: "stopping\n".into(), then: Some(Request::Stop(how)) }
}

const LINE_BYTES_MAX: usize = 256;
const PEER_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::TempDir;
    use crossbeam_channel::{Receiver, bounded, unbounded};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn served(dir: &TempDir) -> (Control, Receiver<Request>) {
        let (requests, received) = unbounded();
        (ControlSocket::bind(&dir.path("c")).unwrap().serve(requests).unwrap(), received)
    }

    fn say(dir: &TempDir, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(dir.path("c")).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_command_is_answered_with_or_without_the_end_of_the_line() {
        let dir = TempDir::new();
        let (_control, _requests) = served(&dir);
        assert_eq!(say(&dir, b"ping\n"), "pong\n");
        assert_eq!(say(&dir, b" ping\r\nignored"), "pong\n");
        let mut stream = UnixStream::connect(dir.path("c")).unwrap();
        stream.write_all(b"pi").unwrap();
        stream.write_all(b"ng").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "pong\n");
    }

    #[test]
    fn stop_is_passed_on() {
        let dir = TempDir::new();
        let (_control, requests) = served(&dir);
        assert_eq!(say(&dir, b"stop\n"), "stopping\n");
        assert!(matches!(requests.recv().unwrap(), Request::Stop(Stop::Graceful)));
        assert_eq!(say(&dir, b"stop fast\n"), "stopping\n");
        assert!(matches!(requests.recv().unwrap(), Request::Stop(Stop::Fast)));
    }

    #[test]
    fn a_stop_is_answered_before_it_begins() {
        let dir = TempDir::new();
        // Nobody takes the request before the answer is there.
        let (requests, received) = bounded(0);
        let _control = ControlSocket::bind(&dir.path("c")).unwrap().serve(requests).unwrap();
        let mut stream = UnixStream::connect(dir.path("c")).unwrap();
        stream.set_read_timeout(Some(PEER_PATIENCE)).unwrap();
        stream.write_all(b"stop\n").unwrap();
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"stopping\n");
        assert!(matches!(received.recv().unwrap(), Request::Stop(Stop::Graceful)));
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_would_be() {
        let dir = TempDir::new();
        let (_control, _requests) = served(&dir);
        assert_eq!(
            say(&dir, b"st\x1bop\n"),
            "error: unknown command \"st\\u{1b}op\"; there are: ping, status text, status json, stop, stop fast\n"
        );
        assert!(say(&dir, &[b'x'; LINE_BYTES_MAX]).starts_with("error: the command is too long"));
    }

    #[test]
    fn a_silent_peer_is_dropped_and_others_are_served() {
        let dir = TempDir::new();
        let (_control, _requests) = served(&dir);
        let mut silent = UnixStream::connect(dir.path("c")).unwrap();
        assert_eq!(say(&dir, b"ping\n"), "pong\n");
        let mut answer = String::new();
        silent.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("error: "), "{answer}");
    }

    #[test]
    fn the_socket_is_for_its_user_alone_and_goes_with_the_server() {
        let dir = TempDir::new();
        let (control, _requests) = served(&dir);
        assert_eq!(fs::metadata(dir.path("c")).unwrap().mode() & 0o777, 0o600);
        let second = ControlSocket::bind(&dir.path("c")).unwrap_err().to_string();
        assert!(second.contains("another process listens on this socket"), "{second}");
        drop(control);
        assert!(!dir.path("c").exists());
    }
}

//! `ringway status` and `ringway stop`: clients of the control socket.
//!
//! The protocol is one line there and text back until the end: it can be spoken with `nc -U` too.

use super::{Failure, default_control};
use crate::cli::flags::{self, Args};
use crate::cli::{Command, Operands};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) static STATUS: Command = Command {
    name: "status",
    operands: Operands::None,
    summary: "Shows what the running process does.",
    help: "",
    flags: &[&flags::JSON, &flags::CONTROL],
    later: &[],
    run: |args| {
        let question = if args.json { "status json" } else { "status text" };
        run(args, question)
    },
};

pub(crate) static STOP: Command = Command {
    name: "stop",
    operands: Operands::None,
    summary: "Stops the running process gracefully.",
    help: "Running exchanges may end within the drain-timeout of the configuration.",
    flags: &[&flags::CONTROL],
    later: &[],
    run: |args| run(args, "stop"),
};

fn run(args: Args, question: &str) -> Result<ExitCode, Failure> {
    let socket = args.control.or_else(default_control).ok_or_else(|| {
        Failure::Run(
            "there is no default control socket without $XDG_RUNTIME_DIR: name it with --control".into(),
        )
    })?;
    let answer = ask(&socket, question).map_err(|error| Failure::Run(explain(&socket, &error)))?;
    match answer.strip_prefix("error: ") {
        Some(refusal) => Err(Failure::Run(refusal.trim_end().to_owned())),
        None => crate::print(&answer),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client of the control socket has nothing else to do than to wait"
)]
fn ask(socket: &Path, question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = Vec::new();
    // Whatever listens there need not be a ringway.
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::other("it closed without an answer"));
    }
    let mut answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.ends_with('\n') {
        answer.push('\n');
    }
    Ok(answer)
}

fn explain(socket: &Path, error: &io::Error) -> String {
    let socket = PathBuf::from(socket);
    let reason = match error.kind() {
        ErrorKind::NotFound => "nothing is there; is it running, and with this control socket?".into(),
        // It may go between our connecting and its answer.
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "nobody answers; the process that made it is gone".into()
        }
        ErrorKind::PermissionDenied => "permission denied; it belongs to another user".into(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no answer within {ANSWER_TIMEOUT:?}"),
        _ => error.to_string(),
    };
    format!("control socket {}: {reason}", socket.display())
}

/// Answers are immediate; `stop` is answered before the draining, not after it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::net::UnixListener;

    /// Asks a socket that answers `answer`, and says what it was asked.
    fn converse(name: &str, answer: &'static str) -> (io::Result<String>, String) {
        let path = std::env::temp_dir().join(format!("ringway-control-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            line
        });
        let answer = ask(&path, "status text");
        let question = server.join().unwrap();
        std::fs::remove_file(&path).unwrap();
        (answer, question)
    }

    #[test]
    fn one_line_there_and_text_back() {
        let (answer, question) = converse("text", "shards 2\nconnections 3");
        assert_eq!(question, "status text\n");
        assert_eq!(answer.unwrap(), "shards 2\nconnections 3\n");
    }

    #[test]
    fn a_socket_that_says_nothing_is_an_error() {
        assert!(converse("nothing", "").0.is_err());
    }

    #[test]
    fn an_absent_process_is_explained_in_one_line() {
        let path = Path::new("/nonexistent/ringway.sock");
        let error = ask(path, "stop").unwrap_err();
        assert!(
            explain(path, &error).starts_with("control socket /nonexistent/ringway.sock: nothing is there")
        );
    }
}

//! `ringway`, a ready-to-run HTTP proxy: arguments, then a configuration, then the engine.
//!
//! Read [`cli`] for what can be typed, [`config`] for what a file can say, [`command`] for what each command does
//! with the two, and [`serve`] for the one place that starts the engine. Nothing here touches a request.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests stand outside of the machine"
    )
)]

mod bill;
mod cli;
mod command;
mod config;
#[expect(
    clippy::disallowed_methods,
    reason = "the demo's origin is a small program of its own: blocking sockets, a thread a connection"
)]
mod demo;
mod logging;
mod serve;

use cli::Request;
use command::Failure;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(command, args)) => (command.run)(args),
        Ok(Request::Help(command)) => print(&cli::help::render(command)),
        Ok(Request::Version) => print(&format!("ringway {}\n", env!("CARGO_PKG_VERSION"))),
        Err(problem) => Err(Failure::Usage(problem)),
    };
    result.unwrap_or_else(|failure| {
        say(&failure.to_string());
        failure.exit_code()
    })
}

/// Writes to standard output. Whoever closed the other end of a pipe has read what it wanted: that is no failure.
fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes one line to standard error, in one piece. `eprintln!` would panic when nobody reads it any more, and a
/// proxy does not end because its terminal did.
fn say(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

//! Signals of the process, as requests to the supervisor.

use super::server::Stop;
use super::supervisor::Request;
use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::thread::{self, JoinHandle};

/// Signals are forwarded while this lives. Afterwards they are caught and ignored: what they did before cannot
/// be restored reliably.
#[derive(Debug)]
pub(super) struct Forwarding {
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Starts forwarding: TERM stops gracefully, INT at once, USR1 reopens logs. A second INT ends the process
/// where it stands, for the case that stopping itself hangs.
pub(super) fn forward(requests: Sender<Request>) -> io::Result<Forwarding> {
    let mut incoming = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
    let signals = incoming.handle();
    let thread = thread::Builder::new().name("signals".into()).spawn(move || {
        let mut interrupts = 0;
        for signal in incoming.forever() {
            // A supervisor that is gone has stopped already.
            _ = match signal {
                SIGTERM => requests.send(Request::Stop(Stop::Graceful)),
                SIGINT => {
                    interrupts += 1;
                    if interrupts > 1 {
                        std::process::exit(EXIT_INTERRUPTED);
                    }
                    requests.send(Request::Stop(Stop::Fast))
                }
                SIGUSR1 => requests.send(Request::ReopenLogs),
                other => {
                    let (name, what) = if other == SIGHUP { ("HUP", "reload") } else { ("USR2", "upgrade") };
                    log::warn!("{name} ignored: {what} is not available yet");
                    Ok(())
                }
            };
        }
    })?;
    Ok(Forwarding { signals, thread: Some(thread) })
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// What shells report for a process that INT ended.
const EXIT_INTERRUPTED: i32 = 130;

//! The processes a comparison starts: pinned, with their output in a file, and ended with it whatever happens.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::sys;

/// A process of ours, ended when this is dropped.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command` on these cores. Its output goes to a file of its own in `dir`.
    pub(super) fn start(mut command: Command, cores: &[usize], dir: &Path) -> io::Result<Self> {
        let log = dir.join(format!("output-{}", NEXT_LOG.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let cores = cores.to_vec();
        let prepare = move || {
            // Even if we are killed without a chance to clean up, the child does not stay.
            // SAFETY: plain call.
            sys::check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
            sys::pin(&cores)
        };
        // SAFETY: between fork and exec the closure makes two system calls and does not allocate.
        let spawned = unsafe { command.pre_exec(prepare) }.spawn();
        let program = command.get_program().to_string_lossy();
        let process = spawned.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        Ok(Self { process, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has printed so far.
    pub(super) fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for it to end by itself.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            pause()?;
        }
    }

    /// Waits until it accepts connections at `addr`.
    pub(super) fn wait_for_port(&mut self, addr: SocketAddr) -> io::Result<()> {
        self.wait_until(|_| TcpStream::connect(addr).ok().map(drop))
    }

    /// Waits until it has printed the address that it listens on.
    pub(super) fn wait_for_address(&mut self) -> io::Result<SocketAddr> {
        self.wait_until(|child| {
            let output = child.output();
            let (line, _) = output.split_once('\n')?;
            line.strip_prefix("listening on ")?.parse().ok()
        })
    }

    fn wait_until<T>(&mut self, ready: impl Fn(&Self) -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(value) = ready(self) {
                return Ok(value);
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let why = ended.map_or_else(|| "not ready in time".to_owned(), |status| status.to_string());
                return Err(io::Error::other(format!("{why}: {}", last_line(&self.output()))));
            }
            pause()?;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Ok(None) = self.process.try_wait() else { return };
        // SIGINT ends every contender at once; SIGTERM would let some drain.
        // SAFETY: plain call; the process is ours and not yet waited for, so the id cannot be another's.
        unsafe { libc::kill(self.process.id().cast_signed(), libc::SIGINT) };
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Ok(Some(_)) | Err(_) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(POLL_EVERY);
        }
        // Nothing more can be done about a failure, and it dies with us anyway.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A directory that is removed with its contents when this is dropped.
#[derive(Debug)]
pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ringway-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A directory left behind does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address on loopback that nobody listens on, from below the range that outgoing connections use.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    for _ in 0..PORTS {
        let port = FIRST_PORT + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    Err(io::Error::other("no free port"))
}

/// Makes Ctrl-C and SIGTERM end the run in order, so that everything started is ended too.
pub(super) fn catch_interrupts() {
    extern "C" fn note(_signal: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Fails when the user wants to stop.
pub(super) fn check_interrupt() -> io::Result<()> {
    // Not `Interrupted`: the standard library would retry the call.
    if INTERRUPTED.load(Ordering::Relaxed) { Err(io::Error::other(INTERRUPT_TEXT)) } else { Ok(()) }
}

fn pause() -> io::Result<()> {
    std::thread::sleep(POLL_EVERY);
    check_interrupt()
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output")
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static NEXT_LOG: AtomicU16 = AtomicU16::new(0);
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
const INTERRUPT_TEXT: &str = "interrupted";
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 9_000;
const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(3);
const POLL_EVERY: Duration = Duration::from_millis(10);

//! Measurements of connections that are held, not of requests: memory, and whether very many work.

use std::io;
use std::time::Duration;

use super::Options;
use super::child;
use super::contender::Contender;
use super::measure::Bench;
use super::workload::{DRIBBLE_BYTES_MAX, IDLE_BYTES_MAX};
use crate::load;
use crate::sys;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Resident bytes of an idle keep-alive connection.
    Idle,
    /// Requests over as many connections as the descriptor limit permits, 20,000 at most.
    Many,
    /// Resident bytes of a response that arrives in single bytes and is not read.
    Dribble,
}

/// What was found: a number to compare, and words about it; or why there is none.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) contender: Contender,
    pub(super) result: io::Result<(f64, String)>,
}

impl Held {
    pub(super) const ALL: [Self; 3] = [Self::Idle, Self::Many, Self::Dribble];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Many => "many",
            Self::Dribble => "dribble",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Idle => "idle keep-alive connections, 4,000 after a warm batch of 1,000",
            Self::Many => "requests over 20,000 keep-alive connections, 256 at once, three rounds",
            Self::Dribble => "clients that do not read, bodies that arrive in single bytes",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Idle | Self::Dribble => "bytes per connection",
            Self::Many => "errors",
        }
    }

    /// What ringway promises: at most this.
    pub(super) fn limit(self) -> f64 {
        match self {
            Self::Idle => IDLE_BYTES_MAX,
            Self::Many => 0.0,
            Self::Dribble => DRIBBLE_BYTES_MAX,
        }
    }
}

/// Measures every contender once: these figures repeat well, unlike times.
pub(super) fn compare(bench: &Bench<'_>, options: &Options, work: Held) -> io::Result<Vec<Finding>> {
    let contenders = [Contender::Ringway, Contender::BareRelay, Contender::Haproxy, Contender::Nginx];
    let mut findings = Vec::new();
    for contender in contenders.into_iter().filter(|contender| options.wants_contender(*contender)) {
        eprintln!("{}: {}", work.name(), contender.name());
        let result = match work {
            Held::Idle => idle(bench, contender),
            Held::Many => many(bench, options, contender),
            Held::Dribble => dribble_apart(bench, options, contender),
        };
        findings.push(Finding { contender, result });
        child::check_interrupt()?;
    }
    Ok(findings)
}

fn idle(bench: &Bench<'_>, contender: Contender) -> io::Result<(f64, String)> {
    let (child, listen) = bench.start(contender)?;
    let growth = load::idle(listen, child.pid(), IDLE_WARM, IDLE_CONNECTIONS)?;
    let (before, after) = (growth.rss_before_bytes / 1024, growth.rss_after_bytes / 1024);
    Ok((growth.bytes_each(), format!("{before} KiB to {after} KiB resident")))
}

fn many(bench: &Bench<'_>, options: &Options, contender: Contender) -> io::Result<(f64, String)> {
    let (_child, listen) = bench.start(contender)?;
    let limit = bench.programs.descriptor_limit as usize;
    // Opening all of them takes a busy machine longer than proxies wait for a first request.
    let wanted = if options.quick { MANY_QUICK } else { MANY_CONNECTIONS };
    let connections = wanted.min(limit.saturating_sub(MANY_SPARE_DESCRIPTORS));
    let many = load::many(listen, connections, MANY_IN_FLIGHT, MANY_ROUNDS);
    let mut words = format!("{} answers over {} connections", many.answered, many.connections);
    if connections < wanted {
        words += &format!(" (descriptor limit {limit})");
    }
    if let Some(error) = &many.first_error {
        words += &format!("; first error: {error}");
    }
    Ok((many.errors as f64, words))
}

/// With small socket buffers, in a network of its own so that nobody else gets them: with the usual ones the
/// kernel takes megabytes per connection before the proxy has to hold anything, one byte at a time.
fn dribble_apart(bench: &Bench<'_>, options: &Options, contender: Contender) -> io::Result<(f64, String)> {
    let measured = std::thread::scope(|scope| {
        // Namespaces are per thread: what this one starts lives in its network, and ends before it does.
        let thread = scope.spawn(|| {
            let apart = sys::enter_own_network().and_then(|()| shrink_socket_buffers());
            dribble(bench, options, contender, apart)
        });
        thread.join()
    });
    measured.unwrap_or_else(|_| Err(io::Error::other("the measuring thread panicked")))
}

fn dribble(
    bench: &Bench<'_>,
    options: &Options,
    contender: Contender,
    apart: io::Result<()>,
) -> io::Result<(f64, String)> {
    let (_origin, origin) = super::start_origin(bench.programs, bench.dir)?;
    let bench = Bench { origin, ..*bench };
    let (child, listen) = bench.start(contender)?;
    let (connections, deadline) = if options.quick { DRIBBLE_QUICK } else { DRIBBLE };
    let done = load::dribble(listen, child.pid(), connections, deadline)?;
    let rest = if done.at_rest { "came to rest" } else { "still taking bytes" };
    let mut words = format!("{connections} clients; {rest} after {:.0} s", done.elapsed.as_secs_f64());
    if let Err(error) = apart {
        words += &format!("; usual socket buffers, proxy hardly tested ({error})");
    }
    Ok((done.peak.bytes_each(), words))
}

fn shrink_socket_buffers() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/tcp_wmem", "4096 4096 8192")?;
    std::fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 8192 16384")
}

const IDLE_WARM: usize = 1_000;
const IDLE_CONNECTIONS: usize = 4_000;
const MANY_CONNECTIONS: usize = 20_000;
const MANY_QUICK: usize = 2_000;
/// For upstream connections and files of the proxy.
const MANY_SPARE_DESCRIPTORS: usize = 1_000;
const MANY_IN_FLIGHT: usize = 256;
const MANY_ROUNDS: usize = 3;
/// Clients, and how long at most.
const DRIBBLE: (usize, Duration) = (1_000, Duration::from_secs(60));
const DRIBBLE_QUICK: (usize, Duration) = (250, Duration::from_secs(15));

//! Loads that `wrk` does not offer.
//!
//! ```text
//! load idle    TARGET --pid PID [--connections 4000] [--warm 1000]   resident bytes per idle connection
//! load many    TARGET [--connections 20000] [--in-flight 256] [--rounds 3]   counts errors
//! load dribble TARGET --pid PID [--connections 1000] [--deadline 60]  memory while clients do not read
//! load rate    TARGET --rate N [--path /1] [--connections 64] [--seconds 3] [--close]
//! ```
//!
//! TARGET is the address of a proxy with `origin` behind it; PID is the proxy's process. Prints one line of
//! `key=value` pairs; exits 1 when there were errors.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use ringway_benches::args::Args;
use ringway_benches::load::{self, Offer};
use ringway_benches::sys;

fn main() -> ExitCode {
    match run(Args::of_process()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(2)
        }
    }
}

/// Returns the number of errors that the load itself counted.
fn run(mut args: Args) -> Result<u64, String> {
    let limit = sys::raise_descriptor_limit(DESCRIPTORS_WANTED);
    let mode: String = args.positional("idle, many, dribble or rate")?;
    match mode.as_str() {
        "idle" => idle(args),
        "many" => many(args, limit),
        "dribble" => dribble(args),
        "rate" => rate(args),
        other => Err(format!("unknown load {other}")),
    }
}

fn idle(mut args: Args) -> Result<u64, String> {
    let pid: u32 = args.value("--pid")?.ok_or("--pid is missing")?;
    let connections = args.value("--connections")?.unwrap_or(4000);
    let warm = args.value("--warm")?.unwrap_or(1000);
    let target: SocketAddr = args.positional("TARGET")?;
    args.finish()?;
    let growth = load::idle(target, pid, warm, connections).map_err(|error| error.to_string())?;
    println!("connections={connections} bytes_each={:.0}", growth.bytes_each());
    Ok(0)
}

fn many(mut args: Args, limit: u64) -> Result<u64, String> {
    let connections = args.value("--connections")?.unwrap_or(20_000);
    let in_flight = args.value("--in-flight")?.unwrap_or(256);
    let rounds = args.value("--rounds")?.unwrap_or(3);
    let target: SocketAddr = args.positional("TARGET")?;
    args.finish()?;
    if connections as u64 + 20 > limit {
        return Err(format!("{connections} connections do not fit in the descriptor limit, {limit}"));
    }
    let many = load::many(target, connections, in_flight, rounds);
    let first = many.first_error.as_deref().unwrap_or("none");
    println!(
        "connections={} answered={} errors={} first_error={first:?}",
        many.connections, many.answered, many.errors
    );
    Ok(many.errors as u64)
}

fn dribble(mut args: Args) -> Result<u64, String> {
    let pid: u32 = args.value("--pid")?.ok_or("--pid is missing")?;
    let connections = args.value("--connections")?.unwrap_or(1000);
    let deadline = Duration::from_secs(args.value("--deadline")?.unwrap_or(60));
    let target: SocketAddr = args.positional("TARGET")?;
    args.finish()?;
    let done = load::dribble(target, pid, connections, deadline).map_err(|error| error.to_string())?;
    let (each, seconds) = (done.peak.bytes_each(), done.elapsed.as_secs_f64());
    println!("connections={connections} bytes_each={each:.0} at_rest={} seconds={seconds:.1}", done.at_rest);
    Ok(0)
}

fn rate(mut args: Args) -> Result<u64, String> {
    let offer = Offer {
        per_second: args.value("--rate")?.ok_or("--rate is missing")?,
        path: args.value("--path")?.unwrap_or_else(|| "/1".to_owned()),
        connections: args.value("--connections")?.unwrap_or(64),
        duration: Duration::from_secs(args.value("--seconds")?.unwrap_or(3)),
        close: args.flag("--close"),
    };
    let target: SocketAddr = args.positional("TARGET")?;
    args.finish()?;
    let done = load::offer(target, &offer).map_err(|error| error.to_string())?;
    println!(
        "answered={} errors={} p50_us={:.0} p99_us={:.0}",
        done.answered, done.errors, done.p50_us, done.p99_us
    );
    Ok(done.errors)
}

const DESCRIPTORS_WANTED: u64 = 100_000;

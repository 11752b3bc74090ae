//! Micro-benchmarks of the proxy's pieces; `scripts/bench --micro` builds it and calls it.
//!
//! ```text
//! micro [NAME...]               nanoseconds of one operation: the least and the median of many batches
//! micro instructions [NAME...]  instructions of one operation, counted by callgrind (needs valgrind)
//! micro repeat NAME TIMES       one case, so often; to look at it by function:
//!     valgrind --tool=callgrind --toggle-collect='*counted_batch*' micro repeat exchange/get-1b 10000
//! ```
//!
//! NAME is a part of a case's name; `repeat` wants all of it.

use ringway_benches::args::Args;
use ringway_benches::micro::{self, BATCHES, Case};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Args::of_process()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("micro: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(mut args: Args) -> Result<(), String> {
    let mut words = Vec::new();
    while let Ok(word) = args.positional::<String>("NAME") {
        words.push(word);
    }
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["repeat", name, times] => repeat(name, times.parse().map_err(|error| format!("TIMES: {error}"))?),
        ["instructions", names @ ..] => instructions(names),
        names => time(names),
    }
}

fn time(names: &[&str]) -> Result<(), String> {
    println!("| operation | ns, least of {BATCHES} batches | ns, median |");
    println!("|---|---:|---:|");
    for mut case in chosen(names)? {
        let time = case.time();
        println!("| `{}` | {:.1} | {:.1} |", case.name, time.least, time.median);
    }
    Ok(())
}

fn instructions(names: &[&str]) -> Result<(), String> {
    println!("| operation | instructions |");
    println!("|---|---:|");
    for case in chosen(names)? {
        println!("| `{}` | {:.0} |", case.name, case.instructions()?);
    }
    Ok(())
}

fn repeat(name: &str, times: usize) -> Result<(), String> {
    let mut cases = micro::cases().into_iter();
    let mut case = cases.find(|case| case.name == name).ok_or_else(|| format!("no case is called {name}"))?;
    case.repeat(times);
    Ok(())
}

/// The cases with one of these in their name, all of them when none is given.
fn chosen(names: &[&str]) -> Result<Vec<Case>, String> {
    let is_chosen = |case: &Case| names.is_empty() || names.iter().any(|name| case.name.contains(name));
    let cases: Vec<Case> = micro::cases().into_iter().filter(is_chosen).collect();
    if cases.is_empty() { Err(format!("no case has {names:?} in its name")) } else { Ok(cases) }
}

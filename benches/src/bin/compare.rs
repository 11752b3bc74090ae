//! Compares ringway with other proxies and writes a dated report. `scripts/bench` builds everything and calls
//! this; see there for the flags.

use std::process::ExitCode;

use ringway_benches::args::Args;
use ringway_benches::compare::{self, Options};

fn main() -> ExitCode {
    let options = match Options::parse(Args::of_process()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("compare: {error}");
            return ExitCode::from(2);
        }
    };
    match compare::run(&options) {
        Ok(path) => {
            println!("written to {}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

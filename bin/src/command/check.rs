//! `ringway check`: everything that is wrong with a configuration, or what it costs.

use super::Failure;
use super::run::FILE_DEFAULT;
use crate::bill::{Bill, OpenFiles};
use crate::cli::flags::Args;
use crate::cli::{Command, Operands};
use crate::config;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) static COMMAND: Command = Command {
    name: "check",
    operands: Operands::OptionalFile("FILE"),
    summary: "Shows every error of a configuration, or that it is right and what it can cost.",
    help: "FILE is ringway.kdl when not given. The exit status is 2 when there is an error. Nothing is bound, but \
           names are resolved.",
    flags: &[],
    later: &[],
    run,
};

fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = args.operands.first().map_or_else(|| PathBuf::from(FILE_DEFAULT), PathBuf::from);
    let config = config::load(&path).map_err(Failure::Config)?;
    crate::print(&format!("ok\n\n{}", Bill::new(&config.settings, OpenFiles::of_process())))
}

//! `ringway completions` and `ringway man`: the tables, for shells and for readers.

use super::Failure;
use crate::cli::flags::{Args, text};
use crate::cli::{Command, Operands, complete, man};
use crate::config::diagnose::Problem;
use std::process::ExitCode;

pub(crate) static COMPLETIONS: Command = Command {
    name: "completions",
    operands: Operands::Word("SHELL", complete::SHELLS),
    summary: "Prints completions for a shell.",
    help: "For example: `source <(ringway completions bash)`.",
    flags: &[],
    later: &[],
    run: |args| run_completions(&args),
};

pub(crate) static MAN: Command = Command {
    name: "man",
    operands: Operands::None,
    summary: "Prints the manual page: commands, flags and every configuration key.",
    help: "Read it with `ringway man | man -l -`.",
    flags: &[],
    later: &[],
    run: |_| crate::print(&man::render()),
};

fn run_completions(args: &Args) -> Result<ExitCode, Failure> {
    let shell = args.operands.first().map_or(Ok(""), |shell| text(shell))?;
    match complete::render(shell) {
        Some(script) => crate::print(&script),
        None => {
            let help = complete::SHELLS.join(", ");
            Err(Problem::new(format!("there are no completions for `{shell}`")).with_help(help).into())
        }
    }
}

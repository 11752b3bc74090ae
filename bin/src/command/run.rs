//! `ringway run`: a configuration, served.

use super::{Failure, default_control};
use crate::cli::flags::{self, Args};
use crate::cli::{Command, Operands};
use crate::config::{self, Control};
use crate::{logging, serve};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) static COMMAND: Command = Command {
    name: "run",
    operands: Operands::None,
    summary: "Serves a configuration.",
    help: "Prints `listening on ADDRESS (SCHEME)` for each listener once it accepts. `--workers` and `--control` win \
           over what the file says.",
    flags: &[&flags::CONFIG, &flags::WORKERS, &flags::CONTROL],
    later: &["upgrade"],
    run,
};

/// The file that is meant when none is named.
pub(super) const FILE_DEFAULT: &str = "ringway.kdl";

fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = args.config.unwrap_or_else(|| PathBuf::from(FILE_DEFAULT));
    let config = config::load(&path).map_err(Failure::Config)?;
    logging::start(config.log_level);
    let mut settings = config.settings;
    settings.workers = args.workers.or(settings.workers);
    settings.control = args.control.or_else(|| match config.control {
        Control::At(path) => Some(path),
        Control::Off => None,
        Control::Default => default_control(),
    });
    serve::serve(settings, |_| {})
}

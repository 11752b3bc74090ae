//! `ringway run`: a configuration, served.

use super::{Failure, default_control};
use crate::cli::flags::{self, Args};
use crate::cli::{Command, Operands};
use crate::config::{self, Control};
use crate::{logging, serve};
use ringway_engine::lifecycle::Server;
use ringway_engine::settings::Settings;
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
    let server = match (args.control, config.control) {
        (None, Control::Default) => start_with_default_control(settings),
        (Some(path), _) | (None, Control::At(path)) => {
            settings.control = Some(path);
            serve::start(settings)
        }
        (None, Control::Off) => serve::start(settings),
    };
    serve::serve(&server?, |_| {})
}

fn start_with_default_control(settings: Settings) -> Result<Server, Failure> {
    match default_control() {
        Some(path) => serve::start_with_default_control(settings, path),
        None => serve::start(settings),
    }
}

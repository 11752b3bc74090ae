//! What each command does with its arguments; one file a command.

pub(crate) mod check;
pub(crate) mod control;
pub(crate) mod demo;
pub(crate) mod docs;
pub(crate) mod proxy;
pub(crate) mod run;

use crate::config::diagnose::Problem;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a command did not do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was typed is wrong.
    Usage(Problem),
    /// What was configured is wrong; text to show as it is.
    Config(String),
    /// The world did not allow it; one line.
    Run(String),
}

impl Failure {
    /// 2 where a person has to change what they wrote, 1 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
            Self::Run(_) => ExitCode::FAILURE,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "ringway: {problem}"),
            Self::Config(text) => f.write_str(text),
            Self::Run(line) => write!(f, "ringway: {line}"),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Usage(problem)
    }
}

/// Where the control socket is when nobody says. It may not be possible to make it there.
fn default_control() -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some("/run/ringway.sock".into());
    }
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
    Some(PathBuf::from(directory).join("ringway.sock"))
}

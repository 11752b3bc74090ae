//! The configuration file: KDL 2 text in, [`Settings`] out, or every error at once.
//!
//! Read in this order: [`spec`] is what a key is; [`directive`] has one file a block with the tables and what each
//! key does; [`node`] walks a file against the tables; [`links`] checks what no block sees alone. [`parse`] and
//! [`diagnose`] are the way in and out. Nothing here opens a socket; names are resolved, because an endpoint
//! that has no address is an error like any other.

pub(crate) mod address;
pub(crate) mod diagnose;
pub(crate) mod directive;
mod links;
mod node;
mod parse;
pub(crate) mod spec;
pub(crate) mod syntax;
pub(crate) mod units;

use address::Resolve;
use diagnose::{Report, Span};
use log::LevelFilter;
use ringway_engine::settings::{Address, Settings};
use std::path::{Path, PathBuf};

/// Everything a file says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// What the engine is told. Its control socket is left to `control` here.
    pub(crate) settings: Settings,
    /// What the process log shows.
    pub(crate) log_level: LevelFilter,
    /// Where `ringway status` finds the process.
    pub(crate) control: Control,
}

/// Where the control socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Where every command looks first.
    Default,
    /// Nowhere.
    Off,
    /// At this path.
    At(PathBuf),
}

/// A configuration that is being read.
pub(crate) struct Draft {
    config: Config,
    resolve: Resolve,
    /// Clusters by name, and where they are named.
    clusters: Vec<Mention>,
    /// Names of clusters that requests and connections go to.
    proxied: Vec<Mention>,
    /// Where is listened, and where that is written.
    listens: Vec<(Address, Span)>,
    /// Hosts of all sites.
    hosts: Vec<Mention>,
}

/// A name, and where it stands.
#[derive(Clone, Debug)]
struct Mention {
    name: String,
    span: Span,
}

/// Reads the file at `path`. The error is text to show as it is.
///
/// # Errors
/// The file cannot be read, or it has errors: all of them are in the text.
pub(crate) fn load(path: &Path) -> Result<Config, String> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| format!("ringway: cannot read {file}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        format!("ringway: {file} is not UTF-8 text (byte {valid})")
    })?;
    read(&file, &text, address::resolve_by_system).map_err(|report| report.to_string())
}

/// Reads `text`, which calls itself `file` in errors.
///
/// # Errors
/// The report of everything that is wrong.
pub(crate) fn read(file: &str, text: &str, resolve: Resolve) -> Result<Config, Report> {
    let mut report = Report::new(file, text);
    let Some(document) = parse::parse(text, &mut report) else { return Err(report) };
    let mut draft = Draft::new(resolve);
    node::apply_block(document.nodes(), directive::ALL, &directive::ROOT, &mut draft, &mut report);
    links::check(&draft, &mut report);
    if !report.is_empty() {
        return Err(report);
    }
    // Whatever the engine would refuse must have been an error with a line above.
    debug_assert_eq!(draft.config.settings.check(), Ok(()));
    Ok(draft.config)
}

impl Default for Config {
    fn default() -> Self {
        Self { settings: Settings::default(), log_level: LevelFilter::Info, control: Control::Default }
    }
}

impl Draft {
    fn new(resolve: Resolve) -> Self {
        Self {
            config: Config::default(),
            resolve,
            clusters: Vec::new(),
            proxied: Vec::new(),
            listens: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;

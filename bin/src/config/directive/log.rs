//! `log`: what is written about requests, and about the process.

use super::super::diagnose::{Problem, closest};
use super::super::spec::{Arguments, Directive, Property, Spec, visit_all};
use super::super::{Config, Draft};
use log::LevelFilter;
use ringway_engine::settings::{LogFormat, LogTarget};
use std::path::PathBuf;

pub(super) static LOG: Directive<Draft> = Directive {
    spec: Spec {
        name: "log",
        help: "What is written about requests, and about the process itself.",
        keys: |visit| visit_all(KEYS, visit),
        ..Spec::EMPTY
    },
    apply: |node, draft, report| node.block(KEYS, &mut draft.config, report),
};

static KEYS: &[&Directive<Config>] = &[&ACCESS, &LEVEL];

static ACCESS: Directive<Config> = Directive {
    spec: Spec {
        name: "access",
        arguments: Arguments::One("TARGET"),
        help: "Where one line for each request goes: \"stdout\", \"stderr\", \"off\" or a PATH with a `/` in it. \
               Default: \"off\".",
        properties: &[Property {
            name: "format",
            value: "FORMAT",
            help: "\"json\" for one object a line, or \"combined\" as other servers write it. Default: \"json\".",
        }],
        ..Spec::EMPTY
    },
    apply: |node, config, report| {
        let log = &mut config.settings.access_log;
        if let Some(target) = node.parse(report, parse_target) {
            log.target = target;
        }
        if let Some(format) = node.property("format").and_then(|value| value.parse(report, parse_format)) {
            log.format = format;
        }
    },
};

static LEVEL: Directive<Config> = Directive {
    spec: Spec::one(
        "level",
        "LEVEL",
        "What the process log on standard error shows: \"error\", \"warn\", \"info\", \"debug\", \"trace\" or \
         \"off\". Default: \"info\".",
    ),
    apply: |node, config, report| {
        if let Some(level) = node.parse(report, parse_level) {
            config.log_level = level;
        }
    },
};

/// A path needs a slash, or else a misspelt word would quietly become a file.
fn parse_target(text: &str) -> Result<LogTarget, Problem> {
    match text {
        "off" => Ok(LogTarget::Off),
        "stdout" => Ok(LogTarget::Stdout),
        "stderr" => Ok(LogTarget::Stderr),
        "syslog" => Err(Problem::new("`syslog` is not available in this version")),
        path if path.contains('/') && !path.ends_with('/') => Ok(LogTarget::File(PathBuf::from(path))),
        other => {
            let help = closest(other, ["off", "stdout", "stderr"]).map_or_else(
                || format!("for a file write \"./{other}\""),
                |meant| format!("did you mean \"{meant}\"?"),
            );
            Err(Problem::new(format!("`{other}` is not a target of the access log")).with_help(help))
        }
    }
}

/// How an access log line looks; the command line takes the same words.
pub(crate) fn parse_format(text: &str) -> Result<LogFormat, Problem> {
    match text {
        "json" => Ok(LogFormat::Json),
        "combined" => Ok(LogFormat::Combined),
        other => {
            Err(Problem::new(format!("`{other}` is not a log format")).with_help("\"json\" or \"combined\""))
        }
    }
}

fn parse_level(text: &str) -> Result<LevelFilter, Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // `LevelFilter` itself would take any case; here a value has one way to be written.
    let level = if LEVELS.contains(&text) { text.parse().ok() } else { None };
    level.ok_or_else(|| {
        let help = closest(&text.to_ascii_lowercase(), LEVELS).map_or_else(
            || format!("one of {}", LEVELS.join(", ")),
            |meant| format!("did you mean \"{meant}\"?"),
        );
        Problem::new(format!("`{text}` is not a log level")).with_help(help)
    })
}

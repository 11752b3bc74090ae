//! What can be typed: one table of commands, each with its table of flags.
//!
//! The parser, `--help`, the manual and the completions read the same tables, so they cannot disagree. A command
//! is one static in its file under `command/` and one line in [`COMMANDS`]; a flag is one static in [`flags`] and
//! one line in the commands that take it. The words themselves are cut up by `lexopt`.

pub(crate) mod complete;
pub(crate) mod flags;
pub(crate) mod help;
pub(crate) mod man;

use crate::command::{self, Failure};
use crate::config::diagnose::{Problem, closest};
use flags::Args;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// The commands, in the order of the manual. The first is what happens without one.
pub(crate) static COMMANDS: &[&Command] = &[
    &command::demo::COMMAND,
    &command::proxy::COMMAND,
    &command::run::COMMAND,
    &command::check::COMMAND,
    &command::control::STATUS,
    &command::control::STOP,
    &command::docs::COMPLETIONS,
    &command::docs::MAN,
];

/// Something that can be done.
pub(crate) struct Command {
    /// The word; empty for what happens without one.
    pub(crate) name: &'static str,
    /// What follows it besides flags.
    pub(crate) operands: Operands,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// What else there is to know; sentences.
    pub(crate) help: &'static str,
    /// The flags it takes.
    pub(crate) flags: &'static [&'static Flag],
    /// Flags that belong here and that this version does not have.
    pub(crate) later: &'static [&'static str],
    /// Does it.
    pub(crate) run: fn(Args) -> Result<ExitCode, Failure>,
}

/// What follows a command besides flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Nothing.
    None,
    /// A file or nothing.
    OptionalFile(&'static str),
    /// One of these words.
    Word(&'static str, &'static [&'static str]),
    /// At least one.
    Many(&'static str),
}

/// Something that starts with `--`.
pub(crate) struct Flag {
    /// The long name, without dashes.
    pub(crate) long: &'static str,
    /// The short name.
    pub(crate) short: Option<char>,
    /// What its value is, in one word; nothing for a switch.
    pub(crate) value: Option<&'static str>,
    /// The values it can have, where they are few.
    pub(crate) words: &'static [&'static str],
    /// Whether it may stand more than once.
    pub(crate) repeats: bool,
    /// What it does, and its default; sentences.
    pub(crate) help: &'static str,
    /// Puts the value into the arguments.
    pub(crate) apply: fn(&mut Args, &OsStr) -> Result<(), Problem>,
}

/// What was asked for.
pub(crate) enum Request {
    /// A command with its arguments.
    Run(&'static Command, Args),
    /// What a command does, or all of them.
    Help(Option<&'static Command>),
    /// Which version this is.
    Version,
}

impl Operands {
    /// How they are written.
    pub(crate) fn usage(self) -> String {
        match self {
            Self::None => String::new(),
            Self::OptionalFile(name) => format!("[{name}]"),
            Self::Word(_, words) => words.join("|"),
            Self::Many(name) => format!("{name}..."),
        }
    }
}

/// Understands the words after the program's name.
///
/// # Errors
/// What does not belong there, in one line.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Problem> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut command: &'static Command = COMMANDS[0];
    let mut args = Args::default();
    let mut given: Vec<&'static str> = Vec::new();
    while let Some(word) = parser.next().map_err(problem_of)? {
        let flag = match word {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => {
                return Ok(Request::Help(Some(command).filter(|command| !command.name.is_empty())));
            }
            lexopt::Arg::Short('V') | lexopt::Arg::Long("version") => return Ok(Request::Version),
            lexopt::Arg::Value(word) if command.name.is_empty() => {
                command = find_command(&word, given.is_empty())?;
                continue;
            }
            lexopt::Arg::Value(operand) => {
                args.operands.push(operand);
                continue;
            }
            lexopt::Arg::Short(short) => find_flag(command, &format!("-{short}"))?,
            lexopt::Arg::Long(long) => find_flag(command, &format!("--{long}"))?,
        };
        if given.contains(&flag.long) && !flag.repeats {
            return Err(Problem::new(format!("`--{}` is given twice", flag.long)));
        }
        given.push(flag.long);
        apply_flag(flag, &mut parser, &mut args)?;
    }
    check_operands(command, &args.operands)?;
    Ok(Request::Run(command, args))
}

fn find_command(word: &OsStr, is_first: bool) -> Result<&'static Command, Problem> {
    let word = word.to_string_lossy();
    let mut named = COMMANDS.iter().filter(|command| !command.name.is_empty());
    let Some(command) = named.clone().find(|command| command.name == word) else {
        let problem = Problem::new(format!("unknown command `{word}`"));
        let help = match closest(&word, named.by_ref().map(|command| command.name)) {
            _ if LATER_COMMANDS.contains(&&*word) => "not available in this version".into(),
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`ringway --help` lists them".into(),
        };
        return Err(problem.with_help(help));
    };
    if !is_first {
        let message = format!("`{word}` comes before its flags");
        return Err(Problem::new(message).with_help(format!("write `ringway {word} --…`")));
    }
    Ok(command)
}

/// The flag of `command` that is written `written`, dashes included.
fn find_flag(command: &Command, written: &str) -> Result<&'static Flag, Problem> {
    let name = written.trim_start_matches('-');
    let is_long = written.starts_with("--");
    let fits = |flag: &&&Flag| {
        if is_long { flag.long == name } else { flag.short.is_some_and(|c| name == c.to_string()) }
    };
    command.flags.iter().find(fits).copied().ok_or_else(|| {
        let of_command =
            if command.name.is_empty() { String::new() } else { format!(" of `{}`", command.name) };
        let problem = Problem::new(format!("unknown flag `{written}`{of_command}"));
        let known = command.flags.iter().map(|flag| flag.long);
        if is_long && command.later.contains(&name) {
            return problem.with_help("not available in this version");
        }
        match closest(name, known.chain(["help", "version"])).filter(|_| is_long) {
            Some(meant) => problem.with_help(format!("did you mean `--{meant}`?")),
            None => problem.with_help(format!("`ringway {}--help` lists them", spaced(command.name))),
        }
    })
}

fn apply_flag(flag: &Flag, parser: &mut lexopt::Parser, args: &mut Args) -> Result<(), Problem> {
    let Some(expected) = flag.value else {
        return match parser.optional_value() {
            Some(_) => Err(Problem::new(format!("`--{}` takes no value", flag.long))),
            None => (flag.apply)(args, OsStr::new("")),
        };
    };
    let missing = |_| Problem::new(format!("`--{}` needs a value: {expected}", flag.long));
    let value = parser.value().map_err(missing)?;
    (flag.apply)(args, &value).map_err(|problem| Problem {
        message: format!("--{}: {}", flag.long, problem.message),
        help: problem.help,
    })
}

fn check_operands(command: &Command, operands: &[OsString]) -> Result<(), Problem> {
    let (least, most, name) = match command.operands {
        Operands::None => (0, 0, ""),
        Operands::OptionalFile(name) => (0, 1, name),
        Operands::Word(name, _) => (1, 1, name),
        Operands::Many(name) => (1, usize::MAX, name),
    };
    let usage = format!("write `ringway {}{}`", spaced(command.name), command.operands.usage());
    if operands.len() < least {
        return Err(Problem::new(format!("`{}` needs {name}", command.name)).with_help(usage));
    }
    match operands.get(most) {
        Some(surplus) => {
            let message =
                format!("`{}` is a word too many for `{}`", surplus.to_string_lossy(), command.name);
            Err(Problem::new(message).with_help(usage.trim_end_matches([' ', '`']).to_owned() + "`"))
        }
        None => Ok(()),
    }
}

fn spaced(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!("{name} ") }
}

fn problem_of(error: lexopt::Error) -> Problem {
    Problem::new(error.to_string())
}

/// Commands that come with later versions.
const LATER_COMMANDS: &[&str] = &["upgrade", "reload"];

#[cfg(test)]
mod tests;

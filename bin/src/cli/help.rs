//! `--help`, from the tables.

use super::{COMMANDS, Command, Flag};
use std::fmt::Write as _;

/// What `command` does, or what there is.
pub(crate) fn render(command: Option<&Command>) -> String {
    command.map_or_else(render_all, render_one)
}

fn render_all() -> String {
    let mut text = String::from("ringway: an HTTP proxy on io_uring, one event loop per core\n\nUsage:\n");
    for command in COMMANDS {
        let _ = writeln!(text, "  {}", usage(command));
        let _ = writeln!(text, "{}", wrap(command.summary, 6));
    }
    text.push_str("\n`ringway COMMAND --help` says more, `ringway man` everything.\n");
    text
}

fn render_one(command: &Command) -> String {
    let mut text = format!("{}\n\nUsage: {}\n", wrap(command.summary, 0), usage(command));
    if !command.help.is_empty() {
        let _ = write!(text, "\n{}\n", wrap(command.help, 0));
    }
    if !command.flags.is_empty() {
        text.push_str("\nFlags:\n");
    }
    for flag in command.flags {
        let _ = writeln!(text, "  {}\n{}", written(flag), wrap(flag.help, 6));
    }
    text
}

/// How a command is written.
pub(crate) fn usage(command: &Command) -> String {
    let flags = command.flags.iter().map(|flag| {
        let name = flag.short.map_or_else(|| format!("--{}", flag.long), |short| format!("-{short}"));
        let value =
            if flag.words.is_empty() { flag.value.map(str::to_owned) } else { Some(flag.words.join("|")) };
        format!("[{name}{}]", value.map(|value| format!(" {value}")).unwrap_or_default())
    });
    let mut words = vec!["ringway".to_owned(), command.name.to_owned()];
    words.extend(flags);
    words.push(command.operands.usage());
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// How a flag is written: `-c, --config FILE`.
pub(crate) fn written(flag: &Flag) -> String {
    let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{short}--{}{value}", flag.long)
}

/// `text` in lines of at most [`WIDTH`] characters, each moved in by `indent`.
fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![" ".repeat(indent)];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a line from the start");
        if line.len() > indent && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(" ".repeat(indent) + word);
        } else {
            if line.len() > indent {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

const WIDTH: usize = 90;

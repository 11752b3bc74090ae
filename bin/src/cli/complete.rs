//! Shell completions, from the tables.
//!
//! They complete commands, flags and the words a flag can have, and leave the rest to file names.

use super::{COMMANDS, Command, Flag, Operands};
use std::fmt::Write as _;

/// Shells that completions exist for.
pub(crate) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// The completions of `shell`, if it is one of [`SHELLS`].
pub(crate) fn render(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn named() -> impl Iterator<Item = &'static &'static Command> {
    COMMANDS.iter().filter(|command| !command.name.is_empty())
}

fn names() -> String {
    named().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

/// Each flag that has a choice of words, once.
fn choices() -> Vec<&'static Flag> {
    let mut flags: Vec<&'static Flag> = Vec::new();
    for flag in COMMANDS.iter().flat_map(|command| command.flags) {
        if !flag.words.is_empty() && !flags.iter().any(|seen| seen.long == flag.long) {
            flags.push(flag);
        }
    }
    flags
}

fn bash() -> String {
    let mut text = String::from(
        "_ringway() {\n    local current=\"${COMP_WORDS[COMP_CWORD]}\" flags=\"\" words=\"\"\n    COMPREPLY=()\n    \
         case \"${COMP_WORDS[COMP_CWORD-1]}\" in\n",
    );
    for flag in choices() {
        let words = flag.words.join(" ");
        let reply = format!("COMPREPLY=($(compgen -W \"{words}\" -- \"$current\"))");
        let _ = writeln!(text, "        --{}) {reply}; return ;;", flag.long);
    }
    text.push_str(
        "    esac\n    local command=\"${COMP_WORDS[1]}\"\n    [[ $COMP_CWORD -eq 1 ]] && command=\"\"\n",
    );
    text.push_str("    case \"$command\" in\n");
    for command in COMMANDS {
        let flags: Vec<String> = command.flags.iter().map(|flag| format!("--{}", flag.long)).collect();
        let words = match command.operands {
            Operands::Word(_, words) => words.join(" "),
            _ if command.name.is_empty() => names(),
            _ => String::new(),
        };
        let pattern = if command.name.is_empty() { "''|-*" } else { command.name };
        let _ =
            writeln!(text, "        {pattern}) flags=\"{} --help\" words=\"{words}\" ;;", flags.join(" "));
    }
    // An empty reply leaves the word to file names.
    text.push_str(
        "    esac\n    [[ \"$current\" == -* ]] && words=\"$flags\"\n    \
         COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -o default -F _ringway ringway\n",
    );
    text
}

fn zsh() -> String {
    let mut text = String::from("#compdef ringway\n\n_ringway() {\n    local -a commands\n    commands=(\n");
    for command in named() {
        let _ = writeln!(text, "        '{}:{}'", command.name, quoted(command.summary));
    }
    text.push_str(
        "    )\n    if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n        _describe command commands\n        \
         return\n    fi\n    case $words[2] in\n",
    );
    for command in named() {
        zsh_case(&mut text, command.name, command);
    }
    zsh_case(&mut text, "*", COMMANDS[0]);
    text.push_str("    esac\n}\n\n_ringway \"$@\"\n");
    text
}

fn zsh_case(text: &mut String, pattern: &str, command: &Command) {
    // The command itself is the second word, which `_arguments` must not take for an operand.
    let _ = write!(text, "        {pattern})");
    if pattern != "*" {
        text.push_str(" shift words; (( CURRENT-- ));");
    }
    text.push_str(" _arguments '--help[show help]'");
    for flag in command.flags {
        let value = match (flag.value, flag.words) {
            (None, _) => String::new(),
            (Some(value), []) if value == "FILE" || value == "SOCK" => format!(":{value}:_files"),
            (Some(value), []) => format!(":{value}: "),
            (Some(value), words) => format!(":{value}:({})", words.join(" ")),
        };
        let repeats = if flag.repeats { "*" } else { "" };
        let equals = if flag.value.is_some() { "=" } else { "" };
        let help = quoted(first_sentence(flag.help));
        let _ = write!(text, " '{repeats}--{}{equals}[{help}]{value}'", flag.long);
        if let Some(short) = flag.short {
            let _ = write!(text, " '{repeats}-{short}[{help}]{value}'");
        }
    }
    match command.operands {
        Operands::None => {}
        Operands::OptionalFile(name) => _ = write!(text, " ':{name}:_files'"),
        Operands::Word(name, words) => _ = write!(text, " ':{name}:({})'", words.join(" ")),
        Operands::Many(name) => _ = write!(text, " '*:{name}: '"),
    }
    text.push_str(" ;;\n");
}

fn fish() -> String {
    let mut text = String::from("complete -c ringway -f\n");
    let names = names();
    let none = format!("not __fish_seen_subcommand_from {names}");
    for command in COMMANDS {
        let seen = match command.name {
            "" => none.clone(),
            name => {
                let summary = quoted(command.summary);
                let _ = writeln!(text, "complete -c ringway -n '{none}' -a {name} -d '{summary}'");
                format!("__fish_seen_subcommand_from {name}")
            }
        };
        for flag in command.flags {
            let value = match (flag.value, flag.words) {
                (None, _) => String::new(),
                (Some("FILE" | "SOCK"), []) => " -r -F".into(),
                (Some(_), words) => format!(" -x -a '{}'", words.join(" ")),
            };
            let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let help = quoted(first_sentence(flag.help));
            let _ =
                writeln!(text, "complete -c ringway -n '{seen}' -l {}{short}{value} -d '{help}'", flag.long);
        }
        match command.operands {
            Operands::OptionalFile(_) => _ = writeln!(text, "complete -c ringway -n '{seen}' -F"),
            Operands::Word(_, words) => {
                let _ = writeln!(text, "complete -c ringway -n '{seen}' -a '{}'", words.join(" "));
            }
            Operands::None | Operands::Many(_) => {}
        }
    }
    text.push_str("complete -c ringway -l help -d 'show help'\n");
    text
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

/// What must not stand in single quotes, or in the brackets of `_arguments`, goes.
fn quoted(text: &str) -> String {
    text.replace(['\'', '[', ']'], "")
}

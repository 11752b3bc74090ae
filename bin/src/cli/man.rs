//! The manual page, from the tables of commands, flags and configuration keys.

use super::{COMMANDS, help};
use crate::config::directive::ROOT;
use crate::config::spec::Spec;
use std::fmt::Write as _;

/// The page in the `man` macros of roff.
pub(crate) fn render() -> String {
    let mut page = format!(".TH RINGWAY 1 \"\" \"ringway {}\"\n", env!("CARGO_PKG_VERSION"));
    section(&mut page, "NAME");
    paragraph(&mut page, "ringway - an HTTP proxy on io_uring, one event loop per core");
    section(&mut page, "SYNOPSIS");
    for command in COMMANDS {
        let _ = writeln!(page, ".B {}\n.br", escape(&help::usage(command)));
    }
    section(&mut page, "COMMANDS");
    for command in COMMANDS {
        let _ = writeln!(page, ".SS {}", escape(&format!("ringway {}", command.name)));
        paragraph(&mut page, command.summary);
        if !command.help.is_empty() {
            page.push_str(".PP\n");
            paragraph(&mut page, command.help);
        }
        command.flags.iter().for_each(|flag| item(&mut page, &help::written(flag), flag.help));
    }
    section(&mut page, "CONFIGURATION");
    for text in CONFIGURATION {
        page.push_str(".PP\n");
        paragraph(&mut page, text);
    }
    for spec in ROOT.block() {
        keys(&mut page, spec);
    }
    for (title, items) in [("SIGNALS", SIGNALS), ("EXIT STATUS", EXIT_STATUS)] {
        section(&mut page, title);
        items.iter().for_each(|(name, text)| item(&mut page, name, text));
    }
    page
}

fn keys(page: &mut String, spec: &Spec) {
    item(page, &spec.usage(), spec.help);
    if spec.properties.is_empty() && spec.block().is_empty() {
        return;
    }
    page.push_str(".RS\n");
    for property in spec.properties {
        item(page, &format!("{}={}", property.name, property.value), property.help);
    }
    spec.block().into_iter().for_each(|key| keys(page, key));
    page.push_str(".RE\n");
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH {title}");
}

fn item(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, ".TP\n.B {}\n{}", escape(name), escape(text));
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, "{}", escape(text));
}

/// Text that roff takes literally: a leading dot or quote would be a command, a bare `-` a typographic hyphen.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('`', "\\(ga");
    let text = text.replace('~', "\\(ti").replace('^', "\\(ha").replace('\'', "\\(aq").replace('…', "...");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

const CONFIGURATION: &[&str] = &[
    "The file is KDL 2. Times are whole numbers with a unit (ms, s, m, h) and sizes too (B, KiB, MiB, GiB), both in \
     quotes. What is unknown, given twice or not used is an error; all errors are shown at once, and the exit status \
     is 2.",
    "Keys of a block stand in braces after it: cluster \"app\" { endpoint \"127.0.0.1:9001\"; }",
];

const SIGNALS: &[(&str, &str)] = &[
    ("TERM", "Stops gracefully: no new connections, running exchanges may end within drain-timeout."),
    ("INT", "Stops fast; a second one at once."),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "It could not be done: a port in use, no permission, nobody at the control socket."),
    ("2", "What was typed or configured is wrong."),
];

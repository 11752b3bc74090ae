//! Text to KDL nodes, with the errors of KDL's own grammar put into our words.
//!
//! The `kdl` crate recovers after an error and goes on, but then gives no document: a file that is not KDL shows
//! its grammar errors first and what its keys mean only after those are mended.

use super::diagnose::{Report, Span};
use kdl::{KdlDiagnostic, KdlDocument};

/// The nodes of `text`, or its errors in the report.
pub(crate) fn parse(text: &str, report: &mut Report) -> Option<KdlDocument> {
    if let Some(offset) = too_deep(text) {
        report.error(offset..offset + 1, format!("more than {DEPTH_MAX} levels deep"));
        return None;
    }
    match KdlDocument::parse_v2(text) {
        Ok(document) => Some(document),
        Err(error) => {
            report_syntax(text, &error.diagnostics, report);
            None
        }
    }
}

/// One error a line: further ones, and those about a missing end, are mostly consequences of the first.
fn report_syntax(text: &str, diagnostics: &[KdlDiagnostic], report: &mut Report) {
    let line_of = |error: &KdlDiagnostic| {
        let before = &text.as_bytes()[..error.span.offset().min(text.len())];
        before.iter().filter(|byte| **byte == b'\n').count()
    };
    let is_consequence = |error: &&KdlDiagnostic| {
        let message = error.message.as_deref().unwrap_or_default();
        message == "Expected end of document" || message.starts_with("Closing '}' was not found")
    };
    let mut causes: Vec<&KdlDiagnostic> = diagnostics.iter().filter(|error| !is_consequence(error)).collect();
    if causes.is_empty() {
        causes.extend(diagnostics.first());
    }
    causes.sort_by_key(|error| error.span.offset());
    causes.dedup_by_key(|error| line_of(error));
    for error in causes {
        let span = error.span.offset()..error.span.offset() + error.span.len();
        report_cause(text, error, span, report);
    }
    if report.is_empty() {
        report.error(0..0, "this is not KDL 2");
    }
}

fn report_cause(text: &str, error: &KdlDiagnostic, span: Span, report: &mut Report) {
    let written = text.get(span.clone()).unwrap_or_default();
    let message = error.message.as_deref().unwrap_or("this is not KDL 2");
    if ["true", "false", "null", "inf", "-inf", "nan"].contains(&written) {
        report.error(span, format!("`{written}` is written `#{written}`"));
    } else if written.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit()) {
        report
            .error(span, format!("`{written}` starts like a number and is none"))
            .help(format!("write \"{written}\" in quotes"));
    } else if message == "Expected end of document" {
        report.error(span, "nothing that stands here can start a node").help("a `}` too many?");
    } else {
        let mut message = message.to_owned();
        // Theirs start with a capital letter, ours continue "error: ".
        message[..1].make_ascii_lowercase();
        let error_of_ours = report.error(span, message);
        if let Some(help) = &error.help {
            error_of_ours.help(help.clone());
        }
    }
}

/// Where `text` nests deeper than [`DEPTH_MAX`]. The parser recurses for each level of blocks, comments and
/// `/-`, so that without this a small file could end the process with a stack overflow.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = Depth::default();
    let mut at = 0;
    while at < text.len() {
        let start = at;
        at += depth.on_token(text.as_bytes(), at);
        if depth.blocks.max(depth.comments).max(depth.dashes) > DEPTH_MAX {
            return Some(start);
        }
    }
    None
}

/// How deep a position of the text is.
#[derive(Default)]
struct Depth {
    blocks: usize,
    comments: usize,
    /// `/-` of which the node that they take out has not come yet.
    dashes: usize,
}

impl Depth {
    /// Counts what starts at `at` and says how long it is.
    fn on_token(&mut self, text: &[u8], at: usize) -> usize {
        match &text[at..] {
            [b'/', b'*', ..] => self.comments += 1,
            [b'*', b'/', ..] if self.comments > 0 => self.comments -= 1,
            _ if self.comments > 0 => return 1,
            [b'/', b'-', ..] => self.dashes += 1,
            rest @ [b'/', b'/', ..] => {
                return rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            }
            rest @ [b'"', ..] => {
                self.dashes = 0;
                let hashes = text[..at].iter().rev().take_while(|byte| **byte == b'#').count();
                return string_length(rest, hashes).unwrap_or(1);
            }
            [byte, ..] => {
                self.on_byte(*byte);
                return 1;
            }
            [] => return 1,
        }
        2
    }

    fn on_byte(&mut self, byte: u8) {
        match byte {
            b'{' => self.blocks += 1,
            b'}' => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.dashes = 0;
        }
    }
}

/// How long the string at the start of `text` is, if it ends. One on a single line ends on that line: where it
/// does not, the parser recovers inside it, and braces there count.
fn string_length(text: &[u8], hashes: usize) -> Option<usize> {
    let is_multiline = text.starts_with(b"\"\"\"");
    let quotes = if is_multiline { 3 } else { 1 };
    let end = ["\"".repeat(quotes), "#".repeat(hashes)].concat();
    let mut at = quotes;
    while at < text.len() {
        match &text[at..] {
            rest if rest.starts_with(end.as_bytes()) => return Some(at + end.len()),
            [b'\\', ..] if hashes == 0 => at += 2,
            [b'\n' | b'\r', ..] if !is_multiline => return None,
            _ => at += 1,
        }
    }
    None
}

/// Blocks nest four deep in the language; the rest is room for comments around them.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> String {
        let mut report = Report::new("f", text);
        assert!(parse(text, &mut report).is_none(), "{text:?} parsed");
        report.to_string()
    }

    #[test]
    fn grammar_errors_say_what_to_write() {
        assert!(errors("a true").contains("f:1:3: error: `true` is written `#true`"));
        assert!(errors("a 10KiB").contains("write \"10KiB\" in quotes"));
        assert!(errors("a 127.0.0.1:80").contains("write \"127.0.0.1:80\" in quotes"));
        assert!(errors("a }").contains("f:1:3: error: nothing that stands here can start a node"));
        assert!(errors("a {\n b\n").contains("f:1:3: error: no closing '}' for child block"));
        assert!(errors("a \"b\nc").contains("f:1:3: error: "));
    }

    #[test]
    fn every_line_with_a_grammar_error_is_named_once() {
        let errors = errors("// é\na 1x\nb true\nc 2y 3z\n");
        let places: Vec<&str> = errors.lines().filter(|line| line.contains(": error: ")).collect();
        assert_eq!(places.len(), 3, "{errors}");
        assert!(places[0].starts_with("f:2:3: ") && places[1].starts_with("f:3:3: "), "{errors}");
    }

    #[test]
    fn what_is_too_deep_is_an_error_and_not_a_stack_overflow() {
        for opener in
            ["a {", "/*", "/-", "/- ", "a {\n/* } */ ", "\"}\" {", "#\"\"}\"# {", "\"\"\"\n}\n\"\"\"{"]
        {
            assert!(errors(&opener.repeat(100_000)).contains("levels deep"), "{opener}");
        }
    }

    #[test]
    fn braces_in_strings_and_comments_are_not_levels() {
        let braces = "{".repeat(100);
        for text in [
            format!("a \"{braces}\""),
            format!("a #\"{braces}\"{braces}\"#"),
            format!("a \"\"\"\n{braces}\n\"\"\""),
            format!("// {braces}\n"),
            format!("/* {braces} */"),
            format!("a \"\\\"{braces}\""),
            "/- a\n".repeat(100),
            "a { b { c; }; }\n".repeat(100),
        ] {
            assert!(parse(&text, &mut Report::new("f", "")).is_some(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        let words =
            ["a", "{", "}", "\"", "#", "=", "/-", "/*", "*/", "//", "\n", " ", "\\", "1", "é", "(", ")", ";"];
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(words[(state >> 33) as usize % words.len()]);
            }
            let mut report = Report::new("f", text.as_str());
            let parsed = parse(&text, &mut report);
            assert_eq!(parsed.is_none(), !report.is_empty(), "{text:?}");
            drop(report.to_string());
        }
    }
}

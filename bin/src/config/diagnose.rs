//! What is wrong with a configuration, and where.
//!
//! A [`Report`] collects every error of one file, so that one pass shows them all, and renders each as
//! `FILE:LINE:COLUMN: error: …` with the source line and carets below it. The first line alone is what editors
//! and `grep` need. Columns count characters from 1, as editors do.

use ringway_engine::lifecycle::address::AddressError;
use std::fmt::{self, Display, Formatter, Write as _};
use std::ops::Range;

/// Which bytes of the file something stands in.
pub(crate) type Span = Range<usize>;

/// A value that is not acceptable: what it is, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What is wrong, as a clause: lower case, no full stop.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

/// One error of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    span: Span,
    problem: Problem,
    earlier: Option<Span>,
}

/// All errors of one file.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    file: String,
    text: String,
    diagnostics: Vec<Diagnostic>,
    unread: Vec<String>,
}

impl Problem {
    /// A problem that speaks for itself.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// The same, with what to write instead.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<AddressError> for Problem {
    fn from(AddressError { message, help }: AddressError) -> Self {
        Self { message, help }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, ": {help}"))
    }
}

impl Diagnostic {
    /// Says what to write instead.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.problem.help = Some(help.into());
        self
    }

    /// Says where the thing that this one collides with was given.
    pub(crate) fn earlier(&mut self, span: Span) -> &mut Self {
        self.earlier = Some(span);
        self
    }
}

impl Report {
    /// A report on `text`, which was read from `file`, without errors yet.
    pub(crate) fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), text: text.into(), diagnostics: Vec::new(), unread: Vec::new() }
    }

    /// Adds an error.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.problem(span, Problem::new(message))
    }

    /// Adds a problem with the value at `span`.
    pub(crate) fn problem(&mut self, span: Span, problem: Problem) -> &mut Diagnostic {
        let index = self.diagnostics.len();
        self.diagnostics.push(Diagnostic { span, problem, earlier: None });
        &mut self.diagnostics[index]
    }

    /// The value of `result`, or its problem in the report.
    pub(crate) fn ok<T>(&mut self, span: Span, result: Result<T, Problem>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(span, problem);
                None
            }
        }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// Remembers a string of something that could not be understood. A cluster that only a misspelt `proxy`
    /// names must not be called unused as well: that would be one mistake reported twice.
    pub(crate) fn leave_unread(&mut self, text: &str) {
        self.unread.push(text.to_owned());
    }

    /// Whether something that could not be understood names `text`.
    pub(crate) fn is_unread(&self, text: &str) -> bool {
        self.unread.iter().any(|unread| unread == text)
    }

    /// Line and column of a byte, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        (line, 1 + String::from_utf8_lossy(&before[line_start..]).chars().count())
    }

    fn render(&self, f: &mut Formatter<'_>, diagnostic: &Diagnostic) -> fmt::Result {
        let (line, column) = self.position(diagnostic.span.start);
        writeln!(f, "{}:{line}:{column}: error: {}", self.file, diagnostic.problem.message)?;
        let source = self.text.split('\n').nth(line - 1).unwrap_or_default();
        let marked = self.text.get(diagnostic.span.clone()).unwrap_or_default().split('\n').next();
        let excerpt = Excerpt::new(source, column - 1, marked.unwrap_or_default().trim_end().chars().count());
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", excerpt.source)?;
        write!(f, "{gutter} | {}{}", " ".repeat(excerpt.column), "^".repeat(excerpt.width))?;
        if let Some(help) = &diagnostic.problem.help {
            write!(f, " {help}")?;
        }
        f.write_char('\n')?;
        if let Some(earlier) = &diagnostic.earlier {
            let (line, column) = self.position(earlier.start);
            writeln!(f, "{gutter} = earlier: {}:{line}:{column}", self.file)?;
        }
        Ok(())
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut ordered: Vec<&Diagnostic> = self.diagnostics.iter().collect();
        ordered.sort_by_key(|diagnostic| diagnostic.span.start);
        ordered.dedup();
        for diagnostic in &ordered {
            self.render(f, diagnostic)?;
            f.write_char('\n')?;
        }
        let plural = if ordered.len() == 1 { "" } else { "s" };
        write!(f, "{}: {} error{plural}", self.file, ordered.len())
    }
}

/// The part of a source line that is shown, and where its carets go.
struct Excerpt {
    source: String,
    column: usize,
    width: usize,
}

impl Excerpt {
    /// Shows at most [`EXCERPT_CHARS_MAX`] characters around the mark. Control characters become blanks: a tab
    /// would push the carets aside, and an escape would reach the terminal.
    fn new(line: &str, column: usize, width: usize) -> Self {
        let start = if column < EXCERPT_CHARS_MAX / 2 { 0 } else { column - EXCERPT_CHARS_MAX / 4 };
        let shown = line.trim_end().chars().skip(start).take(EXCERPT_CHARS_MAX);
        let source = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        let column = column - start;
        Self { source, column, width: width.clamp(1, EXCERPT_CHARS_MAX - column) }
    }
}

/// The candidate that `word` is most likely a misspelling of.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = (word.chars().count() / 3).max(1);
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    distances
        .filter(|(edits, candidate)| *edits <= tolerated && *edits < candidate.len())
        .min()
        .map(|(_, c)| c)
}

/// How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A minified file must not flood the terminal with one line.
const EXCERPT_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_line_and_carets_below_the_mark() {
        let mut report = Report::new("a.kdl", "workers 2\n\tlimts é=3 { }\r\n");
        report.error(11..16, "unknown key `limts`").help("did you mean `limits`?");
        let expected = "a.kdl:2:2: error: unknown key `limts`\n  |\n2 |  limts é=3 { }\n  |  ^^^^^ did you mean \
                        `limits`?\n\na.kdl: 1 error";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn columns_count_characters_and_errors_come_in_the_order_of_the_file() {
        let mut report = Report::new("a.kdl", "éé b\na");
        report.error(7..8, "second").earlier(5..6);
        report.error(5..6, "first");
        report.error(5..6, "first");
        let text = report.to_string();
        assert!(text.starts_with("a.kdl:1:4: error: first\n"), "{text}");
        assert!(
            text.contains("a.kdl:2:1: error: second\n  |\n2 | a\n  | ^\n  = earlier: a.kdl:1:4\n"),
            "{text}"
        );
        assert!(text.ends_with("a.kdl: 2 errors"), "{text}");
    }

    #[test]
    fn any_span_can_be_shown() {
        let text = "a\u{1b}é\n\n".to_owned() + &"x".repeat(1000);
        for start in 0..text.len() + 3 {
            for end in [start, start + 1, start + 500] {
                let mut report = Report::new("f", text.as_str());
                report.error(start..end, "m");
                let shown = report.to_string();
                assert!(shown.lines().all(|line| line.chars().count() < 140 && !line.contains('\u{1b}')));
            }
        }
    }

    #[test]
    fn a_misspelling_finds_its_word_and_a_stranger_does_not() {
        let words = ["listen", "limits", "log", "cluster", "site", "for"];
        assert_eq!(closest("lisen", words), Some("listen"));
        assert_eq!(closest("limtis", words), Some("limits"));
        assert_eq!(closest("clusters", words), Some("cluster"));
        assert_eq!(closest("fro", words), Some("for"));
        assert_eq!(closest("upstream", words), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("", words), None);
    }
}

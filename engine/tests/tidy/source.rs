//! The repository's files, and Rust files cut into words.
//!
//! No parser: comments, strings and numbers are dropped, what is left is enough to find paths, modules and braces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A word or a sign of a Rust file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path from the repository's root.
    pub(crate) path: String,
    /// Everything.
    pub(crate) tokens: Vec<Token>,
    /// Everything that is not only there for tests.
    pub(crate) code: Vec<Token>,
    pub(crate) mods: Vec<Mod>,
}

/// A module that a file declares and that is a file of its own.
#[derive(Debug)]
pub(crate) struct Mod {
    pub(crate) name: String,
    pub(crate) is_test: bool,
    /// Of a `#[path]` attribute.
    pub(crate) path: Option<String>,
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    engine.parent().expect("the engine lies in the workspace").to_owned()
}

/// Every file that belongs to the repository, by its path from the root.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    found.sort();
    found
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = format!("{prefix}{name}");
        let is_made = name.starts_with("target") && prefix.is_empty()
            || ["target", "corpus", "artifacts", "coverage"].contains(&name.as_str())
                && prefix == "proto/fuzz/"
            || [".git", "__pycache__"].contains(&name.as_str());
        match entry.file_type().expect("a type") {
            kind if kind.is_dir() && !is_made => collect(&entry.path(), &format!("{path}/"), found),
            kind if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

/// The text of a file, by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the repository.
pub(crate) fn sources() -> Vec<Source> {
    files().into_iter().filter(|path| path.ends_with(".rs")).map(Source::read).collect()
}

impl Source {
    fn read(path: String) -> Self {
        let text = read(&path);
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: String, text: &str) -> Self {
        let tokens = tokenize(text);
        let mods = mods(&tokens, text);
        let code = without_tests(&tokens);
        Self { path, tokens, code, mods }
    }

    /// The modules from the crate's name down: `["engine", "io", "pump"]`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let (krate, rest) = self.path.split_once("/src/").unwrap_or((&self.path, ""));
        let rest = rest.trim_end_matches(".rs");
        let rest = rest.strip_suffix("/mod").unwrap_or(rest);
        let names = rest.split('/').filter(|name| !["", "lib", "main"].contains(name));
        std::iter::once(krate).chain(names).collect()
    }
}

/// Files that a crate's roots lead to through `mod`, and those of them that only tests lead to.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) all: BTreeSet<String>,
    pub(crate) tests: BTreeSet<String>,
}

/// Follows `mod` from every root of every crate.
pub(crate) fn reach(sources: &[Source]) -> Reached {
    let mut reached = Reached::default();
    for source in sources.iter().filter(|source| is_root(&source.path)) {
        follow(source, false, sources, &mut reached);
    }
    reached
}

/// Whether Cargo makes a crate of this file.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    // Fuzz targets, the study of hooks and scripts for tests lie in a crate inside of a crate, and so does one that is
    // as somebody else would write it.
    let parts = match &parts[..] {
        [_, "tests", "outside", rest @ ..] if rest.first() == Some(&"template") => rest,
        [_, rest @ ..] if matches!(rest.first(), Some(&("fuzz" | "hooks" | "testing"))) => rest,
        parts => parts,
    };
    matches!(
        parts,
        [_, "build.rs"]
            | [_, "src", "main.rs" | "lib.rs"]
            | [_, "src", "bin", _]
            | [_, "src", "bin", _, "main.rs"]
            | [_, "tests" | "benches" | "examples" | "fuzz_targets", _]
            | [_, "tests" | "benches" | "examples", _, "main.rs"]
    )
}

fn follow(source: &Source, is_test: bool, sources: &[Source], reached: &mut Reached) {
    let set = if is_test { &mut reached.tests } else { &mut reached.all };
    if !set.insert(source.path.clone()) {
        return;
    }
    reached.all.insert(source.path.clone());
    let (directory, file) = source.path.rsplit_once('/').expect("it lies in a crate");
    let is_mod_rs = file == "mod.rs" || is_root(&source.path);
    let below = if is_mod_rs {
        directory.to_owned()
    } else {
        format!("{directory}/{}", file.trim_end_matches(".rs"))
    };
    for declared in &source.mods {
        let candidates = match &declared.path {
            Some(path) => vec![normalize(&format!("{directory}/{path}"))],
            None => {
                vec![format!("{below}/{}.rs", declared.name), format!("{below}/{}/mod.rs", declared.name)]
            }
        };
        if let Some(child) = sources.iter().find(|source| candidates.contains(&source.path)) {
            follow(child, is_test || declared.is_test, sources, reached);
        }
    }
}

fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokenize(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = match rest {
            [b'/', b'/', ..] => rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => string(rest),
            [b'b' | b'c', b'"', ..] => 1 + string(&rest[1..]),
            [b'b', b'\'', ..] => 1 + character(&rest[1..]).expect("a byte literal ends"),
            _ if raw_string(rest).is_some() => raw_string(rest).expect("just seen"),
            [b'\'', ..] => character(rest).unwrap_or_else(|| 1 + word(&rest[1..])),
            [b'0'..=b'9', ..] => word(rest),
            [b, ..] if is_word(*b) => {
                let len = word(rest);
                tokens.push(Token { text: text[at..at + len].into(), line });
                len
            }
            [b':', b':', ..] => {
                tokens.push(Token { text: "::".into(), line });
                2
            }
            [b, ..] => {
                if !b.is_ascii_whitespace() {
                    tokens.push(Token { text: char::from(*b).into(), line });
                }
                1
            }
            [] => unreachable!("the loop ends before"),
        };
        line += rest[..len].iter().filter(|b| **b == b'\n').count();
        at += len;
    }
    tokens
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

fn word(rest: &[u8]) -> usize {
    rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a string that begins with its quote.
fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a string like `br##"…"##`.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = if rest.starts_with(b"r") { 1 } else { 2 };
    if !(rest.starts_with(b"r") || rest.starts_with(b"br") || rest.starts_with(b"cr")) {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    if rest.get(prefix + hashes) != Some(&b'"') {
        return None;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let begin = prefix + hashes + 1;
    let len = rest[begin..].windows(end.len()).position(|window| window == end).expect("a raw string ends");
    Some(begin + len + end.len())
}

/// The length of a character literal; none for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|b| *b == b'\'').map(|end| end + 4);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(8)]);
    let valid = text.map_or_else(|error| error.valid_up_to(), str::len);
    let first = std::str::from_utf8(&rest[1..1 + valid]).ok()?.chars().next()?;
    let end = 1 + first.len_utf8();
    (rest.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// The tokens without what `#[cfg(test)]` stands before.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut code = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_cfg_test(&tokens[at..]) {
            at = end_of_item(tokens, at);
        } else {
            code.push(tokens[at].clone());
            at += 1;
        }
    }
    code
}

fn is_cfg_test(tokens: &[Token]) -> bool {
    let words = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == word)
}

/// Behind the item whose attributes begin at `at`.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.text == "#") {
        at = end_of_group(tokens, at + 1);
    }
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => return end_of_group(tokens, at),
            "(" | "[" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Behind the bracket that closes the one at `at`.
fn end_of_group(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Declarations `mod name;`, each with what its attributes say.
fn mods(tokens: &[Token], text: &str) -> Vec<Mod> {
    let mut found = Vec::new();
    for (at, window) in tokens.windows(3).enumerate() {
        let [first, name, end] = window else { unreachable!("windows of three") };
        if first.text != "mod" || end.text != ";" {
            continue;
        }
        // What lies between this item and the one before: its attributes and visibility.
        let begin = tokens[..at].iter().rposition(|token| [";", "}"].contains(&token.text.as_str()));
        let attributes = &tokens[begin.map_or(0, |begin| begin + 1)..at];
        let is_test = (0..attributes.len()).any(|at| is_cfg_test(&attributes[at..]));
        let path_line = attributes.windows(4).find(|window| {
            let words: Vec<&str> = window.iter().map(|token| token.text.as_str()).collect();
            words == ["#", "[", "path", "="]
        });
        // The string itself was dropped: it is read from its line.
        let path = path_line.map(|window| {
            let line = text.lines().nth(window[0].line - 1).expect("the token's line");
            line.split('"').nth(1).expect("a path in quotes").to_owned()
        });
        found.push(Mod { name: name.text.clone(), is_test, path });
    }
    found
}

#[test]
fn a_file_is_cut_into_words() {
    let text = "use a::b; // use c\n/* /* x */ d */ fn f<'a>(x: &'a str) { g('\\'', \"h\\\"i\", r#\"j\"k\"#, b'l', 'm') }";
    let words: Vec<String> = tokenize(text).into_iter().map(|token| token.text).collect();
    assert_eq!(words.join(" "), "use a :: b ; fn f < > ( x : & str ) { g ( , , , , ) }");
}

#[test]
fn what_is_only_for_tests_is_set_apart() {
    let text = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\n#[x(y)]\nmod c { use d; }\n#[path = \"../z.rs\"]\nmod e;";
    let source = Source::parse("engine/src/lib.rs".into(), text);
    let code: Vec<&str> = source.code.iter().map(|token| token.text.as_str()).collect();
    assert_eq!(code.join(" "), "mod a ; # [ path = ] mod e ;");
    let mods: Vec<_> = source.mods.iter().map(|m| (m.name.as_str(), m.is_test, m.path.as_deref())).collect();
    assert_eq!(mods, [("a", false, None), ("b", true, None), ("e", false, Some("../z.rs"))]);
}

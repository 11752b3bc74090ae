//! What can be checked of text: titles, promises, names of things that have to exist, and tables that repeat the
//! code.

use crate::source::{files, read, root, sources};
use ringway_engine::error::{Fault, Outcome};
use ringway_engine::phase::Phase;
use ringway_proto::rules::Rule;
use std::fmt::Write;
use std::path::Path;

#[test]
fn a_document_has_one_title() {
    let mut wrong = Vec::new();
    for path in documents() {
        let text = read(&path);
        let is_code = |line: &&str| line.starts_with("```");
        let mut is_in_code = false;
        let titles = text.lines().filter(|line| {
            is_in_code ^= is_code(line);
            !is_in_code && line.starts_with("# ")
        });
        let titles = titles.count();
        if titles != 1 || !text.starts_with("# ") {
            wrong.push(format!("{path}: {titles} titles, or the first line is none"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unfinished_work_has_an_owner() {
    // In pieces, or this file would be the first one found.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    find_in_text(|line| {
        marks.iter().any(|mark| {
            line.match_indices(mark).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + mark.len()..]);
                let has_owner = after.starts_with('(') && !after.starts_with("()");
                !is_word(before.chars().next_back()) && !is_word(after.chars().next()) && !has_owner
            })
        })
    });
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let root = root();
    let home = std::env::var("HOME").unwrap_or_default();
    let home = Path::new(&home).parent().map(|_| format!("{home}/"));
    let mut names = vec![root.to_str().expect("UTF-8").to_owned()];
    names.extend(home.filter(|home| home.len() > 1));
    find_in_text(|line| names.iter().any(|name| line.contains(name)));
}

/// Fails with every line of every text file that `is_wrong`.
fn find_in_text(is_wrong: impl Fn(&str) -> bool) {
    let mut wrong = Vec::new();
    for path in files() {
        // What is not UTF-8 is no text: bytes of a test.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        let lines = text.lines().enumerate().filter(|(_, line)| is_wrong(line));
        wrong.extend(lines.map(|(at, line)| format!("{path}:{}: {line}", at + 1)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_documents_point_at_exists() {
    let mut wrong = Vec::new();
    for document in documents() {
        let text = read(&document);
        let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text).filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let target = link.split('#').next().expect("at least one piece");
            if !root().join(folder).join(target).exists() {
                wrong.push(format!("{document}: link to {target}"));
            }
        }
        for script in text.split(|c: char| !(c.is_ascii_alphanumeric() || "/_-.".contains(c))) {
            let script = script.trim_end_matches('.');
            if script.starts_with("scripts/") && !root().join(script).exists() {
                wrong.push(format!("{document}: {script}"));
            }
        }
        for file in quoted(&text).filter(|quoted| is_source_path(quoted)) {
            if !root().join(file).exists() {
                wrong.push(format!("{document}: `{file}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "not there:\n{}", wrong.join("\n"));
}

#[test]
fn pages_of_the_guide_are_in_its_index_and_are_compiled() {
    let index = read("docs/guide/index.md");
    let code: String = sources().into_iter().map(|source| source.path).map(|path| read(&path)).collect();
    let pages = documents().into_iter().filter(|path| path.starts_with("docs/guide/"));
    let mut wrong = Vec::new();
    for page in pages {
        let name = page.trim_start_matches("docs/guide/");
        if name != "index.md" && !index.contains(&format!("]({name})")) {
            wrong.push(format!("{name} is not in the index"));
        }
        if read(&page).contains("```rust") && !code.contains(&format!("docs/guide/{name}\")]")) {
            wrong.push(format!("nobody includes {name} as documentation, so nobody compiles it"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What stands between backquotes on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_source_path(text: &str) -> bool {
    let folders = ["proto/", "engine/", "bin/", "benches/", "docs/", ".ci/"];
    folders.iter().any(|folder| text.starts_with(folder)) && !text.contains(['*', '{', ' ', '<', '…'])
}

#[test]
fn tables_are_those_of_the_code() {
    // One after the other, since each may be written into the same file.
    check_table("outcomes", &outcomes());
    check_table("rules", &rules());
    check_table("counters", &counters());
    check_table("limits", &limits());
    check_phases();
}

/// What hooks are called, where they stand and when they run is said by the code; what may be done there by people.
fn check_phases() {
    let meanings = meanings(&read("engine/src/phase/mod.rs"), "phases! {\n");
    assert_eq!(meanings.len(), Phase::ALL.len());
    let path = "docs/guide/phases.md";
    let text = read(path);
    let begin = text.find("<!-- phases -->\n").expect("its table is marked");
    let table = &text[begin..begin + text[begin..].find("<!-- end -->").expect("its end is marked")];
    let rows: Vec<&str> = table.lines().skip(3).collect();
    assert_eq!(rows.len(), Phase::ALL.len(), "{path} has a row for each phase");
    for ((phase, meaning), row) in Phase::ALL.iter().zip(meanings).zip(rows) {
        let said = format!("| `{}` | `{}` | {meaning} | ", phase.hook(), phase.word());
        assert!(row.starts_with(&said), "{path}: {row}\nshould begin with\n{said}");
        assert_eq!(row.matches(" | ").count(), 6, "{path}: {row}");
    }
    let hooks = read("engine/src/phase/proxy.rs");
    for phase in Phase::ALL {
        assert!(hooks.contains(&format!("fn {}(", phase.hook())), "there is no hook {}", phase.hook());
    }
}

fn outcomes() -> String {
    let meanings = meanings(&read("engine/src/error/outcome.rs"), "outcomes! {\n");
    assert_eq!(meanings.len(), Outcome::ALL.len());
    let mut table = String::from("| outcome | fault | status | meaning |\n|---|---|---|---|\n");
    for (outcome, meaning) in Outcome::ALL.iter().zip(meanings) {
        let fault = match outcome.fault() {
            Fault::None => "",
            Fault::Downstream => "client",
            Fault::Upstream => "origin",
            Fault::Local => "ours",
        };
        _ = writeln!(table, "| `{}` | {fault} | {} | {meaning} |", outcome.label(), outcome.status());
    }
    table
}

fn rules() -> String {
    let meanings = meanings(&read("proto/src/rules/mod.rs"), "rules! {\n");
    assert_eq!(meanings.len(), Rule::ALL.len());
    let mut table = String::from("| rule | status | meaning |\n|---|---|---|\n");
    for (rule, meaning) in Rule::ALL.iter().zip(meanings) {
        _ = writeln!(table, "| `{}` | {} | {meaning} |", rule.word(), rule.status());
    }
    table
}

fn counters() -> String {
    let source = read("engine/src/observe/counters.rs");
    let entries = block(&source, "counters! {\n").lines();
    let entries = entries.filter_map(|line| line.trim().strip_suffix(';')?.split_once(' '));
    let mut table = String::from("| name | kind | meaning |\n|---|---|---|\n");
    for ((kind, name), meaning) in entries.zip(meanings(&source, "counters! {\n")) {
        _ = writeln!(table, "| `{name}` | {kind} | {meaning} |");
    }
    table
}

#[test]
fn the_access_log_is_described_field_by_field() {
    let text = read("docs/operating.md");
    let record = ringway_engine::observe::Record {
        host: Some(b"h"),
        referer: Some(b"r"),
        user_agent: Some(b"u"),
        cluster: Some("c"),
        endpoint: Some("e"),
        select_us: Some(1),
        connect_us: Some(1),
        first_byte_us: Some(1),
        rule: Some("x"),
        ..Default::default()
    };
    let mut line = Vec::new();
    ringway_engine::observe::Formatter::new(ringway_engine::settings::LogFormat::Json)
        .append(&mut line, &record);
    let line = String::from_utf8(line).expect("JSON is UTF-8");
    let names = line.split(['{', ',']).filter_map(|member| member.strip_prefix('"')?.split_once("\":"));
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    assert!(names.len() > 15, "{line}");
    for name in names {
        let is_described =
            text.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(is_described, "docs/operating.md says nothing about `{name}`");
    }
}

/// The keys of the block, with the text that `ringway man` shows for each: its last sentence is the default.
fn limits() -> String {
    let source = read("bin/src/config/directive/limits.rs");
    let mut table = String::from("| key | value | meaning | default |\n|---|---|---|---|\n");
    for spec in source.split("Spec::one(").skip(1) {
        let [name, value, help] = &literals(spec, 3)[..] else { unreachable!("as many as asked for") };
        let (meaning, default) =
            help.split_once(" Default: ").unwrap_or_else(|| panic!("{name}: no default"));
        let default = default.trim_end_matches('.').replace('"', "`");
        _ = writeln!(table, "| `{name}` | {value} | {meaning} | {default} |");
    }
    table
}

/// The first string literals of a piece of code.
fn literals(code: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut chars = code.chars();
    while found.len() < count {
        chars.by_ref().find(|c| *c == '"').expect("another literal");
        let mut literal = String::new();
        while let Some(c) = chars.next().filter(|c| *c != '"') {
            match c {
                '\\' => match chars.next() {
                    // The line goes on behind its indentation.
                    Some('\n') => chars = chars.as_str().trim_start().chars(),
                    escaped => literal.extend(escaped),
                },
                c => literal.push(c),
            }
        }
        found.push(literal);
    }
    found
}

/// The doc comments of the entries of a table in the code, each on one line.
fn meanings(source: &str, begin: &str) -> Vec<String> {
    let mut meanings = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in block(source, begin).lines().map(str::trim) {
        match line.strip_prefix("/// ") {
            Some(text) => comment.push(text),
            None if line.ends_with(';') => meanings.push(plain(&std::mem::take(&mut comment).join(" "))),
            None => {}
        }
    }
    meanings
}

/// Without links into the code.
fn plain(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

fn block<'a>(source: &'a str, begin: &str) -> &'a str {
    // The macro's own definition has the same word; its use stands at the beginning of a line.
    let at = source.find(&format!("\n{begin}")).unwrap_or_else(|| panic!("no {begin}"));
    let rest = &source[at..];
    &rest[..rest.find("\n}").expect("it ends")]
}

/// Compares the table between the marks `<!-- name -->` and `<!-- end -->` in docs/operating.md, or writes it.
fn check_table(name: &str, table: &str) {
    let path = "docs/operating.md";
    let text = read(path);
    let mark = format!("<!-- {name} -->\n");
    let begin = text.find(&mark).unwrap_or_else(|| panic!("{path} has no {mark}")) + mark.len();
    let end = begin + text[begin..].find("<!-- end -->").expect("the table's end is marked");
    if std::env::var_os("UPDATE_EXPECT").is_some() && text[begin..end] != *table {
        std::fs::write(root().join(path), [&text[..begin], table, &text[end..]].concat()).expect("written");
        return;
    }
    assert!(text[begin..end] == *table, "the table `{name}` of {path} is old: run with UPDATE_EXPECT=1");
}

fn documents() -> Vec<String> {
    let is_document =
        |path: &String| path.ends_with(".md") && (path.starts_with("docs/") || !path.contains('/'));
    files().into_iter().filter(is_document).collect()
}

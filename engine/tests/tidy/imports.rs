//! Who may import whom, and who may name what.

use crate::source::{Source, Token, reach, sources};

/// What a module may use of ours. A row holds for everything below its module that has no row of its own; a module
/// may always use itself, and what is below it. Tests may use anything.
struct Row {
    module: &'static str,
    may_use: &'static [&'static str],
}

const fn row(module: &'static str, may_use: &'static [&'static str]) -> Row {
    Row { module, may_use }
}

/// From the ground up. A module that is not listed here does not pass: where it belongs has to be decided.
const ROWS: &[Row] = &[
    row("proto::span", &[]),
    row("proto::scan", &[]),
    row("proto::tls_hello", &[]),
    row("proto::proxy_protocol", &[]),
    row("proto::chunk", &["proto::span"]),
    // A reset names the rule that was broken.
    row("proto::message", &["proto::span", "proto::chunk", "proto::scan", "proto::rules"]),
    row("proto::rules", &["proto::span", "proto::chunk", "proto::scan", "proto::message"]),
    row("proto::input", &["proto::chunk"]),
    row("proto::raw", &["proto::chunk", "proto::input", "proto::message"]),
    row(
        "proto::h1",
        &["proto::span", "proto::chunk", "proto::input", "proto::scan", "proto::message", "proto::rules"],
    ),
    // Bounds are related to the sizes of buffers.
    row("engine::limits", &["proto::chunk"]),
    row("engine::time", &[]),
    row("engine::keys", &[]),
    row("engine::published", &[]),
    row("engine::meter", &["engine::time"]),
    // A configured field has to be one that can be sent.
    row("engine::settings", &["engine::coding", "engine::meter", "proto::message", "proto::proxy_protocol"]),
    row("engine::observe", &["engine::settings", "engine::time"]),
    row("engine::rt", &["engine::keys", "engine::limits", "engine::observe", "engine::time"]),
    row("engine::tls", &["engine::time", "proto::chunk"]),
    row("engine::route", &["engine::settings", "engine::observe", "proto::message"]),
    row("engine::coding", &["proto::message", "proto::chunk", "proto::rules"]),
    row("engine::phase", &["engine::settings", "engine::observe", "proto::message", "proto::chunk"]),
    row("engine::error", &["engine::limits", "proto::message"]),
    row(
        "engine::phase",
        &[
            "engine::settings",
            "engine::observe",
            "engine::error",
            "engine::upstream",
            "engine::port",
            "engine::time",
            "proto::message",
            "proto::chunk",
        ],
    ),
    // A connection in memory is one to its shard, and the end of a wire to apps and clients.
    row("engine::port", &["engine::limits", "proto::message", "proto::chunk"]),
    row(
        "engine::client",
        &[
            "engine::port",
            "engine::phase",
            "engine::error",
            "engine::rt",
            "proto::message",
            "proto::chunk",
            "proto::h1",
            // When a switch of protocols may be asked for.
            "proto::rules",
        ],
    ),
    row(
        "engine::app",
        &[
            "engine::port",
            "engine::client",
            "engine::phase",
            "engine::error",
            "proto::message",
            "proto::chunk",
            "proto::rules",
        ],
    ),
    // What crosses to a shard, and what a configuration describes, are made of phases.
    row(
        "engine::service",
        &["engine::phase", "engine::app", "engine::settings", "engine::site", "engine::upstream::balance"],
    ),
    row(
        "engine::site",
        &[
            "engine::phase",
            "engine::filter",
            "engine::meter",
            "engine::route",
            "engine::settings",
            "engine::error",
            "proto::message",
            "proto::rules",
        ],
    ),
    // Filters are what others could write, too.
    row(
        "engine::filter",
        &[
            "engine::phase",
            "engine::coding",
            "engine::meter",
            "engine::rt",
            "engine::settings",
            "engine::error",
            "engine::time",
            "proto::message",
            "proto::chunk",
            "proto::rules",
        ],
    ),
    row(
        "engine::snapshot",
        &[
            "engine::settings",
            "engine::phase",
            "engine::service",
            "engine::site",
            // Which host leads where, for TLS connections that are passed through.
            "engine::route",
            "engine::limits",
            "proto::h1",
            "proto::rules",
        ],
    ),
    row("engine::upstream", &["engine::keys", "engine::settings", "engine::time", "engine::observe"]),
    row(
        "engine::exchange",
        &[
            "engine::phase",
            "engine::error",
            "engine::settings",
            "engine::upstream",
            "engine::snapshot",
            "engine::time",
            "engine::observe",
            "engine::limits",
            "proto::message",
            "proto::rules",
            "proto::chunk",
        ],
    ),
    row(
        "engine::conn",
        &[
            "engine::port",
            "engine::time",
            "engine::limits",
            "proto::h1",
            "proto::raw",
            "proto::proxy_protocol",
            "proto::tls_hello",
            "proto::message",
            "proto::chunk",
        ],
    ),
    row("engine::io", &["engine::keys", "engine::settings", "engine::time", "proto::chunk"]),
    row(
        "engine::io::pump",
        &[
            "engine::io",
            "engine::rt",
            "engine::shard",
            "engine::snapshot",
            "engine::observe",
            "engine::settings",
            "engine::keys",
            "engine::limits",
            "engine::time",
            "proto::chunk",
        ],
    ),
    row(
        "engine::io::sim",
        &[
            "engine::io",
            "engine::rt",
            "engine::shard",
            "engine::snapshot",
            "engine::service",
            "engine::observe",
            "engine::settings",
            "engine::keys",
            "engine::limits",
            "engine::time",
            "proto::chunk",
        ],
    ),
    row(
        "engine::shard",
        &[
            "engine::io",
            "engine::rt",
            "engine::port",
            "engine::client",
            "engine::conn",
            "engine::exchange",
            "engine::upstream",
            "engine::route",
            "engine::phase",
            "engine::snapshot",
            "engine::service",
            "engine::observe",
            "engine::settings",
            "engine::keys",
            "engine::limits",
            "engine::time",
            "proto::message",
            "proto::chunk",
            // What origins are told of clients.
            "proto::proxy_protocol",
        ],
    ),
    row(
        "engine::lifecycle",
        &[
            "engine::shard",
            "engine::service",
            "engine::observe",
            "engine::settings",
            "engine::time",
            // What a server's user registers.
            "engine::upstream::balance",
        ],
    ),
    row(
        "bin",
        &[
            "bin",
            "engine::lifecycle",
            "engine::settings",
            // Of which settings are made.
            "engine::coding",
            "engine::meter",
            "engine::filter",
            "engine::limits",
            "engine::route",
            "engine::upstream::balance",
        ],
    ),
];

/// Files that break a row, each with a reason to leave it so for now.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("proto/src/rules/host.rs", "proto::h1::head", "reads the raw head that both versions of HTTP/1 have"),
    ("proto/src/rules/framing.rs", "proto::h1::head", "as host.rs"),
    (
        "engine/src/shard/mod.rs",
        "engine::io::pump",
        "`shard::run` is where a thread enters; it only passes on",
    ),
];

/// Names that few may know: what it is, and the files or folders that may.
const NAMES: &[(&str, &[&str])] = &[
    // The event loop.
    ("monoio", &["engine/src/io/pump/"]),
    ("openssl", &["engine/src/tls/backend/"]),
    ("openssl_sys", &["engine/src/tls/backend/"]),
    ("io_uring", &["engine/src/io/pump/"]),
    // TLS.
    ("openssl", &["engine/src/tls/"]),
    ("openssl_sys", &["engine/src/tls/"]),
    // The machine. The codes of its errors are known where a dial fails.
    ("libc", &["engine/src/io/", "engine/src/shard/dial.rs"]),
    (
        "nix",
        &["engine/src/lifecycle/", "engine/src/rt/offload.rs", "engine/src/observe/writer.rs", "bin/src/"],
    ),
    ("socket2", &["engine/src/io/pump/", "engine/src/lifecycle/", "engine/src/shard/start.rs"]),
    ("core_affinity", &["engine/src/lifecycle/"]),
    ("signal_hook", &["engine/src/lifecycle/"]),
    (
        "crossbeam_channel",
        &[
            "engine/src/lifecycle/",
            "engine/src/io/pump/",
            "engine/src/rt/",
            "engine/src/observe/writer.rs",
            "engine/src/shard/start.rs",
        ],
    ),
    ("std::fs", &["engine/src/lifecycle/", "engine/src/observe/writer.rs", "engine/src/tls/", "bin/src/"]),
    ("std::env", &["engine/src/io/pump/driver.rs", "bin/src/"]),
    ("std::process", &["engine/src/lifecycle/", "bin/src/"]),
    (
        "std::thread",
        &["engine/src/lifecycle/", "engine/src/rt/offload.rs", "engine/src/observe/writer.rs", "bin/src/"],
    ),
    ("std::time::Instant", &["engine/src/time/", "bin/src/demo.rs"]),
    ("std::time::SystemTime", &["engine/src/time/", "bin/src/demo.rs", "bin/src/logging.rs"]),
    // Sockets; a shard's start has the ones that it is given.
    ("std::net::TcpStream", &["engine/src/io/pump/", "engine/src/lifecycle/", "bin/src/demo.rs"]),
    ("std::net::TcpListener", &["engine/src/io/pump/", "engine/src/lifecycle/", "bin/src/demo.rs"]),
    ("std::net::UdpSocket", &["engine/src/io/pump/"]),
    (
        "std::os::unix::net",
        &[
            "engine/src/io/pump/",
            "engine/src/lifecycle/",
            "engine/src/shard/start.rs",
            "bin/src/command/control.rs",
        ],
    ),
    // What is not what this project exists for is a crate, named in one place.
    ("kdl", &["bin/src/config/"]),
    ("lexopt", &["bin/src/cli/"]),
    ("brotli", &["engine/src/coding/"]),
    ("zlib_rs", &["engine/src/coding/"]),
    ("zstd_safe", &["engine/src/coding/"]),
];

/// What the protocols must not know: no clock, no thread, no socket, no file, no runtime.
const PROTO_FORBIDDEN: &[&str] = &[
    // Addresses are values; sockets are not.
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::time",
    "std::thread",
    "std::fs",
    "std::process",
    "std::env",
    "std::os",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::mpsc",
    "std::future",
    "std::task",
    "log",
    "libc",
    "bytes",
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &[
    "proto/src/scan/",
    "engine/src/io/",
    "engine/src/tls/backend/",
    "engine/src/phase/cell",
    // Descriptors that a predecessor hands over.
    "engine/src/lifecycle/adopt.rs",
];

/// A path that a file names, and where.
struct Import {
    /// From the crate's name down.
    path: String,
    line: usize,
}

#[test]
fn modules_use_only_what_their_row_allows() {
    let sources = sources();
    let reached = reach(&sources);
    let mut wrong = Vec::new();
    for source in
        sources.iter().filter(|source| source.path.contains("/src/") && !reached.tests.contains(&source.path))
    {
        let module = source.module();
        if !["proto", "engine", "bin"].contains(&module[0]) || module.len() == 1 {
            continue;
        }
        let module = module.join("::");
        let Some(row) =
            ROWS.iter().filter(|row| is_below(&module, row.module)).max_by_key(|row| row.module.len())
        else {
            wrong.push(format!("{}: {module} has no row", source.path));
            continue;
        };
        for import in imports(source) {
            let is_ours = ["proto::", "engine::", "bin::"].iter().any(|krate| import.path.starts_with(krate));
            let may = |allowed: &&&str| {
                // A module's public face does not open its parts that have rows of their own.
                let is_closed =
                    |row: &Row| is_below(row.module, allowed) && is_below(&import.path, row.module);
                is_below(&import.path, allowed)
                    && !ROWS.iter().any(|row| row.module != **allowed && is_closed(row))
            };
            let is_excepted = EXCEPTIONS
                .iter()
                .any(|(path, allowed, _)| *path == source.path && is_below(&import.path, allowed));
            let is_allowed =
                is_below(&import.path, row.module) || row.may_use.iter().any(|allowed| may(&allowed));
            if is_ours && !is_allowed && !is_excepted {
                wrong.push(format!("{}:{}: {module} must not use {}", source.path, import.line, import.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_names_stay_where_they_belong() {
    let sources = sources();
    let reached = reach(&sources);
    let mut wrong = Vec::new();
    for source in
        sources.iter().filter(|source| source.path.contains("/src/") && !reached.tests.contains(&source.path))
    {
        let krate = source.module()[0];
        if !["proto", "engine", "bin"].contains(&krate) || source.path.ends_with("/testing.rs") {
            continue;
        }
        for Import { path, line } in imports(source) {
            let misplaced = NAMES.iter().any(|(name, places)| {
                is_below(&path, name) && !places.iter().any(|place| source.path.starts_with(place))
            });
            let is_forbidden = krate == "proto" && PROTO_FORBIDDEN.iter().any(|name| is_below(&path, name));
            if misplaced || is_forbidden {
                wrong.push(format!("{}:{line}: {path} is not to be named here", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_only_where_it_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        let is_ruled =
            ["proto/src/", "engine/src/", "bin/"].iter().any(|prefix| source.path.starts_with(prefix));
        if !is_ruled || UNSAFE.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        let unsafes = source.tokens.iter().filter(|token| token.text == "unsafe");
        wrong.extend(unsafes.map(|token| format!("{}:{}", source.path, token.line)));
    }
    assert!(wrong.is_empty(), "unsafe in\n{}", wrong.join("\n"));
}

#[test]
fn every_file_is_part_of_a_crate() {
    let sources = sources();
    let reached = reach(&sources);
    let dead: Vec<&str> = sources
        .iter()
        .map(|source| source.path.as_str())
        .filter(|path| !reached.all.contains(*path))
        .collect();
    assert!(dead.is_empty(), "no `mod` leads to\n{}", dead.join("\n"));
}

#[test]
fn rows_and_exceptions_are_still_needed() {
    let sources = sources();
    let modules: Vec<String> = sources.iter().map(|source| source.module().join("::")).collect();
    let mut idle: Vec<String> = Vec::new();
    for row in ROWS.iter().filter(|row| row.module != "engine::io::sim") {
        if !modules.iter().any(|module| is_below(module, row.module)) {
            idle.push(format!("there is no {}", row.module));
        }
    }
    for (path, allowed, _) in EXCEPTIONS {
        let source = sources.iter().find(|source| source.path == *path);
        if !source.is_some_and(|source| imports(source).iter().any(|import| is_below(&import.path, allowed)))
        {
            idle.push(format!("{path} does not use {allowed}"));
        }
    }
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

/// Whether `path` is `module` or something in it.
fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path in `use` items and elsewhere that begins at a crate.
fn imports(source: &Source) -> Vec<Import> {
    let module: Vec<String> = source.module().into_iter().map(Into::into).collect();
    let mut found = Vec::new();
    // The modules that are open at this point, and how many braces had been opened before each.
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    let tokens = &source.code;
    while at < tokens.len() {
        let text = tokens[at].text.as_str();
        let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
        match text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    open.push((tokens[at - 1].text.clone(), depth));
                }
                depth += 1;
            }
            "}" => {
                depth -= 1;
                open.retain(|(_, opened_at)| *opened_at < depth);
            }
            "use" if tokens.get(at + 1).is_none_or(|next| next.text != "<") => {
                let here = here(&module, &open);
                at = tree(tokens, at + 1, &[], &here, &mut found);
                continue;
            }
            _ if before != "::" && before != "." && is_path(tokens, at) => {
                let here = here(&module, &open);
                at = tree(tokens, at, &[], &here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn here(module: &[String], open: &[(String, usize)]) -> Vec<String> {
    module.iter().cloned().chain(open.iter().map(|(name, _)| name.clone())).collect()
}

fn is_path(tokens: &[Token], at: usize) -> bool {
    tokens[at].text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && tokens.get(at + 1).is_some_and(|next| next.text == "::")
}

/// Reads a path, or a tree of them in braces, and notes what begins at a crate.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    here: &[String],
    found: &mut Vec<Import>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens[at].line;
    loop {
        match tokens.get(at).map(|token| token.text.as_str()) {
            Some("::") => at += 1,
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = match tokens[at].text.as_str() {
                        "," => at + 1,
                        _ => tree(tokens, at, &path, here, found),
                    };
                }
                return at + 1;
            }
            Some("*") => {
                at += 1;
                break;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                if word != "self" || path.is_empty() {
                    path.push(word.into());
                }
                at += 1;
                if tokens.get(at).is_none_or(|next| next.text != "::") {
                    break;
                }
            }
            // Generic arguments or the like: the path has ended.
            _ => break,
        }
    }
    if tokens.get(at).is_some_and(|next| next.text == "as") {
        at += 2;
    }
    if let Some(path) = resolve(&path, here) {
        found.push(Import { path, line });
    }
    at
}

fn resolve(path: &[String], here: &[String]) -> Option<String> {
    let mut names = path.iter().map(String::as_str);
    let mut resolved: Vec<&str> = match names.next()? {
        "crate" => vec![&here[0]],
        "ringway_proto" => vec!["proto"],
        "ringway_engine" => vec!["engine"],
        "self" => here.iter().map(String::as_str).collect(),
        "super" => here[..here.len() - 1].iter().map(String::as_str).collect(),
        "core" | "alloc" => vec!["std"],
        first => vec![first],
    };
    for name in names {
        match name {
            "super" => _ = resolved.pop(),
            name => resolved.push(name),
        }
    }
    Some(resolved.join("::"))
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "use super::{a::{self, B}, c as d}; pub(crate) use crate::e::*; fn f() -> impl G + use<'_> { \
                ringway_proto::h::<I>::j(std::net::K::new()); } mod m { use super::super::n::O; fn p() { q.r::s(); } }";
    let source = Source::parse("engine/src/x/y.rs".into(), text);
    let paths: Vec<String> = imports(&source).into_iter().map(|import| import.path).collect();
    let expected =
        "engine::x::a engine::x::a::B engine::x::c engine::e proto::h std::net::K::new engine::x::n::O";
    assert_eq!(paths.join(" "), expected);
}

//! The examples, as programs that somebody starts: each is run as its head says, and asked with curl.
//!
//! Read `harness.rs` for how programs are started, then `cases.rs`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside of the machine")]

mod cases;
mod harness;

use std::path::Path;

fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("there are examples")
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned();
            (name, std::fs::read_to_string(path).expect("text"))
        })
        .collect();
    examples.sort();
    examples
}

#[test]
fn the_load_balancer_has_at_most_thirty_lines() {
    let (_, text) = examples().into_iter().find(|(name, _)| name == "load_balancer").expect("it is there");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let count = lines.count();
    assert!(count <= 30, "{count} lines");
}

#[test]
fn the_readme_shows_the_load_balancer_as_it_is() {
    let (_, text) = examples().into_iter().find(|(name, _)| name == "load_balancer").expect("it is there");
    let code = text.split_once("\n\n").expect("a head").1;
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(&format!("```rust\n{code}```\n")), "put it into README.md");
}

#[test]
fn every_example_says_how_it_is_run_and_is_run_here() {
    let cases = include_str!("cases.rs");
    for (name, text) in examples() {
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(head.contains(&format!("cargo run -p ringway-engine --example {name} -- ")), "{name}");
        assert!(cases.contains(&format!("Example::run(\"{name}\"")), "{name} is not tried");
    }
}

#[test]
fn examples_use_the_public_interface_that_the_guide_names() {
    // The rest of the engine is public for tests and tools, and changes as it likes.
    const NAMED: [&str; 3] = ["prelude", "client", "meter"];
    for (name, text) in examples() {
        for used in text.split("ringway_engine::").skip(1) {
            let module: String =
                used.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            assert!(NAMED.contains(&module.as_str()), "{name} uses {module}");
        }
        assert!(!text.contains("ringway_proto"), "{name}");
    }
}

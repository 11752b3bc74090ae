//! How many behaviours are shown on real sockets, and not on the simulator alone.

use crate::source::{Source, Token, sources};

/// So many named tests at least; it only ever rises.
const ON_SOCKETS_MIN: usize = 300;

#[test]
fn most_behaviours_are_shown_on_real_sockets_too() {
    let is_scenario = |source: &&Source| source.path.starts_with("engine/tests/scenarios/");
    let sources = sources();
    let on_sockets = sources.iter().filter(is_scenario).map(|source| count(&source.tokens)).sum::<usize>();
    println!("{on_sockets} tests run on real sockets");
    assert!(on_sockets >= ON_SOCKETS_MIN, "{on_sockets} tests run on real sockets");
}

/// Tests that say `scenario(|w| ...)` or `calm(|w| ...)`, where `simulated` would be the simulator alone.
fn count(tokens: &[Token]) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let is_test = |at: &usize| (text(*at), text(at + 1), text(at + 2)) == ("#", "[", "test");
    let is_on_sockets = |at: usize| {
        matches!(text(at), "scenario" | "calm" | "noted" | "edited" | "stubborn" | "filtered" | "chosen")
            && (text(at + 1), text(at + 2)) == ("(", "|")
    };
    let begins: Vec<usize> = (0..tokens.len()).filter(is_test).collect();
    let ends = begins.iter().skip(1).copied().chain([tokens.len()]);
    begins.iter().zip(ends).filter(|(begin, end)| (**begin..*end).any(is_on_sockets)).count()
}

//! What can be typed and what cannot, and that the tables reach the help, the manual and the completions.

use super::*;
use std::path::PathBuf;

fn parsed(line: &str) -> Result<(&'static str, Args), String> {
    match parse(line.split_whitespace().map(OsString::from)) {
        Ok(Request::Run(command, args)) => Ok((command.name, args)),
        Ok(Request::Help(command)) => Ok((command.map_or("help", |command| command.name), Args::default())),
        Ok(Request::Version) => Ok(("version", Args::default())),
        Err(problem) => Err(problem.to_string()),
    }
}

#[test]
fn commands_take_their_own_flags_and_operands() {
    assert_eq!(parsed("").unwrap().0, "");
    let (name, args) = parsed("--listen 127.0.0.1:0 --control /a").unwrap();
    assert_eq!((name, args.listen.len(), args.control), ("", 1, Some(PathBuf::from("/a"))));
    let (name, args) = parsed("run -c a.kdl --workers=2").unwrap();
    assert_eq!((name, args.config, args.workers), ("run", Some(PathBuf::from("a.kdl")), Some(2)));
    assert_eq!(parsed("run -ca.kdl").unwrap().1.config, Some(PathBuf::from("a.kdl")));
    let (name, args) = parsed("proxy a:1 --access-log json b:2").unwrap();
    assert_eq!((name, args.operands.len()), ("proxy", 2));
    assert_eq!(parsed("check").unwrap().0, "check");
    assert_eq!(parsed("check -- -x").unwrap().1.operands, [OsString::from("-x")]);
    assert!(parsed("status --json").unwrap().1.json);
    assert_eq!(parsed("--help").unwrap().0, "help");
    assert_eq!(parsed("run --help").unwrap().0, "run");
    assert_eq!(parsed("-V").unwrap().0, "version");
}

#[test]
fn what_cannot_be_typed_says_what_can() {
    for (line, expected) in [
        ("prox", "unknown command `prox`: did you mean `proxy`?"),
        ("frobnicate", "unknown command `frobnicate`: `ringway --help` lists them"),
        ("upgrade", "unknown command `upgrade`: not available in this version"),
        ("reload", "unknown command `reload`: not available in this version"),
        ("--listen 127.0.0.1:0 proxy a:1", "`proxy` comes before its flags: write `ringway proxy --…`"),
        ("run --worker 1", "unknown flag `--worker` of `run`: did you mean `--workers`?"),
        ("run --upgrade", "unknown flag `--upgrade` of `run`: not available in this version"),
        ("proxy --tls-key a b:1", "unknown flag `--tls-key` of `proxy`: not available in this version"),
        ("run -x", "unknown flag `-x` of `run`: `ringway run --help` lists them"),
        ("run --workers 1 --workers 2", "`--workers` is given twice"),
        ("run --workers", "`--workers` needs a value: N"),
        ("run --workers 0", "--workers: a number from 1 to 1024 is expected"),
        ("run --workers x", "--workers: a number from 1 to 1024 is expected"),
        ("run a.kdl", "`a.kdl` is a word too many for `run`: write `ringway run`"),
        ("proxy", "`proxy` needs UPSTREAM: write `ringway proxy UPSTREAM...`"),
        ("completions", "`completions` needs SHELL: write `ringway completions bash|zsh|fish`"),
        ("proxy --access-log xml a:1", "--access-log: `xml` is not a log format: \"json\" or \"combined\""),
        ("proxy --listen :80 a:1", "--listen: `:80` is not an address to listen at"),
        ("status --json=1", "`--json` takes no value"),
    ] {
        let error = parsed(line).expect_err(line);
        assert!(error.starts_with(expected), "{line}: {error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn every_command_flag_and_key_is_in_the_help_and_in_the_manual() {
    let all = help::render(None);
    let manual = man::render();
    for command in COMMANDS {
        assert!(command.summary.ends_with('.'), "{}", command.name);
        assert!(all.contains(&format!("  ringway {}", command.name)));
        let one = help::render(Some(command));
        for flag in command.flags {
            assert!(flag.help.ends_with('.'), "{}", flag.long);
            assert!(one.contains(&format!("--{}", flag.long)));
            assert!(manual.contains(&format!("\\-\\-{}", flag.long.replace('-', "\\-"))));
        }
    }
    fn check(manual: &str, spec: &crate::config::spec::Spec) {
        for key in spec.block() {
            let name = key.name.replace('-', "\\-");
            assert!(manual.contains(&format!("\n.B {name}")), "{name}");
            for property in key.properties {
                let name = property.name.replace('-', "\\-");
                assert!(manual.contains(&format!("\n.B {name}=")), "{name}");
            }
            check(manual, key);
        }
    }
    check(&manual, &crate::config::directive::ROOT);
}

#[test]
fn no_line_of_help_is_too_long_for_a_terminal() {
    for command in COMMANDS {
        for line in help::render(Some(command)).lines().filter(|line| !line.starts_with("Usage")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn completions_know_every_command_and_flag() {
    for shell in complete::SHELLS {
        let script = complete::render(shell).expect("a known shell");
        for command in COMMANDS {
            assert!(script.contains(command.name), "{shell} {}", command.name);
            assert!(command.flags.iter().all(|flag| script.contains(flag.long)), "{shell} {}", command.name);
        }
        assert!(script.contains("json combined off"), "{shell}");
    }
    assert!(complete::render("csh").is_none());
}

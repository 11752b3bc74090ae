//! The binary as people and scripts meet it: what it prints where, and its exit status.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside of the machine")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn ringway(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway")).args(args).stdin(Stdio::null()).output().expect("it runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A directory of this test's own.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

#[test]
fn the_example_is_right_and_has_a_bill() {
    let output = ringway(&["check", &data("ringway.kdl")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.starts_with("ok\n\nshards       2\nlisteners    2 http, 2 tcp\ndescriptors  "), "{text}");
    assert!(text.contains(" allowed") && text.contains(" idle connections, 2 KiB each"), "{text}");
}

#[test]
fn a_wrong_file_shows_every_error_and_exits_with_2() {
    // Names without an address would ask the resolver of this machine: one error less than in the unit test.
    let text = std::fs::read_to_string(data("errors.kdl")).expect("the file");
    let path = scratch("errors").join("errors.kdl");
    std::fs::write(&path, text.replace("gone.test:80", "127.0.0.1:80")).expect("written");
    for command in [&["check"][..], &["run", "-c"]] {
        let output = ringway(&[command, &[path.to_str().expect("text")]].concat());
        let shown = stderr(&output);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
        assert!(
            shown.contains(
                "errors.kdl:2:1: error: `workers` is given twice\n  |\n2 | workers 3\n  | ^^^^^^^\n"
            )
        );
        assert!(
            shown.contains("did you mean `weight=`?") && shown.ends_with("errors.kdl: 43 errors\n"),
            "{shown}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let binary = scratch("binary").join("a.kdl");
    std::fs::write(&binary, b"workers \xff").expect("written");
    for file in ["/nonexistent/ringway.kdl", "/", binary.to_str().expect("text")] {
        for command in [&["check"][..], &["run", "-c"]] {
            let output = ringway(&[command, &[file]].concat());
            let shown = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{shown}");
            assert!(shown.starts_with("ringway: ") && shown.lines().count() == 1, "{shown}");
        }
    }
}

#[test]
fn what_cannot_be_typed_exits_with_2_and_one_line() {
    for (args, expected) in [
        (&["upgrade"][..], "ringway: unknown command `upgrade`: not available in this version\n"),
        (&["reload"], "ringway: unknown command `reload`: not available in this version\n"),
        (&["chekc"], "ringway: unknown command `chekc`: did you mean `check`?\n"),
        (&["proxy"], "ringway: `proxy` needs UPSTREAM: write `ringway proxy UPSTREAM...`\n"),
        (
            &["proxy", "https://a"],
            "ringway: `https://a`: TLS to upstreams is not available in this version\n",
        ),
        (
            &["proxy", "--tls-cert", "a", "b:1"],
            "ringway: unknown flag `--tls-cert` of `proxy`: not available in this version\n",
        ),
        (
            &["run", "--upgrade"],
            "ringway: unknown flag `--upgrade` of `run`: not available in this version\n",
        ),
    ] {
        let output = ringway(args);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), expected));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn help_version_manual_and_completions_go_to_standard_output() {
    for (args, expected) in [
        (&["--help"][..], "ringway check [FILE]"),
        (&["proxy", "--help"], "--access-log FORMAT"),
        (&["--version"], concat!("ringway ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["man"], ".SH CONFIGURATION"),
        (&["completions", "bash"], "complete -o default -F _ringway ringway"),
        (&["completions", "zsh"], "#compdef ringway"),
        (&["completions", "fish"], "complete -c ringway"),
    ] {
        let output = ringway(args);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{args:?}");
        assert!(stdout(&output).contains(expected), "{args:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .arg("man")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let mut shown = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut shown).expect("text");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(shown, "");
}

#[test]
fn status_and_stop_ask_the_control_socket() {
    let path = scratch("control").join("s");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = std::thread::spawn(move || {
        for (question, answer) in [
            ("status text\n", "shards 2\n"),
            ("status json\n", "{}"),
            ("stop\n", "stopping\n"),
            ("stop\n", "error: no\n"),
        ] {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a line");
            assert_eq!(line, question);
            stream.write_all(answer.as_bytes()).expect("sent");
        }
    });
    let socket = path.to_str().expect("text");
    assert_eq!(stdout(&ringway(&["status", "--control", socket])), "shards 2\n");
    assert_eq!(stdout(&ringway(&["status", "--json", "--control", socket])), "{}\n");
    assert_eq!(stdout(&ringway(&["stop", "--control", socket])), "stopping\n");
    let refused = ringway(&["stop", "--control", socket]);
    assert_eq!((refused.status.code(), stderr(&refused).as_str()), (Some(1), "ringway: no\n"));
    server.join().expect("every question was asked");
    let gone = ringway(&["status", "--control", socket]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("the process that made it is gone"), "{}", stderr(&gone));
}

//! Whether the public interface is enough: a crate outside of the workspace that names nothing but the engine, and the
//! test kit for its tests. It is built as its author would, and its tests are run.

#![allow(clippy::disallowed_methods, reason = "tests stand outside of the machine")]

/// Here, too, so that whoever changes the interface hears of it when he builds and not when everything is tested.
#[allow(dead_code, unreachable_pub, reason = "it is a crate of its own")]
#[path = "template/src/lib.rs"]
mod template;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

#[test]
#[ignore = "builds a crate: scripts/test runs it"]
fn a_crate_of_somebody_else_builds_and_passes_its_tests() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new();
    copy(&engine.join("tests/outside/template"), &folder.0, engine.to_str().expect("UTF-8"));
    // The same versions as here: they are on this machine.
    fs::copy(engine.join("../Cargo.lock"), folder.0.join("Cargo.lock")).expect("copied");

    let exe = env::current_exe().expect("this runs");
    let target = exe.ancestors().nth(3).expect("tests are in TARGET/PROFILE/deps");
    let output = Command::new(env!("CARGO"))
        .current_dir(&folder.0)
        .args(["test", "--offline", "--target-dir"])
        .arg(target)
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("test result: ok. 5 passed"), "{out}");
}

/// A directory that goes when this is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("ringway-outside-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies text files, and says where the engine is.
fn copy(from: &Path, to: &Path, engine: &str) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("readable").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to, engine);
        } else {
            let text = fs::read_to_string(&path).expect("text");
            fs::write(to, text.replace("ENGINE", engine)).expect("written");
        }
    }
}

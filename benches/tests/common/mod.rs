//! Starts a program of this crate and ends it with the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A running program that has said where it listens.
pub(crate) struct Program {
    process: Child,
    pub(crate) addr: SocketAddr,
}

impl Program {
    pub(crate) fn start(path: &str, args: &[&str]) -> Self {
        let mut process = Command::new(path).args(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").expect(&line).parse().unwrap();
        Self { process, addr }
    }

    /// Descriptors that it has open.
    #[allow(dead_code, reason = "not every test that shares this module asks")]
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

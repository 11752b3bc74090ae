//! ringway between programs that other people wrote: curl, wrk, nginx, HAProxy, openssl, Python's HTTP client and
//! WebSockets, and the signals, full disks and missing descriptors of a real machine.
//!
//! Every case runs on io_uring and on epoll, as two tests. They start what they need on ports of the kernel's
//! choice and end it by its process, so they can run beside each other. They are ignored by a plain `cargo test`,
//! since they need curl, wrk, nginx, HAProxy and Python's websockets; `scripts/test` installs those and runs them:
//!
//! ```text
//! cargo nextest run -p ringway --test real --run-ignored all
//! ```

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests stand outside of the machine")]

#[macro_use]
mod harness;
mod cases;

//! What the proxy as a whole does, one behaviour a test, each named as the sentence that it proves.
//!
//! A test is a script for clients and origins. `scenario` and `calm` play it on the simulator and on real sockets,
//! `simulated` and `simulated_calm` on the simulator only: `ringway_testing` says when.

mod access_log;
mod apps;
mod attacked;
mod backpressure;
mod balancing;
mod calls;
mod content;
mod drain;
mod early;
mod endings;
mod errors;
mod expect;
mod filters;
mod forwarding;
mod framing;
mod hooks;
mod http10;
mod interim;
mod keepalive;
mod limits;
mod methods;
mod openings;
mod panics;
mod pipelining;
mod retries;
mod routing;
mod switches;
mod tasks;
mod timeouts;
mod timers;
mod trailers;
mod truncation;
mod tunnels;
mod upgrade;
mod within;

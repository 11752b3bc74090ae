//! What a server says about itself when asked.

use super::listen::Bound;
use crate::observe::{Snapshot, text};
use std::fmt::Write;
use std::time::Duration;

/// A server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `running`, `draining`, `stopping` or `stopped`.
    pub state: &'static str,
    /// Since the server started.
    pub uptime: Duration,
    /// Where it listens.
    pub bound: Vec<Bound>,
    /// Its shards, by index.
    pub shards: Vec<ShardStatus>,
    /// Its background services, in the order in which they were given.
    pub services: Vec<ServiceStatus>,
    /// The counters of all shards together.
    pub counters: Snapshot,
}

/// A shard at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStatus {
    /// `starting`, `running`, `down` (about to be restarted) or `ended`.
    pub state: &'static str,
    /// The core its thread is pinned to.
    pub core: usize,
    /// Which driver runs its event loop, and why; empty before it said so.
    pub driver: String,
    /// How often it was restarted after a failure.
    pub restarts: u64,
}

/// A background service at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// `waiting` (for those it comes after), `running` (not ready yet), `ready`, `restarting` (about to run again),
    /// `ended` or `failed`.
    pub state: &'static str,
    /// How often it ran again after a failure.
    pub restarts: u64,
    /// How often it returned an error or panicked.
    pub failures: u64,
}

impl Status {
    /// For people: `name value` lines.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        _ = writeln!(out, "state {}", self.state);
        _ = writeln!(out, "version {}", env!("CARGO_PKG_VERSION"));
        _ = writeln!(out, "pid {}", std::process::id());
        _ = writeln!(out, "uptime {}s", self.uptime.as_secs());
        for Bound { address, scheme } in &self.bound {
            _ = writeln!(out, "listening on {address} ({scheme})");
        }
        for (index, shard) in self.shards.iter().enumerate() {
            let ShardStatus { state, core, driver, restarts } = shard;
            _ = writeln!(out, "shard {index}: {state}, core {core}, restarts {restarts}, driver {driver}");
        }
        for ServiceStatus { name, state, restarts, failures } in &self.services {
            _ = writeln!(out, "service {name}: {state}, restarts {restarts}, failures {failures}");
        }
        out + &self.counters.to_text()
    }

    /// For programs: one JSON object on one line.
    pub fn to_json(&self) -> String {
        let mut out = vec![b'{'];
        text::json_string(&mut out, "state", self.state.as_bytes());
        text::json_string(&mut out, "version", env!("CARGO_PKG_VERSION").as_bytes());
        text::json_number(&mut out, "pid", u64::from(std::process::id()));
        text::json_number(&mut out, "uptime_s", self.uptime.as_secs());
        array(&mut out, "listeners", &self.bound, |out, bound| {
            text::json_string(out, "address", bound.address.to_string().as_bytes());
            text::json_string(out, "scheme", bound.scheme.as_bytes());
        });
        array(&mut out, "shards", &self.shards, |out, shard| {
            text::json_string(out, "state", shard.state.as_bytes());
            text::json_number(out, "core", shard.core as u64);
            text::json_string(out, "driver", shard.driver.as_bytes());
            text::json_number(out, "restarts", shard.restarts);
        });
        array(&mut out, "services", &self.services, |out, service| {
            text::json_string(out, "name", service.name.as_bytes());
            text::json_string(out, "state", service.state.as_bytes());
            text::json_number(out, "restarts", service.restarts);
            text::json_number(out, "failures", service.failures);
        });
        text::json_key(&mut out, "counters");
        out.extend_from_slice(self.counters.to_json().as_bytes());
        out.extend_from_slice(b"}\n");
        String::from_utf8(out).expect("JSON is made of UTF-8")
    }
}

/// Appends a member with an array of objects.
fn array<T>(out: &mut Vec<u8>, name: &str, items: &[T], mut members: impl FnMut(&mut Vec<u8>, &T)) {
    text::json_key(out, name);
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        members(out, item);
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Address;

    fn status() -> Status {
        let shard =
            |restarts| ShardStatus { state: "running", core: 3, driver: "io_uring \"x\"".into(), restarts };
        Status {
            state: "running",
            uptime: Duration::from_millis(61_999),
            bound: vec![Bound { address: Address::Unix("/a\"b".into()), scheme: "http" }],
            shards: vec![shard(0), shard(2)],
            services: vec![ServiceStatus {
                name: "discovery".into(),
                state: "ready",
                restarts: 1,
                failures: 1,
            }],
            counters: Snapshot { requests: 7, ..Snapshot::default() },
        }
    }

    #[test]
    fn text_is_for_people() {
        let text = status().to_text();
        for line in [
            "state running",
            "uptime 61s",
            "listening on unix:/a\"b (http)",
            "shard 1: running, core 3, restarts 2, driver io_uring \"x\"",
            "service discovery: ready, restarts 1, failures 1",
            "requests 7",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
    }

    #[test]
    fn json_is_one_object() {
        let json = status().to_json();
        let shards = r#""shards":[{"state":"running","core":3,"driver":"io_uring \"x\"","restarts":0},{"#;
        let listeners = r#","uptime_s":61,"listeners":[{"address":"unix:/a\"b","scheme":"http"}],"#;
        assert!(json.starts_with(r#"{"state":"running","version":""#), "{json}");
        assert!(json.contains(shards) && json.contains(listeners), "{json}");
        let services = r#"],"services":[{"name":"discovery","state":"ready","restarts":1,"failures":1}],"#;
        assert!(json.contains(services), "{json}");
        assert!(
            json.ends_with("}}}\n") && json.contains(r#"],"counters":{"downstream_accepted":0,"#),
            "{json}"
        );
    }
}

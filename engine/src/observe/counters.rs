//! Counters of one shard, and their sum over all shards.

use super::text;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many outcomes can be told apart.
pub const OUTCOMES_MAX: usize = 64;

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

// A load and a store instead of `fetch_add`: with one writer nothing is lost, and the locked instruction that
// the shard would pay for at every step of every request goes away.
impl Counter {
    /// Adds `n`. Only the counter's one writer may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    /// Takes `n` away from a gauge. Only the counter's one writer may call this.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// Sets a gauge. Only the counter's one writer may call this.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// The number now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes the counters of a shard and their sum from one table: a new metric is one line here.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $kind:ident $name:ident;)*) => {
        /// The counters of one shard: written by it alone, read by the control thread.
        ///
        /// Aligned so that no other shard's writes touch the same cache lines (two: processors fetch in pairs).
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Counter,)*
            responses: [Counter; 5],
            outcomes: [Counter; OUTCOMES_MAX],
            outcome_labels: &'static [&'static str],
        }

        /// Counters added up over shards, at about one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[doc = $doc])* pub $name: u64,)*
            /// Final responses sent to clients by class: 1xx to 5xx.
            pub responses: [u64; 5],
            /// How exchanges ended: label and number, in the order of the outcome table.
            pub outcomes: Vec<(&'static str, u64)>,
        }

        impl Counters {
            /// Counters at zero. Outcome number `n` is called `outcome_labels[n]`.
            ///
            /// # Panics
            /// With more than [`OUTCOMES_MAX`] labels.
            pub fn new(outcome_labels: &'static [&'static str]) -> Self {
                assert!(outcome_labels.len() <= OUTCOMES_MAX, "there is no room for so many outcomes");
                Self {
                    $($name: Counter::default(),)*
                    responses: Default::default(),
                    outcomes: std::array::from_fn(|_| Counter::default()),
                    outcome_labels,
                }
            }

            /// Sets what counts the present, not the past, to zero: for a shard that starts again. The caller
            /// has seen the shard's thread end.
            pub fn reset_gauges(&self) {
                $(counters!(@reset $kind self.$name);)*
            }
        }

        impl Snapshot {
            /// Adds the counters of one shard.
            pub fn add(&mut self, counters: &Counters) {
                $(self.$name += counters.$name.get();)*
                self.add_tables(counters);
            }

            /// Name and value of every plain counter.
            fn plain(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
    (@reset gauge $counter:expr) => { $counter.set(0) };
    (@reset total $counter:expr) => {};
}

counters! {
    /// Client connections accepted.
    total downstream_accepted;
    /// Client connections open now.
    gauge downstream_active;
    /// Bytes received from clients.
    total downstream_received_bytes;
    /// Bytes sent to clients.
    total downstream_sent_bytes;
    /// Connections to endpoints that were established.
    total upstream_connects;
    /// Connections to endpoints that could not be established.
    total upstream_connect_failures;
    /// Attempts that went out on a connection used before.
    total upstream_reuses;
    /// Connections to endpoints that wait for a request now.
    gauge upstream_idle;
    /// Connections to endpoints now, idle ones and dials included.
    gauge upstream_active;
    /// Bytes received from endpoints.
    total upstream_received_bytes;
    /// Bytes sent to endpoints.
    total upstream_sent_bytes;
    /// Requests received.
    total requests;
    /// Exchanges and tunnels in progress now.
    gauge exchanges_active;
    /// Tunnels in progress now.
    gauge tunnels_active;
    /// Attempts after the first of an exchange.
    total retries;
    /// Times that accepting paused for want of descriptors or memory.
    total accept_backoffs;
    /// Panics caught at the boundary of an exchange, a connection or a task.
    total panics;
    /// Access log lines that the log writer could not take or write.
    total log_lines_dropped;
}

impl Counters {
    /// Counts a response to a client by its status.
    #[inline]
    pub fn response(&self, status: u16) {
        if let Some(counter) = self.responses.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.add(1);
        }
    }

    /// Counts an exchange that ended so.
    #[inline]
    pub fn outcome(&self, index: usize) {
        self.outcomes[index].add(1);
    }
}

impl Snapshot {
    fn add_tables(&mut self, counters: &Counters) {
        for (sum, counter) in self.responses.iter_mut().zip(&counters.responses) {
            *sum += counter.get();
        }
        if self.outcomes.is_empty() {
            self.outcomes = counters.outcome_labels.iter().map(|label| (*label, 0)).collect();
        }
        for ((_, sum), counter) in self.outcomes.iter_mut().zip(&counters.outcomes) {
            *sum += counter.get();
        }
    }

    /// One `name value` a line, for people and `grep`. Outcomes that never happened are left out.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let responses = (1..).zip(self.responses);
        let outcomes = self.outcomes.iter().filter(|(_, n)| *n > 0);
        // Writing to a string cannot fail.
        self.plain().for_each(|(name, n)| _ = writeln!(out, "{name} {n}"));
        responses.for_each(|(class, n)| _ = writeln!(out, "responses_{class}xx {n}"));
        outcomes.for_each(|(label, n)| _ = writeln!(out, "outcome_{label} {n}"));
        out
    }

    /// One JSON object with everything.
    pub fn to_json(&self) -> String {
        let mut out = vec![b'{'];
        for (name, n) in self.plain() {
            text::json_number(&mut out, name, n);
        }
        text::json_key(&mut out, "responses");
        out.push(b'{');
        for (class, n) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.responses) {
            text::json_number(&mut out, class, n);
        }
        out.push(b'}');
        text::json_key(&mut out, "outcomes");
        out.push(b'{');
        for (label, n) in &self.outcomes {
            text::json_number(&mut out, label, *n);
        }
        out.extend_from_slice(b"}}");
        String::from_utf8(out).expect("names are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: &[&str] = &["completed", "no_endpoint"];

    fn two_shards() -> Snapshot {
        let shards = [Counters::new(LABELS), Counters::new(LABELS)];
        shards[0].requests.add(3);
        shards[1].requests.add(4);
        shards[0].downstream_active.add(2);
        shards[0].downstream_active.sub(1);
        shards[0].response(200);
        shards[1].response(204);
        shards[1].response(503);
        shards[1].response(0);
        shards[1].response(999);
        shards[0].outcome(0);
        shards[1].outcome(1);
        let mut sum = Snapshot::default();
        shards.iter().for_each(|counters| sum.add(counters));
        sum
    }

    #[test]
    fn a_snapshot_adds_up_the_shards() {
        let sum = two_shards();
        assert_eq!((sum.requests, sum.downstream_active), (7, 1));
        assert_eq!(sum.responses, [0, 2, 0, 0, 1]);
        assert_eq!(sum.outcomes, [("completed", 1), ("no_endpoint", 1)]);
    }

    #[test]
    fn text_has_a_line_for_each_number_that_matters() {
        let mut sum = two_shards();
        sum.outcomes[0].1 = 0;
        let text = sum.to_text();
        for line in ["requests 7", "responses_2xx 2", "outcome_no_endpoint 1"] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(!text.contains("outcome_completed"));
    }

    #[test]
    fn json_is_one_object_with_the_tables_inside() {
        let json = two_shards().to_json();
        assert!(json.starts_with("{\"downstream_accepted\":0,\"downstream_active\":1,"), "{json}");
        assert!(json.contains(",\"requests\":7,"), "{json}");
        let end = "\"responses\":{\"1xx\":0,\"2xx\":2,\"3xx\":0,\"4xx\":0,\"5xx\":1},\
                   \"outcomes\":{\"completed\":1,\"no_endpoint\":1}}";
        assert!(json.ends_with(end), "{json}");
    }

    #[test]
    fn a_restart_keeps_totals_and_clears_gauges() {
        let counters = Counters::new(LABELS);
        counters.downstream_accepted.add(5);
        counters.downstream_active.add(2);
        counters.upstream_idle.set(9);
        counters.reset_gauges();
        assert_eq!(counters.downstream_accepted.get(), 5);
        assert_eq!((counters.downstream_active.get(), counters.upstream_idle.get()), (0, 0));
    }

    #[test]
    fn shards_do_not_share_cache_lines() {
        assert_eq!(align_of::<Counters>(), 128);
    }
}

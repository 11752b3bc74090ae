//! The points of an exchange where others may take part, and how what they wrote is run.
//!
//! [`Phase`] names the points, in the order of an exchange. What takes part is a *hook*: an `async fn` that
//! borrows the exchange's state. [`cell`] runs it: ready at once costs no allocation and no waiting; pending parks
//! this exchange only. A phase that nobody asked for is not visited; [`unasked`] finds that out from the types.
//!
//! Nothing here knows what an exchange is, who polls, or what wakes. Why it is built this way and what it costs is
//! in `docs/decisions/0002-hooks.md`.
//!
//! Read [`proxy`] (what people write), [`session`], [`content`], [`peer`] and [`response`] (what they get and give);
//! then [`visit`], [`chain`] and [`adapter`] (how an exchange reaches a hook), [`cell`] and [`unasked`].

pub mod adapter;
pub(crate) mod attachable;
pub mod cell;
pub mod chain;
pub mod content;
pub(crate) mod downstream;
pub mod facts;
pub(crate) mod intake;
pub mod peer;
pub mod proxy;
pub mod response;
pub mod session;
pub mod unasked;
pub mod visit;

pub use attachable::Attachable;
pub use cell::{Hook, HookCell, Rooms};
pub use chain::{LinkPool, Members};
pub use content::Content;
pub use facts::{Downstream, Facts, Id, Times, Traffic};
pub use peer::{App, Peer, Protocol, Serve, Tls};
pub use proxy::{Filter, Proxy};
pub use response::Response;
pub use session::{ContentUse, Session};
pub use unasked::{Neutral, Unasked, asks};
pub use visit::{Answer, Connected, Flow, Verdict, Visit};

macro_rules! phases {
    ($( $(#[$doc:meta])* $id:ident $word:literal $hook:literal ; )*) => {
        /// A point of an exchange.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Phase { $( $(#[$doc])* $id, )* }

        impl Phase {
            /// Whether the chain is met in the opposite order: the last member first.
            #[inline]
            pub const fn is_backward(self) -> bool {
                matches!(
                    self,
                    Self::UpstreamResponse | Self::Response | Self::ResponseData | Self::ResponseTrailers
                )
            }

            /// Every phase, in the order of an exchange that succeeds; then what else may happen.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

            /// The word that logs and metrics use.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$id => $word, )* }
            }

            /// The hook that runs there.
            pub const fn hook(self) -> &'static str {
                match self { $( Self::$id => $hook, )* }
            }
        }
    };
}

phases! {
    /// The request head has come; nothing was decided.
    EarlyRequest "early_request" "early_request_filter";
    /// The route is known: the request may be changed, refused or answered.
    Request "request" "request_filter";
    /// An upstream is chosen; once for each attempt.
    Select "select" "upstream_peer";
    /// A connection to the upstream is there, new or reused; once for each attempt.
    Connected "connected" "connected_to_upstream";
    /// The request head goes upstream; once for each attempt.
    UpstreamRequest "upstream_request" "upstream_request_filter";
    /// Some of the request's content passes.
    RequestData "request_data" "request_body_filter";
    /// The request's trailers pass.
    RequestTrailers "request_trailers" "request_trailer_filter";
    /// A response head has come from upstream, before it may be stored.
    UpstreamResponse "upstream_response" "upstream_response_filter";
    /// The response head goes downstream, wherever it came from.
    Response "response" "response_filter";
    /// Some of the response's content passes.
    ResponseData "response_data" "response_body_filter";
    /// The response's trailers pass.
    ResponseTrailers "response_trailers" "response_trailer_filter";
    /// No connection could be had: may another attempt follow?
    ConnectFailed "connect_failed" "fail_to_connect";
    /// A connection failed in front of an answer, or the answer was rejected: may the request be sent again?
    Retry "retry" "error_while_proxy";
    /// The exchange failed: what is answered?
    Failed "failed" "fail_to_proxy";
    /// It is over: last, and exactly once.
    Finished "finished" "logging";
}

/// A set of phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases(u16);

const _: () = assert!(Phase::ALL.len() <= u16::BITS as usize);

impl Phases {
    /// No phase.
    pub const NONE: Self = Self(0);

    /// This set and, if `is_asked`, `phase`.
    #[must_use]
    pub const fn with(self, phase: Phase, is_asked: bool) -> Self {
        Self(self.0 | (is_asked as u16) << phase as u16)
    }

    /// This set without `phase`.
    #[must_use]
    pub const fn without(self, phase: Phase) -> Self {
        Self(self.0 & !(1 << phase as u16))
    }

    /// The phases of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The words of the phases in the set.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Phase::ALL.iter().filter(move |&&phase| self.has(phase)).map(|phase| phase.word())
    }

    /// Whether `phase` is in the set.
    #[inline]
    pub const fn has(self, phase: Phase) -> bool {
        self.0 >> phase as u16 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_asked_for() {
        let asked = Phases::NONE.with(Phase::Request, true).with(Phase::Select, false);
        let set = asked.union(Phases::NONE.with(Phase::Finished, true));
        let has: Vec<_> = Phase::ALL.iter().copied().filter(|&phase| set.has(phase)).collect();
        assert_eq!(has, [Phase::Request, Phase::Finished]);
    }

    #[test]
    fn the_words_are_the_names() {
        for phase in Phase::ALL {
            assert_eq!(phase.word().replace('_', ""), format!("{phase:?}").to_lowercase());
        }
    }
}

//! The one table of how an exchange can end: whose fault, which status, what logs and metrics call it.

/// Who has to act when an exchange ends in a certain way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody: it went as it should.
    None,
    /// The client.
    Downstream,
    /// The origin, or the way to it.
    Upstream,
    /// We, or our operator.
    Local,
}

macro_rules! outcomes {
    ($( $(#[$doc:meta])* $id:ident, $fault:ident, $status:literal, $label:literal ; )*) => {
        /// How an exchange ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Outcome { $( $(#[$doc])* $id, )* }

        impl Outcome {
            /// Every outcome, in the order of its index.
            pub const ALL: &'static [Self] = &[ $( Self::$id, )* ];

            /// Who has to act.
            pub const fn fault(self) -> Fault {
                match self { $( Self::$id => Fault::$fault, )* }
            }

            /// The status of the answer we make, where an answer can still be made. For
            /// [`Outcome::Malformed`] the broken rule decides instead.
            pub const fn status(self) -> u16 {
                match self { $( Self::$id => $status, )* }
            }

            /// What logs and metrics call it.
            pub const fn label(self) -> &'static str {
                match self { $( Self::$id => $label, )* }
            }
        }
    };
}

outcomes! {
    // outcome            fault       status label
    /// The response was relayed to its end.
    Complete, None, 200, "complete";
    /// We answered by configuration: redirect, fixed response.
    Answered, None, 200, "answered";
    /// A tunnel ended after both sides finished.
    TunnelClosed, None, 200, "tunnel_closed";
    /// A tunnel in which no byte moved was ended.
    TunnelIdle, None, 200, "tunnel_idle";
    /// The client left before the response was complete.
    DownstreamClosed, Downstream, 499, "downstream_closed";
    /// The client did not take the response in time.
    DownstreamWriteTimeout, Downstream, 499, "downstream_write_timeout";
    /// The request head, or what has to stand before it, was not complete in time.
    HeaderTimeout, Downstream, 408, "header_timeout";
    /// The request body stopped coming.
    BodyTimeout, Downstream, 408, "body_timeout";
    /// The request breaks a rule of HTTP; the log names which.
    Malformed, Downstream, 400, "malformed";
    /// A proxy in front of us did not begin its connection with a PROXY header, or somebody else connected where only
    /// proxies may.
    ProxyHeader, Downstream, 400, "proxy_header";
    /// The TLS ClientHello by which a connection is to be relayed is malformed.
    ClientHello, Downstream, 400, "client_hello";
    /// The path could be read in two ways.
    PathRefused, Downstream, 400, "path_refused";
    /// No site or route matches, or no name of a TLS connection.
    NoRoute, Downstream, 404, "no_route";
    /// The method is not served: CONNECT without a route that allows it.
    MethodRefused, Downstream, 405, "method_refused";
    /// The request's name came back to us in Via.
    LoopDetected, Downstream, 508, "loop_detected";
    /// The whole exchange took longer than its limit.
    RequestTimeout, Upstream, 504, "request_timeout";
    /// The endpoint could not be connected to.
    ConnectFailed, Upstream, 502, "connect_failed";
    /// Connecting to the endpoint took too long.
    ConnectTimeout, Upstream, 504, "connect_timeout";
    /// The origin closed or reset before the head of its answer was complete.
    UpstreamClosed, Upstream, 502, "upstream_closed";
    /// The origin's answer is longer than a filter or a hook allows.
    UpstreamTooLarge, Upstream, 502, "upstream_too_large";
    /// The origin's answer is not HTTP; the log names the rule.
    UpstreamMalformed, Upstream, 502, "upstream_malformed";
    /// A hook did not take the origin's answer.
    UpstreamRejected, Upstream, 502, "upstream_rejected";
    /// The origin did not begin to answer in time.
    FirstByteTimeout, Upstream, 504, "first_byte_timeout";
    /// The origin stopped taking the request.
    UpstreamWriteTimeout, Upstream, 504, "upstream_write_timeout";
    /// The origin stopped in the middle of its answer: the client's connection was cut.
    UpstreamTruncated, Upstream, 502, "upstream_truncated";
    /// The origin's answer paused for too long in the middle. The client's connection was cut, unless it was in the
    /// middle of the head.
    BetweenBytesTimeout, Upstream, 504, "between_bytes_timeout";
    /// No endpoint of the cluster can take the request.
    NoEndpoint, Local, 503, "no_endpoint";
    /// We ran out of descriptors or ports on the way to the origin.
    LocalResources, Local, 503, "local_resources";
    /// A hook refused the request with a status of its choice.
    Refused, Downstream, 403, "refused";
    /// A hook failed.
    HookFailed, Local, 500, "hook_failed";
    /// A hook took longer than it may.
    HookTimeout, Local, 504, "hook_timeout";
    /// A hook chose a peer that cannot be used: an unknown cluster, an option that is not there.
    PeerInvalid, Local, 500, "peer_invalid";
    /// Content is longer than a filter or a hook allows.
    TooLarge, Downstream, 413, "too_large";
    /// A client sends more requests than a filter allows.
    RateLimited, Downstream, 429, "rate_limited";
    /// A filter made something that cannot be sent, or an invariant of ours did not hold.
    Internal, Local, 500, "internal";
    /// Request processing panicked.
    Panicked, Local, 500, "panicked";
    /// The process stopped before the exchange was complete.
    Stopped, Local, 503, "stopped";
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_words() {
        for (index, outcome) in Outcome::ALL.iter().enumerate() {
            assert!(outcome.label().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(Outcome::ALL[..index].iter().all(|earlier| earlier.label() != outcome.label()));
            assert_eq!(*outcome as usize, index);
        }
    }

    #[test]
    fn a_timeout_of_the_origin_is_504_and_its_absence_502() {
        assert_eq!(Outcome::FirstByteTimeout.status(), 504);
        assert_eq!(Outcome::ConnectTimeout.status(), 504);
        assert_eq!(Outcome::ConnectFailed.status(), 502);
        assert_eq!(Outcome::NoEndpoint.status(), 503);
    }
}

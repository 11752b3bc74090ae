//! What the proxy as a whole does, one behaviour a test, each named as the sentence that it proves.

mod world;

mod backpressure;
mod drain;
mod early;
mod errors;
mod expect;
mod forwarding;
mod framing;
mod interim;
mod keepalive;
mod methods;
mod pipelining;
mod retries;
mod routing;
mod timeouts;
mod timers;
mod trailers;
mod tunnels;
mod upgrade;

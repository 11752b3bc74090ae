//! What the proxy as a whole does, one behaviour a test, each named as the sentence that it proves.

mod world;

mod errors;
mod expect;
mod framing;
mod keepalive;
mod pipelining;
mod retries;
mod timeouts;

//! Asking others from within: requests and streams of user code, over the pools, codecs and time-outs of its shard.
//!
//! A [`Request`] is relayed like a client's, only that user code is the client: it uses the idle connections that
//! requests of clients leave, is tried again where that is safe, and waits for origins as long as the peer's time-outs
//! say. Nothing is added to it that its user did not ask for. A [`Stream`] is a connection of opaque bytes, which can be
//! given back to be used again.
//!
//! All of it works in hooks, apps and tasks of a shard, on real networks and simulated ones; outside of a shard it
//! fails. Dropping any of it ends what it stands for.
//!
//! ```no_run
//! use ringway_engine::client::Request;
//! use ringway_engine::error::Result;
//!
//! /// Whether a token is good, as another service says.
//! async fn is_good(token: &[u8]) -> Result<bool> {
//!     let answer = Request::get("http://127.0.0.1:9100/check").header("authorization", token).send().await?;
//!     Ok(answer.status() == 204)
//! }
//! ```
//!
//! Read [`request`], then [`response`] and [`stream`]; [`defaults`] is what requests have in common, [`desk`] how the
//! shard learns of them.

pub mod defaults;
pub mod desk;
pub mod request;
pub mod response;
pub mod stream;

pub use defaults::Client;
pub use desk::{Asked, Call, Desk};
pub use request::{Request, Upload};
pub use response::Answer;
pub use stream::{Connector, Stream, relay};

use crate::error::{Error, Fault, Outcome, Result};
use crate::phase::Peer;
use crate::port::{self, Handle, Speech};
use crate::rt;

/// Has the shard begin a call.
fn begin(asked: Asked, peer: Peer) -> Result<Handle> {
    let speech = match asked {
        Asked::Http(_) => Speech::Http,
        Asked::Raw => Speech::Raw,
    };
    let (port, handle) = port::pair(speech);
    let desk =
        rt::desk::<Desk>().ok_or_else(|| Error::failed("there is no shard here to ask anything of"))?;
    desk.put(Call { port, asked, peer });
    Ok(handle)
}

/// Why a call ended.
fn ended(handle: &Handle) -> Error {
    ended_by(handle, Outcome::UpstreamClosed)
}

/// Why a connection ended at whose other end somebody is whose leaving is `left`.
pub(crate) fn ended_by(handle: &Handle, left: Outcome) -> Error {
    let outcome = handle.closed().and_then(|number| Outcome::ALL.get(usize::from(number)).copied());
    match outcome {
        Some(Outcome::TunnelIdle) => Error::new(left).context("no byte moved for too long"),
        Some(outcome) if outcome.fault() != Fault::None => Error::new(outcome),
        // An end in order where more had to come is none.
        _ => Error::new(left),
    }
}

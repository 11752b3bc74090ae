//! Apps of opaque bytes.

use crate::client::Stream;
use crate::error::{Fault, Result};
use crate::phase::{App, Downstream, Serve};
use crate::port::Handle;
use log::Level;
use std::pin::Pin;
use std::rc::Rc;

/// Serves connections of opaque bytes.
///
/// ```
/// use ringway_engine::app::StreamApp;
/// use ringway_engine::client::Stream;
/// use ringway_engine::error::Result;
/// use ringway_engine::phase::Downstream;
///
/// struct Echo;
///
/// impl StreamApp for Echo {
///     async fn serve(&self, stream: Stream, _: &Downstream) -> Result<()> {
///         while let Some(chunk) = stream.read().await? {
///             stream.write_chunk(chunk).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait StreamApp: Sized + 'static {
    /// Serves one connection to its end. It ends when the stream is dropped. When the connection breaks, reads and
    /// writes fail, and this may go on for [`hook_timeout`](crate::settings::Limits::hook_timeout) before it is dropped.
    /// When the process stops it may go on until it waits for something else.
    ///
    /// # Errors
    /// Are logged, at level `debug` where they are the client's.
    fn serve(&self, stream: Stream, client: &Downstream) -> impl Future<Output = Result<()>>;
}

/// `app` as what an exchange can be relayed to.
pub(crate) fn stream<A: StreamApp>(app: A) -> App {
    App::new(Streams(Rc::new(app)))
}

struct Streams<A>(Rc<A>);

impl<A: StreamApp> Serve for Streams<A> {
    fn serve(&self, handle: Handle, client: &Rc<Downstream>) -> Pin<Box<dyn Future<Output = ()>>> {
        let (app, client) = (Rc::clone(&self.0), Rc::clone(client));
        Box::pin(async move {
            if let Err(error) = app.serve(Stream::of_client(Rc::new(handle)), &client).await {
                let level = if error.fault() == Fault::Downstream { Level::Debug } else { Level::Info };
                log::log!(level, "{error} client={}", client.address);
            }
        })
    }
}

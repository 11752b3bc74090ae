//! A server as others hold it: background services, hooks, threads that stop or watch it.

use super::life::{Life, LifeWatch, Watch};
use super::server::Stop;
use super::supervisor::Request;
use crossbeam_channel::Sender;
use std::time::Duration;

/// Stops and watches a server from anywhere. Cheap to clone; does not keep the server alive.
///
/// It is there before its server is: [`ServerBuilder::handle`](super::ServerBuilder::handle).
#[derive(Clone, Debug)]
pub struct ServerHandle {
    pub(super) requests: Sender<Request>,
    pub(super) watch: Watch,
}

impl ServerHandle {
    /// Asks the server to stop and returns at once, so it may be called in a hook, too. A server that is starting gives
    /// up, with [`StartError::Stopped`](super::StartError::Stopped).
    pub fn stop(&self, how: Stop) {
        // An error means that it has stopped.
        _ = self.requests.send(Request::Stop(how));
    }

    /// How far the server's life has come.
    pub fn life(&self) -> Life {
        self.watch.life()
    }

    /// Blocks until the server's life has come so far or farther, and returns how far it is. Not for hooks: a shard
    /// that waits serves nobody.
    ///
    /// A server whose builder was dropped, or that did not start, has [stopped](Life::Stopped).
    pub fn wait_for(&self, life: Life) -> Life {
        self.watch.wait(life, None);
        self.life()
    }

    /// As [`ServerHandle::wait_for`], for so long at most. `None` when the time was over first.
    pub fn wait_for_timeout(&self, life: Life, timeout: Duration) -> Option<Life> {
        self.watch.wait(life, Some(timeout)).then(|| self.life())
    }

    /// The stages of the server's life as they come, from [`Life::Starting`] on, even those that are over. For a thread
    /// that follows it:
    ///
    /// ```no_run
    /// # let builder = ringway_engine::Server::builder();
    /// let watch = builder.handle().watch();
    /// std::thread::Builder::new().name("watch".into()).spawn(|| {
    ///     for life in watch {
    ///         println!("{life:?}");
    ///     }
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch(&self) -> LifeWatch {
        LifeWatch::new(self.watch.clone())
    }
}

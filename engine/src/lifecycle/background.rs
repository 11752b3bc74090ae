//! Work beside requests, as its author writes it: [`BackgroundService`], and when it runs: [`Background`].

use super::crew::{Event, Tally};
use super::life::{self, Gate};
use crossbeam_channel::Sender;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Work beside requests: discovery, refreshing keys, pushing metrics.
///
/// It runs on a thread of its own, so it may block, and compute; no request waits for it. Whoever wants an
/// asynchronous runtime starts one inside of `run`, with as many threads as it likes. What shards are to see of its
/// work goes through [`Published`](crate::published::Published).
///
/// ```
/// use ringway_engine::lifecycle::{BackgroundService, Failure, Ready, Shutdown};
/// use ringway_engine::published::Published;
/// use std::net::SocketAddr;
/// use std::time::Duration;
///
/// struct Discovery {
///     endpoints: Published<Vec<SocketAddr>>,
/// }
///
/// impl BackgroundService for Discovery {
///     fn name(&self) -> &str {
///         "discovery"
///     }
///
///     fn run(&mut self, ready: Ready, shutdown: Shutdown) -> Result<(), Failure> {
///         loop {
///             let text = std::fs::read_to_string("endpoints.txt")?;
///             let endpoints: Result<Vec<SocketAddr>, _> = text.lines().map(str::parse).collect();
///             self.endpoints.publish(endpoints?);
///             ready.notify();
///             if shutdown.wait_timeout(Duration::from_secs(5)) {
///                 return Ok(());
///             }
///         }
///     }
/// }
/// ```
pub trait BackgroundService: Send + 'static {
    /// What logs, errors, [`Status`](super::Status) and [`Background::after`] call it.
    fn name(&self) -> &str;

    /// Does the work until it is done, or until `shutdown` is requested: it has to look at that now and then.
    ///
    /// Called again on the same `self` where [`Background::restart`] says so, also after a panic: what a panic left half
    /// done is its own to put in order.
    ///
    /// # Errors
    /// The work failed. What then happens is what [`Background::restart`] says; a panic is the same.
    fn run(&mut self, ready: Ready, shutdown: Shutdown) -> Result<(), Failure>;
}

/// Why a background service failed: any error, or a text with `into`.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A background service, and when it starts: what [`ServerBuilder::background`](super::ServerBuilder::background)
/// takes. A [`BackgroundService`] is one with every default.
///
/// ```
/// use ringway_engine::lifecycle::{Background, Restart};
/// use std::time::Duration;
///
/// let database = Background::from_fn("database", |ready, shutdown| {
///     // ... connects ...
///     ready.notify();
///     shutdown.wait();
///     Ok(())
/// });
/// let warmer = Background::every("warmer", Duration::from_secs(60), || Ok(()))
///     .after("database")
///     .before_listening();
/// # let _ = (database.ready_within(Duration::from_secs(5)).restart(Restart::on_failure()), warmer);
/// ```
pub struct Background {
    pub(super) service: Box<dyn BackgroundService>,
    pub(super) name: String,
    pub(super) after: Vec<String>,
    pub(super) is_before_listening: bool,
    pub(super) ready_within: Duration,
    pub(super) restart: Restart,
}

/// What happens when a background service fails: it returned an error or panicked. Either is logged and counted.
///
/// A service that returns `Ok` is done and never runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It does not run again. The server goes on without it.
    Never,
    /// It runs again after `delay`, which doubles with each failure in a row up to `delay_max`. A run that lasted a
    /// minute ends the row.
    OnFailure {
        /// Before the second run.
        delay: Duration,
        /// What doubling ends at.
        delay_max: Duration,
    },
}

impl Restart {
    /// [`Restart::OnFailure`] after 100 ms to 30 s.
    pub const fn on_failure() -> Self {
        Self::OnFailure { delay: Duration::from_millis(100), delay_max: Duration::from_secs(30) }
    }

    /// How long to wait behind this many failures in a row, or none: it is over.
    pub(super) fn delay(self, failures_in_row: u32) -> Option<Duration> {
        let Self::OnFailure { delay, delay_max } = self else { return None };
        let factor = 2_u32.saturating_pow(failures_in_row.saturating_sub(1));
        Some(delay.saturating_mul(factor).min(delay_max))
    }
}

impl Background {
    /// A service that waits for none and that none waits for, and that is not restarted.
    pub fn new(service: impl BackgroundService) -> Self {
        Self {
            name: service.name().to_owned(),
            service: Box::new(service),
            after: Vec::new(),
            is_before_listening: false,
            ready_within: READY_WITHIN,
            restart: Restart::Never,
        }
    }

    /// A function as a service.
    pub fn from_fn(
        name: impl Into<String>,
        run: impl FnMut(Ready, Shutdown) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        Self::new(Function { name: name.into(), run })
    }

    /// Calls `work` at once and then again and again, `pause` after its last return, until shutdown. It is ready when
    /// the first call has returned `Ok`. A call that fails is made again as [`Restart::on_failure`] says.
    pub fn every(
        name: impl Into<String>,
        pause: Duration,
        mut work: impl FnMut() -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        let service = Self::from_fn(name, move |ready, shutdown| {
            loop {
                work()?;
                ready.notify();
                if shutdown.wait_timeout(pause) {
                    return Ok(());
                }
            }
        });
        service.restart(Restart::on_failure())
    }

    /// Starts when the service of this name is ready. May be said several times.
    #[must_use]
    pub fn after(mut self, name: impl Into<String>) -> Self {
        self.after.push(name.into());
        self
    }

    /// Listeners open when this service is ready, and so those that it comes after.
    #[must_use]
    pub fn before_listening(mut self) -> Self {
        self.is_before_listening = true;
        self
    }

    /// How long it may take from its start to [`Ready::notify`] where something depends on it: listeners, another
    /// service. If it takes longer the server does not start. Default 30 s.
    #[must_use]
    pub fn ready_within(mut self, patience: Duration) -> Self {
        self.ready_within = patience;
        self
    }

    /// What happens when it fails.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }
}

impl<S: BackgroundService> From<S> for Background {
    fn from(service: S) -> Self {
        Self::new(service)
    }
}

struct Function<F> {
    name: String,
    run: F,
}

impl<F: FnMut(Ready, Shutdown) -> Result<(), Failure> + Send + 'static> BackgroundService for Function<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, ready: Ready, shutdown: Shutdown) -> Result<(), Failure> {
        (self.run)(ready, shutdown)
    }
}

/// With it a background service says that what depends on it may start. One that returns `Ok` without having said so
/// is ready, too: what it was there for is done.
#[derive(Clone, Debug)]
pub struct Ready {
    pub(super) index: usize,
    pub(super) events: Sender<Event>,
    pub(super) tally: Arc<Tally>,
}

impl Ready {
    /// It is ready. The first time counts.
    pub fn notify(&self) {
        if self.tally.set_ready() {
            // Nobody listens any more when the server is gone.
            _ = self.events.send(Event::Ready(self.index));
        }
    }
}

/// Tells a background service that its server stops: when it begins to drain. The service then has as long as
/// exchanges have, [`Settings::drain_timeout`](crate::settings::Settings::drain_timeout), and some seconds in a fast
/// stop; a thread that has not ended by then is left behind.
#[derive(Clone, Debug)]
pub struct Shutdown {
    pub(super) gate: Gate,
}

impl Shutdown {
    /// Whether the server stops.
    pub fn is_requested(&self) -> bool {
        life::is_open(&self.gate)
    }

    /// Blocks until the server stops.
    pub fn wait(&self) {
        life::wait(&self.gate, None);
    }

    /// Blocks until the server stops, for so long at most; true when it does. To be called in place of sleeping.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        life::wait(&self.gate, Some(timeout))
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background")
            .field("name", &self.name)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

/// For a service that something depends on to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound() {
        let seconds = Duration::from_secs;
        let restart = Restart::OnFailure { delay: seconds(1), delay_max: seconds(5) };
        let delays: Vec<_> = (1..=4).map(|failures| restart.delay(failures)).collect();
        assert_eq!(delays, [1, 2, 4, 5].map(|delay| Some(seconds(delay))));
        assert_eq!(restart.delay(u32::MAX), Some(seconds(5)));
        assert_eq!(Restart::Never.delay(1), None);
    }
}

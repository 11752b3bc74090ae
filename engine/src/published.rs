//! A value that one thread publishes and every shard reads: endpoints, keys, flags that a background service refreshes.
//!
//! The values are immutable and replaced as a whole. A [`Reader`] keeps the value that it saw last; to read, it compares
//! one number that changes only when something is published, so a request costs no lock and no atomic
//! read-modify-write. It is a lock all the same that a reader takes after a publication, once, for as long as a pointer
//! is copied.
//!
//! What it deliberately does not do: it keeps no history, so a reader that comes late misses what was between; and
//! nobody is told who has read what.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

/// A value that can be replaced, and where [`Reader`]s of it come from. Clones are the same one; any thread may have
/// one.
///
/// ```
/// use ringway_engine::published::Published;
///
/// let limit = Published::new(100);
/// let reader = limit.reader();
/// assert_eq!(*reader.get(), 100);
/// let kept = reader.get();
/// limit.publish(200);
/// assert_eq!((*kept, *reader.get()), (100, 200));
/// ```
///
/// A proxy gets a reader for each shard where it is made:
///
/// ```
/// # use ringway_engine::error::{Error, Result};
/// # use ringway_engine::phase::{Peer, Proxy, Session};
/// use ringway_engine::published::{Published, Reader};
/// use ringway_engine::service::Service;
/// use std::net::SocketAddr;
///
/// struct Balancer {
///     endpoints: Reader<Vec<SocketAddr>>,
/// }
///
/// impl Proxy for Balancer {
/// #   type Ctx = ();
/// #   fn new_ctx(&self) {}
///     async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Peer> {
///         match self.endpoints.get().first() {
///             Some(endpoint) => Ok(Peer::address(*endpoint)),
///             None => Err(Error::refused(503)),
///         }
///     }
/// }
///
/// let endpoints = Published::new(Vec::new());
/// let published = endpoints.clone();
/// let service = Service::proxy(move || Balancer { endpoints: published.reader() });
/// endpoints.publish(vec![SocketAddr::from(([127, 0, 0, 1], 9001))]);
/// # let _ = service;
/// ```
pub struct Published<T> {
    shared: Arc<Shared<T>>,
}

/// Reads what is [`Published`], on one thread. Made where it is used: once for each shard.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    seen: std::cell::RefCell<Seen<T>>,
}

/// A published value, for as long as somebody needs it; others may see a newer one meanwhile.
#[expect(
    clippy::redundant_allocation,
    reason = "the inner count belongs to all threads; the outer one is counted without atomics"
)]
pub struct Value<T>(Rc<Arc<T>>);

struct Shared<T> {
    /// Of what is in `latest`; set where that is. Alone in what every shard looks at for every request.
    version: AtomicU64,
    latest: Lock<Latest<T>>,
}

struct Latest<T> {
    value: Arc<T>,
    /// Tasks that wait for the next one.
    waiting: Vec<Waker>,
}

struct Seen<T> {
    version: u64,
    value: Value<T>,
}

#[expect(
    clippy::disallowed_types,
    reason = "taken for some instructions once a publication, by no request that finds nothing new"
)]
type Lock<T> = std::sync::Mutex<T>;

impl<T> Published<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Self {
        let latest = Latest { value: Arc::new(value), waiting: Vec::new() };
        Self { shared: Arc::new(Shared { version: AtomicU64::new(0), latest: Lock::new(latest) }) }
    }

    /// Replaces the value. Readers see the new one from their next look on.
    pub fn publish(&self, value: T) {
        let mut value = Arc::new(value);
        let waiting = self.shared.locked(|latest| {
            std::mem::swap(&mut latest.value, &mut value);
            self.shared.version.fetch_add(1, Ordering::Release);
            std::mem::take(&mut latest.waiting)
        });
        // Code of others runs in both, so the lock is free again.
        waiting.into_iter().for_each(Waker::wake);
        drop(value);
    }

    /// The value now. For threads that look once; whoever looks often has a [`Reader`].
    pub fn latest(&self) -> Arc<T> {
        self.shared.locked(|latest| Arc::clone(&latest.value))
    }

    /// A reader for this thread.
    pub fn reader(&self) -> Reader<T> {
        let seen = self.shared.look();
        Reader { shared: Arc::clone(&self.shared), seen: seen.into() }
    }
}

impl<T> Reader<T> {
    /// The value now.
    #[inline]
    pub fn get(&self) -> Value<T> {
        if self.has_changed() {
            self.renew();
        }
        self.seen.borrow().value.clone()
    }

    /// Whether something was published since this reader looked.
    #[inline]
    pub fn has_changed(&self) -> bool {
        self.shared.version.load(Ordering::Acquire) != self.seen.borrow().version
    }

    /// Waits until something is published that this reader has not seen, and returns the latest of it.
    ///
    /// ```
    /// use ringway_engine::published::Published;
    /// use ringway_engine::rt;
    /// use std::time::Duration;
    ///
    /// # rt::simulate(async {
    /// let published = Published::new("old");
    /// let reader = published.reader();
    /// rt::spawn(async move {
    ///     rt::sleep(Duration::from_secs(1)).await;
    ///     published.publish("new");
    /// });
    /// assert_eq!(*reader.changed().await, "new");
    /// # });
    /// ```
    pub fn changed(&self) -> Changed<'_, T> {
        Changed(self)
    }

    #[cold]
    fn renew(&self) {
        let old = self.seen.replace(self.shared.look());
        // It may be the last one that has it, and code of others runs then.
        drop(old);
    }
}

impl<T> Shared<T> {
    /// A panic in here is none of the value's: a half-done change cannot be seen.
    fn locked<R>(&self, action: impl FnOnce(&mut Latest<T>) -> R) -> R {
        action(&mut self.latest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self) -> Seen<T> {
        self.locked(|latest| Seen {
            version: self.version.load(Ordering::Relaxed),
            value: Value(Rc::new(Arc::clone(&latest.value))),
        })
    }
}

/// What [`Reader::changed`] returns.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Changed<'a, T>(&'a Reader<T>);

impl<T> Future for Changed<'_, T> {
    type Output = Value<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value<T>> {
        let reader = self.0;
        let waker = cx.waker().clone();
        // Under the lock: what is published behind this look finds the waker.
        let spare = reader.shared.locked(|latest| {
            if reader.has_changed() || latest.waiting.iter().any(|waiting| waiting.will_wake(&waker)) {
                return Some(waker);
            }
            latest.waiting.push(waker);
            None
        });
        drop(spare);
        if reader.has_changed() { Poll::Ready(reader.get()) } else { Poll::Pending }
    }
}

impl<T> Clone for Published<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Default> Default for Published<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Value<T> {
    /// The value for other threads.
    pub fn to_arc(&self) -> Arc<T> {
        Arc::clone(&self.0)
    }
}

impl<T> Clone for Value<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Value<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&self.latest()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.seen.borrow().value).finish()
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_reader_sees_what_was_published_last_and_a_kept_value_stays() {
        let published = Published::new(1);
        let (one, other) = (published.reader(), published.clone().reader());
        let kept = one.get();
        published.publish(2);
        published.publish(3);
        assert!(one.has_changed() && other.has_changed());
        assert_eq!((*one.get(), *other.get(), *kept, *published.latest()), (3, 3, 1, 3));
        assert!(!one.has_changed());
    }

    #[test]
    fn a_value_goes_when_nobody_has_it() {
        let first = Arc::new(());
        let published = Published::new(Arc::clone(&first));
        let reader = published.reader();
        published.publish(Arc::default());
        assert_eq!(Arc::strong_count(&first), 2, "the reader has it");
        let _ = reader.get();
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn the_destructor_of_a_value_may_publish() {
        struct Last {
            successor: Option<Published<Self>>,
        }
        impl Drop for Last {
            fn drop(&mut self) {
                if let Some(published) = self.successor.take() {
                    published.publish(Self { successor: None });
                }
            }
        }
        let published = Published::new(Last { successor: None });
        let reader = published.reader();
        published.publish(Last { successor: Some(published.clone()) });
        assert!(reader.get().successor.is_some());
        published.publish(Last { successor: None });
        assert!(reader.get().successor.is_none());
        assert!(reader.get().successor.is_none());
    }

    #[test]
    fn other_threads_publish_and_every_reader_ends_with_the_same() {
        let published = Published::new(0_u64);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let published = published.clone();
                thread::spawn(move || {
                    let reader = published.reader();
                    let mut last = 0;
                    while last < 1000 {
                        let value = *reader.get();
                        assert!(value >= last, "never back");
                        last = value;
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for value in 1..=1000 {
            published.publish(value);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    }

    #[test]
    fn a_task_waits_for_what_it_has_not_seen() {
        let published = Published::new(0);
        let writer = published.clone();
        let seen = rt::simulate(async move {
            let reader = published.reader();
            published.publish(1);
            let first = *reader.changed().await;
            // Given up, and many times: one waker is left at most.
            for _ in 0..10 {
                rt::timeout(Duration::from_millis(1), reader.changed()).await.unwrap_err();
            }
            let waiting = published.shared.locked(|latest| latest.waiting.len());
            rt::spawn(async move {
                rt::sleep(Duration::from_secs(1)).await;
                writer.publish(2);
            });
            (first, waiting, *reader.changed().await)
        });
        assert_eq!(seen, (1, 1, 2));
    }
}

//! Whose a meter is: one shard's, or several threads'.
//!
//! Everything in [`meter`](super) is written once for both. What differs is the number that it counts in, a [`Word`],
//! and the pointer that holds it: a flavour names the two.

use std::cell::Cell;
use std::fmt::Debug;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whose a meter is: [`Local`] or [`Shared`]. Nobody else can be one.
pub trait Flavour: sealed::Sealed + Copy + Debug + 'static {
    /// What it counts in.
    type Word: Word;
    /// What holds it: its clones are the same meter.
    type Handle<T>: Clone + Deref<Target = T> + From<T>;
}

/// Of one shard: plain memory, neither `Send` nor `Sync`.
#[derive(Clone, Copy, Debug)]
pub enum Local {}

/// Of several threads: `Send` and `Sync`, atomics and no lock.
#[derive(Clone, Copy, Debug)]
pub enum Shared {}

impl Flavour for Local {
    type Word = Cell<u64>;
    type Handle<T> = Rc<T>;
}

impl Flavour for Shared {
    type Word = AtomicU64;
    type Handle<T> = Arc<T>;
}

/// A number that is changed through a shared reference. It begins at zero.
pub trait Word: sealed::Sealed + Debug + Default + 'static {
    /// The number now.
    fn load(&self) -> u64;

    /// Adds `n`, around the end if it has to be.
    fn add(&self, n: u64);

    /// Takes `n` away, around the end if it has to be.
    fn sub(&self, n: u64);

    /// Makes it `n` if it is less.
    fn raise(&self, n: u64);

    /// Makes it `new` if it is `current`, and otherwise says what it is.
    fn replace(&self, current: u64, new: u64) -> Result<(), u64>;
}

impl Word for Cell<u64> {
    #[inline]
    fn load(&self) -> u64 {
        self.get()
    }

    #[inline]
    fn add(&self, n: u64) {
        self.set(self.get().wrapping_add(n));
    }

    #[inline]
    fn sub(&self, n: u64) {
        self.set(self.get().wrapping_sub(n));
    }

    #[inline]
    fn raise(&self, n: u64) {
        self.set(self.get().max(n));
    }

    #[inline]
    fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
        if self.get() != current {
            return Err(self.get());
        }
        self.set(new);
        Ok(())
    }
}

// One order of everything that all threads do: "who counts last sees all others" is then a plain argument, and on the
// processors that matter a weaker order would cost the same.
impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        Self::load(self, Ordering::SeqCst)
    }

    #[inline]
    fn add(&self, n: u64) {
        self.fetch_add(n, Ordering::SeqCst);
    }

    #[inline]
    fn sub(&self, n: u64) {
        self.fetch_sub(n, Ordering::SeqCst);
    }

    #[inline]
    fn raise(&self, n: u64) {
        // Most calls raise nothing, and a look leaves the line in every core's cache.
        if Self::load(self, Ordering::SeqCst) < n {
            self.fetch_max(n, Ordering::SeqCst);
        }
    }

    #[inline]
    fn replace(&self, current: u64, new: u64) -> Result<(), u64> {
        self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst).map(drop)
    }
}

mod sealed {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU64;

    #[expect(unnameable_types, reason = "who cannot name it cannot be one")]
    pub trait Sealed {}

    impl Sealed for super::Local {}
    impl Sealed for super::Shared {}
    impl Sealed for Cell<u64> {}
    impl Sealed for AtomicU64 {}
}

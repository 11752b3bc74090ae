//! Everything that takes part in an exchange, in order: a proxy, and filters in front of it and behind it.
//!
//! To an exchange all of them are [`Hooks`]. Each has a cell and a context of its own, made once and used for one
//! exchange after the other: a [`LinkPool`] gives them out and takes them back.

use super::visit::{Answer, Visit};
use super::{Phase, Phases};
use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

/// All that an exchange sees of somebody's hooks.
pub trait Hooks {
    /// The phases in which somebody wrote a hook.
    fn asked(&self) -> Phases;

    /// Makes a context for a new exchange.
    fn renew(&mut self);

    /// The exchange is over, and so is its context: what that holds, such as a place among those under way, is free
    /// for others now, and not when this is used again.
    fn clear(&mut self);

    /// Starts the hook of `phase`; `visit` comes back with the answer.
    fn visit(
        &mut self,
        phase: Phase,
        visit: Box<Visit>,
        context: &mut Context<'_>,
    ) -> Poll<(Box<Visit>, Answer)>;

    /// Goes on with the hook that waits.
    fn resume(&mut self, context: &mut Context<'_>) -> Poll<(Box<Visit>, Answer)>;

    /// Ends the hook that waits or panicked, and gives back what it had.
    fn cancel(&mut self) -> Option<Box<Visit>>;
}

/// A member of an exchange's chain.
pub struct Link {
    pub(crate) asked: Phases,
    pub(crate) hooks: Box<dyn Hooks>,
    /// Where it goes when the exchange is over.
    home: Weak<LinkPool>,
}

/// Where the links of one proxy or filter come from, on one shard.
pub struct LinkPool {
    asked: Phases,
    make: Box<dyn Fn() -> Box<dyn Hooks>>,
    free: RefCell<Vec<Box<dyn Hooks>>>,
    this: Weak<Self>,
}

impl LinkPool {
    /// A pool of what `make` makes.
    pub fn new(make: impl Fn() -> Box<dyn Hooks> + 'static) -> Rc<Self> {
        let first = make();
        Rc::new_cyclic(|this| Self {
            asked: first.asked(),
            make: Box::new(make),
            free: RefCell::new(vec![first]),
            this: this.clone(),
        })
    }

    /// A link with a context that is new.
    #[inline]
    pub(crate) fn take(&self) -> Link {
        let free = self.free.borrow_mut().pop();
        let mut hooks = free.unwrap_or_else(|| (self.make)());
        hooks.renew();
        Link { asked: self.asked, hooks, home: self.this.clone() }
    }
}

impl Link {
    /// Goes back to where it came from. One whose hook panicked is dropped instead.
    #[inline]
    pub(crate) fn put_back(mut self) {
        self.hooks.clear();
        if let Some(home) = self.home.upgrade() {
            let mut free = home.free.borrow_mut();
            if free.len() < FREE_MAX {
                free.push(self.hooks);
            }
        }
    }
}

/// Links that are kept for later exchanges; more are dropped.
const FREE_MAX: usize = 1024;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkPool").field("asked", &self.asked).finish_non_exhaustive()
    }
}

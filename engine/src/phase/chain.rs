//! Everything that takes part in an exchange, in order: a proxy, and filters in front of it and behind it.
//!
//! To an exchange all of them are [`Hooks`]. Each has a cell of its own, made once and used for one exchange after the
//! other: a [`Chain`] keeps those of its members, a [`LinkPool`] those of filters that are attached now and then.

use super::session::ContentUse;
use super::visit::{Answer, Visit};
use super::{Phase, Phases};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What comes of a hook that was started: what it had, with its answer, or that it waits.
pub type Visited = Poll<(Box<Visit>, Answer)>;

macro_rules! starts {
    ($($phase:ident $start:ident;)*) => {
        /// How hooks are started: each by a method of its own, since one for all would look a phase up that its caller
        /// knows. `visit` comes back with the answer. The first hook of an exchange gets a new context.
        pub trait Starts {
            $(
                #[doc = concat!("Starts the hook of [`Phase::", stringify!($phase), "`].")]
                fn $start(&mut self, visit: Box<Visit>, context: &mut Context<'_>) -> Visited {
                    _ = context;
                    Poll::Ready((visit, Answer::CONTINUE))
                }
            )*
        }

        impl Link {
            /// Starts the hook of `phase`.
            // Callers name the phase, so that nothing is left of the choice.
            #[inline(always)]
            pub(crate) fn start(&mut self, phase: Phase, visit: Box<Visit>, context: &mut Context<'_>) -> Visited {
                match phase {
                    $(Phase::$phase => self.hooks.$start(visit, context),)*
                }
            }
        }
    };
}

starts! {
    EarlyRequest early_request;
    Request request;
    Select select;
    Connected connected;
    UpstreamRequest upstream_request;
    RequestData request_data;
    RequestTrailers request_trailers;
    UpstreamResponse upstream_response;
    Response response;
    ResponseData response_data;
    ResponseTrailers response_trailers;
    ConnectFailed connect_failed;
    Retry retry;
    Failed failed;
    Finished finished;
}

/// All that an exchange sees of somebody's hooks.
pub trait Hooks: Starts {
    /// The phases in which somebody wrote a hook.
    fn asked(&self) -> Phases;

    /// What they do with the content of requests and of responses, unless they say otherwise.
    fn content(&self) -> [ContentUse; 2];

    /// Goes on with the hook that waits.
    fn resume(&mut self, context: &mut Context<'_>) -> Visited;

    /// Ends the hook that waits or panicked, and gives back what it had.
    fn cancel(&mut self) -> Option<Box<Visit>>;

    /// The exchange is over, and so is its context: what that holds, such as a place among those under way, is free
    /// for others now, and not when this is used again.
    fn clear(&mut self);
}

/// Everybody who takes part in the exchanges of a listener, in order, on one shard.
#[derive(Debug)]
pub struct Members {
    asked: Phases,
    pools: Vec<Rc<LinkPool>>,
    /// Whether a hook of a response's head has ever waited.
    has_held_response: Cell<bool>,
}

/// The members of one exchange, in order: those of its listener, which are kept from exchange to exchange, and behind
/// them those that were attached.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    links: Vec<Link>,
    /// Whose links the first are.
    members: Option<Rc<Members>>,
    /// Whether a member said for this exchange what it does with content.
    is_altered: bool,
}

/// A member of an exchange's chain.
pub(crate) struct Link {
    /// The phases in which it is visited.
    pub(crate) asked: Phases,
    /// The content phases in which it only looks on.
    pub(crate) observes: Phases,
    pub(crate) hooks: Box<dyn Hooks>,
    /// Where it goes when it is not needed.
    home: Rc<LinkPool>,
}

/// Where the links of one proxy or filter come from, on one shard.
pub struct LinkPool {
    asked: Phases,
    observes: Phases,
    make: Box<dyn Fn() -> Box<dyn Hooks>>,
    free: RefCell<Vec<Box<dyn Hooks>>>,
}

impl Members {
    /// These, in order.
    pub fn new(pools: Vec<Rc<LinkPool>>) -> Rc<Self> {
        let asked = pools.iter().fold(Phases::NONE, |asked, pool| asked.union(pool.asked));
        Rc::new(Self { asked, pools, has_held_response: Cell::new(false) })
    }
}

impl Chain {
    /// Makes `members` take part, and nobody else. Says what they ask for.
    #[inline]
    pub(crate) fn engage(&mut self, members: &Rc<Members>) -> Phases {
        if !self.members.as_ref().is_some_and(|engaged| Rc::ptr_eq(engaged, members)) {
            self.replace(members);
        }
        members.asked
    }

    #[cold]
    fn replace(&mut self, members: &Rc<Members>) {
        self.dismiss(0);
        self.links.extend(members.pools.iter().map(LinkPool::take));
        self.members = Some(Rc::clone(members));
    }

    /// One more takes part, behind the others.
    pub(crate) fn attach(&mut self, filter: &Rc<LinkPool>) {
        self.links.push(filter.take());
    }

    /// A member said what its hooks do with the content of `phase`.
    pub(crate) fn use_content(&mut self, place: usize, phase: Phase, what: ContentUse) {
        if let Some(link) = self.links.get_mut(place) {
            self.is_altered = true;
            let written = link.hooks.asked();
            (link.asked, link.observes) = with_content(written, link.asked, link.observes, phase, what);
        }
    }

    /// What the members ask for.
    pub(crate) fn asked(&self) -> Phases {
        self.links.iter().fold(Phases::NONE, |asked, link| asked.union(link.asked))
    }

    /// What the members together do with the content of `phase`, for which somebody asks.
    pub(crate) fn content_use(&self, phase: Phase) -> ContentUse {
        let mut visited = self.links.iter().filter(|link| link.asked.has(phase));
        if visited.all(|link| link.observes.has(phase)) { ContentUse::Observe } else { ContentUse::Rewrite }
    }

    /// Whether nobody but one takes part.
    #[inline]
    pub(crate) fn is_single(&self) -> bool {
        self.links.len() == 1
    }

    /// The places of all members.
    #[inline]
    pub(crate) fn places(&self) -> Range<usize> {
        0..self.links.len()
    }

    /// The member in this place.
    #[inline]
    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut Link> {
        self.links.get_mut(place)
    }

    /// Takes a member out for good. Says what the others ask for.
    pub(crate) fn expel(&mut self, place: usize) -> Option<(Link, Phases)> {
        if place >= self.links.len() {
            return None;
        }
        self.members = None;
        let link = self.links.remove(place);
        Some((link, self.asked()))
    }

    /// The exchange is over: contexts are dropped, and who was attached leaves.
    #[inline]
    pub(crate) fn clear(&mut self) {
        for link in &mut self.links {
            link.hooks.clear();
        }
        if self.is_altered {
            self.is_altered = false;
            for link in &mut self.links {
                (link.asked, link.observes) = (link.home.asked, link.home.observes);
            }
        }
        let kept = self.members.as_ref().map_or(0, |members| members.pools.len());
        if self.links.len() > kept {
            self.dismiss(kept);
        }
    }

    fn dismiss(&mut self, kept: usize) {
        self.links.drain(kept..).for_each(Link::put_back);
    }

    /// Whether a hook of these members may wait with a response's head. None is known to until one has: so one head at
    /// most is held up in the receive buffer that it came in.
    #[inline]
    pub(crate) fn may_hold_response(&self) -> bool {
        self.members.as_ref().is_none_or(|members| members.has_held_response.get())
    }

    /// A hook waits with a response's head.
    pub(crate) fn note_held_response(&self) {
        if let Some(members) = &self.members {
            members.has_held_response.set(true);
        }
    }
}

impl LinkPool {
    /// A pool of what `make` makes.
    pub fn new(make: impl Fn() -> Box<dyn Hooks> + 'static) -> Rc<Self> {
        let first = make();
        let (mut asked, mut observes) = (first.asked(), Phases::NONE);
        for (phase, what) in [Phase::RequestData, Phase::ResponseData].into_iter().zip(first.content()) {
            (asked, observes) = with_content(first.asked(), asked, observes, phase, what);
        }
        Rc::new(Self { asked, observes, make: Box::new(make), free: RefCell::new(vec![first]) })
    }

    /// A link without a context.
    fn take(self: &Rc<Self>) -> Link {
        let free = self.free.borrow_mut().pop();
        let hooks = free.unwrap_or_else(|| (self.make)());
        Link { asked: self.asked, observes: self.observes, hooks, home: Rc::clone(self) }
    }
}

impl Link {
    /// Goes back to where it came from. One whose hook panicked is dropped instead.
    fn put_back(self) {
        let mut free = self.home.free.borrow_mut();
        if free.len() < FREE_MAX {
            free.push(self.hooks);
        }
    }
}

/// `asked` and `observes` of hooks, `written` of which somebody wrote, that do `what` with the content of `phase`.
fn with_content(
    written: Phases,
    asked: Phases,
    observes: Phases,
    phase: Phase,
    what: ContentUse,
) -> (Phases, Phases) {
    let is_asked = written.has(phase) && what != ContentUse::Skip;
    (
        asked.without(phase).with(phase, is_asked),
        observes.without(phase).with(phase, is_asked && what == ContentUse::Observe),
    )
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

//! A filter that joins some exchanges only, as hooks keep it.

use super::cell::Rooms;
use super::chain::LinkPool;
use super::proxy::Filter;
use std::cell::LazyCell;
use std::fmt;
use std::rc::Rc;

/// A filter that hooks let take part in their exchange with [`super::Session::attach`].
///
/// A proxy keeps it in a field: what the filter needs for its exchanges is made when it is attached for the first time,
/// and used for one exchange after the other. Clones share that, and the filter. Like the proxy it stays on its shard, so
/// each shard has one of its own.
#[derive(Clone)]
pub struct Attachable(Rc<LazyCell<Rc<LinkPool>, Make>>);

/// Makes the links of a filter.
type Make = Box<dyn FnOnce() -> Rc<LinkPool>>;

impl Attachable {
    /// Of this filter.
    pub fn new<F: Filter>(filter: F) -> Self {
        let make = move || LinkPool::of_filter(Rc::new(filter), &Rooms::new());
        Self(Rc::new(LazyCell::new(Box::new(make) as Make)))
    }

    /// What joins.
    pub(super) fn pool(&self) -> &Rc<LinkPool> {
        &self.0
    }
}

impl fmt::Debug for Attachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachable").finish_non_exhaustive()
    }
}

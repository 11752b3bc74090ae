//! Runs one hook at a time for one exchange, in place, and keeps it where it is while it waits.
//!
//! A hook is an `async fn` that borrows its exchange's state. A future that has waited once can be neither moved
//! nor boxed, so it is built where it may stay: in a room taken from its shard's [`Rooms`]. Most hooks are ready
//! at the first poll; then the room goes straight back, and the next hook finds it warm in the cache. Only a hook
//! that waits keeps its room. Nothing is allocated once the pool has as many rooms as hooks wait at a time.
//!
//! # Why this is sound
//!
//! A [`HookCell`] refers to itself: the future in `waiting` borrows from `lent`. That is sound because
//!
//! - **the addresses hold**: state and rooms are heap blocks that the cell only points to. Moving the cell moves
//!   neither, and through the raw pointers of `Lent` and `Running` it makes no claim to be their only user;
//! - **the borrow is exclusive**: a hook gets the one `&mut T` when it starts, and nobody can reach the state
//!   before its future is dropped: [`HookCell::lent`], [`HookCell::lent_mut`] and [`HookCell::start`] refuse while
//!   a hook waits, and all need the cell that [`HookCell::resume`] borrows while it polls;
//! - **the borrow cannot escape**: a [`Hook`] works for every lifetime `'a` of `&'a mut T`, hence can store the
//!   borrow nowhere but in its future; and the answer `R` was chosen before `'a`;
//! - **the order holds**: a `Running` drops its future before its room, whether the hook is done, is cancelled or
//!   panics; and `waiting` is declared, hence dropped, before `lent`. Forgetting a cell leaks all three.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll};

/// State of type `T`, lent to one hook after the other; each answers with something that becomes an `R`.
pub struct HookCell<T: 'static, R: 'static> {
    /// The hook that waits. Dropped before what it borrows.
    waiting: Option<Running<dyn Answering<R>>>,
    lent: Lent<T>,
    rooms: Rooms,
}

/// A hook: an `async fn(&mut T) -> impl Into<R>`, as a function of its own or a path to one.
///
/// Closures do not fit: a closure's future cannot depend on the lifetime of its argument.
pub trait Hook<'a, T: 'a, R> {
    /// The future of the hook.
    type Future: Future<Output: Into<R>> + 'a;

    /// Makes the future.
    fn start(self, lent: &'a mut T) -> Self::Future;
}

impl<'a, T: 'a, R, H, F> Hook<'a, T, R> for H
where
    H: FnOnce(&'a mut T) -> F,
    F: Future<Output: Into<R>> + 'a,
{
    type Future = F;

    #[inline]
    fn start(self, lent: &'a mut T) -> F {
        self(lent)
    }
}

impl<T, R> HookCell<T, R> {
    /// A cell in which no hook runs.
    pub fn new(lent: T, rooms: Rooms) -> Self {
        Self { waiting: None, lent: Lent::new(lent), rooms }
    }

    /// Starts `hook` and polls it once. When it is pending it waits, for [`Self::resume`] or [`Self::cancel`].
    ///
    /// A panic of the hook passes through. Its future is dropped then and the cell is free; what state the hook
    /// left behind is for the caller to judge.
    ///
    /// # Panics
    /// When a hook waits.
    #[inline]
    pub fn start<H>(&mut self, hook: H, context: &mut Context<'_>) -> Poll<R>
    where
        H: for<'a> Hook<'a, T, R>,
    {
        assert!(!self.is_waiting(), "an exchange runs one hook at a time");
        // SAFETY: No hook waits, so nobody else borrows the state, and until this future is dropped nobody can:
        // either it is dropped before this call returns, or it goes to `waiting` (see the head of this file).
        let lent = unsafe { self.lent.0.as_mut() };
        let mut running = Running::new(hook.start(lent), &self.rooms);
        let polled = running.future.as_pin_mut().poll_answer(context);
        match polled {
            Poll::Ready(_) => self.rooms.put(running.end()),
            // SAFETY: As above: `waiting` does not outlive what the future borrows.
            Poll::Pending => self.waiting = Some(unsafe { running.erase() }),
        }
        polled
    }

    /// Polls the hook that waits.
    ///
    /// # Panics
    /// When none waits.
    pub fn resume(&mut self, context: &mut Context<'_>) -> Poll<R> {
        let mut running = self.waiting.take().expect("only a hook that waits is resumed");
        let polled = running.future.as_pin_mut().poll_answer(context);
        match polled {
            Poll::Ready(_) => self.rooms.put(running.end()),
            Poll::Pending => self.waiting = Some(running),
        }
        polled
    }

    /// Drops the hook that waits, if there is one: it stops at the `await` where it is.
    pub fn cancel(&mut self) {
        if let Some(running) = self.waiting.take() {
            self.rooms.put(running.end());
        }
    }

    /// Whether a hook waits.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// The state, unless a hook waits and has it.
    #[inline]
    pub fn lent(&self) -> Option<&T> {
        if self.is_waiting() {
            return None;
        }
        // SAFETY: No hook waits, so nobody borrows the state but through this cell.
        Some(unsafe { self.lent.0.as_ref() })
    }

    /// The state for changing, unless a hook waits and has it.
    #[inline]
    pub fn lent_mut(&mut self) -> Option<&mut T> {
        if self.is_waiting() {
            return None;
        }
        // SAFETY: As in `lent`.
        Some(unsafe { self.lent.0.as_mut() })
    }
}

impl<T, R> fmt::Debug for HookCell<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookCell").field("is_waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}

/// A future whose output becomes an answer.
trait Answering<R> {
    fn poll_answer(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R>;
}

impl<R, F: Future<Output: Into<R>>> Answering<R> for F {
    #[inline]
    fn poll_answer(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        self.poll(context).map(Into::into)
    }
}

/// Owns a state like a box. A box itself would claim, whenever it is moved, that no hook borrows from it.
struct Lent<T>(NonNull<T>);

impl<T> Lent<T> {
    fn new(state: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(state))))
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        // SAFETY: The pointer came from a box, and the hook that might borrow from it was dropped before.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A future and the room it is in. The future is declared, hence dropped, first.
struct Running<F: ?Sized> {
    future: Placed<F>,
    room: Box<Room>,
}

impl<F> Running<F> {
    #[inline]
    fn new(future: F, rooms: &Rooms) -> Self {
        let room = rooms.take::<F>();
        let place = room.start.cast::<F>();
        // SAFETY: The room is ours alone, and was taken for this layout.
        unsafe { place.write(future) };
        Self { future: Placed(place), room }
    }

    /// Forgets type and lifetime.
    ///
    /// # Safety
    /// The result is dropped before what the future borrows.
    #[inline]
    unsafe fn erase<'a, R>(self) -> Running<dyn Answering<R>>
    where
        F: Answering<R> + 'a,
    {
        let future: NonNull<dyn Answering<R> + 'a> = ManuallyDrop::new(self.future).0;
        // SAFETY: The types differ in a lifetime only, which the caller answers for.
        let future =
            unsafe { mem::transmute::<NonNull<dyn Answering<R> + 'a>, NonNull<dyn Answering<R>>>(future) };
        Running { future: Placed(future), room: self.room }
    }
}

impl<F: ?Sized> Running<F> {
    /// Drops the future, and only then leaves its room to others.
    #[inline]
    fn end(self) -> Box<Room> {
        let Self { future, room } = self;
        drop(future);
        room
    }
}

/// Owns a future, not the room it is in.
struct Placed<F: ?Sized>(NonNull<F>);

impl<F: ?Sized> Placed<F> {
    #[inline]
    fn as_pin_mut(&mut self) -> Pin<&mut F> {
        // SAFETY: We own the future. It stays where it is until it is dropped: its room is in the same `Running`.
        unsafe { Pin::new_unchecked(self.0.as_mut()) }
    }
}

impl<F: ?Sized> Drop for Placed<F> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: We own the future, and only here is it dropped.
        unsafe { self.0.drop_in_place() };
    }
}

/// The free rooms of one shard. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rooms {
    shared: Rc<Free>,
}

#[derive(Default)]
struct Free {
    /// The room given back last. Hooks that are ready at once go in and out here.
    last: Cell<Option<Box<Room>>>,
    #[expect(clippy::vec_box, reason = "a room moves as one word")]
    others: RefCell<Vec<Box<Room>>>,
}

/// Memory for one future of any type. Owns it.
///
/// Handed around in a box, as one word: three words in and out of the list stalled each hook for 10 to 25 ns, since the
/// processor cannot load at once what was just stored in pieces of another size.
struct Room {
    start: NonNull<u8>,
    layout: Layout,
}

impl Rooms {
    /// No room yet: they are made when first needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The room given back last, or a new one where that is too small for an `F`: rooms come to fit the largest hook.
    #[inline]
    fn take<F>(&self) -> Box<Room> {
        let layout = Layout::new::<F>();
        // Nearly every hook fits in any room, which is known when the program is compiled.
        let fits_any = layout.size() <= ROOM_BYTES_MIN && layout.align() <= ROOM_ALIGN_MIN;
        match self.shared.last.take() {
            Some(room) if fits_any || room.fits(layout) => room,
            _ => self.shared.find(layout),
        }
    }

    #[inline]
    fn put(&self, room: Box<Room>) {
        if let Some(room) = self.shared.last.replace(Some(room)) {
            self.shared.keep(room);
        }
    }
}

impl Free {
    /// A room that was given back earlier, or a new one.
    #[cold]
    fn find(&self, layout: Layout) -> Box<Room> {
        let other = self.others.borrow_mut().pop().filter(|room| room.fits(layout));
        other.unwrap_or_else(|| Box::new(Room::new(layout)))
    }

    #[cold]
    fn keep(&self, room: Box<Room>) {
        let mut others = self.others.borrow_mut();
        if others.len() < FREE_MAX {
            others.push(room);
        }
    }
}

impl Room {
    #[inline]
    fn fits(&self, layout: Layout) -> bool {
        layout.size() <= self.layout.size() && layout.align() <= self.layout.align()
    }

    #[cold]
    fn new(layout: Layout) -> Self {
        let size = layout.size().max(ROOM_BYTES_MIN).next_power_of_two();
        let layout = Layout::from_size_align(size, layout.align().max(ROOM_ALIGN_MIN));
        let layout = layout.expect("the next power of two behind the size of a type can be allocated");
        // SAFETY: The size is not 0.
        let start = NonNull::new(unsafe { alloc(layout) });
        Self { start: start.unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: Allocated with this layout; the future in it was dropped before (see `Running`).
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Free rooms that are kept; more are given back to the allocator.
const FREE_MAX: usize = 256;
/// Bytes of a room: enough for a hook that keeps a few references and a timer over its waits.
const ROOM_BYTES_MIN: usize = 512;
/// Alignment of a room: a cache line.
const ROOM_ALIGN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;

    /// What happened, in order.
    #[derive(Clone, Debug, Default)]
    struct Diary(Rc<RefCell<Vec<&'static str>>>);

    impl Diary {
        fn note(&self, what: &'static str) {
            self.0.borrow_mut().push(what);
        }

        fn read(&self) -> Vec<&'static str> {
            self.0.take()
        }
    }

    /// Notes when it is dropped.
    struct Drops(Diary, &'static str);

    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.note(self.1);
        }
    }

    /// What hooks borrow in these tests.
    struct State {
        text: String,
        diary: Diary,
        _drops: Drops,
    }

    #[derive(Debug, PartialEq)]
    struct Answer(usize);

    impl From<usize> for Answer {
        fn from(len: usize) -> Self {
            Self(len)
        }
    }

    fn free(rooms: &Rooms) -> usize {
        let last = rooms.shared.last.take();
        let count = usize::from(last.is_some()) + rooms.shared.others.borrow().len();
        rooms.shared.last.set(last);
        count
    }

    fn world() -> (HookCell<State, Answer>, Diary, Rooms) {
        let (diary, rooms) = (Diary::default(), Rooms::new());
        let state =
            State { text: "a".into(), diary: diary.clone(), _drops: Drops(diary.clone(), "state dropped") };
        (HookCell::new(state, rooms.clone()), diary, rooms)
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// Pending once.
    async fn turn() {
        let mut is_second = false;
        poll_fn(|_| if std::mem::replace(&mut is_second, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    async fn push(state: &mut State) -> usize {
        state.text.push('b');
        state.text.len()
    }

    /// Holds a borrow of the state, and one of its own, while it waits.
    async fn push_slowly(state: &mut State) -> usize {
        let _drops = Drops(state.diary.clone(), "future dropped");
        let own = [1, 2, 3];
        let (text, sum) = (&mut state.text, own.iter());
        text.push('c');
        turn().await;
        text.push('d');
        turn().await;
        text.len() + sum.sum::<usize>()
    }

    async fn panic_at_once(state: &mut State) -> usize {
        let _drops = Drops(state.diary.clone(), "future dropped");
        panic!("at once, with {}", state.text)
    }

    async fn panic_later(state: &mut State) -> usize {
        turn().await;
        panic_at_once(state).await
    }

    #[test]
    fn a_hook_that_is_ready_leaves_its_room_to_the_next() {
        let (mut cell, _, rooms) = world();
        assert_eq!(cell.start(push, &mut context()), Poll::Ready(Answer(2)));
        assert_eq!(cell.start(push, &mut context()), Poll::Ready(Answer(3)));
        assert_eq!(cell.lent().map(|state| &*state.text), Some("abb"));
        assert_eq!(free(&rooms), 1);
    }

    #[test]
    fn a_hook_that_waits_has_the_state_until_it_answers() {
        let (mut cell, diary, rooms) = world();
        assert!(cell.start(push_slowly, &mut context()).is_pending());
        assert!(cell.is_waiting() && cell.lent().is_none() && cell.lent_mut().is_none());
        assert!(cell.resume(&mut context()).is_pending());
        assert_eq!(free(&rooms), 0);
        assert_eq!(cell.resume(&mut context()), Poll::Ready(Answer(9)));
        assert_eq!(diary.read(), ["future dropped"]);
        assert_eq!(cell.lent_mut().map(|state| &*state.text), Some("acd"));
        assert_eq!(free(&rooms), 1);
    }

    #[test]
    fn a_cell_may_move_while_its_hook_waits() {
        let (mut cell, ..) = world();
        assert!(cell.start(push_slowly, &mut context()).is_pending());
        let mut elsewhere = Box::new(cell);
        assert!(elsewhere.resume(&mut context()).is_pending());
        let mut cell = *elsewhere;
        assert_eq!(cell.resume(&mut context()), Poll::Ready(Answer(9)));
    }

    #[test]
    fn a_cancelled_hook_stops_where_it_waits() {
        let (mut cell, diary, rooms) = world();
        assert!(cell.start(push_slowly, &mut context()).is_pending());
        cell.cancel();
        cell.cancel();
        assert_eq!(diary.read(), ["future dropped"]);
        assert_eq!(cell.lent().map(|state| &*state.text), Some("ac"));
        assert_eq!(cell.start(push, &mut context()), Poll::Ready(Answer(3)));
        assert_eq!(free(&rooms), 1);
    }

    #[test]
    fn a_hook_is_dropped_before_what_it_borrows() {
        let (mut cell, diary, _) = world();
        assert!(cell.start(push_slowly, &mut context()).is_pending());
        drop(cell);
        assert_eq!(diary.read(), ["future dropped", "state dropped"]);
    }

    #[test]
    fn a_hook_that_panics_is_dropped_and_leaves_the_cell_free() {
        let (mut cell, diary, _) = world();
        let started = catch_unwind(AssertUnwindSafe(|| cell.start(panic_at_once, &mut context())));
        assert!(started.is_err());
        assert!(cell.start(panic_later, &mut context()).is_pending());
        let resumed = catch_unwind(AssertUnwindSafe(|| cell.resume(&mut context())));
        assert!(resumed.is_err() && !cell.is_waiting());
        assert_eq!(diary.read(), ["future dropped", "future dropped"]);
        assert_eq!(cell.start(push, &mut context()), Poll::Ready(Answer(2)));
    }

    #[test]
    fn a_future_that_panics_when_dropped_leaves_the_cell_free() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        async fn hook(_: &mut State) -> usize {
            let _panics = Panics;
            turn().await;
            0
        }
        let (mut cell, diary, _) = world();
        assert!(cell.start(hook, &mut context()).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| cell.cancel())).is_err());
        assert_eq!(cell.start(push, &mut context()), Poll::Ready(Answer(2)));
        assert!(cell.start(hook, &mut context()).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(cell))).is_err());
        assert_eq!(diary.read(), ["state dropped"]);
    }

    #[test]
    #[should_panic(expected = "one hook at a time")]
    fn a_second_hook_cannot_start_while_one_waits() {
        let (mut cell, ..) = world();
        assert!(cell.start(push_slowly, &mut context()).is_pending());
        let _ = cell.start(push, &mut context());
    }

    #[test]
    fn rooms_come_to_fit_the_largest_hook() {
        async fn large(_: &mut State) -> usize {
            let bytes = [7_u8; 10_000];
            turn().await;
            bytes.iter().map(|&byte| usize::from(byte)).sum()
        }
        #[repr(align(4096))]
        struct Page(Cell<u8>);
        async fn aligned(_: &mut State) -> usize {
            let page = Page(Cell::new(1));
            turn().await;
            (&raw const page).addr() % 4096 + usize::from(page.0.get())
        }
        let (mut cell, _, rooms) = world();
        for _ in 0..3 {
            assert!(cell.start(push, &mut context()).is_ready());
            assert!(cell.start(large, &mut context()).is_pending());
            assert_eq!(cell.resume(&mut context()), Poll::Ready(Answer(70_000)));
            assert!(cell.start(aligned, &mut context()).is_pending());
            assert_eq!(cell.resume(&mut context()), Poll::Ready(Answer(1)));
            assert_eq!(free(&rooms), 1);
        }
    }

    #[test]
    fn hooks_of_several_exchanges_wait_side_by_side() {
        let (_, _, rooms) = world();
        let state = |text: &str| {
            let diary = Diary::default();
            State { text: text.into(), diary: diary.clone(), _drops: Drops(diary, "state dropped") }
        };
        let mut cells: Vec<HookCell<State, Answer>> =
            ["x", "yy", "zzz"].map(|text| HookCell::new(state(text), rooms.clone())).into();
        for _ in 0..2 {
            cells.iter_mut().for_each(|cell| assert!(cell.start(push_slowly, &mut context()).is_pending()));
            cells.iter_mut().for_each(|cell| assert!(cell.resume(&mut context()).is_pending()));
            cells.iter_mut().for_each(|cell| assert!(cell.resume(&mut context()).is_ready()));
        }
        assert_eq!(free(&rooms), 3);
    }
}

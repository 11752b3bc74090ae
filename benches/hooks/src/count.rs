//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

/// What was counted up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// Allocations made.
    pub(crate) allocations: usize,
    /// Bytes that are allocated.
    pub(crate) live: usize,
}

impl Count {
    pub(crate) fn now() -> Self {
        Self { allocations: ALLOCATIONS.load(Relaxed), live: LIVE.load(Relaxed) }
    }
}

struct Counting;

// SAFETY: The system's allocator does everything; counting allocates nothing and cannot panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // One thread: no need for a locked instruction, which would cost more than what is measured.
        ALLOCATIONS.store(ALLOCATIONS.load(Relaxed) + 1, Relaxed);
        LIVE.store(LIVE.load(Relaxed).wrapping_add(layout.size()), Relaxed);
        // SAFETY: The caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        LIVE.store(LIVE.load(Relaxed).wrapping_sub(layout.size()), Relaxed);
        // SAFETY: `start` came from `alloc` above, hence from the system's allocator, with this layout.
        unsafe { System.dealloc(start, layout) }
    }
}

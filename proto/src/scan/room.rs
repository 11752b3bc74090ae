//! Room at the end of a list that is filled item by item, without looking at the list each time.
//!
//! It is here since it is unsafe, and since scans are what fills lists: `Vec::push` reads and writes three words
//! of memory for each item, which costs more than finding it.

/// Places behind the items of a list. What is filled is in the list when this is dropped.
pub(crate) struct Room<'a, T> {
    list: &'a mut Vec<T>,
    next: *mut T,
    end: *mut T,
}

impl<'a, T: Copy> Room<'a, T> {
    /// Room for `places` more items of `list`; when that has no memory yet, it gets `spare` places more.
    #[inline(always)]
    pub(crate) fn new(list: &'a mut Vec<T>, places: usize, spare: usize) -> Self {
        if list.capacity() == 0 {
            *list = Vec::with_capacity(places + spare);
        }
        list.reserve(places);
        // SAFETY: `len` is at most the capacity, and `reserve` made that at least `places` more.
        let (next, end) = unsafe {
            let next = list.as_mut_ptr().add(list.len());
            (next, next.add(places))
        };
        Self { list, next, end }
    }

    /// Fills the next place.
    ///
    /// # Panics
    /// When all are filled.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) {
        assert!(self.next != self.end, "places are counted before they are filled");
        // SAFETY: `next` is before `end`, so it is within the list's memory, which stays where it is since the
        // list is borrowed until this is dropped. Nothing is overwritten that needs dropping: it is behind `len`.
        unsafe {
            self.next.write(item);
            self.next = self.next.add(1);
        }
    }
}

impl<T> Drop for Room<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `next` came from the same memory as the list's pointer and is not before it; all items before
        // it were there or are written by `push`, and it is not beyond the capacity.
        unsafe {
            let len = self.next.offset_from_unsigned(self.list.as_ptr());
            self.list.set_len(len);
        }
    }
}

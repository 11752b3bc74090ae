//! Lengthens a list item by item without looking at the list for each.
//!
//! It is here since it is unsafe and since scans are what fills lists: `Vec::push` reads and writes three words of
//! memory for each item, which costs more than finding it.

/// What a list is lengthened by.
pub(crate) trait Source<T> {
    /// The item number `index`, when it is found the quick way.
    fn quick(&mut self, index: usize) -> Option<T>;

    /// The item number `index`, when it is not; `None` ends the list.
    fn other(&mut self, index: usize) -> Option<T>;
}

/// Puts up to `places` items of `source` behind those of `list`. When that has no memory yet, it gets room for
/// `spare` more.
#[inline(always)]
pub(crate) fn lengthen<T: Copy>(list: &mut Vec<T>, places: usize, spare: usize, source: &mut impl Source<T>) {
    if list.capacity() == 0 {
        *list = Vec::with_capacity(places + spare);
    }
    list.reserve(places);
    let mut filled = 0;
    for (index, place) in list.spare_capacity_mut()[..places].iter_mut().enumerate() {
        if let Some(item) = source.quick(index) {
            place.write(item);
        } else if let Some(item) = source.other(index) {
            place.write(item);
        } else {
            break;
        }
        filled = index + 1;
    }
    // SAFETY: the first `filled` places behind the items of `list` are within its capacity and were written above.
    unsafe { list.set_len(list.len() + filled) };
}

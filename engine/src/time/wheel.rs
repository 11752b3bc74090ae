//! A shard's timers: a hierarchical timer wheel.
//!
//! Eight levels of 64 slots, with ticks of a millisecond at the bottom and 64 times longer slots on each level
//! above: together they span the whole axis of [`Instant`], so there is no horizon and no overflow list. A
//! timer lies on the level of the highest digit (base 64) in which its tick differs from the wheel's. From
//! that follow the two facts that everything here rests on:
//!
//! - slots of a level never wrap: all that are filled lie at or ahead of the wheel's own digit;
//! - everything on a level is due before everything on the levels above.
//!
//! So the next slot to look at is the first filled one of the lowest filled level, found with two bit scans,
//! and a jump of hours costs no more than the slots that are filled.

use super::Instant;

/// The timers of one shard, each with a key that says what it is for.
///
/// Inserting and cancelling take constant time and, once the wheel has held as many timers before, no memory.
#[derive(Debug)]
pub struct Wheel<K> {
    /// Every timer that is due before this tick has been given out.
    tick: u64,
    levels: [Level; LEVELS],
    nodes: Vec<Node<K>>,
    /// First unused node; the others hang on its `next`.
    free: u32,
    len: usize,
}

/// Names one inserted timer; of no use once that has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Bit `n` is set when slot `n` is not empty.
    filled: u64,
    slots: [List; SLOTS],
}

/// The ends of a doubly linked list of nodes; `NONE` when empty.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
struct Node<K> {
    /// When it fires; never before the wheel's tick.
    tick: u64,
    key: K,
    /// Counts the uses of this node, so that an old id finds nothing.
    generation: u32,
    place: Place,
    previous: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Slot { level: u8, slot: u8 },
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy> Wheel<K> {
    /// A wheel without timers, at [`Instant::ZERO`].
    pub fn new() -> Self {
        let empty = Level { filled: 0, slots: [List { head: NONE, tail: NONE }; SLOTS] };
        Self { tick: 0, levels: [empty; LEVELS], nodes: Vec::new(), free: NONE, len: 0 }
    }

    /// Number of timers that have neither fired nor been cancelled.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no timer.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. A deadline that has passed fires at the next poll.
    pub fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        // Rounded up: a timer may be late by less than a tick, it is never early.
        let tick = deadline.as_nanos().div_ceil(TICK_NANOS).max(self.tick);
        let index = self.allocate(tick, key);
        self.link(index);
        self.len += 1;
        TimerId { index, generation: self.nodes[index as usize].generation }
    }

    /// Takes a timer back. False when it has fired or was cancelled before.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        match self.nodes.get(id.index as usize) {
            Some(node) if node.generation == id.generation && node.place != Place::Free => {
                self.unlink(id.index);
                self.release(id.index);
                true
            }
            _ => false,
        }
    }

    /// The next timer that is due at `now`: earlier ticks first, within a tick in the order of insertion.
    ///
    /// A `now` before an earlier one is taken for that one.
    pub fn poll_expired(&mut self, now: Instant) -> Option<K> {
        let now_tick = now.as_nanos() / TICK_NANOS;
        while let Some((level, slot, start)) = self.next_slot() {
            if start > now_tick {
                break;
            }
            // The slot on the wheel's own position starts in the past when the wheel has moved into it.
            self.tick = self.tick.max(start);
            if level == 0 {
                return Some(self.fire(slot));
            }
            self.cascade(level, slot);
        }
        // Every filled slot starts later, so no slot is skipped: the two facts above still hold.
        self.tick = self.tick.max(now_tick);
        None
    }

    /// When to poll next. Often before the next timer is due, since a poll also moves far timers nearer, but
    /// a poll at this time always makes progress.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (_, _, start) = self.next_slot()?;
        Some(Instant::from_nanos(start.saturating_mul(TICK_NANOS)))
    }

    /// The filled slot that starts first: its level, its number, its first tick.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.filled != 0)?;
        let slot = self.levels[level].filled.trailing_zeros();
        let above = SLOT_BITS * (u32::try_from(level).expect("there are eight levels") + 1);
        let start = (self.tick >> above << above) | (u64::from(slot) << (above - SLOT_BITS));
        Some((level, slot as usize, start))
    }

    /// Takes the first timer out of a slot of the lowest level.
    fn fire(&mut self, slot: usize) -> K {
        let index = self.levels[0].slots[slot].head;
        let node = &self.nodes[index as usize];
        debug_assert_eq!(node.tick, self.tick, "a timer lies in the slot of its tick");
        let key = node.key;
        self.unlink(index);
        self.release(index);
        key
    }

    /// Distributes a slot, at whose first tick the wheel stands, over the levels below.
    fn cascade(&mut self, level: usize, slot: usize) {
        let list = &mut self.levels[level].slots[slot];
        let mut index = std::mem::replace(list, List { head: NONE, tail: NONE }).head;
        self.levels[level].filled &= !(1 << slot);
        while index != NONE {
            let next = self.nodes[index as usize].next;
            self.link(index);
            index = next;
        }
    }

    /// Appends a node to the slot that its tick belongs to, seen from where the wheel stands.
    fn link(&mut self, index: u32) {
        let tick = self.nodes[index as usize].tick;
        let difference = (tick ^ self.tick) | 1;
        let level = difference.ilog2() / SLOT_BITS;
        let slot = usize::try_from((tick >> (level * SLOT_BITS)) % SLOTS as u64).expect("below 64");

        let home = &mut self.levels[level as usize];
        home.filled |= 1 << slot;
        let list = &mut home.slots[slot];
        let previous = std::mem::replace(&mut list.tail, index);
        match previous {
            NONE => list.head = index,
            _ => self.nodes[previous as usize].next = index,
        }
        let node = &mut self.nodes[index as usize];
        node.previous = previous;
        node.next = NONE;
        node.place = Place::Slot { level: level as u8, slot: slot as u8 };
    }

    /// Takes a node out of its slot.
    fn unlink(&mut self, index: u32) {
        let Node { previous, next, place, .. } = self.nodes[index as usize];
        let Place::Slot { level, slot } = place else { unreachable!("only nodes in a slot are unlinked") };
        let home = &mut self.levels[usize::from(level)];
        let list = &mut home.slots[usize::from(slot)];
        match previous {
            NONE => list.head = next,
            _ => self.nodes[previous as usize].next = next,
        }
        match next {
            NONE => list.tail = previous,
            _ => self.nodes[next as usize].previous = previous,
        }
        if list.head == NONE {
            home.filled &= !(1 << slot);
        }
    }

    fn allocate(&mut self, tick: u64, key: K) -> u32 {
        if self.free == NONE {
            let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index != NONE);
            let index = index.expect("fewer than 2^32 timers fit in memory");
            let place = Place::Free;
            self.nodes.push(Node { tick, key, generation: 0, place, previous: NONE, next: NONE });
            return index;
        }
        let index = self.free;
        let node = &mut self.nodes[index as usize];
        self.free = node.next;
        node.tick = tick;
        node.key = key;
        index
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.generation = node.generation.wrapping_add(1);
        node.place = Place::Free;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }
}

const TICK_NANOS: u64 = 1_000_000;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 8;
/// The end of a list.
const NONE: u32 = u32::MAX;

const _: () = {
    // One bit of `filled` for each slot.
    assert!(SLOTS == u64::BITS as usize);
    // The levels reach to the end of the axis, the rounded-up last tick included.
    assert!(u64::MAX / TICK_NANOS + 1 < 1 << (LEVELS as u32 * SLOT_BITS));
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, HashSet};
    use std::time::Duration;

    const DAY_MS: u64 = 86_400_000;

    fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn drain(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| wheel.poll_expired(now)).collect()
    }

    #[test]
    fn a_timer_is_never_early_and_less_than_a_tick_late() {
        let mut wheel = Wheel::new();
        let deadline = ms(5) + Duration::from_nanos(1);
        wheel.insert(deadline, 1);
        assert_eq!(wheel.poll_expired(deadline), None);
        assert_eq!(wheel.next_deadline(), Some(ms(6)));
        assert_eq!(wheel.poll_expired(ms(6)), Some(1));
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_poll() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.poll_expired(ms(1_000)), None);
        wheel.insert(ms(3), 1);
        wheel.insert(ms(1_000), 2);
        assert_eq!(wheel.next_deadline(), Some(ms(1_000)));
        assert_eq!(drain(&mut wheel, ms(1_000)), [1, 2]);
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_of_insertion() {
        let mut wheel = Wheel::new();
        wheel.insert(ms(70_000), 1);
        assert_eq!(wheel.poll_expired(ms(69_000)), None);
        wheel.insert(ms(70_000), 2);
        assert_eq!(wheel.poll_expired(ms(69_999)), None);
        wheel.insert(ms(70_000), 3);
        assert_eq!(drain(&mut wheel, ms(70_000)), [1, 2, 3]);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_id_is_spent() {
        let mut wheel = Wheel::new();
        let first = wheel.insert(ms(5), 1);
        assert!(wheel.cancel(first));
        assert!(!wheel.cancel(first));
        let second = wheel.insert(ms(5), 2);
        assert!(!wheel.cancel(first), "the node is the same, the generation is not");
        assert_eq!(drain(&mut wheel, ms(5)), [2]);
        assert!(!wheel.cancel(second));
    }

    #[test]
    fn a_jump_of_weeks_fires_everything_in_order() {
        let mut wheel = Wheel::new();
        let deadlines = [30 * DAY_MS, 1, 24 * DAY_MS, 64, 4_096, 3_600_000, 63, 262_144];
        for millis in deadlines {
            wheel.insert(ms(millis), millis as u32);
        }
        let mut sorted = deadlines.map(|millis| millis as u32);
        sorted.sort_unstable();
        assert_eq!(drain(&mut wheel, ms(100 * DAY_MS)), sorted);
    }

    #[test]
    fn the_end_of_the_axis_is_a_deadline_like_any_other() {
        let mut wheel = Wheel::new();
        let never = wheel.insert(Instant::FAR_FUTURE, 1);
        assert_eq!(wheel.poll_expired(ms(1_000 * DAY_MS)), None);
        assert!(wheel.next_deadline().is_some());
        assert!(wheel.cancel(never));
        wheel.insert(Instant::FAR_FUTURE, 2);
        // The last tick is rounded up past the end: such a timer is the definition of never.
        assert_eq!(wheel.poll_expired(Instant::FAR_FUTURE), None);
    }

    #[test]
    fn sleeping_until_the_next_deadline_arrives_in_a_few_steps() {
        let mut wheel = Wheel::new();
        wheel.insert(ms(30 * DAY_MS + 12_345), 7);
        let mut steps = 0;
        loop {
            let now = wheel.next_deadline().expect("the timer has not fired");
            steps += 1;
            if wheel.poll_expired(now) == Some(7) {
                assert_eq!(now, ms(30 * DAY_MS + 12_345));
                break;
            }
        }
        assert!(steps <= LEVELS, "{steps}");
    }

    #[test]
    fn memory_is_reused_in_steady_state() {
        let mut wheel = Wheel::new();
        for round in 0..10_000_u64 {
            let ids: Vec<_> = (0..8).map(|k| wheel.insert(ms(round + k * 100), k as u32)).collect();
            ids.into_iter().for_each(|id| assert!(wheel.cancel(id)));
            assert_eq!(wheel.poll_expired(ms(round)), None);
        }
        assert_eq!(wheel.nodes.len(), 8);
    }

    /// What a run of the model test does next.
    #[derive(Clone, Debug)]
    enum Step {
        Insert {
            in_nanos: u64,
        },
        Cancel {
            which: usize,
        },
        Advance {
            nanos: u64,
        },
        /// Moves to the next deadline that the wheel names.
        Sleep,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Any magnitude from a nanosecond to months, so that every level takes part.
        let nanos = (0..53_u32, any::<u64>()).prop_map(|(bits, n)| n & ((1 << bits) - 1));
        prop_oneof![
            4 => nanos.clone().prop_map(|in_nanos| Step::Insert { in_nanos }),
            2 => any::<usize>().prop_map(|which| Step::Cancel { which }),
            2 => nanos.prop_map(|nanos| Step::Advance { nanos }),
            1 => Just(Step::Sleep),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn behaves_like_a_heap_of_ticks(steps in prop::collection::vec(step(), 1..300)) {
            let mut wheel = Wheel::new();
            let mut heap = BinaryHeap::new();
            let mut cancelled = HashSet::new();
            let mut ids = Vec::new();
            let (mut now, mut live) = (Instant::ZERO, 0);
            for step in steps {
                match step {
                    Step::Insert { in_nanos } => {
                        let deadline = now + Duration::from_nanos(in_nanos);
                        let key = ids.len();
                        ids.push(wheel.insert(deadline, key));
                        heap.push(Reverse((deadline.as_nanos().div_ceil(TICK_NANOS), key)));
                        live += 1;
                        continue;
                    }
                    Step::Cancel { which } if !ids.is_empty() => {
                        let key = which % ids.len();
                        let waits = heap.iter().any(|Reverse((_, other))| *other == key);
                        let expected = waits && cancelled.insert(key);
                        prop_assert_eq!(wheel.cancel(ids[key]), expected);
                        live -= usize::from(expected);
                        continue;
                    }
                    Step::Cancel { .. } => continue,
                    Step::Advance { nanos } => now += Duration::from_nanos(nanos),
                    Step::Sleep => now = now.max(wheel.next_deadline().unwrap_or(now)),
                }
                let now_tick = now.as_nanos() / TICK_NANOS;
                while heap.peek().is_some_and(|Reverse((tick, _))| *tick <= now_tick) {
                    let Reverse((_, key)) = heap.pop().expect("just seen");
                    if !cancelled.contains(&key) {
                        prop_assert_eq!(wheel.poll_expired(now), Some(key));
                        live -= 1;
                    }
                }
                prop_assert_eq!(wheel.poll_expired(now), None);
                prop_assert_eq!(wheel.len(), live);
                let next = heap.iter().filter(|Reverse((_, key))| !cancelled.contains(key));
                let next = next.map(|Reverse((tick, _))| *tick).min();
                match (wheel.next_deadline(), next) {
                    (None, None) => {}
                    (Some(bound), Some(tick)) => {
                        prop_assert!(bound > now && bound <= Instant::from_nanos(tick * TICK_NANOS));
                    }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}

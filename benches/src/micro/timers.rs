//! The timer wheel, holding as many timers as a busy shard has connections.

use super::Case;
use ringway_engine::time::Instant;
use ringway_engine::time::wheel::Wheel;
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![insert_cancel(), insert_expire(), nothing_due()]
}

/// A deadline is set and the oldest is taken back: a time-out that is not reached.
fn insert_cancel() -> Case {
    let (mut wheel, mut now, mut ids) = (Wheel::new(), Instant::ZERO, VecDeque::new());
    let mut insert = move || {
        now += STEP;
        ids.push_back(wheel.insert(now + TIMEOUT, 0_u32));
        if ids.len() > HELD {
            assert!(wheel.cancel(ids.pop_front().expect("many")));
        }
    };
    (0..2 * HELD).for_each(|_| insert());
    Case::each("timer/insert-cancel", insert)
}

/// A deadline is set and the one that is due fires, after it has moved down through the wheel's levels.
fn insert_expire() -> Case {
    let (mut wheel, mut now) = (Wheel::new(), Instant::ZERO);
    let step = TIMEOUT / HELD as u32;
    let mut insert = move || {
        now += step;
        wheel.insert(now + TIMEOUT, 0_u32);
        while let Some(key) = wheel.poll_expired(now) {
            black_box(key);
        }
    };
    (0..2 * HELD).for_each(|_| insert());
    Case::each("timer/insert-expire", insert)
}

/// Time passes and nothing is due; the pump asks when something will be.
fn nothing_due() -> Case {
    let (mut wheel, mut now) = (Wheel::new(), Instant::ZERO);
    for number in 0..HELD as u32 {
        wheel.insert(Instant::from_millis(1 << 40) + TIMEOUT * number, number);
    }
    Case::each("timer/nothing-due", move || {
        now += STEP;
        assert!(wheel.poll_expired(now).is_none());
        black_box(wheel.next_deadline());
    })
}

/// Timers in the wheel.
const HELD: usize = 10_000;
/// Time between two operations.
const STEP: Duration = Duration::from_micros(10);
const TIMEOUT: Duration = Duration::from_secs(60);

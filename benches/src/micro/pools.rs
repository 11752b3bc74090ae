//! Idle connections and buffers: taken, used, given back.

use super::Case;
use ringway_engine::keys::{ConnKey, ConnTag, Slab};
use ringway_engine::upstream::IdlePool;
use ringway_proto::chunk::Pool;
use std::hint::black_box;

pub(super) fn cases() -> Vec<Case> {
    vec![
        idle_use(),
        idle_death(),
        buffer("buffer/small", Pool::small),
        buffer("buffer/large", Pool::large),
        copy(),
    ]
}

/// A connection is taken out for a request and comes back.
fn idle_use() -> Case {
    let (mut pool, _) = idle_pool();
    Case::each("idle-pool/out-in", move || {
        let conn = black_box(pool.check_out()).expect("many are idle");
        assert!(pool.check_in(conn).is_none());
    })
}

/// The connection that was idle longest dies and one comes back: a search through the whole pool.
fn idle_death() -> Case {
    let (mut pool, keys) = idle_pool();
    let mut oldest = keys.into_iter().cycle();
    Case::each("idle-pool/remove-in", move || {
        let conn = oldest.next().expect("it begins again");
        assert!(pool.remove(black_box(conn)));
        assert!(pool.check_in(conn).is_none());
    })
}

fn idle_pool() -> (IdlePool, Vec<ConnKey>) {
    let mut slab = Slab::<(), ConnTag>::default();
    let mut pool = IdlePool::new(IDLE);
    let keys: Vec<ConnKey> = (0..IDLE).map(|_| slab.insert(())).collect();
    for &key in &keys {
        assert!(pool.check_in(key).is_none());
    }
    (pool, keys)
}

/// A buffer is taken, filled a little, passed on as a chunk and given back with it.
fn buffer(name: &str, take: fn(&Pool) -> ringway_proto::chunk::Vacant) -> Case {
    let pool = Pool::new();
    Case::each(name, move || {
        let mut vacant = take(&pool);
        vacant.fill(100);
        drop(black_box(vacant.freeze()));
    })
}

/// What outlives its turn in a large buffer is copied to a small one.
fn copy() -> Case {
    let pool = Pool::new();
    let kept = {
        let mut vacant = pool.large();
        vacant.fill(700);
        vacant.freeze()
    };
    Case::each("buffer/retain-700", move || drop(black_box(kept.clone().retain(&pool))))
}

/// Connections in the pool: the default bound.
const IDLE: usize = 128;

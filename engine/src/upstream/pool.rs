//! The idle connections to one endpoint.

use crate::keys::ConnKey;

/// Idle connections, the most recently used on top: it is the least likely to have been given up by the origin,
/// and what is not needed sinks and expires.
#[derive(Debug)]
pub struct IdlePool {
    idle: Vec<ConnKey>,
    max: usize,
}

impl IdlePool {
    /// A pool that keeps at most `max` connections.
    pub fn new(max: usize) -> Self {
        Self { idle: Vec::new(), max }
    }

    /// Takes back a connection whose exchange is complete. Returns one that has to be closed instead: the
    /// longest unused when the pool is full, or `conn` itself when nothing is kept at all.
    #[must_use]
    pub fn check_in(&mut self, conn: ConnKey) -> Option<ConnKey> {
        if self.max == 0 {
            return Some(conn);
        }
        self.idle.push(conn);
        (self.idle.len() > self.max).then(|| self.idle.remove(0))
    }

    /// The connection to use next.
    #[inline]
    pub fn check_out(&mut self) -> Option<ConnKey> {
        self.idle.pop()
    }

    /// As [`IdlePool::check_out`], of those that fit.
    pub fn check_out_if(&mut self, fits: impl Fn(ConnKey) -> bool) -> Option<ConnKey> {
        let at = self.idle.iter().rposition(|&idle| fits(idle));
        at.map(|at| self.idle.remove(at))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = ConnKey> {
        self.idle.iter().copied()
    }

    /// Forgets a connection that died or expired while it was idle. Says whether it was here.
    pub fn remove(&mut self, conn: ConnKey) -> bool {
        let at = self.idle.iter().rposition(|&idle| idle == conn);
        at.map(|at| self.idle.remove(at)).is_some()
    }

    /// How many are idle.
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Slab;

    #[test]
    fn the_last_in_is_the_first_out_and_the_oldest_makes_room() {
        let mut slab = Slab::default();
        let keys: Vec<ConnKey> = (0..3).map(|n| slab.insert(n)).collect();
        let mut pool = IdlePool::new(2);
        assert_eq!(pool.check_in(keys[0]), None);
        assert_eq!(pool.check_in(keys[1]), None);
        assert_eq!(pool.check_in(keys[2]), Some(keys[0]));
        assert_eq!(pool.check_out_if(|key| key == keys[0]), None);
        assert_eq!(pool.check_out(), Some(keys[2]));
        assert!(pool.remove(keys[1]));
        assert!(!pool.remove(keys[1]));
        assert_eq!(pool.check_out(), None);
    }

    #[test]
    fn a_pool_of_none_keeps_none() {
        let mut slab = Slab::default();
        let key: ConnKey = slab.insert(());
        let mut pool = IdlePool::new(0);
        assert_eq!(pool.check_in(key), Some(key));
        assert!(pool.is_empty());
    }
}

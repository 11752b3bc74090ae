//! Where an exchange's parts go: the connections on both of its sides.

use super::slots::Slot;
use crate::exchange::{Outlets, Side};
use crate::keys::{ConnKey, ConnTag, Slab};
use crate::time::Instant;
use ringway_proto::message::{Part, RequestHead};

/// Both connections of the exchange that is fed.
pub(super) struct Ends<'a> {
    pub(super) conns: &'a mut Slab<Slot, ConnTag>,
    pub(super) touched: &'a mut Vec<ConnKey>,
    pub(super) unsettled_bytes: &'a mut usize,
    pub(super) now: Instant,
    pub(super) is_draining: bool,
    pub(super) downstream: ConnKey,
    pub(super) upstream: Option<ConnKey>,
}

impl Ends<'_> {
    #[inline]
    fn key(&self, side: Side) -> Option<ConnKey> {
        match side {
            Side::Downstream => Some(self.downstream),
            Side::Upstream => self.upstream,
        }
    }

    /// The connection on one side, which is to be settled before the turn ends.
    #[inline]
    fn touch(&mut self, side: Side) -> Option<&mut Slot> {
        let key = self.key(side)?;
        let slot = self.conns.get_mut(key)?;
        slot.touch(key, self.touched);
        Some(slot)
    }
}

impl Outlets for Ends<'_> {
    fn send(&mut self, side: Side, part: Part) {
        if let Part::Data(chunk) = &part {
            *self.unsettled_bytes += chunk.len();
        }
        let now = self.now;
        if let Some(slot) = self.touch(side) {
            slot.conn.send(now, part);
        }
    }

    fn forward(&mut self, head: &RequestHead) -> bool {
        let (now, is_draining) = (self.now, self.is_draining);
        let Some(slot) = self.touch(Side::Upstream).filter(|slot| slot.conn.takes_request()) else {
            return false;
        };
        if is_draining {
            slot.conn.set_last();
        }
        slot.conn.send_request(now, head);
        true
    }

    fn has_received(&self, side: Side, bytes: u64) -> bool {
        let slot = self.key(side).and_then(|key| self.conns.get(key));
        slot.is_some_and(|slot| slot.conn.undecoded_bytes() as u64 >= bytes)
    }

    fn take_end(&mut self, side: Side) -> bool {
        self.key(side).and_then(|key| self.conns.get_mut(key)).is_some_and(|slot| slot.conn.poll_end())
    }

    fn set_last(&mut self) {
        if let Some(slot) = self.conns.get_mut(self.downstream) {
            slot.conn.set_last();
        }
    }
}

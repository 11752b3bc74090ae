//! One end of a simulated connection, with what Linux makes of it.

use super::SocketId;
use crate::io::{Interest, PeerAddress};
use crate::keys::ConnKey;
use crate::time::Instant;
use std::collections::VecDeque;
use std::io;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) owner: Owner,
    pub(super) stage: Stage,
    /// Who it says it is.
    pub(super) address: PeerAddress,
    /// What arrived and was not read.
    pub(super) ready: VecDeque<u8>,
    /// The peer's FIN arrived, behind what is ready.
    pub(super) has_fin: bool,
    /// Our FIN was sent.
    pub(super) is_finished: bool,
    /// A reset arrived.
    pub(super) is_reset: bool,
    /// Told by the first call that meets it, and by no other: after that a reset connection reads as if it had
    /// ended in order (Linux keeps `sk_err` until it is asked for).
    pub(super) error: Option<i32>,
    /// A wake-up of the owner is on its way.
    pub(super) is_waking: bool,
    /// The last send found less room than it wanted.
    pub(super) is_blocked: bool,
    /// Bytes sent that have not arrived.
    pub(super) in_flight: usize,
    /// Bytes that may be in flight or unread at the peer.
    pub(super) buffer_bytes: usize,
    /// Nothing arrives here before: packets keep their order.
    pub(super) next_arrival: Instant,
}

/// Who is told when something happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// A script, of every change.
    Script,
    /// A shard, of what it watches for, as long as it lasts.
    Shard(Watched),
}

/// A socket of a shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) shard: usize,
    pub(super) conn: ConnKey,
    pub(super) interest: Interest,
    /// Turns in a row in which the shard did nothing with the socket.
    pub(super) idle_turns: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The peer has not answered.
    Connecting,
    /// It will never be connected; the error says why.
    Refused,
    Connected {
        peer: SocketId,
    },
}

impl Socket {
    pub(super) fn new(owner: Owner, stage: Stage, address: PeerAddress, buffer_bytes: usize) -> Self {
        Self {
            owner,
            stage,
            address,
            ready: VecDeque::new(),
            has_fin: false,
            is_finished: false,
            is_reset: false,
            error: None,
            is_waking: false,
            is_blocked: false,
            in_flight: 0,
            buffer_bytes,
            next_arrival: Instant::ZERO,
        }
    }

    pub(super) fn peer(&self) -> Option<SocketId> {
        match self.stage {
            Stage::Connected { peer } => Some(peer),
            Stage::Connecting | Stage::Refused => None,
        }
    }

    /// Bytes that can be sent now, when the peer has so many unread.
    pub(super) fn room(&self, unread: usize) -> usize {
        self.buffer_bytes.saturating_sub(self.in_flight + unread)
    }

    /// What `poll` would report, when the peer has so many bytes unread.
    pub(super) fn readiness(&self, unread: usize) -> Interest {
        let is_broken = self.is_reset || self.error.is_some();
        match self.stage {
            Stage::Connecting => Interest::default(),
            Stage::Refused => Interest { readable: true, writable: true },
            Stage::Connected { .. } => Interest {
                readable: is_broken || self.has_fin || !self.ready.is_empty(),
                // A third of the buffer has to be free, or a slow reader would cause a wake-up for every byte.
                writable: is_broken || self.is_finished || self.room(unread) * 3 >= self.buffer_bytes,
            },
        }
    }

    pub(super) fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.ready.is_empty() {
            let len = into.len().min(self.ready.len());
            for (place, byte) in into.iter_mut().zip(self.ready.drain(..len)) {
                *place = byte;
            }
            return Ok(len);
        }
        if self.has_fin {
            return Ok(0);
        }
        match self.error.take() {
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None if self.is_reset => Ok(0),
            None if self.stage == Stage::Refused => Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether bytes can be sent at all, now or later.
    pub(super) fn check_sendable(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(io::Error::from_raw_os_error(error));
        }
        match self.stage {
            Stage::Connected { .. } if !self.is_finished && !self.is_reset => Ok(()),
            Stage::Connecting => Err(io::ErrorKind::WouldBlock.into()),
            Stage::Connected { .. } | Stage::Refused => Err(io::Error::from_raw_os_error(libc::EPIPE)),
        }
    }

    /// A reset arrives. `discards`: what is unread goes with it.
    pub(super) fn on_reset(&mut self, discards: bool) {
        if self.is_reset {
            return;
        }
        self.is_reset = true;
        // Linux: a connection that the peer has finished before is a broken pipe.
        self.error = Some(if self.has_fin { libc::EPIPE } else { libc::ECONNRESET });
        if discards {
            self.ready.clear();
            self.has_fin = false;
            self.error = Some(libc::ECONNRESET);
        }
    }
}

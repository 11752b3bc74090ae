//! The least sockets that a shard can stand on: what is to be received is put there, what is sent is collected.
//!
//! What a measurement on them counts besides the shard's own work is a copy of the bytes each way.

use ringway_engine::io::{Close, Interest, Io};
use ringway_engine::keys::ConnKey;
use ringway_engine::settings::{Address, SocketOptions};
use ringway_proto::chunk::SendQueue;
use std::io;

/// The sockets, by the index of their connection's key.
#[derive(Debug, Default)]
pub(super) struct Wire {
    ends: Vec<End>,
    dialed: Option<ConnKey>,
}

#[derive(Debug, Default)]
struct End {
    incoming: &'static [u8],
    sent: Vec<u8>,
}

impl Wire {
    /// What the shard dialed last.
    pub(super) fn dialed_conn(&self) -> Option<ConnKey> {
        self.dialed
    }

    /// What will be received next.
    pub(super) fn put(&mut self, conn: ConnKey, bytes: &'static [u8]) {
        self.ends[conn.index()].incoming = bytes;
    }

    /// What was sent since it was cleared.
    pub(super) fn sent(&mut self, conn: ConnKey) -> &mut Vec<u8> {
        &mut self.ends[conn.index()].sent
    }

    fn open(&mut self, conn: ConnKey) {
        if self.ends.len() <= conn.index() {
            self.ends.resize_with(conn.index() + 1, End::default);
        }
    }
}

impl Io for Wire {
    type Accepted = ();

    fn adopt(&mut self, conn: ConnKey, (): ()) {
        self.open(conn);
    }

    fn dial(&mut self, conn: ConnKey, _: &Address, _: &SocketOptions) -> io::Result<()> {
        self.open(conn);
        self.dialed = Some(conn);
        Ok(())
    }

    fn dialed(&mut self, _conn: ConnKey) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, conn: ConnKey, into: &mut [u8]) -> io::Result<usize> {
        let incoming = &mut self.ends[conn.index()].incoming;
        if incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = incoming.len().min(into.len());
        into[..len].copy_from_slice(&incoming[..len]);
        *incoming = &incoming[len..];
        Ok(len)
    }

    fn transmit(&mut self, conn: ConnKey, queue: &SendQueue) -> io::Result<usize> {
        let sent = &mut self.ends[conn.index()].sent;
        queue.visit(|slice| {
            sent.extend_from_slice(slice);
            true
        });
        Ok(queue.len())
    }

    fn watch(&mut self, _conn: ConnKey, _interest: Interest) {}

    fn finish(&mut self, _conn: ConnKey) {}

    fn close(&mut self, conn: ConnKey, _how: Close) {
        self.ends[conn.index()] = End::default();
    }
}

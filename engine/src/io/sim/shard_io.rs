//! A shard's view of the network.

use super::network::{Call, Network, State};
use super::socket::{Owner, Stage, Watched};
use super::{Accepted, SocketId};
use crate::io::{Close, Interest, Io, PeerAddress};
use crate::keys::ConnKey;
use crate::limits::SLICES_PER_SEND;
use crate::settings::{Address, SocketOptions};
use ringway_proto::chunk::SendQueue;
use std::io;

/// The sockets of one shard in a simulated network.
///
/// It also watches the shard: a call for a connection that was closed, or one that makes no sense, is noted as a
/// violation ([`Network::violations`]).
#[derive(Debug)]
pub struct SimIo {
    network: Network,
    shard: usize,
    /// By the index of the connection's key.
    sockets: Vec<Option<(ConnKey, SocketId)>>,
}

impl SimIo {
    pub(super) fn new(network: Network, shard: usize) -> Self {
        Self { network, shard, sockets: Vec::new() }
    }

    fn insert(&mut self, conn: ConnKey, socket: SocketId) {
        if self.sockets.len() <= conn.index() {
            self.sockets.resize(conn.index() + 1, None);
        }
        if let Some((forgotten, _)) = self.sockets[conn.index()].replace((conn, socket)) {
            self.violation(format!("{forgotten:?} was never closed"));
        }
    }

    /// The socket of `conn`, for a call of this name.
    fn socket(&self, conn: ConnKey, call: &str) -> io::Result<SocketId> {
        match self.sockets.get(conn.index()) {
            Some(Some((known, socket))) if *known == conn => Ok(*socket),
            _ => {
                self.violation(format!("{call} of {conn:?}, which is closed"));
                Err(io::Error::from_raw_os_error(libc::EBADF))
            }
        }
    }

    fn violation(&self, what: String) {
        let mut state = self.network.state.borrow_mut();
        state.note(|| format!("VIOLATION: {what}"));
        state.violations.push(what);
    }

    fn watched(&self, conn: ConnKey) -> Owner {
        Owner::Shard(Watched { shard: self.shard, conn, interest: Interest::default(), idle_turns: 0 })
    }

    /// The bytes that the next transfer may move at most; an error for none.
    fn transfer_max(state: &mut State, short: u32) -> io::Result<usize> {
        let would_block = state.conditions.would_block;
        if state.rng.chance(would_block) {
            let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
            return Err((*state.rng.pick(&kinds)).into());
        }
        if !state.rng.chance(short) {
            return Ok(usize::MAX);
        }
        let most = *state.rng.pick(&[1, 20, 500, 20_000]);
        Ok(state.rng.between(1, most))
    }
}

/// Something was done with the socket: its turns are not idle.
fn used(state: &mut State, id: SocketId) {
    if let Some(socket) = state.get_mut(id)
        && let Owner::Shard(watched) = &mut socket.owner
    {
        watched.idle_turns = 0;
    }
}

impl Io for SimIo {
    type Accepted = Accepted;

    fn adopt(&mut self, conn: ConnKey, accepted: Accepted) {
        let owner = self.watched(conn);
        let mut state = self.network.state.borrow_mut();
        state.note(|| format!("{} is accepted as {conn:?}", accepted.0));
        if let Some(socket) = state.get_mut(accepted.0) {
            socket.owner = owner;
        }
        drop(state);
        self.insert(conn, accepted.0);
    }

    fn dial(&mut self, conn: ConnKey, address: &Address, _: &SocketOptions) -> io::Result<()> {
        let owner = self.watched(conn);
        let mut state = self.network.state.borrow_mut();
        state.on_call(Call::Dial);
        let chance = state.conditions.no_descriptor;
        if state.rng.chance(chance) {
            state.note(|| format!("{conn:?} is not dialed: no descriptor"));
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let socket = state.connect(owner, PeerAddress::Unix, address);
        state.note(|| format!("{socket} is dialed to {address} as {conn:?}"));
        drop(state);
        self.insert(conn, socket);
        Ok(())
    }

    fn dialed(&mut self, conn: ConnKey) -> io::Result<()> {
        let id = self.socket(conn, "dialed")?;
        let mut state = self.network.state.borrow_mut();
        used(&mut state, id);
        let Some(socket) = state.get_mut(id) else { return Ok(()) };
        let is_connecting = socket.stage == Stage::Connecting;
        let error = socket.error.take();
        drop(state);
        if is_connecting {
            self.violation(format!("{conn:?} is asked for the end of its dial too early"));
        }
        error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }

    fn receive(&mut self, conn: ConnKey, into: &mut [u8]) -> io::Result<usize> {
        let id = self.socket(conn, "receive")?;
        let mut state = self.network.state.borrow_mut();
        state.on_call(Call::Receive);
        let short = state.conditions.short_receive;
        let most = Self::transfer_max(&mut state, short)?.min(into.len());
        let received = state.receive(id, &mut into[..most]);
        if received.as_ref().err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock) {
            used(&mut state, id);
            state.note(|| format!("{conn:?} receives {received:?}"));
        }
        received
    }

    fn transmit(&mut self, conn: ConnKey, queue: &SendQueue) -> io::Result<usize> {
        let id = self.socket(conn, "transmit")?;
        let mut state = self.network.state.borrow_mut();
        state.on_call(Call::Transmit);
        let short = state.conditions.short_send;
        let most = Self::transfer_max(&mut state, short)?;
        let mut slices = Vec::with_capacity(SLICES_PER_SEND);
        queue.visit(|slice| {
            slices.push(slice);
            slices.len() < SLICES_PER_SEND
        });
        let is_finished = state.get(id).is_some_and(|socket| socket.is_finished);
        let sent = state.send(id, &slices, most);
        used(&mut state, id);
        state.note(|| format!("{conn:?} transmits {sent:?}"));
        drop(state);
        if is_finished {
            self.violation(format!("{conn:?} transmits behind its half-close"));
        }
        sent
    }

    fn watch(&mut self, conn: ConnKey, interest: Interest) {
        let Ok(id) = self.socket(conn, "watch") else { return };
        let mut state = self.network.state.borrow_mut();
        if let Some(socket) = state.get_mut(id)
            && let Owner::Shard(watched) = &mut socket.owner
        {
            watched.interest = interest;
            watched.idle_turns = 0;
        }
        state.update(id, false);
    }

    fn finish(&mut self, conn: ConnKey) {
        let Ok(id) = self.socket(conn, "finish") else { return };
        let mut state = self.network.state.borrow_mut();
        used(&mut state, id);
        state.finish(id);
    }

    fn close(&mut self, conn: ConnKey, how: Close) {
        // A dial that failed at once has no socket; it is closed all the same.
        if let Some(place) = self.sockets.get_mut(conn.index())
            && let Some((_, socket)) = place.take_if(|(known, _)| *known == conn)
        {
            self.network.state.borrow_mut().close(socket, how);
        }
    }
}

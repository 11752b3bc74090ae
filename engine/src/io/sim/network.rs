//! The network: what travels, what listens, and what happens next.

use super::socket::{Owner, Socket, Stage, Watched};
use super::{Conditions, ListenerId, Notice, Rng, SocketId};
use crate::io::{Close, Interest, PeerAddress};
use crate::keys::ConnKey;
use crate::settings::Address;
use crate::time::{Clock, Instant};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// A call of a shard for one of its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`crate::io::Io::dial`].
    Dial,
    /// [`crate::io::Io::receive`].
    Receive,
    /// [`crate::io::Io::transmit`].
    Transmit,
}

/// How a listener treats who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// Connections are accepted.
    Accept,
    /// Connections are established by the kernel up to the backlog; nobody accepts them.
    Ignore,
    /// Nobody listens: connections are refused.
    Refuse,
    /// Nothing comes back.
    Silence,
}

/// A network in memory with virtual time. Clones are the same network.
///
/// Scripts (clients and origins of a test) use it directly: [`Network::connect`], [`Network::send`] and so on
/// never wait; [`super::Simulation::step`] tells when something has changed. Shards use it through
/// [`super::SimIo`].
#[derive(Clone, Debug)]
pub struct Network {
    pub(super) state: Rc<RefCell<State>>,
}

#[derive(Debug)]
pub(super) struct State {
    clock: Rc<Clock>,
    pub(super) rng: Rng,
    pub(super) conditions: Conditions,
    events: BinaryHeap<Scheduled>,
    scheduled: u64,
    sockets: Vec<Place>,
    free: Vec<u32>,
    listeners: Vec<Listener>,
    pub(super) violations: Vec<String>,
    /// The next call of this kind panics.
    panic_at: Option<Call>,
    trace: Option<Vec<String>>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    socket: Option<Socket>,
}

#[derive(Debug)]
struct Listener {
    address: Address,
    welcome: Welcome,
    backlog: usize,
    queue: VecDeque<SocketId>,
    /// Belongs to a shard, not to a script.
    is_shard: bool,
}

/// Something that will happen.
#[derive(Debug)]
struct Scheduled {
    at: Instant,
    tie: u64,
    number: u64,
    event: Event,
}

#[derive(Debug)]
enum Event {
    /// A wish to connect arrives where it leads.
    Knock {
        from: SocketId,
        address: Address,
    },
    Arrive {
        from: SocketId,
        to: SocketId,
        packet: Packet,
    },
    /// A connection waits to be accepted.
    Accept(ListenerId),
    /// An owner is told of its socket.
    Wake {
        socket: SocketId,
        is_spurious: bool,
    },
    Alarm(u64),
}

#[derive(Debug)]
enum Packet {
    Data(Vec<u8>),
    Fin,
    Reset,
    Welcome,
    Refusal,
}

/// What an event came to, for whoever drives the network.
#[derive(Debug)]
pub(super) enum Happening {
    /// It was the network's own affair.
    Nothing,
    /// For the scripts.
    Notice(Notice),
    /// A connection waits for a shard.
    Knock(ListenerId),
    /// A shard's socket is ready.
    Ready { shard: usize, conn: ConnKey, socket: SocketId, ready: Interest },
}

impl Network {
    pub(super) fn new(clock: Rc<Clock>, conditions: Conditions, seed: u64) -> Self {
        let state = State {
            clock,
            rng: Rng::new(seed),
            conditions,
            events: BinaryHeap::new(),
            scheduled: 0,
            sockets: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            violations: Vec::new(),
            panic_at: None,
            trace: None,
        };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.state.borrow().now()
    }

    /// Listens for the scripts.
    pub fn listen(&self, address: &Address) -> ListenerId {
        self.state.borrow_mut().listen(address, false)
    }

    /// How a listener treats connections from now on.
    pub fn set_welcome(&self, listener: ListenerId, welcome: Welcome) {
        self.state.borrow_mut().set_welcome(listener, welcome);
    }

    /// How many connections may wait to be accepted; further ones have to knock again a second later.
    pub fn set_backlog(&self, listener: ListenerId, backlog: usize) {
        self.state.borrow_mut().listeners[listener.0].backlog = backlog;
    }

    /// Begins to connect. The socket becomes ready when that has succeeded or failed.
    pub fn connect(&self, from: PeerAddress, to: &Address) -> SocketId {
        let mut state = self.state.borrow_mut();
        let socket = state.connect(Owner::Script, from, to);
        state.note(|| format!("{socket} connects to {to}"));
        socket
    }

    /// Sends as much as there is room for, and says how much that was.
    ///
    /// # Errors
    /// As `send(2)`: `WouldBlock` without room, `EPIPE` or `ECONNRESET` when the connection is gone.
    pub fn send(&self, socket: SocketId, bytes: &[u8]) -> io::Result<usize> {
        self.state.borrow_mut().send(socket, &[bytes], usize::MAX)
    }

    /// Receives what is there; 0 means that the peer finished.
    ///
    /// # Errors
    /// As `recv(2)`: `WouldBlock` when nothing is there, `ECONNRESET` when the connection broke.
    pub fn receive(&self, socket: SocketId, into: &mut [u8]) -> io::Result<usize> {
        self.state.borrow_mut().receive(socket, into)
    }

    /// Bytes that arrived and were not received.
    pub fn unread(&self, socket: SocketId) -> usize {
        self.state.borrow().get(socket).map_or(0, |socket| socket.ready.len())
    }

    /// Bounds what may be sent on this side and not yet be read by the other.
    pub fn set_buffer(&self, socket: SocketId, bytes: usize) {
        if let Some(socket) = self.state.borrow_mut().get_mut(socket) {
            socket.buffer_bytes = bytes;
        }
    }

    /// Half-close.
    pub fn finish(&self, socket: SocketId) {
        self.state.borrow_mut().finish(socket);
    }

    /// Closes a socket; it is gone from then on. As in Linux, a gentle close with unread bytes is a reset.
    pub fn close(&self, socket: SocketId, how: Close) {
        self.state.borrow_mut().close(socket, how);
    }

    /// Asks for a [`Notice::Alarm`] after `delay`.
    pub fn set_alarm(&self, delay: Duration, token: u64) {
        let mut state = self.state.borrow_mut();
        let at = state.now() + delay;
        state.schedule(at, Event::Alarm(token));
    }

    /// Lets the shard panic in its next call of this kind, once, as a fault of its own would. See
    /// [`super::Simulation::catch_panics`].
    pub fn panic_at(&self, call: Call) {
        self.state.borrow_mut().panic_at = Some(call);
    }

    /// The weather.
    pub fn conditions(&self) -> Conditions {
        self.state.borrow().conditions.clone()
    }

    /// Changes the weather.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.state.borrow_mut().conditions = conditions;
    }

    /// Writes down from now on what happens.
    pub fn start_trace(&self) {
        self.state.borrow_mut().trace.get_or_insert_default();
    }

    /// What was written down.
    pub fn trace(&self) -> Vec<String> {
        self.state.borrow().trace.clone().unwrap_or_default()
    }

    /// Adds a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        self.state.borrow_mut().note(line);
    }

    /// What shards did that no correct shard does: calls for closed connections, sends behind a half-close,
    /// being woken again and again for something they do not take.
    pub fn violations(&self) -> Vec<String> {
        self.state.borrow().violations.clone()
    }

    /// Sockets of shards that are open.
    pub fn shard_sockets(&self) -> Vec<SocketId> {
        let state = self.state.borrow();
        let is_shards = |socket: &Socket| matches!(socket.owner, Owner::Shard(_));
        state.ids().filter(|&id| state.get(id).is_some_and(is_shards)).collect()
    }
}

impl State {
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {}", self.clock.now(), line()));
        }
    }

    /// A shard makes this call.
    pub(super) fn on_call(&mut self, call: Call) {
        if self.panic_at == Some(call) {
            self.panic_at = None;
            self.note(|| format!("PANIC at {call:?}"));
            panic!("a test wants a panic at {call:?}");
        }
    }

    pub(super) fn get(&self, id: SocketId) -> Option<&Socket> {
        let place = self.sockets.get(id.index as usize)?;
        place.socket.as_ref().filter(|_| place.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        let place = self.sockets.get_mut(id.index as usize)?;
        place.socket.as_mut().filter(|_| place.generation == id.generation)
    }

    fn ids(&self) -> impl Iterator<Item = SocketId> {
        let places = self.sockets.iter().enumerate().filter(|(_, place)| place.socket.is_some());
        places.map(|(index, place)| SocketId { index: index as u32, generation: place.generation })
    }

    fn insert(&mut self, socket: Socket) -> SocketId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.sockets.push(Place { generation: 0, socket: None });
            (self.sockets.len() - 1) as u32
        });
        let place = &mut self.sockets[index as usize];
        place.socket = Some(socket);
        SocketId { index, generation: place.generation }
    }

    fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let place =
            self.sockets.get_mut(id.index as usize).filter(|place| place.generation == id.generation)?;
        let socket = place.socket.take()?;
        place.generation += 1;
        self.free.push(id.index);
        Some(socket)
    }

    pub(super) fn listen(&mut self, address: &Address, is_shard: bool) -> ListenerId {
        let address = address.clone();
        let welcome = Welcome::Accept;
        self.listeners.push(Listener { address, welcome, backlog: 128, queue: VecDeque::new(), is_shard });
        ListenerId(self.listeners.len() - 1)
    }

    pub(super) fn set_welcome(&mut self, listener: ListenerId, welcome: Welcome) {
        let now = self.now();
        self.listeners[listener.0].welcome = welcome;
        for _ in 0..self.listeners[listener.0].queue.len() {
            self.schedule(now, Event::Accept(listener));
        }
    }

    pub(super) fn connect(&mut self, owner: Owner, from: PeerAddress, to: &Address) -> SocketId {
        let socket = Socket::new(owner, Stage::Connecting, from, self.conditions.buffer_bytes);
        let id = self.insert(socket);
        let at = self.now() + self.latency();
        self.schedule(at, Event::Knock { from: id, address: to.clone() });
        id
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        let tie = if self.conditions.shuffled { self.rng.word() } else { 0 };
        self.scheduled += 1;
        self.events.push(Scheduled { at, tie, number: self.scheduled, event });
    }

    fn latency(&mut self) -> Duration {
        let (least, most) = self.conditions.latency;
        let spread = (most - least).as_nanos() as usize;
        least + Duration::from_nanos(self.rng.between(0, spread) as u64)
    }

    /// Sends a packet on its way, behind all others to the same socket.
    fn post(&mut self, from: SocketId, to: SocketId, packet: Packet) {
        let at = self.now() + self.latency();
        self.post_at(at, from, to, packet);
    }

    fn post_at(&mut self, mut at: Instant, from: SocketId, to: SocketId, packet: Packet) {
        if let Some(socket) = self.get_mut(to) {
            at = at.max(socket.next_arrival);
            socket.next_arrival = at + Duration::from_nanos(1);
        }
        self.schedule(at, Event::Arrive { from, to, packet });
    }

    /// Sends a reset. It may overtake.
    fn post_reset(&mut self, from: SocketId, to: SocketId) {
        let at = self.now() + self.latency();
        if self.rng.chance(self.conditions.reset_overtakes) {
            self.schedule(at, Event::Arrive { from, to, packet: Packet::Reset });
        } else {
            self.post_at(at, from, to, Packet::Reset);
        }
    }

    /// Sends from the front of `slices` at most `max` bytes.
    pub(super) fn send(&mut self, id: SocketId, slices: &[&[u8]], max: usize) -> io::Result<usize> {
        let not_connected = || io::Error::from_raw_os_error(libc::ENOTCONN);
        let socket = self.get_mut(id).ok_or_else(not_connected)?;
        socket.check_sendable()?;
        let peer = socket.peer().ok_or_else(not_connected)?;
        let unread = self.get(peer).map_or(0, |peer| peer.ready.len());
        let queued: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.get(id).map_or(0, |socket| socket.room(unread));
        let len = queued.min(room).min(max);
        if let Some(socket) = self.get_mut(id) {
            socket.is_blocked = len < queued;
            socket.in_flight += len;
        }
        if len == 0 && queued > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut left = len;
        for slice in slices {
            let taken = slice.len().min(left);
            self.post_data(id, peer, &slice[..taken]);
            left -= taken;
        }
        Ok(len)
    }

    fn post_data(&mut self, from: SocketId, to: SocketId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let len = self.packet_len().min(bytes.len());
            self.note(|| format!("{from} -> {to} {}", Shown(&bytes[..len])));
            self.post(from, to, Packet::Data(bytes[..len].to_vec()));
            bytes = &bytes[len..];
        }
    }

    /// Ragged packets are now and then very short.
    fn packet_len(&mut self) -> usize {
        let most = self.conditions.packet_bytes;
        match self.conditions.ragged {
            true if self.rng.chance(100) => self.rng.between(1, most.min(8)),
            true => self.rng.between(most / 2, most).max(1),
            false => most,
        }
    }

    pub(super) fn receive(&mut self, id: SocketId, into: &mut [u8]) -> io::Result<usize> {
        let socket = self.get_mut(id).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let received = socket.receive(into);
        let peer = socket.peer();
        if let (Ok(1..), Some(peer)) = (&received, peer) {
            // There is room again.
            self.update(peer, self.get(peer).is_some_and(|peer| peer.is_blocked));
        }
        received
    }

    pub(super) fn finish(&mut self, id: SocketId) {
        let Some(socket) = self.get_mut(id) else { return };
        let Some(peer) = socket.peer().filter(|_| !socket.is_finished && !socket.is_reset) else { return };
        socket.is_finished = true;
        self.note(|| format!("{id} finishes"));
        self.post(id, peer, Packet::Fin);
    }

    pub(super) fn close(&mut self, id: SocketId, how: Close) {
        let Some(socket) = self.remove(id) else { return };
        self.note(|| format!("{id} closes: {how:?}"));
        let Some(peer) = socket.peer().filter(|_| !socket.is_reset) else { return };
        let is_unread = !socket.ready.is_empty();
        if how == Close::Reset || is_unread {
            self.post_reset(id, peer);
        } else if !socket.is_finished {
            self.post(id, peer, Packet::Fin);
        }
        // Room for the peer: what it sends from now on is answered with a reset.
        self.update(peer, false);
    }

    /// Something about a socket has changed: its owner is told. A script only when it `concerns` it.
    pub(super) fn update(&mut self, id: SocketId, concerns: bool) {
        let now = self.now();
        let ready = self.readiness(id);
        let Some(socket) = self.get_mut(id) else { return };
        let wakes = match socket.owner {
            Owner::Script => concerns,
            Owner::Shard(Watched { interest, .. }) => {
                (interest.readable && ready.readable) || (interest.writable && ready.writable)
            }
        };
        if wakes && !socket.is_waking {
            socket.is_waking = true;
            self.schedule(now, Event::Wake { socket: id, is_spurious: false });
        }
    }

    fn readiness(&self, id: SocketId) -> Interest {
        let Some(socket) = self.get(id) else { return Interest::default() };
        let unread = socket.peer().and_then(|peer| self.get(peer)).map_or(0, |peer| peer.ready.len());
        socket.readiness(unread)
    }

    /// A shard's turn for a socket is over: it is woken again as long as something is ready that it watches.
    pub(super) fn after_turn(&mut self, id: SocketId) {
        let chance = self.conditions.spurious;
        if self.rng.chance(chance) {
            let at = self.now() + self.latency();
            self.schedule(at, Event::Wake { socket: id, is_spurious: true });
        }
        self.update(id, false);
        let Some(Socket { owner: Owner::Shard(watched), is_waking: true, .. }) = self.get_mut(id) else {
            return;
        };
        watched.idle_turns += 1;
        let Watched { conn, interest, idle_turns, .. } = *watched;
        if idle_turns == IDLE_TURNS_MAX {
            let what = format!("{conn:?} is woken for {interest:?} again and again, and nothing is done");
            self.violations.push(what);
        }
    }

    /// When the next event is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.events.peek().map(|next| next.at)
    }

    /// Lets the next event happen; the clock shows its time.
    pub(super) fn happen(&mut self) -> Happening {
        let Some(next) = self.events.pop() else { return Happening::Nothing };
        match next.event {
            Event::Knock { from, address } => self.on_knock(from, address),
            Event::Arrive { from, to, packet } => self.on_arrival(from, to, packet),
            Event::Accept(listener) => return self.on_accept(listener),
            Event::Wake { socket, is_spurious } => return self.on_wake(socket, is_spurious),
            Event::Alarm(token) => return Happening::Notice(Notice::Alarm(token)),
        }
        Happening::Nothing
    }

    fn on_knock(&mut self, from: SocketId, address: Address) {
        let Some(socket) = self.get(from) else { return };
        let peer_address = socket.address.clone();
        let found: Vec<usize> =
            (0..self.listeners.len()).filter(|&n| self.listeners[n].address == address).collect();
        let welcome = |n: usize| self.listeners[n].welcome;
        let open: Vec<usize> = found.iter().copied().filter(|&n| welcome(n) != Welcome::Refuse).collect();
        if open.is_empty() {
            return self.post(from, from, Packet::Refusal);
        }
        let listener = *self.rng.pick(&open);
        match self.listeners[listener].welcome {
            Welcome::Silence => {}
            _ if self.listeners[listener].queue.len() >= self.listeners[listener].backlog => {
                let again = self.now() + KNOCK_AGAIN;
                self.schedule(again, Event::Knock { from, address });
            }
            _ => self.establish(from, listener, peer_address),
        }
    }

    /// Both ends of a connection are there: the one that knocked hears of it, the other one waits to be accepted.
    fn establish(&mut self, from: SocketId, listener: usize, address: PeerAddress) {
        let stage = Stage::Connected { peer: from };
        let socket = Socket::new(Owner::Script, stage, address, self.conditions.buffer_bytes);
        let to = self.insert(socket);
        let at = self.now() + self.latency();
        self.post_at(at, to, from, Packet::Welcome);
        self.listeners[listener].queue.push_back(to);
        self.schedule(at, Event::Accept(ListenerId(listener)));
    }

    fn on_accept(&mut self, id: ListenerId) -> Happening {
        let listener = &mut self.listeners[id.0];
        if listener.welcome == Welcome::Ignore || listener.queue.is_empty() {
            return Happening::Nothing;
        }
        if listener.is_shard {
            return Happening::Knock(id);
        }
        let socket = listener.queue.pop_front().expect("looked at above");
        Happening::Notice(Notice::Accepted { listener: id, socket })
    }

    /// Takes the next connection out of a shard's queue.
    pub(super) fn accept(&mut self, listener: ListenerId) -> Option<(SocketId, PeerAddress, Address)> {
        let socket = self.listeners[listener.0].queue.pop_front()?;
        let peer = self.get(socket)?.address.clone();
        Some((socket, peer, self.listeners[listener.0].address.clone()))
    }

    /// Looks at a listener again, later.
    pub(super) fn accept_later(&mut self, listener: ListenerId, delay: Duration) {
        let at = self.now() + delay;
        self.schedule(at, Event::Accept(listener));
    }

    fn on_arrival(&mut self, from: SocketId, to: SocketId, packet: Packet) {
        if let Packet::Data(bytes) = &packet
            && let Some(sender) = self.get_mut(from)
        {
            sender.in_flight -= bytes.len();
        }
        let discards = matches!(packet, Packet::Reset) && self.rng.chance(self.conditions.reset_discards);
        let Some(socket) = self.get_mut(to) else {
            return self.on_arrival_at_nobody(from, to, &packet);
        };
        match packet {
            Packet::Data(bytes) if !socket.is_reset => socket.ready.extend(bytes),
            Packet::Fin if !socket.is_reset => socket.has_fin = true,
            Packet::Data(_) | Packet::Fin => return,
            Packet::Reset => {
                socket.on_reset(discards);
                self.note(|| format!("{to} is reset"));
            }
            Packet::Welcome => socket.stage = Stage::Connected { peer: from },
            Packet::Refusal => {
                socket.stage = Stage::Refused;
                socket.error = Some(libc::ECONNREFUSED);
                self.note(|| format!("{to} is refused"));
            }
        }
        self.update(to, true);
    }

    /// The socket was closed. Who sends to it learns that from a reset.
    fn on_arrival_at_nobody(&mut self, from: SocketId, to: SocketId, packet: &Packet) {
        let is_answered = matches!(packet, Packet::Data(_) | Packet::Welcome);
        if is_answered && self.get(from).is_some_and(|sender| !sender.is_reset) {
            self.post_reset(to, from);
        }
    }

    fn on_wake(&mut self, id: SocketId, is_spurious: bool) -> Happening {
        let ready = self.readiness(id);
        let Some(socket) = self.get_mut(id) else { return Happening::Nothing };
        if !is_spurious {
            socket.is_waking = false;
        }
        let Owner::Shard(Watched { shard, conn, interest, .. }) = socket.owner else {
            return Happening::Notice(Notice::Ready(id));
        };
        // A spurious completion tells of something that was there and is not any more.
        let readable = interest.readable && (ready.readable || is_spurious);
        let writable = interest.writable && ready.writable;
        let ready = Interest { readable, writable };
        match ready {
            Interest { readable: false, writable: false } => Happening::Nothing,
            ready => Happening::Ready { shard, conn, socket: id, ready },
        }
    }
}

/// Bytes for a trace: the beginning, with what is not printable escaped.
struct Shown<'a>(&'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_BYTES)];
        write!(f, "{} bytes: {}", self.0.len(), shown.escape_ascii())
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The greatest is taken first: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.tie, other.number).cmp(&(self.at, self.tie, self.number))
    }
}

/// How long after it found a full queue a connection tries again.
const KNOCK_AGAIN: Duration = Duration::from_secs(1);
/// Turns in a row without effect after which a shard is said to spin.
const IDLE_TURNS_MAX: u32 = 200;
const SHOWN_BYTES: usize = 160;

//! The floor: the leanest HTTP/1 keep-alive relay we can write on one ring.
//!
//! ```text
//! bare_relay LISTEN_ADDR UPSTREAM_ADDR [--core N]
//! ```
//!
//! It finds where heads and bodies end and forwards every byte unchanged. It adds, removes, checks and logs
//! nothing: no limits, no timeouts, no retry, no hop-by-hop headers. Only Content-Length framing is understood;
//! anything else (chunked, HEAD, upgrade) closes the connection. A client that half-closes counts as gone.
//! What a real proxy costs beyond this is what its features cost.
//!
//! Per request, four operations and one system call per turn of the loop: multishot receives land in a shared
//! ring of buffers, and the send goes out of the very same buffer. Only what a full socket does not take is
//! copied out, so that a stalled peer never holds a shared buffer; its source is then not read until it drains.
//!
//! Read `Relay::on_completion`, then `Relay::on_bytes`; `message` is the framing, `ring` the shared memory.

mod message;
mod ring;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::process::ExitCode;

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode, squeue};
use ringway_benches::args::Args;
use ringway_benches::sys::{self, RawAddr};

use self::message::{Input, Side};
use self::ring::{BUF_COUNT, BUF_GROUP, Buffers, Op, Piece, Queue};

fn main() -> ExitCode {
    let Err(error) = run(Args::of_process());
    eprintln!("bare_relay: {error}");
    ExitCode::from(2)
}

fn run(mut args: Args) -> Result<std::convert::Infallible, String> {
    let core: Option<usize> = args.value("--core")?;
    let listen: SocketAddr = args.positional("LISTEN_ADDR")?;
    let upstream: SocketAddr = args.positional("UPSTREAM_ADDR")?;
    args.finish()?;
    if let Some(core) = core {
        sys::pin(&[core]).map_err(|error| format!("core {core}: {error}"))?;
    }
    sys::raise_descriptor_limit(DESCRIPTORS_WANTED);
    relay(listen, upstream).map_err(|error| error.to_string())
}

fn relay(listen: SocketAddr, upstream: SocketAddr) -> io::Result<std::convert::Infallible> {
    let listener = sys::listen(listen, false)?;
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_cqsize(CQ_ENTRIES)
        .build(SQ_ENTRIES)?;
    let (mut submitter, sq, mut cq) = ring.split();
    submitter.register_ring_fd()?;
    let buffers = Buffers::register(&submitter)?;
    let queue = Queue::new(submitter, sq);
    let mut relay = Relay::new(queue, buffers, listener.as_raw_fd(), upstream);
    relay.arm_accept();
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        relay.queue.submit_and_wait(1)?;
        cq.sync();
        for cqe in &mut cq {
            relay.on_completion(&cqe);
        }
        relay.feed_starved();
        relay.bury_dead();
    }
}

struct Relay<'r> {
    queue: Queue<'r>,
    buffers: Buffers,
    listener: RawFd,
    upstream: SocketAddr,
    upstream_raw: RawAddr,
    conns: Vec<Conn>,
    free: Vec<u32>,
    /// Idle upstream connections, last in first out. An entry whose generation is over is stale: those that
    /// die while idle are not searched for, they are skipped when their turn comes.
    pool: Vec<(u32, u32)>,
    /// Connections whose receive ended because the buffers had run out.
    starved: Vec<u32>,
    /// Closed connections that have no operation left whose completion would release them.
    dead: Vec<u32>,
    accept_armed: bool,
}

struct Conn {
    fd: RawFd,
    side: Side,
    /// Counts the tenants of this slot.
    generation: u32,
    /// The other connection of the running exchange.
    peer: Option<u32>,
    input: Input,
    /// Received bytes that cannot be forwarded yet: an incomplete head, pipelined requests.
    stash: Vec<u8>,
    recv: Recv,
    out: Outbox,
    /// Operations the kernel has not finished; the slot lives until there are none.
    in_flight: u32,
    closing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recv {
    /// Not before the connection exists.
    Connecting,
    Off,
    Armed,
    Cancelling,
}

/// What has to go out on a connection; one send is in flight at most, or bytes could overtake each other.
#[derive(Default)]
struct Outbox {
    state: Sending,
    /// Shared buffers in order; while `Direct`, the front one is in flight.
    pieces: VecDeque<Piece>,
    /// Copied bytes in flight while `Blocked`; the kernel reads them, so they must not move.
    flying: Vec<u8>,
    flown: usize,
    /// Copied bytes behind those.
    spill: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sending {
    #[default]
    Idle,
    /// The front piece is on its way; the send does not wait.
    Direct,
    /// The socket was full, or is not connected yet: everything has been copied out of the shared buffers.
    Blocked,
}

impl<'r> Relay<'r> {
    fn new(queue: Queue<'r>, buffers: Buffers, listener: RawFd, upstream: SocketAddr) -> Self {
        Self {
            queue,
            buffers,
            listener,
            upstream,
            upstream_raw: RawAddr::from(upstream),
            conns: Vec::new(),
            free: Vec::new(),
            pool: Vec::new(),
            starved: Vec::new(),
            dead: Vec::new(),
            accept_armed: false,
        }
    }

    fn on_completion(&mut self, cqe: &cqueue::Entry) {
        let (op, slot) = Op::unpack(cqe.user_data());
        let more = cqueue::more(cqe.flags());
        let was_closing = self.conns.get(slot as usize).is_some_and(|conn| conn.closing);
        match op {
            Op::Accept => return self.on_accept(cqe.result(), more),
            Op::Unwatched => return,
            Op::Recv => {
                let piece = cqueue::buffer_select(cqe.flags()).map(|id| self.buffers.take(id, cqe.result()));
                self.on_received(slot, cqe.result(), piece, more);
            }
            Op::Send => self.on_sent(slot, cqe.result()),
            Op::Connect => self.on_connected(slot, cqe.result()),
        }
        // If it began to close just now, without operations left, it is on the list of the dead.
        if was_closing && self.conns[slot as usize].in_flight == 0 {
            self.release(slot);
        }
    }

    fn on_accept(&mut self, result: i32, more: bool) {
        if result >= 0 {
            let slot = self.insert(result, Side::Downstream, Input::Head);
            self.arm_recv(slot);
        }
        self.accept_armed = more;
        // Without descriptors another attempt fails at once: `release` tries again when one is free.
        let exhausted = [-libc::EMFILE, -libc::ENFILE].contains(&result);
        if !more && !exhausted {
            self.arm_accept();
        }
    }

    fn on_received(&mut self, slot: u32, result: i32, piece: Option<Piece>, more: bool) {
        let conn = &mut self.conns[slot as usize];
        if !more {
            conn.in_flight -= 1;
            conn.recv = Recv::Off;
        }
        if conn.closing {
            return piece.into_iter().for_each(|piece| self.buffers.give_back(piece));
        }
        match (piece, -result) {
            (Some(piece), _) if piece.len() > 0 => self.on_bytes(slot, piece),
            (None, libc::ENOBUFS) => return self.starved.push(slot),
            (None, libc::ECANCELED) => {}
            (piece, _) => {
                piece.into_iter().for_each(|piece| self.buffers.give_back(piece));
                self.fail(slot);
            }
        }
        self.arm_recv(slot);
    }

    /// Received bytes: whole on the fast path, forwarded from where they lie.
    fn on_bytes(&mut self, slot: u32, mut piece: Piece) {
        let conn = &mut self.conns[slot as usize];
        let bytes = self.buffers.bytes(piece);
        if !conn.stash.is_empty() || conn.must_wait() {
            conn.stash.extend_from_slice(bytes);
            self.buffers.give_back(piece);
            return self.take_stash(slot);
        }
        let Ok(taken) = conn.input.take(conn.side, bytes) else {
            self.buffers.give_back(piece);
            return self.fail(slot);
        };
        conn.stash.extend_from_slice(&bytes[taken..]);
        if taken == 0 {
            return self.buffers.give_back(piece);
        }
        piece.truncate(taken);
        match self.destination(slot) {
            Some(to) => self.forward(slot, to, piece),
            None => {
                self.buffers.give_back(piece);
                return self.fail(slot);
            }
        }
        self.after_forward(slot);
    }

    /// The slow path: bytes that had to wait.
    fn take_stash(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if conn.stash.len() > STASH_BYTES_MAX {
            return self.fail(slot);
        }
        if conn.closing || conn.stash.is_empty() || conn.must_wait() {
            return;
        }
        let Ok(taken) = conn.input.take(conn.side, &conn.stash) else { return self.fail(slot) };
        if taken == 0 {
            return;
        }
        let rest = conn.stash.split_off(taken);
        let bytes = std::mem::replace(&mut conn.stash, rest);
        let Some(to) = self.destination(slot) else { return self.fail(slot) };
        self.conns[to as usize].out.spill.extend_from_slice(&bytes);
        if self.conns[to as usize].out.state == Sending::Idle {
            self.send_spill(to);
        }
        self.after_forward(slot);
    }

    /// The connection that takes the bytes from `slot`; a request without one gets an upstream connection.
    fn destination(&mut self, slot: u32) -> Option<u32> {
        let conn = &self.conns[slot as usize];
        if conn.peer.is_some() || conn.side == Side::Upstream {
            return conn.peer;
        }
        let upstream = self.checkout()?;
        self.conns[slot as usize].peer = Some(upstream);
        let conn = &mut self.conns[upstream as usize];
        (conn.peer, conn.input) = (Some(slot), Input::Head);
        Some(upstream)
    }

    fn checkout(&mut self) -> Option<u32> {
        while let Some((slot, generation)) = self.pool.pop() {
            let conn = &self.conns[slot as usize];
            if conn.generation == generation && !conn.closing {
                return Some(slot);
            }
        }
        self.dial()
    }

    fn dial(&mut self) -> Option<u32> {
        let fd = sys::stream_socket(self.upstream, false).ok()?.into_raw_fd();
        let slot = self.insert(fd, Side::Upstream, Input::Head);
        let conn = &mut self.conns[slot as usize];
        (conn.recv, conn.out.state) = (Recv::Connecting, Sending::Blocked);
        conn.in_flight += 1;
        let connect = opcode::Connect::new(Fd(fd), self.upstream_raw.as_ptr(), self.upstream_raw.size());
        // SAFETY: the address is a field of `self` and the kernel copies it while submitting, at the end of
        // this turn.
        unsafe { self.queue.push(connect.build().user_data(Op::Connect.pack(slot))) };
        Some(slot)
    }

    fn on_connected(&mut self, slot: u32, result: i32) {
        let conn = &mut self.conns[slot as usize];
        conn.in_flight -= 1;
        if conn.closing {
            return;
        }
        if result < 0 {
            return self.fail(slot);
        }
        conn.recv = Recv::Off;
        self.arm_recv(slot);
        self.send_spill(slot);
    }

    /// Sees whether what was just forwarded ended the message.
    fn after_forward(&mut self, slot: u32) {
        let conn = &self.conns[slot as usize];
        match (conn.side, conn.input) {
            (Side::Upstream, Input::Done { last }) => self.finish_exchange(slot, last),
            _ if !conn.stash.is_empty() => self.take_stash(slot),
            _ => {}
        }
    }

    fn finish_exchange(&mut self, upstream: u32, last: bool) {
        let conn = &mut self.conns[upstream as usize];
        let Some(downstream) = conn.peer.take() else { return };
        let surplus = !conn.stash.is_empty();
        let generation = conn.generation;
        let client = &mut self.conns[downstream as usize];
        client.peer = None;
        let whole = matches!(client.input, Input::Done { .. });
        client.input = Input::Head;
        if last || surplus || !whole {
            self.fail(upstream);
        } else {
            self.pool.push((upstream, generation));
            // A slow client may have stopped it.
            self.arm_recv(upstream);
        }
        if surplus || !whole {
            // Answered before the request was complete: what follows cannot be told apart.
            self.fail(downstream);
        }
        self.arm_recv(downstream);
        self.take_stash(downstream);
    }

    fn forward(&mut self, from: u32, to: u32, piece: Piece) {
        let out = &mut self.conns[to as usize].out;
        match out.state {
            Sending::Idle => {
                out.pieces.push_back(piece);
                self.send_piece(to);
            }
            Sending::Direct if out.spill.is_empty() => out.pieces.push_back(piece),
            Sending::Direct | Sending::Blocked => {
                out.spill.extend_from_slice(self.buffers.bytes(piece));
                self.buffers.give_back(piece);
                self.pause(from);
            }
        }
    }

    fn send_piece(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        let Some(piece) = conn.out.pieces.front() else {
            // Bytes from a stash may have queued up behind.
            return if conn.out.spill.is_empty() {
                conn.out.state = Sending::Idle
            } else {
                self.send_spill(slot)
            };
        };
        let bytes = self.buffers.bytes(*piece);
        let send = opcode::Send::new(Fd(conn.fd), bytes.as_ptr(), bytes.len() as u32);
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT).build();
        conn.out.state = Sending::Direct;
        conn.in_flight += 1;
        // SAFETY: the piece stays in front, and its buffer ours, until the completion of this send.
        unsafe { self.queue.push(send.user_data(Op::Send.pack(slot))) };
    }

    fn send_spill(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        let out = &mut conn.out;
        if out.flown == out.flying.len() {
            (out.flying, out.flown) = (std::mem::take(&mut out.spill), 0);
        }
        let bytes = &out.flying[out.flown..];
        if bytes.is_empty() {
            out.state = Sending::Idle;
            if let Some(source) = conn.peer {
                self.arm_recv(source);
            }
            return;
        }
        let send = opcode::Send::new(Fd(conn.fd), bytes.as_ptr(), bytes.len() as u32);
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        out.state = Sending::Blocked;
        conn.in_flight += 1;
        // SAFETY: `flying` is neither changed nor dropped before the completion of this send: `release`, which
        // drops it, waits for that too.
        unsafe { self.queue.push(send.user_data(Op::Send.pack(slot))) };
    }

    fn on_sent(&mut self, slot: u32, result: i32) {
        let conn = &mut self.conns[slot as usize];
        conn.in_flight -= 1;
        if conn.closing {
            return self.drop_pieces(slot);
        }
        match (conn.out.state, usize::try_from(result)) {
            (Sending::Direct, sent) if result >= 0 || result == -libc::EAGAIN => {
                self.on_piece_sent(slot, sent.unwrap_or(0));
            }
            (Sending::Blocked, Ok(sent)) => {
                conn.out.flown += sent;
                self.send_spill(slot);
            }
            _ => {
                // Nothing is in flight any more: the pieces may go.
                conn.out.state = Sending::Idle;
                self.fail(slot);
            }
        }
    }

    fn on_piece_sent(&mut self, slot: u32, sent: usize) {
        let conn = &mut self.conns[slot as usize];
        let front = conn.out.pieces.front_mut().expect("a piece stays in front until its send has completed");
        if sent == front.len() {
            let piece = *front;
            conn.out.pieces.pop_front();
            self.buffers.give_back(piece);
            return self.send_piece(slot);
        }
        front.advance(sent);
        while let Some(piece) = conn.out.pieces.pop_front() {
            conn.out.spill.extend_from_slice(self.buffers.bytes(piece));
            self.buffers.give_back(piece);
        }
        let source = conn.peer;
        self.send_spill(slot);
        if let Some(source) = source {
            self.pause(source);
        }
    }

    /// Stops reading from `slot` until the other side has drained.
    fn pause(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if conn.recv != Recv::Armed {
            return;
        }
        conn.recv = Recv::Cancelling;
        let cancel = opcode::AsyncCancel::new(Op::Recv.pack(slot)).build();
        // SAFETY: it points at nothing.
        unsafe { self.queue.push(cancel.user_data(Op::Unwatched.pack(0))) };
    }

    /// Starts reading from `slot`, unless it is being read, not connected, closed, or faster than its peer.
    fn arm_recv(&mut self, slot: u32) {
        let conn = &self.conns[slot as usize];
        let blocked = |peer: u32| self.conns[peer as usize].out.state == Sending::Blocked;
        if conn.closing || conn.recv != Recv::Off || conn.peer.is_some_and(blocked) {
            return;
        }
        let conn = &mut self.conns[slot as usize];
        conn.recv = Recv::Armed;
        conn.in_flight += 1;
        let recv = opcode::RecvMulti::new(Fd(conn.fd), BUF_GROUP).build();
        // SAFETY: it writes into provided buffers only, which live as long as the ring.
        unsafe { self.queue.push(recv.user_data(Op::Recv.pack(slot))) };
    }

    fn arm_accept(&mut self) {
        self.accept_armed = true;
        let accept = opcode::AcceptMulti::new(Fd(self.listener)).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: it points at nothing.
        unsafe { self.queue.push(accept.user_data(Op::Accept.pack(0))) };
    }

    /// Reads again from those that found no buffer. Sends out of shared buffers do not wait, so buffers are
    /// always on their way back; a quarter of them spares the starved from starving again at once.
    fn feed_starved(&mut self) {
        if self.buffers.free() < BUF_COUNT / 4 {
            return;
        }
        for slot in std::mem::take(&mut self.starved) {
            self.arm_recv(slot);
        }
    }

    /// Closes the connection and, in the middle of an exchange, the one on its other side.
    fn fail(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if conn.closing {
            return;
        }
        conn.closing = true;
        let peer = conn.peer.take();
        // Ends the receive and a waiting send; closing alone would not, they hold the file.
        // SAFETY: plain call on a descriptor we own.
        unsafe { libc::shutdown(conn.fd, libc::SHUT_RDWR) };
        if conn.in_flight == 0 {
            self.dead.push(slot);
        }
        if conn.out.state != Sending::Direct {
            self.drop_pieces(slot);
        }
        if let Some(peer) = peer {
            self.fail(peer);
        }
    }

    fn bury_dead(&mut self) {
        while let Some(slot) = self.dead.pop() {
            self.release(slot);
        }
    }

    fn drop_pieces(&mut self, slot: u32) {
        while let Some(piece) = self.conns[slot as usize].out.pieces.pop_front() {
            self.buffers.give_back(piece);
        }
    }

    fn insert(&mut self, fd: RawFd, side: Side, input: Input) -> u32 {
        let slot = self.free.pop().unwrap_or(self.conns.len() as u32);
        let generation = self.conns.get(slot as usize).map_or(0, |conn| conn.generation.wrapping_add(1));
        let conn = Conn {
            fd,
            side,
            generation,
            peer: None,
            input,
            stash: Vec::new(),
            recv: Recv::Off,
            out: Outbox::default(),
            in_flight: 0,
            closing: false,
        };
        match self.conns.get_mut(slot as usize) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
        slot
    }

    /// Frees a slot that nothing in the kernel refers to any more.
    fn release(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        assert!(conn.closing && conn.in_flight == 0 && conn.out.pieces.is_empty());
        let close = opcode::Close::new(Fd(conn.fd)).build().flags(squeue::Flags::SKIP_SUCCESS);
        conn.stash = Vec::new();
        conn.out = Outbox::default();
        // SAFETY: it points at nothing.
        unsafe { self.queue.push(close.user_data(Op::Unwatched.pack(0))) };
        self.free.push(slot);
        if !self.accept_armed {
            self.arm_accept();
        }
    }
}

impl Conn {
    /// Bytes from this peer have to wait: a pipelined request for the answer to the one before.
    fn must_wait(&self) -> bool {
        self.side == Side::Downstream && matches!(self.input, Input::Done { .. })
    }
}

const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 16 * 1024;
const STASH_BYTES_MAX: usize = 256 * 1024;
const DESCRIPTORS_WANTED: u64 = 100_000;

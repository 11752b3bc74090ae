//! The submission queue and the ring of receive buffers; everything that the kernel shares with us.

use std::alloc::Layout;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::{SubmissionQueue, Submitter, squeue};

/// A part of a shared buffer that we own until it is given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    id: u16,
    start: u32,
    len: u32,
}

impl Piece {
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    /// Keeps the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        assert!(len <= self.len());
        self.len = len as u32;
    }

    /// Drops the first `n` bytes.
    pub(crate) fn advance(&mut self, n: usize) {
        assert!(n <= self.len());
        (self.start, self.len) = (self.start + n as u32, self.len - n as u32);
    }
}

/// The ring of receive buffers that the kernel picks from.
pub(crate) struct Buffers {
    ring: NonNull<BufRingEntry>,
    slab: NonNull<u8>,
    tail: u16,
    /// Not in our hands. The kernel may have filled some of these already.
    free: u16,
}

impl Buffers {
    pub(crate) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        let ring_bytes = BUF_COUNT as usize * size_of::<BufRingEntry>();
        let ring = allocate_pages(ring_bytes).cast::<BufRingEntry>();
        let slab = allocate_pages(BUF_COUNT as usize * BUF_BYTES as usize);
        // SAFETY: page-aligned, zeroed, of the stated length, and never freed.
        unsafe {
            submitter.register_buf_ring_with_flags(ring.as_ptr() as u64, BUF_COUNT, BUF_GROUP, 0)?;
        }
        let mut buffers = Self { ring, slab, tail: 0, free: 0 };
        for id in 0..BUF_COUNT {
            buffers.give_back(Piece { id, start: 0, len: 0 });
        }
        Ok(buffers)
    }

    /// Buffers that the kernel has, as far as we know.
    pub(crate) fn free(&self) -> u16 {
        self.free
    }

    /// A buffer that the kernel has filled with `result` bytes.
    pub(crate) fn take(&mut self, id: u16, result: i32) -> Piece {
        assert!(id < BUF_COUNT && result <= BUF_BYTES as i32);
        self.free -= 1;
        Piece { id, start: 0, len: result.max(0) as u32 }
    }

    pub(crate) fn bytes(&self, piece: Piece) -> &[u8] {
        let start = piece.id as usize * BUF_BYTES as usize + piece.start as usize;
        // SAFETY: in bounds (`take` checked, later cuts only shrink). The slab is never freed, and the kernel
        // does not write to this buffer while the caller owns the piece, which every caller does.
        unsafe { std::slice::from_raw_parts(self.slab.as_ptr().add(start), piece.len as usize) }
    }

    pub(crate) fn give_back(&mut self, piece: Piece) {
        let index = (self.tail % BUF_COUNT) as usize;
        let offset = piece.id as usize * BUF_BYTES as usize;
        // SAFETY: the index is in the ring; the kernel does not read this entry before the tail passes it.
        // Fields are set one by one because the first entry's last field is the tail.
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(index);
            entry.set_addr(self.slab.as_ptr().add(offset) as u64);
            entry.set_len(BUF_BYTES);
            entry.set_bid(piece.id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.free += 1;
        // SAFETY: the first entry of a registered ring; its tail is aligned and shared with the kernel, hence
        // atomic. Release: the entry is visible before the tail that announces it.
        unsafe {
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

fn allocate_pages(bytes: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(bytes, 4096).expect("a page is a power of two");
    // SAFETY: both sizes are constants above zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| std::alloc::handle_alloc_error(layout))
}

/// The submission queue; entries go to the kernel at the end of the turn.
pub(crate) struct Queue<'r> {
    submitter: Submitter<'r>,
    sq: SubmissionQueue<'r>,
}

impl<'r> Queue<'r> {
    pub(crate) fn new(submitter: Submitter<'r>, sq: SubmissionQueue<'r>) -> Self {
        Self { submitter, sq }
    }

    /// # Safety
    /// What the entry points at must stay valid until its completion.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: passed on to our caller.
        while unsafe { self.sq.push(&entry) }.is_err() {
            self.submit_and_wait(0).expect("the kernel takes what is in the queue");
        }
    }

    pub(crate) fn submit_and_wait(&mut self, want: usize) -> io::Result<()> {
        self.sq.sync();
        let result = self.submitter.submit_and_wait(want);
        self.sq.sync();
        match result {
            Ok(_) => Ok(()),
            // A signal, or completions to be reaped first.
            Err(error) if [Some(libc::EINTR), Some(libc::EBUSY)].contains(&error.raw_os_error()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What an operation was; with the slot it makes the `user_data`. A slot is reused only when the kernel has
/// finished everything that names it, so no generation is needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Accept,
    Recv,
    Send,
    Connect,
    Unwatched,
}

impl Op {
    pub(crate) fn pack(self, slot: u32) -> u64 {
        (self as u64) << 32 | u64::from(slot)
    }

    pub(crate) fn unpack(user_data: u64) -> (Self, u32) {
        let op = match user_data >> 32 {
            0 => Self::Accept,
            1 => Self::Recv,
            2 => Self::Send,
            3 => Self::Connect,
            _ => Self::Unwatched,
        };
        (op, user_data as u32)
    }
}

pub(crate) const BUF_GROUP: u16 = 0;
pub(crate) const BUF_COUNT: u16 = 64;
/// Fits a body of 64 KiB with its head; more and larger buffers only leave the cache earlier.
const BUF_BYTES: u32 = 80 * 1024;

const _: () = {
    // The tail counts modulo 2^16.
    assert!(BUF_COUNT.is_power_of_two());
};

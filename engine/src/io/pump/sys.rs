//! System calls on sockets, each in one place with what it promises.

use crate::limits::SLICES_PER_SEND;
use crate::settings::{Address, SocketOptions};
use ringway_proto::chunk::SendQueue;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Receives what is there, without waiting, whatever mode the descriptor is in.
#[inline]
pub(super) fn receive(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    const NOBODY: *const libc::sockaddr = std::ptr::null();
    // The C library's recv is a point where a thread may be cancelled, which costs as much as a small part of the call
    // itself; nobody cancels ours. So here and where we send it is the system call alone.
    // SAFETY: `into` is valid for writes of its length, the kernel writes no more than that, and no address.
    let received = unsafe {
        let into_at = into.as_mut_ptr();
        libc::syscall(libc::SYS_recvfrom, fd, into_at, into.len(), libc::MSG_DONTWAIT, NOBODY, NOBODY)
    };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Sends from the front of `queue`, without waiting and without SIGPIPE.
#[inline]
pub(super) fn transmit(fd: RawFd, queue: &SendQueue) -> io::Result<usize> {
    let mut slices = [const { MaybeUninit::<libc::iovec>::uninit() }; SLICES_PER_SEND];
    let mut count = 0;
    queue.visit(|slice| {
        slices[count].write(libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() });
        count += 1;
        count < SLICES_PER_SEND
    });
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let sent = if count == 1 {
        // SAFETY: the first element was written above.
        let slice = unsafe { slices[0].assume_init() };
        const NOBODY: *const libc::sockaddr = std::ptr::null();
        // SAFETY: the slice lies in `queue`, which is borrowed for the length of this call; the kernel only reads it.
        unsafe { libc::syscall(libc::SYS_sendto, fd, slice.iov_base, slice.iov_len, FLAGS, NOBODY, 0) }
    } else {
        // SAFETY: all-zero is a valid message header without address, slices and control data.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = slices.as_mut_ptr().cast();
        message.msg_iovlen = count;
        // SAFETY: the first `count` elements were written above, and what they point to lies in `queue`, which
        // is borrowed for the length of this call; the kernel only reads it.
        unsafe { libc::syscall(libc::SYS_sendmsg, fd, &raw const message, FLAGS) }
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Begins to connect; the descriptor becomes writable when that has ended.
pub(super) fn connect(address: &Address, options: &SocketOptions) -> io::Result<OwnedFd> {
    let (socket, address) = match address {
        Address::Tcp(address) => {
            let kind = Type::STREAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::for_address(*address), kind, Some(Protocol::TCP))?;
            socket.set_tcp_nodelay(true)?;
            if *options != SocketOptions::default() {
                prepare(&socket, *address, options)?;
            }
            (socket, SockAddr::from(*address))
        }
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
            (socket, SockAddr::unix(path)?)
        }
    };
    match socket.connect(&address) {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// Sets what was asked for on a socket that is to be connected to `address`.
fn prepare(socket: &Socket, address: SocketAddr, options: &SocketOptions) -> io::Result<()> {
    let SocketOptions { bind, keepalive, user_timeout, receive_buffer, dscp, fast_open } = options;
    if let Some(keepalive) = keepalive {
        let times = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count);
        socket.set_tcp_keepalive(&times)?;
    }
    if user_timeout.is_some() {
        socket.set_tcp_user_timeout(*user_timeout)?;
    }
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(*bytes)?;
    }
    if let Some(dscp) = dscp {
        let class = u32::from(*dscp) << 2;
        if address.is_ipv4() { socket.set_tos_v4(class)? } else { socket.set_tclass_v6(class)? }
    }
    if *fast_open {
        set_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
    }
    if let Some(source) = bind {
        // The port is chosen when the other end is known, so that one port serves many of them.
        set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        socket.bind(&SockAddr::from(*source))?;
    }
    Ok(())
}

fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` lives for the call and has the size that is said.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How a connect ended.
pub(super) fn take_error(fd: RawFd) -> io::Result<()> {
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `error` and `len` live for the call and have the size that the option writes.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len)
    };
    match (result, error) {
        (0, 0) => Ok(()),
        (0, error) => Err(io::Error::from_raw_os_error(error)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Accepts one connection: close-on-exec, or a process started later would hold it open.
pub(super) fn accept(listener: RawFd) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: `try_init` gives a storage of the length it says; on success the descriptor is new and ours alone.
    unsafe {
        SockAddr::try_init(|address, len| {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            match libc::accept4(listener, address.cast(), len, flags) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        })
    }
}

/// Half-close: the peer sees that nothing more comes.
pub(super) fn finish(fd: RawFd) {
    // SAFETY: takes no memory. A connection that is gone already has nothing left to finish.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Ends both directions in order; whatever waits for the descriptor wakes up.
pub(super) fn shutdown(fd: RawFd) {
    // SAFETY: takes no memory.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

/// Resets a connection without closing its descriptor; whatever waits for it wakes up. A shutdown would tell the
/// peer of a clean end first.
pub(super) fn reset(fd: RawFd) {
    // SAFETY: all-zero is a valid address; its family is set to the one that dissolves the association.
    let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
    address.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: `address` lives for the call and has the length that is given.
    let result =
        unsafe { libc::connect(fd, &raw const address, size_of::<libc::sockaddr>() as libc::socklen_t) };
    if result != 0 {
        // A Unix-domain socket has no reset to send.
        shutdown(fd);
    }
}

/// Makes the close of a connection a reset.
pub(super) fn set_reset_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: `linger` lives for the call and has the size that is given.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), len) };
}

/// Closes a descriptor that nobody uses any more.
pub(super) fn close(fd: RawFd) {
    // SAFETY: the caller took the descriptor out of its owner and gives it up here.
    unsafe { libc::close(fd) };
}

/// Reads away what wakes a task. Says whether the other end is still there.
pub(super) fn drain(fd: RawFd) -> bool {
    let mut bytes = [0; 64];
    loop {
        // SAFETY: `bytes` is valid for writes of its length. The descriptor is non-blocking.
        match unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) } {
            0 => return false,
            read if read == bytes.len() as isize => {}
            _ => return true,
        }
    }
}

/// A counter that is readable when somebody rang it, from whatever thread.
pub(super) fn bell() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory; on success the descriptor is new and ours alone.
    match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: see above.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Makes a [`bell`] readable.
pub(super) fn ring(bell: &OwnedFd) {
    let once = 1_u64.to_ne_bytes();
    // SAFETY: `once` is valid for reads of its length. A counter that is full is readable already.
    unsafe { libc::write(bell.as_raw_fd(), once.as_ptr().cast(), once.len()) };
}

/// A timer that is readable when it has gone off.
pub(super) fn timer() -> io::Result<OwnedFd> {
    // SAFETY: takes no memory; on success the descriptor is new and ours alone.
    match unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: see above.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// Sets a timer to go off once, after `delay`.
pub(super) fn set_timer(fd: RawFd, delay: Duration) {
    // Zero would mean never.
    let delay = delay.max(Duration::from_nanos(1));
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(delay.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: delay.subsec_nanos().into(),
    };
    let spec = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: `spec` lives for the call; the old value is not asked for.
    unsafe { libc::timerfd_settime(fd, 0, &raw const spec, std::ptr::null_mut()) };
}

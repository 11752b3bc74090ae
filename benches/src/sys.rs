//! The system calls the load tools need and `std` does not offer: pinning, descriptor limits, listening sockets
//! with options, epoll, a network namespace of one's own.
//!
//! Not a general wrapper: each function is here because a tool calls it.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Turns the C convention (negative: look at `errno`) into a result.
///
/// # Errors
/// The current `errno` when `value` is negative.
pub fn check(value: libc::c_int) -> io::Result<libc::c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Pins the calling thread, and the processes it starts from now on, to these cores.
///
/// # Errors
/// When a core does not exist or is outside the process's cpuset.
pub fn pin(cores: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &core in cores {
        assert!(core < libc::CPU_SETSIZE as usize, "core {core} does not fit in a cpu_set_t");
        // SAFETY: in bounds of the set (asserted above), which is ours.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the set lives over the call and the size is its own.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &raw const set) }).map(drop)
}

/// Sets the niceness of this process and of those it starts from now on, and of their session where the kernel
/// schedules by session first; that part ends with the returned value.
///
/// # Errors
/// Below zero without the privilege to do so.
pub fn set_nice(nice: i32) -> io::Result<SessionNice> {
    // SAFETY: plain call.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    let before = std::fs::read_to_string(AUTOGROUP).unwrap_or_default();
    let before = before.trim().rsplit(' ').next().and_then(|nice| nice.parse().ok());
    // The kernel wants a pause between two changes and says EAGAIN; without sessions there is nothing to set.
    if before.is_some_and(|before: i32| before != nice) {
        std::fs::write(AUTOGROUP, nice.to_string())?;
    }
    Ok(SessionNice(before))
}

/// Gives the session its niceness back when dropped.
#[derive(Debug)]
pub struct SessionNice(Option<i32>);

impl Drop for SessionNice {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            // Nothing can be done about a failure here.
            let _ = std::fs::write(AUTOGROUP, before.to_string());
        }
    }
}

/// Raises the descriptor limit as far as permitted, towards `want`, and returns what it is then.
pub fn raise_descriptor_limit(want: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes into our own struct.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return 0;
    }
    // Raising the hard limit takes a capability; without it the hard limit is the ceiling.
    for max in [want.max(limit.rlim_max), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: max, rlim_max: max };
        // SAFETY: reads our own struct.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return max;
        }
    }
    limit.rlim_cur
}

/// A listening socket with address reuse, no delay (inherited by what it accepts) and the longest queue the
/// system permits; non-blocking when asked.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(addr: SocketAddr, nonblocking: bool) -> io::Result<TcpListener> {
    let fd = stream_socket(addr, nonblocking)?;
    set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set_option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let raw = RawAddr::from(addr);
    // SAFETY: address and length describe `raw`, which lives over the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), raw.as_ptr(), raw.size()) })?;
    // SAFETY: plain call on a descriptor we own.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(TcpListener::from(fd))
}

/// A stream socket of the family of `addr`, with no delay and close-on-exec.
///
/// # Errors
/// When descriptors run out.
pub fn stream_socket(addr: SocketAddr, nonblocking: bool) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let flags = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: plain call.
    let fd = check(unsafe { libc::socket(family, flags, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    Ok(fd)
}

/// How a client's connection differs from the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions {
    /// The source address; one address has only some 28,000 ports towards one target.
    pub source: Option<Ipv4Addr>,
    /// The size of the receive buffer, set before connecting so that the window never opens further.
    pub recv_buf_bytes: Option<i32>,
}

/// Connects (blocking) and limits every later read and write to `timeout`.
///
/// # Errors
/// When the connection is refused, or no port or descriptor is left.
pub fn connect(addr: SocketAddr, options: ConnectOptions, timeout: Duration) -> io::Result<TcpStream> {
    let fd = stream_socket(addr, false)?;
    if let Some(bytes) = options.recv_buf_bytes {
        set_option(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
    }
    if let Some(source) = options.source {
        // The port is chosen at connect, when the whole 4-tuple is known: ports then repeat over addresses.
        set_option(fd.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        let raw = RawAddr::from(SocketAddr::V4(SocketAddrV4::new(source, 0)));
        // SAFETY: address and length describe `raw`, which lives over the call.
        check(unsafe { libc::bind(fd.as_raw_fd(), raw.as_ptr(), raw.size()) })?;
    }
    let stream = TcpStream::from(fd);
    // Before connecting: the write timeout bounds the connect too.
    stream.set_write_timeout(Some(timeout))?;
    stream.set_read_timeout(Some(timeout))?;
    let raw = RawAddr::from(addr);
    // SAFETY: address and length describe `raw`, which lives over the call.
    check(unsafe { libc::connect(stream.as_raw_fd(), raw.as_ptr(), raw.size()) })?;
    Ok(stream)
}

/// Sets an integer socket option.
///
/// # Errors
/// When the kernel refuses it.
pub fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: pointer and length describe `value`, which lives over the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) }).map(drop)
}

/// A socket address in the kernel's form.
#[derive(Debug)]
pub enum RawAddr {
    /// IPv4.
    V4(libc::sockaddr_in),
    /// IPv6.
    V6(libc::sockaddr_in6),
}

impl RawAddr {
    /// The address for a system call; valid as long as `self` stays in place.
    pub fn as_ptr(&self) -> *const libc::sockaddr {
        match self {
            Self::V4(addr) => (&raw const *addr).cast(),
            Self::V6(addr) => (&raw const *addr).cast(),
        }
    }

    /// Its length in bytes.
    pub fn size(&self) -> libc::socklen_t {
        let bytes = match self {
            Self::V4(addr) => mem::size_of_val(addr),
            Self::V6(addr) => mem::size_of_val(addr),
        };
        bytes as libc::socklen_t
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self::V4(libc::sockaddr_in {
                sin_family: libc::AF_INET as u16,
                sin_port: addr.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*addr.ip()).to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(addr) => Self::V6(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as u16,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                sin6_scope_id: addr.scope_id(),
            }),
        }
    }
}

/// An epoll instance whose keys are small integers.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Something became possible on the descriptor registered under `key`.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// What the descriptor was registered under.
    pub key: u64,
    /// The `EPOLL*` bits.
    pub bits: u32,
}

impl Ready {
    /// There is something to read, or the peer has finished.
    pub fn readable(self) -> bool {
        self.bits & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// The peer has sent its last byte.
    pub fn finished(self) -> bool {
        self.bits & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// There is room to write.
    pub fn writable(self) -> bool {
        self.bits & libc::EPOLLOUT as u32 != 0
    }
}

impl Epoll {
    /// Opens an instance that returns up to `batch` events at a time.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: plain call.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; batch] })
    }

    /// Watches `fd` for the `EPOLL*` bits `interest`. Closing the descriptor ends it.
    ///
    /// # Errors
    /// When the descriptor cannot be watched, or already is.
    pub fn add(&self, fd: RawFd, key: u64, interest: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: key };
        // SAFETY: the event lives over the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })
            .map(drop)
    }

    /// Waits, at most `timeout`, and appends what is ready to `ready`.
    ///
    /// # Errors
    /// Only when the instance itself is broken; an interrupting signal just returns early.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let spec = timeout.map(|t| libc::timespec {
            tv_sec: t.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(t.subsec_nanos()),
        });
        let spec = spec.as_ref().map_or(std::ptr::null(), |spec| &raw const *spec);
        let (events, max) = (self.events.as_mut_ptr(), self.events.len() as i32);
        // SAFETY: the array has room for `max` events; the timeout, if any, lives over the call.
        let count =
            check(unsafe { libc::epoll_pwait2(self.fd.as_raw_fd(), events, max, spec, std::ptr::null()) });
        let count = match count {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        ready.extend(self.events[..count].iter().map(|event| Ready { key: event.u64, bits: event.events }));
        Ok(())
    }
}

/// Moves the calling thread, and the processes it starts from now on, into a network namespace of its own
/// with nothing but a working loopback.
///
/// # Errors
/// Without the privilege to do so.
pub fn enter_own_network() -> io::Result<()> {
    // SAFETY: plain call; it changes this thread's namespace and no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    let socket = stream_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
    // SAFETY: an all-zero ifreq is a valid (empty) request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which lives over the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }).map(drop)
}

/// Wishes for the longest accept queue; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// The session of this process, as the scheduler sees it.
const AUTOGROUP: &str = "/proc/self/autogroup";

//! Listening sockets, and the files of Unix-domain ones.
//!
//! Over TCP each shard has a socket of its own on the same port (SO_REUSEPORT) and the kernel spreads
//! connections by their addresses. A Unix-domain path can be bound once, so there all shards share one socket.

use super::server::StartError;
use crate::settings::{Address, Settings};
use crate::shard::{ListenerKind, ListenerSocket};
use crate::time::{Clock, Instant};
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where a server really listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The address, with the port that the kernel chose where 0 was asked for.
    pub address: Address,
    /// What is spoken there: `http` or `tcp`.
    pub scheme: &'static str,
}

/// Every listening socket of a server.
#[derive(Debug)]
pub(super) struct Listening {
    /// The sockets of each shard.
    pub(super) per_shard: Vec<Vec<ListenerSocket>>,
    /// The addresses, HTTP first, each in the order of the settings.
    pub(super) bound: Vec<Bound>,
    /// The files of Unix-domain sockets; they go when this is dropped.
    pub(super) files: Vec<SocketFile>,
}

/// Binds everything that the settings name, for so many shards.
pub(super) fn listen(settings: &Settings, shards: usize) -> Result<Listening, StartError> {
    let http = (0..)
        .zip(&settings.listeners)
        .map(|(index, listener)| (ListenerKind::Http { index }, "http", &listener.address, listener.mode));
    let tcp = (0..)
        .zip(&settings.tcp)
        .map(|(index, listener)| (ListenerKind::Tcp { index }, "tcp", &listener.address, listener.mode));
    let wanted: Vec<_> = http.chain(tcp).collect();
    check_distinct(wanted.iter().map(|(_, _, address, _)| *address))?;
    let patience = Patience::new();
    // All before the first real one: of our own sockets, a wildcard and an address it covers do not conflict.
    for (_, _, address, _) in &wanted {
        let unused = patience.wait(|| check_unused(address));
        unused.map_err(|error| StartError::Listen { address: (*address).clone(), error })?;
    }

    let mut listening = Listening {
        per_shard: (0..shards).map(|_| Vec::new()).collect(),
        bound: Vec::new(),
        files: Vec::new(),
    };
    for (kind, scheme, address, mode) in wanted {
        let (sockets, address) = match address {
            Address::Tcp(tcp) => listen_tcp(*tcp, shards).map(|(sockets, tcp)| (sockets, Address::Tcp(tcp))),
            Address::Unix(path) => {
                patience.wait(|| listen_unix(path, mode, shards)).map(|(sockets, file)| {
                    listening.files.push(file);
                    (sockets, address.clone())
                })
            }
        }
        .map_err(|error| StartError::Listen { address: address.clone(), error })?;
        for (shard, socket) in listening.per_shard.iter_mut().zip(sockets) {
            shard.push(ListenerSocket { socket, kind });
        }
        listening.bound.push(Bound { address, scheme });
    }
    Ok(listening)
}

/// One address given twice would bind, thanks to SO_REUSEPORT, and split its connections at random.
fn check_distinct<'a>(addresses: impl Iterator<Item = &'a Address>) -> Result<(), StartError> {
    let mut seen = HashSet::new();
    for address in addresses {
        let any_port = matches!(address, Address::Tcp(tcp) if tcp.port() == 0);
        if !any_port && !seen.insert(address) {
            let error = io::Error::new(io::ErrorKind::AddrInUse, "the address is given twice");
            return Err(StartError::Listen { address: address.clone(), error });
        }
    }
    Ok(())
}

/// With SO_REUSEPORT we would join another server of the same user unnoticed, and each would take some of the
/// other's connections. A socket without it cannot be bound where anybody listens, whatever their options. It is
/// closed again, and between this and the real bind another server could still slip in.
fn check_unused(address: &Address) -> io::Result<()> {
    match address {
        Address::Tcp(tcp) if tcp.port() != 0 => bind_tcp(*tcp, false).map(drop),
        _ => Ok(()),
    }
}

/// How long an address that is in use is waited for. The kernel takes the rings of a killed process apart behind its
/// back, and its listening sockets with them: whoever starts the next one at once would find them in use.
struct Patience {
    clock: Clock,
    deadline: Instant,
}

impl Patience {
    fn new() -> Self {
        let clock = Clock::real();
        Self { deadline: clock.now() + IN_USE_PATIENCE, clock }
    }

    /// Tries until the address is not in use any more, or patience is over.
    #[expect(clippy::disallowed_methods, reason = "nobody is served yet")]
    fn wait<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && self.clock.now() < self.deadline =>
                {
                    thread::sleep(IN_USE_RETRY);
                }
                result => return result,
            }
        }
    }
}

fn listen_tcp(address: SocketAddr, shards: usize) -> io::Result<(Vec<Socket>, SocketAddr)> {
    let first = bind_tcp(address, true)?;
    let bound = first.local_addr()?.as_socket().expect("a socket that is bound to an IP address");
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(bind_tcp(bound, true)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok((sockets, bound))
}

fn bind_tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    // Connections of the last run that linger in TIME_WAIT must not keep us from listening.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What is accepted inherits it: a proxy writes whole messages and gains nothing by waiting for more.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen_unix(path: &Path, mode: Option<u32>, shards: usize) -> io::Result<(Vec<Socket>, SocketFile)> {
    let (first, file) = bind_unix(path, mode)?;
    let mut sockets = vec![first];
    for _ in 1..shards {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok((sockets, file))
}

/// Binds and listens at `path`, with exactly `mode` if there is one. A file that another server left behind is
/// replaced.
pub(super) fn bind_unix(path: &Path, mode: Option<u32>) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    if let Some(mode) = mode {
        // Linux makes the file with the mode of the socket, less the umask: never wider than wanted, not even
        // for a moment.
        fchmod(&socket, Mode::from_bits_truncate(mode))?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    if let Some(mode) = mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Removes a socket on which nobody answers. Anything else that is in the way stays and is an error.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_the_way = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !in_the_way.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file exists and is not a socket"));
    }
    match probe(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Also when its queue is full: that is somebody who listens.
        Ok(_) | Err(_) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"))
        }
    }
}

/// Connects without waiting for a place in the queue.
fn probe(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

/// The file of a Unix-domain socket that we bound. It is removed on drop, unless another server has put its own
/// in its place meanwhile.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode))
        {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// More than this makes the kernel's 16-bit field wrap on old kernels; less is what `somaxconn` allows.
const BACKLOG: i32 = 65_535;

/// For the sockets of a process that was killed to go; up to 0.7 s were seen.
const IN_USE_PATIENCE: Duration = Duration::from_secs(1);
const IN_USE_RETRY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::TempDir;
    use crate::settings::Listener;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;

    fn settings(addresses: &[Address]) -> Settings {
        let listener = |address: &Address| Listener::new(address.clone());
        Settings { listeners: addresses.iter().map(listener).collect(), ..Settings::default() }
    }

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    fn failure(addresses: &[Address]) -> String {
        listen(&settings(addresses), 2).unwrap_err().to_string()
    }

    #[test]
    fn all_shards_share_the_port_that_the_kernel_chose() {
        let listening = listen(&settings(&[tcp("127.0.0.1:0"), tcp("[::1]:0")]), 3).unwrap();
        for (place, bound) in listening.bound.iter().enumerate() {
            let Address::Tcp(address) = bound.address else { panic!("{bound:?}") };
            assert_ne!(address.port(), 0);
            for shard in &listening.per_shard {
                let socket = &shard[place].socket;
                assert_eq!(socket.local_addr().unwrap().as_socket(), Some(address));
                assert_eq!(shard[place].kind, ListenerKind::Http { index: place });
                assert!(socket.tcp_nodelay().unwrap() && socket.reuse_port().unwrap());
            }
            TcpStream::connect(address).unwrap();
        }
    }

    #[test]
    fn a_port_in_use_is_one_clear_line() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        assert_eq!(
            failure(&[Address::Tcp(address)]),
            format!("cannot listen on {address}: Address already in use (os error 98)")
        );
    }

    #[test]
    fn a_port_that_another_server_shares_is_in_use_all_the_same() {
        let other = listen(&settings(&[tcp("127.0.0.1:0")]), 1).unwrap();
        assert!(failure(&[other.bound[0].address.clone()]).contains("already in use"));
        let address = other.bound[0].address.clone();
        drop(other);
        listen(&settings(&[address]), 2).unwrap();
    }

    #[test]
    fn an_address_whose_last_server_is_just_ending_is_waited_for() {
        let dir = TempDir::new();
        for address in [tcp("127.0.0.1:0"), Address::Unix(dir.path("s"))] {
            let Listening { per_shard, bound, files } = listen(&settings(&[address]), 1).unwrap();
            // As after a kill: the sockets go late, the file stays.
            std::mem::forget(files);
            let ending = thread::spawn(move || {
                thread::sleep(Duration::from_millis(200));
                drop(per_shard);
            });
            listen(&settings(&[bound[0].address.clone()]), 2).unwrap();
            ending.join().unwrap();
        }
    }

    #[test]
    fn connections_of_the_last_run_do_not_keep_the_port() {
        let last = listen(&settings(&[tcp("127.0.0.1:0")]), 1).unwrap();
        let Address::Tcp(address) = last.bound[0].address else { panic!() };
        let client = TcpStream::connect(address).unwrap();
        let accepted = last.per_shard[0][0].socket.accept().unwrap();
        drop(last);
        listen(&settings(&[Address::Tcp(address)]), 2).unwrap();
        drop(accepted);
        listen(&settings(&[Address::Tcp(address)]), 2).unwrap();
        drop(client);
    }

    #[test]
    fn an_address_given_twice_is_refused_and_port_0_is_not() {
        let twice = tcp("127.0.0.1:1");
        assert_eq!(
            failure(&[twice.clone(), twice]),
            "cannot listen on 127.0.0.1:1: the address is given twice"
        );
        listen(&settings(&[tcp("127.0.0.1:0"), tcp("127.0.0.1:0")]), 1).unwrap();
    }

    #[test]
    fn a_wildcard_and_an_address_it_covers_go_together() {
        let free = listen(&settings(&[tcp("127.0.0.1:0")]), 1).unwrap().bound[0].address.clone();
        let Address::Tcp(address) = free else { panic!() };
        listen(&settings(&[tcp(&format!("0.0.0.0:{}", address.port())), free]), 2).unwrap();
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
        let dir = TempDir::new();
        let path = dir.path("app.sock");
        for mode in [0o600, 0o660, 0o666] {
            let (socket, file) = bind_unix(&path, Some(mode)).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
            UnixStream::connect(&path).unwrap();
            drop((socket, file));
            assert!(!path.exists());
        }
    }

    #[test]
    fn shards_share_a_unix_socket() {
        let dir = TempDir::new();
        let listening = listen(&settings(&[Address::Unix(dir.path("s"))]), 2).unwrap();
        let _clients = [0, 1].map(|_| UnixStream::connect(dir.path("s")).unwrap());
        for shard in &listening.per_shard {
            shard[0].socket.accept().unwrap();
        }
        assert_eq!(listening.bound[0].address.to_string(), format!("unix:{}", dir.path("s").display()));
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = TempDir::new();
        let path = dir.path("app.sock");
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(bind_unix(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(other);
        assert!(path.exists(), "nobody unlinked it");
        bind_unix(&path, None).unwrap();
    }

    #[test]
    fn a_file_in_the_way_stays() {
        let dir = TempDir::new();
        let path = dir.path("app.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind_unix(&path, None).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_socket_of_a_successor_stays_when_we_go() {
        let dir = TempDir::new();
        let path = dir.path("app.sock");
        let ours = bind_unix(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }
}

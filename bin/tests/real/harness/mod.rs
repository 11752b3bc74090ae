//! What the cases are made of: a running ringway, an origin that does as it is told, and other programs.

pub(crate) mod origin;
pub(crate) mod programs;
pub(crate) mod proxy;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which event loop ringway is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    IoUring,
    Epoll,
}

impl Driver {
    /// The value of `RINGWAY_IO`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Makes two tests of each case, named `CASE::io_uring` and `CASE::epoll`.
macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident($driver:ident) $body:block)*) => {$(
        $(#[$doc])*
        mod $name {
            #[allow(unused_imports, reason = "each case uses some of them")]
            use super::*;

            fn case($driver: $crate::harness::Driver) $body

            #[test]
            #[ignore = "needs other programs: scripts/test runs it"]
            fn io_uring() {
                case($crate::harness::Driver::IoUring);
            }

            #[test]
            #[ignore = "needs other programs: scripts/test runs it"]
            fn epoll() {
                case($crate::harness::Driver::Epoll);
            }
        }
    )*};
}

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory that goes when the case is over.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a Unix-domain socket has 107 bytes.
        let path = std::env::temp_dir().join(format!("ringway-real-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).expect("written");
        self.text(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks again and again until the answer is yes.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A hash over a stream, whatever the pieces it comes in (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) value: u64,
    pub(crate) length: u64,
}

impl Hash {
    pub(crate) const fn new() -> Self {
        Self { value: 0xcbf2_9ce4_8422_2325, length: 0 }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.value = (self.value ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.length += bytes.len() as u64;
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::new();
        hash.add(bytes);
        hash
    }

    pub(crate) fn of_stream(mut stream: impl Read) -> io::Result<Self> {
        let mut hash = Self::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(hash),
                length => hash.add(&buffer[..length]),
            }
        }
    }

    pub(crate) fn of_file(path: &Path) -> Self {
        Self::of_stream(std::fs::File::open(path).expect("a file")).expect("readable")
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}", self.value, self.length)
    }
}

/// Bytes without a pattern that a lost or doubled piece could hide in.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

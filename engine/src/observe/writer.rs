//! The thread that writes the access log, and the end of it that each shard holds.
//!
//! A shard formats lines into a buffer of its own and hands over the whole buffer when it is full or has waited
//! long enough. The channel between is bounded: when the target is slower than the traffic, batches are dropped
//! and their lines counted. Buffers come back to the shards, so in steady state nothing is allocated.
//!
//! The thread outlives every error of its target. A disk that is full now may have room later.

use super::access::{Formatter, Record};
use super::counters::Counters;
use crate::settings::{LogFormat, LogTarget};
use crate::time::{Clock, Instant};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased, unbounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// The access log of a server: starts the writing thread and makes the shards' ends.
#[derive(Debug)]
pub struct LogWriter {
    batches: Sender<Batch>,
    spare: Receiver<Vec<u8>>,
    control: Sender<Control>,
    done: Receiver<()>,
    lost: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    format: LogFormat,
}

/// Where one shard puts its log lines. Dropping it hands over what it still holds.
#[derive(Debug)]
pub struct LogSink {
    formatter: Formatter,
    buffer: Vec<u8>,
    lines: u64,
    batches: Sender<Batch>,
    spare: Receiver<Vec<u8>>,
    counters: Arc<Counters>,
    /// Lines dropped by any shard, for the thread to report.
    dropped: Arc<AtomicU64>,
}

/// The lines of a sink that nobody writes, for tests.
#[derive(Debug)]
pub struct LogLines(Receiver<Batch>);

/// Whole lines of one shard.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u64,
}

#[derive(Debug)]
enum Control {
    Reopen,
    Stop,
}

impl LogWriter {
    /// Opens the target and starts the thread. `None` when the log is off.
    ///
    /// # Errors
    /// When the target cannot be opened for appending.
    pub fn start(target: &LogTarget, format: LogFormat) -> io::Result<Option<Self>> {
        let Some(output) = Output::open(target)? else { return Ok(None) };
        Self::spawn(output, format).map(Some)
    }

    fn spawn(output: Output, format: LogFormat) -> io::Result<Self> {
        let (batches, incoming) = bounded(BATCHES_MAX);
        let (used, spare) = bounded(BATCHES_MAX);
        let (control, commands) = unbounded();
        let (finished, done) = bounded(1);
        let (lost, dropped) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut writing = Writing {
            output,
            lost: Arc::clone(&lost),
            dropped: Arc::clone(&dropped),
            dropped_reported: (0, Instant::ZERO),
            used,
            clock: Clock::real(),
            mid_line: false,
            trouble: None,
        };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writing.run(&incoming, &commands);
            _ = finished.send(());
        })?;
        Ok(Self { batches, spare, control, done, lost, dropped, format })
    }

    /// An end for one shard, which counts the lines it must drop in the shard's counters.
    pub fn sink(&self, counters: Arc<Counters>) -> LogSink {
        LogSink {
            formatter: Formatter::new(self.format),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            lines: 0,
            batches: self.batches.clone(),
            spare: self.spare.clone(),
            counters,
            dropped: Arc::clone(&self.dropped),
        }
    }

    /// Opens a log file anew, after it was rotated away. Other targets stay as they are.
    pub fn reopen(&self) {
        _ = self.control.send(Control::Reopen);
    }

    /// Lines that reached the thread but not the target.
    pub fn lost_lines(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes what the shards have handed over and ends the thread. False when that took longer than `wait`, as
    /// it does when the target is a pipe that nobody reads; the thread is then left to the end of the process.
    pub fn stop(self, wait: Duration) -> bool {
        _ = self.control.send(Control::Stop);
        self.done.recv_timeout(wait).is_ok()
    }
}

impl LogLines {
    /// The lines that were handed over since the last call.
    pub fn take(&self) -> Vec<String> {
        let batches = self.0.try_iter().map(|batch| String::from_utf8_lossy(&batch.bytes).into_owned());
        batches.flat_map(|batch| batch.lines().map(Into::into).collect::<Vec<_>>()).collect()
    }
}

impl LogSink {
    /// A sink whose lines stay in memory until they are taken: [`LogSink::flush`] hands them over.
    pub fn in_memory(format: LogFormat, counters: Arc<Counters>) -> (Self, LogLines) {
        let (batches, incoming) = unbounded();
        let (_, spare) = bounded(0);
        let formatter = Formatter::new(format);
        let dropped = Arc::default();
        (
            Self { formatter, buffer: Vec::new(), lines: 0, batches, spare, counters, dropped },
            LogLines(incoming),
        )
    }

    /// Adds a line. Never blocks.
    #[inline]
    pub fn write(&mut self, record: &Record<'_>) {
        self.formatter.append(&mut self.buffer, record);
        self.lines += 1;
        if self.buffer.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Whether no line waits here.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Hands over what waits here. When the writer is behind, lines stay until their buffer is full and are
    /// then dropped and counted. Never blocks.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        let full = self.buffer.len() >= BATCH_BYTES;
        if self.batches.is_full() {
            if full {
                self.drop_lines();
            }
            return;
        }
        let next = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
        let bytes = std::mem::replace(&mut self.buffer, next);
        let batch = Batch { bytes, lines: std::mem::take(&mut self.lines) };
        // Another shard may have taken the last place since we looked.
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.batches.try_send(batch)
        {
            self.buffer = batch.bytes;
            self.lines = batch.lines;
            if full {
                self.drop_lines();
            }
        }
    }

    fn drop_lines(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.counters.log_lines_dropped.add(lines);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
        self.buffer.clear();
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        self.flush();
        self.drop_lines();
    }
}

/// State of the writing thread.
struct Writing {
    output: Output,
    lost: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    /// How many of them were reported, and when.
    dropped_reported: (u64, Instant),
    used: Sender<Vec<u8>>,
    clock: Clock,
    /// The target took part of a line and then failed: the next line must not continue it.
    mid_line: bool,
    trouble: Option<Trouble>,
}

/// The target fails; cleared when it takes lines again.
struct Trouble {
    reported: Instant,
    lost_lines: u64,
}

impl Writing {
    fn run(&mut self, incoming: &Receiver<Batch>, commands: &Receiver<Control>) {
        loop {
            select_biased! {
                recv(commands) -> command => match command {
                    Ok(Control::Reopen) => self.reopen(),
                    Ok(Control::Stop) | Err(_) => break,
                },
                recv(incoming) -> batch => match batch {
                    Ok(batch) => self.write(batch),
                    Err(_) => break,
                },
            }
        }
        incoming.try_iter().for_each(|batch| self.write(batch));
    }

    fn write(&mut self, batch: Batch) {
        match self.write_lines(&batch.bytes) {
            Ok(()) => self.recovered(),
            Err((error, rest)) => {
                let unwritten = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.failed(&error, unwritten.min(batch.lines));
            }
        }
        self.report_dropped();
        let mut bytes = batch.bytes;
        bytes.clear();
        // A few enormous lines must not leave enormous buffers behind.
        if bytes.capacity() <= BUFFER_BYTES * 2 {
            _ = self.used.try_send(bytes);
        }
    }

    /// Writes all, or says why not and what is left.
    fn write_lines<'a>(&mut self, bytes: &'a [u8]) -> Result<(), (io::Error, &'a [u8])> {
        if self.mid_line {
            self.output.write_some(b"\n").map_err(|error| (error, bytes))?;
            self.mid_line = false;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.output.write_some(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) => {
                    let written = &bytes[..bytes.len() - rest.len()];
                    self.mid_line = written.last().is_some_and(|byte| *byte != b'\n');
                    return Err((error, rest));
                }
            }
        }
        Ok(())
    }

    /// Counts lost lines and says so, once a minute at most.
    fn failed(&mut self, error: &io::Error, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        let now = self.clock.now();
        let report = |lost_lines| {
            log::warn!("access log {}: {error}; {lost_lines} lines lost", self.output.name());
        };
        match &mut self.trouble {
            Some(trouble) => {
                trouble.lost_lines += lines;
                if now - trouble.reported >= REPORT_EVERY {
                    trouble.reported = now;
                    report(trouble.lost_lines);
                }
            }
            None => {
                report(lines);
                self.trouble = Some(Trouble { reported: now, lost_lines: lines });
            }
        }
    }

    /// Says that shards had to drop lines, once a minute at most.
    fn report_dropped(&mut self) {
        let (reported, when) = self.dropped_reported;
        let (dropped, now) = (self.dropped.load(Ordering::Relaxed), self.clock.now());
        if dropped > reported && (reported == 0 || now - when >= REPORT_EVERY) {
            self.dropped_reported = (dropped, now);
            log::warn!("access log {} is too slow: {dropped} lines dropped so far", self.output.name());
        }
    }

    fn recovered(&mut self) {
        if let Some(Trouble { lost_lines, .. }) = self.trouble.take() {
            log::warn!("access log {}: writing again; {lost_lines} lines lost", self.output.name());
        }
    }

    fn reopen(&mut self) {
        match self.output.reopen() {
            Ok(()) => self.mid_line = false,
            Err(error) => log::warn!("access log {} stays as it is: {error}", self.output.name()),
        }
    }
}

/// What lines are written to.
enum Output {
    /// Standard output or standard error, under its name.
    Inherited(&'static str, File),
    /// A file that may be rotated away.
    File(std::path::PathBuf, File),
}

impl Output {
    fn open(target: &LogTarget) -> io::Result<Option<Self>> {
        // A duplicate of the descriptor goes around the standard library's buffer and lock.
        let inherited =
            |fd: io::Result<std::os::fd::OwnedFd>, name| Ok(Some(Self::Inherited(name, fd?.into())));
        match target {
            LogTarget::Off => Ok(None),
            LogTarget::Stdout => inherited(io::stdout().as_fd().try_clone_to_owned(), "stdout"),
            LogTarget::Stderr => inherited(io::stderr().as_fd().try_clone_to_owned(), "stderr"),
            LogTarget::File(path) => Ok(Some(Self::File(path.clone(), open_append(path)?))),
        }
    }

    fn name(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Inherited(name, _) => (*name).into(),
            Self::File(path, _) => path.to_string_lossy(),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::Inherited(..) => Ok(()),
            Self::File(path, file) => {
                *file = open_append(path)?;
                Ok(())
            }
        }
    }

    /// Writes at least one byte, however long that takes.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (Self::Inherited(_, file) | Self::File(_, file)) = self;
        loop {
            match file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => return Ok(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares our standard output made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// A shard hands over its buffer when it holds this much.
const BATCH_BYTES: usize = 32 * 1024;
/// Allocated for a buffer: a batch and the line that completes it.
const BUFFER_BYTES: usize = BATCH_BYTES + 4 * 1024;
/// Batches that may wait for the thread: 4 MiB of lines.
const BATCHES_MAX: usize = 128;
const REPORT_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::TempDir;
    use std::fs;
    use std::io::Read;

    const WAIT: Duration = Duration::from_secs(10);

    fn counters() -> Arc<Counters> {
        Arc::new(Counters::new(&[]))
    }

    fn writer(target: LogTarget) -> LogWriter {
        LogWriter::start(&target, LogFormat::Combined).unwrap().unwrap()
    }

    fn record(number: u64) -> Record<'static> {
        Record { peer: "192.0.2.1:80", sent_bytes: number, ..Record::default() }
    }

    /// The `sent_bytes` of every line, in order; fails on a line that is not whole.
    fn numbers(log: &str) -> Vec<u64> {
        let number = |line: &str| line.split(' ').nth(7).unwrap().parse().unwrap();
        log.lines().inspect(|line| assert!(line.ends_with("\"-\" \"-\""), "{line}")).map(number).collect()
    }

    #[test]
    fn an_access_log_that_is_off_has_no_thread() {
        assert!(LogWriter::start(&LogTarget::Off, LogFormat::Json).unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
        let target = LogTarget::File("/proc/no/such/file".into());
        assert!(LogWriter::start(&target, LogFormat::Json).is_err());
    }

    #[test]
    fn every_line_of_every_shard_arrives_in_its_order() {
        let dir = TempDir::new();
        let log = writer(LogTarget::File(dir.path("access.log")));
        let shards: Vec<_> = (0..4)
            .map(|shard| {
                let mut sink = log.sink(counters());
                thread::spawn(move || {
                    for n in 0..5_000 {
                        sink.write(&record(shard * 1_000_000 + n));
                        if n % 64 == 0 {
                            thread::sleep(Duration::from_micros(50));
                        }
                    }
                    sink.counters.log_lines_dropped.get()
                })
            })
            .collect();
        let dropped: u64 = shards.into_iter().map(|shard| shard.join().unwrap()).sum();
        assert!(log.stop(WAIT));
        assert_eq!(dropped, 0);
        let all = numbers(&fs::read_to_string(dir.path("access.log")).unwrap());
        assert_eq!(all.len(), 20_000);
        for shard in 0..4 {
            let own = all.iter().filter(|n| **n / 1_000_000 == shard).map(|n| n % 1_000_000);
            assert!(own.eq(0..5_000));
        }
    }

    #[test]
    fn a_flush_brings_few_lines_out() {
        let dir = TempDir::new();
        let log = writer(LogTarget::File(dir.path("access.log")));
        let mut sink = log.sink(counters());
        sink.write(&record(1));
        assert!(!sink.is_empty());
        sink.flush();
        assert!(sink.is_empty());
        assert!(log.stop(WAIT));
        assert_eq!(numbers(&fs::read_to_string(dir.path("access.log")).unwrap()), [1]);
        sink.write(&record(2));
        sink.flush();
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let dir = TempDir::new();
        let (path, old) = (dir.path("access.log"), dir.path("access.log.1"));
        let log = writer(LogTarget::File(path.clone()));
        let mut sink = log.sink(counters());
        sink.write(&record(1));
        sink.flush();
        while fs::metadata(&path).unwrap().len() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        fs::rename(&path, &old).unwrap();
        log.reopen();
        while !path.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        sink.write(&record(2));
        drop(sink);
        assert!(log.stop(WAIT));
        assert_eq!(numbers(&fs::read_to_string(&old).unwrap()), [1]);
        assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), [2]);
    }

    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let log = writer(LogTarget::File("/dev/full".into()));
        let mut sink = log.sink(counters());
        for n in 0..2_000 {
            sink.write(&record(n));
        }
        sink.flush();
        let dropped = sink.counters.log_lines_dropped.get();
        let lost = Arc::clone(&log.lost);
        assert!(log.stop(WAIT));
        assert_eq!(lost.load(Ordering::Relaxed) + dropped, 2_000);
    }

    /// A writing thread's state over a pipe, to step through by hand.
    fn over_pipe() -> (Writing, io::PipeReader) {
        let (reader, pipe) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let writing = Writing {
            output: Output::Inherited("pipe", file),
            lost: Arc::default(),
            dropped: Arc::default(),
            dropped_reported: (0, Instant::ZERO),
            used: bounded(1).0,
            clock: Clock::manual(0),
            mid_line: false,
            trouble: None,
        };
        (writing, reader)
    }

    #[test]
    fn a_line_that_was_cut_is_not_continued_by_the_next() {
        let (mut writing, mut reader) = over_pipe();
        // As the disk would leave it that filled up in the middle of a line.
        writing.output.write_some(b"half a li").unwrap();
        writing.mid_line = true;
        writing.write(Batch { bytes: b"whole\n".to_vec(), lines: 1 });
        drop(writing);
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        assert_eq!(log, "half a li\nwhole\n");
    }

    #[test]
    fn a_reader_that_left_is_reported_once_a_minute() {
        let (mut writing, reader) = over_pipe();
        drop(reader);
        let batch = || Batch { bytes: b"one\ntwo\n".to_vec(), lines: 2 };
        writing.write(batch());
        writing.clock.advance(REPORT_EVERY / 2);
        writing.write(batch());
        assert_eq!(writing.trouble.as_ref().unwrap().reported, Instant::ZERO);
        writing.clock.advance(REPORT_EVERY / 2);
        writing.write(batch());
        let trouble = writing.trouble.as_ref().unwrap();
        assert_eq!((trouble.reported, trouble.lost_lines), (Instant::ZERO + REPORT_EVERY, 6));
        assert_eq!(writing.lost.load(Ordering::Relaxed), 6);

        // Somebody reads again: the next line gets through and the trouble is over.
        let (recovered, mut reader) = over_pipe();
        writing.output = recovered.output;
        writing.write(batch());
        assert!(writing.trouble.is_none());
        drop(writing);
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        assert_eq!(log, "one\ntwo\n");
    }

    #[test]
    fn a_pipe_that_nobody_reads_blocks_neither_shards_nor_the_stop() {
        let (reader, pipe) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(pipe));
        let log = LogWriter::spawn(Output::Inherited("pipe", file), LogFormat::Combined).unwrap();
        let mut sink = log.sink(counters());
        let lines = 200_000;
        for n in 0..lines {
            sink.write(&record(n));
        }
        let dropped = sink.counters.log_lines_dropped.get();
        assert!(dropped > 0, "the channel holds less than all that");
        drop(sink);
        assert!(!log.stop(Duration::from_millis(50)));
        drop(reader);
    }

    #[test]
    fn dropped_lines_are_reported_once_a_minute() {
        let (mut writing, _reader) = over_pipe();
        let batch = || Batch { bytes: b"one\n".to_vec(), lines: 1 };
        writing.dropped.store(5, Ordering::Relaxed);
        writing.write(batch());
        assert_eq!(writing.dropped_reported, (5, Instant::ZERO));
        writing.dropped.store(9, Ordering::Relaxed);
        writing.write(batch());
        assert_eq!(writing.dropped_reported.0, 5);
        writing.clock.advance(REPORT_EVERY);
        writing.write(batch());
        assert_eq!(writing.dropped_reported.0, 9);
    }

    #[test]
    fn buffers_come_back_to_the_shards() {
        let dir = TempDir::new();
        let log = writer(LogTarget::File(dir.path("access.log")));
        let mut sink = log.sink(counters());
        sink.write(&record(1));
        let used = sink.buffer.as_ptr();
        sink.flush();
        while sink.spare.is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        sink.write(&record(2));
        sink.flush();
        assert_eq!(sink.buffer.as_ptr(), used);
    }
}

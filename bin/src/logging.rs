//! The process log: one line an event on standard error, `TIME LEVEL TARGET: MESSAGE`.
//!
//! It is for the few things that happen to the process. What happens to requests is in the access log, which the
//! engine writes off the shards' path.
//!
//! Shards write here too, when an origin fails for instance, and nobody may read what they write: a line for which
//! there is no room is lost and counted, since a shard that waits for a pipe serves nobody.

use log::{LevelFilter, Log, Metadata, Record};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Shows events up to `level` from now on.
pub(crate) fn start(level: LevelFilter) {
    // A second call, which only tests make, keeps the first logger.
    let _ = log::set_logger(&STDERR);
    log::set_max_level(level);
}

static STDERR: Stderr = Stderr { lost: AtomicU64::new(0) };

struct Stderr {
    /// Lines since the last one that was written.
    lost: AtomicU64,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(std::io::stderr().lock(), format_line(now(), record));
        }
    }

    fn flush(&self) {}
}

impl Stderr {
    fn write(&self, mut target: impl std::io::Write + AsFd, mut line: String) {
        if !has_room(&target) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = write!(line, " [{lost} lines before this one were lost: nobody read them]");
        }
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX - 1));
        line.push('\n');
        // Nobody reads it any more, or the disk is full: no reason to end.
        let _ = target.write_all(line.as_bytes());
    }
}

/// Whether a line can be written without waiting. A pipe says so when [`LINE_BYTES_MAX`] bytes fit.
fn has_room(target: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(target.as_fd(), PollFlags::POLLOUT)];
    // What cannot be polled is no pipe.
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

/// What Linux writes to a pipe as one piece (PIPE_BUF).
const LINE_BYTES_MAX: usize = 4096;

fn format_line(since_epoch: Duration, record: &Record<'_>) -> String {
    let mut line = format_time(since_epoch);
    let _ = write!(line, " {:5} {}: ", record.level(), record.target());
    let message = record.args().to_string();
    for c in message.chars() {
        // A message may quote what a peer sent: it must stay one line and must not steer a terminal.
        match c {
            '\t' => line.push(c),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// UTC as RFC 3339 writes it, with milliseconds.
fn format_time(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milliseconds = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March here, so that the leap day is
/// the last of its year and months follow one rule.
fn date_of(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_month)
}

#[expect(clippy::disallowed_methods, reason = "the process log has no shard whose clock it could use")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(format_time(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up() {
        let (mut read, write) = std::io::pipe().unwrap();
        let log = Stderr { lost: AtomicU64::new(0) };
        for _ in 0..1000 {
            log.write(&write, "x".repeat(5000));
        }
        let lost = log.lost.load(Ordering::Relaxed);
        assert!((900..1000).contains(&lost), "{lost}");
        let mut text = vec![0; LINE_BYTES_MAX * (1000 - lost as usize)];
        std::io::Read::read_exact(&mut read, &mut text).unwrap();
        assert!(text.chunks(LINE_BYTES_MAX).all(|line| line.ends_with(b"x\n")));
        log.write(&write, "y".into());
        drop(write);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut read, &mut text).unwrap();
        assert_eq!(text, format!("y [{lost} lines before this one were lost: nobody read them]\n"));
    }

    #[test]
    fn a_message_stays_one_line() {
        let args = format_args!("a\r\nb\u{1b}[2J\té");
        let record = Record::builder().level(Level::Warn).target("ringway::x").args(args).build();
        let line = format_line(Duration::from_millis(1), &record);
        assert_eq!(line, "1970-01-01T00:00:00.001Z WARN  ringway::x: a\\r\\nb\\u{1b}[2J\té");
    }
}

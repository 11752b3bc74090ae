//! One line of the access log.

use super::text;
use crate::settings::LogFormat;
use crate::time::Civil;

/// What is known about an exchange at its end. Byte slices are as the peer sent them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// When the request arrived, in milliseconds since 1970 UTC.
    pub unix_ms: u64,
    /// The request's id.
    pub request_id: &'a [u8],
    /// Address of the client.
    pub peer: &'a str,
    /// Request method; empty when there was none to read.
    pub method: &'a [u8],
    /// Request target as received; empty when there was none to read.
    pub target: &'a [u8],
    /// The host that was asked for.
    pub host: Option<&'a [u8]>,
    /// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`, or `TCP` for a raw tunnel; empty when there was no request to read.
    pub protocol: &'a str,
    /// Status sent to the client; 0 when none was.
    pub status: u16,
    /// Body bytes received from the client.
    pub received_bytes: u64,
    /// Body bytes sent to the client.
    pub sent_bytes: u64,
    /// The `Referer` field.
    pub referer: Option<&'a [u8]>,
    /// The `User-Agent` field.
    pub user_agent: Option<&'a [u8]>,
    /// Name of the cluster that the route chose.
    pub cluster: Option<&'a str>,
    /// Address of the endpoint that was tried last.
    pub endpoint: Option<&'a str>,
    /// How many endpoints were tried.
    pub attempts: u32,
    /// From the request head to the choice of an endpoint, queueing included.
    pub select_us: Option<u64>,
    /// Until a connection to it was there.
    pub connect_us: Option<u64>,
    /// From the request head to the first byte of the endpoint's answer.
    pub first_byte_us: Option<u64>,
    /// From the request head to the end of the exchange.
    pub total_us: u64,
    /// How the exchange ended: a word of the outcome table.
    pub outcome: &'a str,
    /// Which rule refused the request, if one did.
    pub rule: Option<&'a str>,
    /// Which request this was on its client connection, from 1.
    pub downstream_request: u64,
}

/// Turns records into lines.
#[derive(Debug)]
pub struct Formatter {
    format: LogFormat,
    /// The second that `time` shows.
    unix_s: u64,
    /// The part of the time text that stays for a second.
    time: Vec<u8>,
}

impl Formatter {
    /// A formatter for lines of this kind.
    pub fn new(format: LogFormat) -> Self {
        let mut formatter = Self { format, unix_s: 0, time: Vec::with_capacity(TIME_BYTES) };
        formatter.write_time();
        formatter
    }

    /// Appends the record as one line, newline included.
    pub fn append(&mut self, out: &mut Vec<u8>, record: &Record<'_>) {
        if record.unix_ms / 1_000 != self.unix_s {
            self.unix_s = record.unix_ms / 1_000;
            self.write_time();
        }
        match self.format {
            LogFormat::Json => self.append_json(out, record),
            LogFormat::Combined => self.append_combined(out, record),
        }
    }

    fn append_json(&self, out: &mut Vec<u8>, record: &Record<'_>) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(&self.time);
        let millis = u16::try_from(record.unix_ms % 1_000).expect("below 1000");
        out.extend_from_slice(&[b'.', b'0' + (millis / 100) as u8]);
        text::two_digits(out, (millis % 100) as u8);
        out.extend_from_slice(b"Z\"");

        let string = |out: &mut Vec<u8>, name, value: &[u8]| text::json_string(out, name, shortened(value));
        string(out, "id", record.request_id);
        string(out, "peer", record.peer.as_bytes());
        string(out, "method", or_dash(record.method));
        string(out, "target", or_dash(record.target));
        record.host.into_iter().for_each(|host| string(out, "host", host));
        string(out, "protocol", or_dash(record.protocol.as_bytes()));
        text::json_number(out, "status", u64::from(record.status));
        text::json_number(out, "received", record.received_bytes);
        text::json_number(out, "sent", record.sent_bytes);
        record.referer.into_iter().for_each(|value| string(out, "referer", value));
        record.user_agent.into_iter().for_each(|value| string(out, "user_agent", value));
        record.cluster.into_iter().for_each(|value| string(out, "cluster", value.as_bytes()));
        record.endpoint.into_iter().for_each(|value| string(out, "endpoint", value.as_bytes()));
        text::json_number(out, "attempts", u64::from(record.attempts));
        record.select_us.into_iter().for_each(|us| text::json_number(out, "select_us", us));
        record.connect_us.into_iter().for_each(|us| text::json_number(out, "connect_us", us));
        record.first_byte_us.into_iter().for_each(|us| text::json_number(out, "first_byte_us", us));
        text::json_number(out, "total_us", record.total_us);
        string(out, "outcome", record.outcome.as_bytes());
        record.rule.into_iter().for_each(|value| string(out, "rule", value.as_bytes()));
        text::json_number(out, "downstream_request", record.downstream_request);
        out.extend_from_slice(b"}\n");
    }

    /// `peer - - [time] "request line" status bytes "referer" "user agent"`.
    fn append_combined(&self, out: &mut Vec<u8>, record: &Record<'_>) {
        text::x_escaped(out, without_port(record.peer).as_bytes());
        out.extend_from_slice(b" - - [");
        out.extend_from_slice(&self.time);
        out.extend_from_slice(b"] \"");
        if record.method.is_empty() {
            out.push(b'-');
        } else {
            text::x_escaped(out, shortened(record.method));
            out.push(b' ');
            text::x_escaped(out, shortened(record.target));
            out.push(b' ');
            text::x_escaped(out, record.protocol.as_bytes());
        }
        out.extend_from_slice(b"\" ");
        // Three characters always: what reads this format expects a status there.
        out.extend_from_slice(if record.status < 100 { b"00" } else { b"" });
        text::decimal(out, u64::from(record.status));
        out.push(b' ');
        text::decimal(out, record.sent_bytes);
        for value in [record.referer, record.user_agent] {
            out.extend_from_slice(b" \"");
            text::x_escaped(out, shortened(value.unwrap_or(b"-")));
            out.push(b'"');
        }
        out.push(b'\n');
    }

    /// JSON: RFC 3339 without the fraction. Combined: as the common log format has it.
    #[cold]
    fn write_time(&mut self) {
        let civil = Civil::from_unix(self.unix_s);
        let out = &mut self.time;
        out.clear();
        match self.format {
            LogFormat::Json => {
                text::decimal(out, civil.year);
                out.push(b'-');
                text::two_digits(out, civil.month);
                out.push(b'-');
                text::two_digits(out, civil.day);
                out.push(b'T');
            }
            LogFormat::Combined => {
                text::two_digits(out, civil.day);
                out.push(b'/');
                out.extend_from_slice(civil.month_name().as_bytes());
                out.push(b'/');
                text::decimal(out, civil.year);
                out.push(b':');
            }
        }
        text::two_digits(out, civil.hour);
        out.push(b':');
        text::two_digits(out, civil.minute);
        out.push(b':');
        text::two_digits(out, civil.second);
        if self.format == LogFormat::Combined {
            out.extend_from_slice(b" +0000");
        }
    }
}

/// The address alone, which is what readers of the combined format expect in front. An IPv6 address has brackets
/// when a port follows.
fn without_port(peer: &str) -> &str {
    if let Some(rest) = peer.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    match peer.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => peer,
    }
}

/// What both formats write where there is nothing.
fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

/// At most [`VALUE_BYTES_MAX`] of a value: a client must not fill the log faster than it fills our heads.
fn shortened(value: &[u8]) -> &[u8] {
    &value[..value.len().min(VALUE_BYTES_MAX)]
}

/// Longest value in a line before escaping; as long as a request target may be.
const VALUE_BYTES_MAX: usize = 16 * 1024;
const TIME_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            unix_ms: 784_111_777_042,
            request_id: b"0123",
            peer: "192.0.2.7:4711",
            method: b"GET",
            target: b"/a?b=\"c\"",
            host: Some(b"example.com"),
            protocol: "HTTP/1.1",
            status: 200,
            received_bytes: 0,
            sent_bytes: 1_234,
            referer: None,
            user_agent: Some(b"curl/8\\\n"),
            cluster: Some("app"),
            endpoint: Some("127.0.0.1:9001"),
            attempts: 1,
            select_us: Some(3),
            connect_us: None,
            first_byte_us: Some(950),
            total_us: 1_000,
            outcome: "completed",
            rule: None,
            downstream_request: 2,
        }
    }

    fn line(format: LogFormat, record: &Record<'_>) -> String {
        let mut out = Vec::new();
        Formatter::new(format).append(&mut out, record);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_has_what_is_known_and_leaves_out_what_is_not() {
        let expected = r#"{"time":"1994-11-06T08:49:37.042Z","id":"0123","peer":"192.0.2.7:4711","#
            .to_owned()
            + r#""method":"GET","target":"/a?b=\"c\"","host":"example.com","protocol":"HTTP/1.1","status":200,"#
            + r#""received":0,"sent":1234,"user_agent":"curl/8\\\u000a","cluster":"app","#
            + r#""endpoint":"127.0.0.1:9001","attempts":1,"select_us":3,"first_byte_us":950,"total_us":1000,"#
            + r#""outcome":"completed","downstream_request":2}"#
            + "\n";
        assert_eq!(line(LogFormat::Json, &record()), expected);
    }

    #[test]
    fn combined_is_what_log_tools_read() {
        let expected = "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b=\\x22c\\x22 HTTP/1.1\" 200 1234 \
                        \"-\" \"curl/8\\x5C\\x0A\"\n";
        assert_eq!(line(LogFormat::Combined, &record()), expected);
    }

    #[test]
    fn combined_names_the_client_without_its_port() {
        for (peer, address) in [
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("192.0.2.1:1", "192.0.2.1"),
            ("::1", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ] {
            let line = line(LogFormat::Combined, &Record { peer, ..record() });
            assert_eq!(line.split_once(" - - ").unwrap().0, address);
        }
    }

    #[test]
    fn a_request_without_a_head_has_a_line_too() {
        let unread = Record { peer: "unix:", ..Record::default() };
        let expected = "unix - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\"\n";
        assert_eq!(line(LogFormat::Combined, &unread), expected);
        let line = line(LogFormat::Json, &unread);
        assert!(line.starts_with("{\"time\":\"1970-01-01T00:00:00.000Z\",\"id\":\"\""), "{line}");
        assert!(line.contains(",\"method\":\"-\",\"target\":\"-\",\"protocol\":\"-\","), "{line}");
    }

    #[test]
    fn hostile_bytes_never_make_a_second_line() {
        let all: Vec<u8> = (0..=255).collect();
        let hostile = Record {
            method: &all,
            target: &all,
            host: Some(&all),
            referer: Some(&all),
            user_agent: Some(&all),
            request_id: &all,
            ..record()
        };
        for format in [LogFormat::Json, LogFormat::Combined] {
            let line = line(format, &hostile);
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            assert!(!line.trim_end_matches('\n').chars().any(char::is_control));
        }
    }

    #[test]
    fn the_time_follows_the_records() {
        let mut formatter = Formatter::new(LogFormat::Json);
        let mut out = Vec::new();
        for unix_ms in [0, 999, 1_000, 61_007] {
            formatter.append(&mut out, &Record { unix_ms, ..Record::default() });
        }
        let text = String::from_utf8(out).unwrap();
        let times: Vec<_> = text.lines().map(|line| &line[20..33]).collect();
        assert_eq!(times, ["00:00:00.000Z", "00:00:00.999Z", "00:00:01.000Z", "00:01:01.007Z"]);
    }

    #[test]
    fn a_value_has_a_longest_length() {
        let long = vec![b'a'; VALUE_BYTES_MAX * 2];
        let line = line(LogFormat::Combined, &Record { target: &long, ..record() });
        assert!(line.len() < VALUE_BYTES_MAX + 200);
    }
}

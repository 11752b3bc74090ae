//! Clients that do as a scenario tells them.

use super::http::{Framing, Message, Reader, Role};
use super::stage::SocketId;
use super::{State, Who, duration};
use ringway_engine::io::Close;
use ringway_engine::time::Instant;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// A client's side of one connection to the proxy. Its methods say what it sends and what it expects; every
/// expectation lets the world go on until it is met or fails.
pub struct Client {
    state: Rc<RefCell<State>>,
    index: usize,
}

pub(crate) struct ClientState {
    socket: SocketId,
    outbox: VecDeque<u8>,
    /// Bytes sent at once, and the pause behind them.
    pace: Option<(usize, Duration)>,
    is_paced: bool,
    is_reading: bool,
    finishes: bool,
    has_left: bool,
    is_broken: bool,
    reader: Reader,
    received: usize,
    end: Option<End>,
    /// Messages that were looked at.
    seen: usize,
    /// A message was found incomplete, and nobody has said that it should be.
    is_doubtful: bool,
    /// When bytes last came.
    at: Instant,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finished,
    Reset,
}

impl Client {
    pub(crate) fn new(state: Rc<RefCell<State>>, index: usize) -> Self {
        Self { state, index }
    }

    /// Sends bytes. Nothing is waited for.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> &Self {
        let mut state = self.state.borrow_mut();
        state.clients[self.index].outbox.extend(bytes.as_ref());
        state.send_outbox(self.index);
        drop(state);
        self
    }

    /// From now on sends so many bytes at once and then waits.
    pub fn pace(&self, bytes: usize, pause: &str) -> &Self {
        self.with(|client| client.pace = Some((bytes, duration(pause))));
        self
    }

    /// What the requests are whose responses come next, where they are not all GET. The helpers below do that.
    pub fn asks(&self, method: &str) -> &Self {
        self.with(|client| client.reader.expect(method));
        self
    }

    /// Sends a GET.
    pub fn get(&self, path: &str) -> &Self {
        self.request("GET", path, "", "")
    }

    /// Sends a HEAD.
    pub fn head(&self, path: &str) -> &Self {
        self.request("HEAD", path, "", "")
    }

    /// Sends a POST with a length.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> &Self {
        let length = format!("Content-Length: {}\r\n", body.as_ref().len());
        self.request("POST", path, &length, body)
    }

    /// Sends a POST with these chunks.
    pub fn post_chunks(&self, path: &str, chunks: &[&str]) -> &Self {
        let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
        self.request("POST", path, "Transfer-Encoding: chunked\r\n", body + "0\r\n\r\n")
    }

    /// Sends a request for `example.com` with more fields, each with its line end, and what follows.
    pub fn request(&self, method: &str, target: &str, fields: &str, body: impl AsRef<[u8]>) -> &Self {
        self.asks(method);
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n")).send(body)
    }

    /// Half-closes when everything is sent.
    pub fn finish(&self) -> &Self {
        self.with(|client| client.finishes = true);
        self.state.borrow_mut().send_outbox(self.index);
        self
    }

    /// Closes at once.
    pub fn close(&self) -> &Self {
        self.state.borrow_mut().leave(self.index);
        self
    }

    /// Resets the connection.
    pub fn reset(&self) -> &Self {
        self.state.borrow_mut().leave_with(self.index, Close::Reset);
        self
    }

    /// Receives nothing any more.
    pub fn stop_reading(&self) -> &Self {
        self.with(|client| client.is_reading = false);
        self
    }

    /// Receives again.
    pub fn resume_reading(&self) -> &Self {
        self.with(|client| client.is_reading = true);
        self.state.borrow_mut().on_client_ready(self.index);
        self
    }

    /// How much may be on its way to the proxy and unread there.
    pub fn set_buffer(&self, bytes: usize) -> &Self {
        let socket = self.with(|client| client.socket);
        self.state.borrow_mut().simulated().set_buffer(socket, bytes);
        self
    }

    /// Waits until everything was sent and has arrived.
    pub fn sent(&self) -> &Self {
        let index = self.index;
        self.state.borrow_mut().wait(|state| state.clients[index].outbox.is_empty());
        self.state.borrow_mut().rest(duration("10ms"));
        self
    }

    /// The head of the next response, interim ones included, has this status.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &Self {
        self.check();
        let index = self.index;
        let came = self.state.borrow_mut().wait(|state| {
            let client = &state.clients[index];
            client.reader.messages.len() > client.seen && !client.is_in_head() || client.is_over()
        });
        self.with(|client| {
            assert!(came && client.reader.messages.len() > client.seen, "no response: {}", client.describe());
            client.seen += 1;
            assert_eq!(client.message().status(), status, "{}", client.describe());
        });
        self
    }

    /// Whether the head of another response has come.
    pub fn has_response(&self) -> bool {
        self.with(|client| client.reader.messages.len() > client.seen && !client.is_in_head())
    }

    /// The status of the next response, where it may be one or another; its content is waited for.
    #[track_caller]
    pub fn any_status(&self) -> u16 {
        let index = self.index;
        self.state.borrow_mut().wait(|state| {
            let client = &state.clients[index];
            client.reader.messages.len() > client.seen && !client.is_in_head() || client.is_over()
        });
        let status = self.with(|client| {
            assert!(client.reader.messages.len() > client.seen, "no response: {}", client.describe());
            client.seen += 1;
            client.message().status()
        });
        self.wait_for_message();
        status
    }

    /// This field is there once, with this value.
    #[track_caller]
    pub fn expect_header(&self, name: &str, value: &str) -> &Self {
        self.with(|client| {
            assert_eq!(client.message().all(name), [value], "{name}: {}", client.describe());
        });
        self
    }

    /// These are the values of a field, in order.
    #[track_caller]
    pub fn expect_headers(&self, name: &str, values: &[&str]) -> &Self {
        self.with(|client| assert_eq!(client.message().all(name), values, "{name}: {}", client.describe()));
        self
    }

    /// This field is not there.
    #[track_caller]
    pub fn expect_no_header(&self, name: &str) -> &Self {
        self.expect_headers(name, &[])
    }

    /// How the response is framed.
    #[track_caller]
    pub fn expect_framing(&self, framing: Framing) -> &Self {
        self.with(|client| assert_eq!(client.message().framing, framing, "{}", client.describe()));
        self
    }

    /// The start line, exactly.
    #[track_caller]
    pub fn expect_line(&self, line: &str) -> &Self {
        self.with(|client| assert_eq!(client.message().line, line));
        self
    }

    /// The content, until the response is complete or the connection over. An incomplete one must be followed by
    /// [`Client::expect_aborted`].
    #[track_caller]
    pub fn expect_body(&self, body: impl AsRef<[u8]>) -> &Self {
        self.wait_for_message();
        self.with(|client| {
            let got = client.message().body.as_slice();
            let (got, want) = (got.escape_ascii().to_string(), body.as_ref().escape_ascii().to_string());
            assert!(got == want, "body {got:.200?} ({}), not {want:.200?}: {}", got.len(), client.describe());
            client.is_doubtful = !client.message().is_complete;
        });
        self
    }

    /// So many bytes of content.
    #[track_caller]
    pub fn expect_body_len(&self, len: usize) -> &Self {
        self.wait_for_message();
        self.with(|client| {
            assert_eq!(client.message().body.len(), len, "{}", client.describe());
            client.is_doubtful = !client.message().is_complete;
        });
        self
    }

    /// The content begins like this; nothing is said about its end. Waits until so much has come.
    #[track_caller]
    pub fn expect_body_so_far(&self, body: &str) -> &Self {
        let index = self.index;
        self.state.borrow_mut().wait(|state| {
            let client = &state.clients[index];
            client.message().body.len() >= body.len() || client.is_over()
        });
        self.with(|client| {
            let got = client.message().body.escape_ascii().to_string();
            assert_eq!(got, body, "{}", client.describe());
        });
        self
    }

    /// The trailer fields.
    #[track_caller]
    pub fn expect_trailers(&self, expected: &[(&str, &str)]) -> &Self {
        self.wait_for_message();
        self.with(|client| {
            let trailers = &client.message().trailers;
            let got: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(got, expected, "{}", client.describe());
        });
        self
    }

    /// A complete 200 with this content.
    #[track_caller]
    pub fn expect_ok(&self, body: impl AsRef<[u8]>) -> &Self {
        self.expect_status(200).expect_body(body)
    }

    /// The response is incomplete, and the client can see that.
    #[track_caller]
    pub fn expect_aborted(&self) -> &Self {
        self.wait_for_message();
        self.with(|client| {
            let is_cut = client.is_over() && !client.message().is_complete;
            assert!(is_cut, "not cut: {}", client.describe());
            client.is_doubtful = false;
        });
        self
    }

    /// The connection breaks before any response.
    #[track_caller]
    pub fn expect_no_response(&self) -> &Self {
        self.check();
        let index = self.index;
        self.state.borrow_mut().wait(|state| state.clients[index].is_over());
        self.with(|client| {
            assert!(client.is_over(), "not over: {}", client.describe());
            assert_eq!(client.reader.messages.len(), client.seen, "{}", client.describe());
        });
        self
    }

    /// The proxy closes in order, with nothing behind what was looked at.
    #[track_caller]
    pub fn expect_closed(&self) -> &Self {
        self.check();
        let index = self.index;
        self.state.borrow_mut().wait(|state| state.clients[index].is_over());
        self.with(|client| {
            assert_eq!(client.end, Some(End::Finished), "{}", client.describe());
            assert_eq!(client.reader.messages.len(), client.seen, "{}", client.describe());
        });
        self
    }

    /// The proxy breaks the connection off: what came is not to be taken for the whole.
    #[track_caller]
    pub fn expect_reset(&self) -> &Self {
        let index = self.index;
        self.state.borrow_mut().wait(|state| state.clients[index].is_over());
        self.with(|client| assert_eq!(client.end, Some(End::Reset), "{}", client.describe()));
        self
    }

    /// The connection is over in some way.
    #[track_caller]
    pub fn expect_over(&self) -> &Self {
        let index = self.index;
        self.state.borrow_mut().wait(|state| state.clients[index].is_over());
        self.with(|client| assert!(client.is_over(), "not over: {}", client.describe()));
        self
    }

    /// The connection is open for another request, and nothing more has come.
    #[track_caller]
    pub fn expect_kept_alive(&self) -> &Self {
        self.expect_silence()
    }

    /// Nothing more comes for the moment, and the connection stays open.
    #[track_caller]
    pub fn expect_silence(&self) -> &Self {
        self.check();
        let before = self.with(|client| client.received);
        self.state.borrow_mut().rest(duration("50ms"));
        self.with(|client| {
            assert_eq!(client.end, None, "over: {}", client.describe());
            assert_eq!(client.received, before, "more came: {}", client.describe());
            assert_eq!(client.reader.messages.len(), client.seen, "more came: {}", client.describe());
        });
        self
    }

    /// These opaque bytes came, all in all.
    #[track_caller]
    pub fn expect_raw(&self, bytes: impl AsRef<[u8]>) -> &Self {
        let (index, bytes) = (self.index, bytes.as_ref());
        self.state.borrow_mut().wait(|state| {
            let client = &state.clients[index];
            client.reader.raw.len() >= bytes.len() || client.is_over()
        });
        self.with(|client| {
            let is_equal = client.reader.raw == bytes;
            assert!(is_equal, "not {:.200?}: {:.2000}", bytes.escape_ascii().to_string(), client.describe());
        });
        self
    }

    /// What follows is opaque: the client has a tunnel.
    pub fn tunnels(&self) -> &Self {
        self.with(|client| client.reader.become_raw());
        self
    }

    /// Bytes last came so long after the beginning, give or take what a rough network adds.
    #[track_caller]
    pub fn expect_at(&self, time: &str) -> &Self {
        self.state.borrow_mut().simulated();
        let at = self.with(|client| client.at) - Instant::ZERO;
        let expected = duration(time);
        let is_close =
            at + Duration::from_millis(50) >= expected && at <= expected + Duration::from_millis(100);
        assert!(is_close, "it came at {at:?}, not {expected:?}");
        self
    }

    /// The last response, to look at.
    pub fn response(&self) -> Message {
        self.with(|client| client.message().clone())
    }

    /// Bytes received so far.
    pub fn received_bytes(&self) -> usize {
        self.with(|client| client.received)
    }

    #[track_caller]
    fn wait_for_message(&self) {
        let index = self.index;
        self.state.borrow_mut().wait(|state| {
            let client = &state.clients[index];
            client.message().is_complete || client.is_over()
        });
    }

    /// What was found incomplete has to be declared so before anything else is expected.
    #[track_caller]
    fn check(&self) {
        self.with(|client| {
            assert!(!client.is_doubtful, "cut, and nobody expected it: {}", client.describe())
        });
    }

    #[track_caller]
    fn with<T>(&self, look: impl FnOnce(&mut ClientState) -> T) -> T {
        look(&mut self.state.borrow_mut().clients[self.index])
    }
}

impl ClientState {
    pub(crate) fn new(socket: SocketId) -> Self {
        Self {
            socket,
            outbox: VecDeque::new(),
            pace: None,
            is_paced: false,
            is_reading: true,
            finishes: false,
            has_left: false,
            is_broken: false,
            reader: Reader::new(Role::Responses),
            received: 0,
            end: None,
            seen: 0,
            is_doubtful: false,
            at: Instant::ZERO,
        }
    }

    /// The response that was looked at last.
    #[track_caller]
    fn message(&self) -> &Message {
        let seen = self.seen.checked_sub(1).expect("expect a status first");
        &self.reader.messages[seen]
    }

    /// The last message is only a part of a head.
    fn is_in_head(&self) -> bool {
        self.reader.is_in_head()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some() || self.reader.error.is_some()
    }

    fn describe(&self) -> String {
        let messages: Vec<String> = self.reader.messages.iter().map(describe).collect();
        format!(
            "the client received {} bytes, end {:?}, error {:?}, looked at {}: {messages:#?} raw {:?}",
            self.received,
            self.end,
            self.reader.error,
            self.seen,
            self.reader.raw.escape_ascii().to_string(),
        )
    }

    /// At the end of a scenario nothing may be open to doubt.
    #[track_caller]
    pub(crate) fn check_end(&self) {
        assert!(!self.is_doubtful, "cut, and nobody expected it: {}", self.describe());
        assert_eq!(self.reader.error, None, "{}", self.describe());
        assert_eq!(self.reader.messages.len(), self.seen, "not looked at: {}", self.describe());
    }
}

fn describe(message: &Message) -> String {
    let fields: Vec<String> = message.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let body = &message.body[..message.body.len().min(60)];
    let rest = if message.is_complete { "complete" } else { "incomplete" };
    format!("{} {fields:?} [{}] {} bytes, {rest}", message.line, body.escape_ascii(), message.body.len())
}

impl State {
    pub(crate) fn on_client_ready(&mut self, index: usize) {
        self.send_outbox(index);
        let now = self.stage.now();
        let client = &mut self.clients[index];
        let mut buffer = [0; 16 * 1024];
        while client.is_reading && client.end.is_none() && !client.has_left {
            match self.stage.receive(client.socket, &mut buffer) {
                Ok(0) if client.is_broken => client.end = Some(End::Reset),
                Ok(0) => {
                    client.reader.finish();
                    client.end = Some(End::Finished);
                }
                Ok(len) => {
                    client.received += len;
                    client.at = now;
                    client.reader.push(&buffer[..len]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => client.end = Some(End::Reset),
            }
        }
    }

    pub(crate) fn on_client_alarm(&mut self, index: usize) {
        self.clients[index].is_paced = false;
        self.send_outbox(index);
    }

    fn send_outbox(&mut self, index: usize) {
        let client = &mut self.clients[index];
        while !client.outbox.is_empty() && !client.has_left && !client.is_paced {
            let most = client.pace.map_or(usize::MAX, |(bytes, _)| bytes);
            let bytes = client.outbox.make_contiguous();
            match self.stage.send(client.socket, &bytes[..bytes.len().min(most)]) {
                Ok(len) => _ = client.outbox.drain(..len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Whoever was told of a break here knows what the end is that he will read.
                // Behind an end in order it is none (EPIPE).
                Err(error) => {
                    client.outbox.clear();
                    client.is_broken = error.kind() != ErrorKind::BrokenPipe;
                }
            }
            if let (Some((_, pause)), false) = (client.pace, client.outbox.is_empty()) {
                client.is_paced = true;
                return self.set_alarm(pause, Who::Client(index));
            }
        }
        if client.outbox.is_empty() && client.finishes && !client.has_left {
            self.stage.finish(client.socket);
        }
    }

    pub(crate) fn leave(&mut self, index: usize) {
        self.leave_with(index, Close::Gentle);
    }

    fn leave_with(&mut self, index: usize, how: Close) {
        let client = &mut self.clients[index];
        if !client.has_left {
            client.has_left = true;
            self.stage.close(client.socket, how);
            self.sockets.insert(client.socket, Who::Nobody);
        }
    }
}

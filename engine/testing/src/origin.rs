//! Origins that do as a scenario tells them.

use super::http::{Message, Reader, Role};
use super::stage::SocketId;
use super::{State, Who, duration};
use ringway_engine::io::Close;
use ringway_engine::io::sim::Welcome;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

/// An origin: what it does with requests, what it saw of them, and its connections.
pub struct Origin {
    state: Rc<RefCell<State>>,
    index: usize,
}

/// What is done with the requests of one rule, step by step. Unless it says otherwise it begins when the request is
/// complete.
pub struct Script {
    state: Rc<RefCell<State>>,
    origin: usize,
    rule: usize,
}

/// A request as an origin received it.
pub struct Request {
    state: Rc<RefCell<State>>,
    origin: usize,
    conn: usize,
    message: usize,
}

pub(crate) struct OriginState {
    rules: Vec<Rule>,
    greeting: Vec<Step>,
    conns: Vec<Conn>,
    /// Which message of which connection, in the order in which they began.
    requests: Vec<(usize, usize)>,
}

struct Rule {
    pattern: String,
    uses_left: Option<usize>,
    steps: Vec<Step>,
    is_early: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// Until so many bytes of content have come.
    Read(usize),
    /// Until the request is complete.
    ReadAll,
    Wait(Duration),
    Finish,
    Close(Close),
    StopReading,
    ResumeReading,
    /// What comes is opaque from now on.
    Tunnel,
    /// Every byte of content goes back at once, in chunks.
    Echo,
    /// Every opaque byte goes back.
    EchoRaw,
    Hang,
}

/// A connection from the proxy.
struct Conn {
    socket: SocketId,
    reader: Reader,
    outbox: VecDeque<u8>,
    /// What is to be done for the request that is served, and what is left of it.
    steps: VecDeque<Step>,
    /// Requests whose script was begun.
    begun: usize,
    /// Content or opaque bytes that were echoed.
    echoed: usize,
    is_reading: bool,
    is_waiting: bool,
    is_gone: bool,
    end: Option<&'static str>,
}

impl Origin {
    pub(crate) fn new(state: Rc<RefCell<State>>, index: usize) -> Self {
        Self { state, index }
    }

    /// What is done with requests of this method and target (`GET /x`, or `*` for any). The first rule that fits and
    /// has a use left is followed.
    pub fn on(&self, pattern: &str) -> Script {
        let rule = self.with(|origin| {
            let pattern = pattern.to_string();
            origin.rules.push(Rule { pattern, uses_left: None, steps: Vec::new(), is_early: false });
            origin.rules.len() - 1
        });
        Script { state: Rc::clone(&self.state), origin: self.index, rule }
    }

    /// Sends this on every new connection, unasked.
    pub fn greets(&self, bytes: impl AsRef<[u8]>) -> &Self {
        self.with(|origin| origin.greeting.push(Step::Send(bytes.as_ref().to_vec())));
        self
    }

    /// Closes every new connection at once, in order.
    pub fn closes_at_once(&self) -> &Self {
        self.with(|origin| origin.greeting.push(Step::Close(Close::Gentle)));
        self
    }

    /// Resets every new connection at once.
    pub fn resets_at_once(&self) -> &Self {
        self.with(|origin| origin.greeting.push(Step::Close(Close::Reset)));
        self
    }

    /// Does nothing by itself with what comes: opaque bytes both ways.
    pub fn is_raw(&self) -> &Self {
        self.with(|origin| origin.greeting.push(Step::Tunnel));
        self
    }

    /// How it treats who connects.
    pub fn welcome(&self, welcome: Welcome) -> &Self {
        self.state.borrow_mut().stage.set_welcome(self.index, welcome);
        self
    }

    /// Nobody listens.
    pub fn is_down(&self) -> &Self {
        self.welcome(Welcome::Refuse)
    }

    /// It listens again.
    pub fn is_up(&self) -> &Self {
        self.welcome(Welcome::Accept)
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.state.borrow().stage.address(self.index).to_string()
    }

    /// Sends bytes on a connection, now.
    pub fn send_on(&self, conn: usize, bytes: impl AsRef<[u8]>) -> &Self {
        let mut state = self.state.borrow_mut();
        state.origins[self.index].conns[conn].outbox.extend(bytes.as_ref());
        state.send_origin_outbox(self.index, conn);
        drop(state);
        self
    }

    /// Half-closes a connection, now.
    pub fn finish_on(&self, conn: usize) -> &Self {
        let mut state = self.state.borrow_mut();
        let socket = state.origins[self.index].conns[conn].socket;
        state.stage.finish(socket);
        drop(state);
        self
    }

    /// Closes a connection, now.
    pub fn close_on(&self, conn: usize) -> &Self {
        self.state.borrow_mut().close_origin(self.index, conn, Close::Gentle);
        self
    }

    /// Resets a connection, now.
    pub fn reset_on(&self, conn: usize) -> &Self {
        self.state.borrow_mut().close_origin(self.index, conn, Close::Reset);
        self
    }

    /// So many requests came, whole or not.
    #[track_caller]
    pub fn expect_requests(&self, count: usize) -> &Self {
        self.settle_until(|origin| origin.requests.len() >= count);
        self.with(|origin| assert_eq!(origin.requests.len(), count, "{}", origin.describe()));
        self
    }

    /// So many connections came.
    #[track_caller]
    pub fn expect_connections(&self, count: usize) -> &Self {
        self.settle_until(|origin| origin.conns.len() >= count);
        self.with(|origin| assert_eq!(origin.conns.len(), count, "{}", origin.describe()));
        self
    }

    /// A connection was ended, in order or, where bytes were left unread, by a reset.
    #[track_caller]
    pub fn expect_ended(&self, index: usize) -> &Self {
        self.settle_until(|origin| origin.conns[index].end.is_some());
        self.with(|origin| assert!(origin.conns[index].end.is_some(), "{}", origin.describe()));
        self
    }

    /// The proxy has ended this connection: `finished`, `reset`, or nothing while it is open.
    #[track_caller]
    pub fn expect_end(&self, conn: usize, end: Option<&str>) -> &Self {
        self.settle_until(|origin| origin.conns[conn].end == end);
        self.with(|origin| assert_eq!(origin.conns[conn].end, end, "{}", origin.describe()));
        self
    }

    /// How the proxy has ended a connection, if it has.
    pub fn end_of(&self, conn: usize) -> Option<&'static str> {
        self.settle_until(|_| true);
        self.with(|origin| origin.conns[conn].end)
    }

    /// These opaque bytes came on a connection, all in all.
    #[track_caller]
    pub fn expect_raw(&self, conn: usize, bytes: impl AsRef<[u8]>) -> &Self {
        self.settle_until(|origin| origin.conns[conn].reader.raw.len() >= bytes.as_ref().len());
        self.with(|origin| {
            let raw = origin.conns[conn].reader.raw.escape_ascii().to_string();
            let expected = bytes.as_ref().escape_ascii().to_string();
            assert!(raw == expected, "{raw:.200?}, not {expected:.200?}: {:.2000}", origin.describe());
        });
        self
    }

    /// A request, in the order in which they came.
    #[track_caller]
    pub fn request(&self, number: usize) -> Request {
        self.settle_until(|origin| origin.requests.len() > number);
        let (conn, message) = self.with(|origin| {
            *origin.requests.get(number).unwrap_or_else(|| panic!("no such request: {}", origin.describe()))
        });
        Request { state: Rc::clone(&self.state), origin: self.index, conn, message }
    }

    /// The last request.
    #[track_caller]
    pub fn last(&self) -> Request {
        self.settle_until(|origin| !origin.requests.is_empty());
        let count = self.with(|origin| origin.requests.len());
        self.request(count.checked_sub(1).expect("a request came"))
    }

    /// What is expected is there once everything that is under way has happened.
    fn settle_until(&self, is_met: impl Fn(&OriginState) -> bool) {
        let is_met = |state: &mut State| is_met(&state.origins[self.index]);
        self.state.borrow_mut().rest_until(Duration::from_millis(20), is_met);
    }

    #[track_caller]
    fn with<T>(&self, look: impl FnOnce(&mut OriginState) -> T) -> T {
        look(&mut self.state.borrow_mut().origins[self.index])
    }
}

impl Script {
    /// Follows the rule so many times; after that the next one that fits is followed.
    pub fn times(self, count: usize) -> Self {
        self.rule(|rule| rule.uses_left = Some(count));
        self
    }

    /// Begins when the request's head is complete.
    pub fn early(self) -> Self {
        self.rule(|rule| rule.is_early = true);
        self
    }

    /// Sends bytes.
    pub fn reply(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends a complete 200 with this content.
    pub fn ok(self, body: impl AsRef<[u8]>) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.as_ref().len());
        self.reply([head.as_bytes(), body.as_ref()].concat())
    }

    /// Waits for so much of the content.
    pub fn read(self, bytes: usize) -> Self {
        self.then(Step::Read(bytes))
    }

    /// Waits for the end of the request.
    pub fn read_all(self) -> Self {
        self.then(Step::ReadAll)
    }

    /// Lets time pass.
    pub fn wait(self, time: &str) -> Self {
        self.then(Step::Wait(duration(time)))
    }

    /// Half-closes.
    pub fn finish(self) -> Self {
        self.then(Step::Finish)
    }

    /// Closes.
    pub fn close(self) -> Self {
        self.then(Step::Close(Close::Gentle))
    }

    /// Resets.
    pub fn reset(self) -> Self {
        self.then(Step::Close(Close::Reset))
    }

    /// Receives nothing any more.
    pub fn stop_reading(self) -> Self {
        self.then(Step::StopReading)
    }

    /// Receives again.
    pub fn resume_reading(self) -> Self {
        self.then(Step::ResumeReading)
    }

    /// What comes is opaque from now on.
    pub fn tunnel(self) -> Self {
        self.then(Step::Tunnel)
    }

    /// Sends every byte of content back in a chunk, as it comes, and ends when the request ends. Say that the
    /// answer is chunked before.
    pub fn echo(self) -> Self {
        self.then(Step::Echo)
    }

    /// What comes is opaque from now on, and goes back.
    pub fn echo_raw(self) -> Self {
        self.then(Step::EchoRaw)
    }

    /// Never does anything more.
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    fn then(self, step: Step) -> Self {
        self.rule(|rule| rule.steps.push(step));
        self
    }

    fn rule(&self, change: impl FnOnce(&mut Rule)) {
        change(&mut self.state.borrow_mut().origins[self.origin].rules[self.rule]);
    }
}

impl Request {
    /// The start line, exactly.
    #[track_caller]
    pub fn expect_line(&self, line: &str) -> &Self {
        assert_eq!(self.message().line, line);
        self
    }

    /// This field is there once, with this value.
    #[track_caller]
    pub fn expect_header(&self, name: &str, value: &str) -> &Self {
        self.expect_headers(name, &[value])
    }

    /// These are the values of a field, in order.
    #[track_caller]
    pub fn expect_headers(&self, name: &str, expected: &[&str]) -> &Self {
        let message = self.message();
        assert_eq!(message.all(name), expected, "{name} in {message:#?}");
        self
    }

    /// This field is not there.
    #[track_caller]
    pub fn expect_no_header(&self, name: &str) -> &Self {
        self.expect_headers(name, &[])
    }

    /// The complete content.
    #[track_caller]
    pub fn expect_body(&self, body: impl AsRef<[u8]>) -> &Self {
        let message = self.message();
        let (got, want) = (message.body.escape_ascii().to_string(), body.as_ref().escape_ascii().to_string());
        assert!(got == want, "body {got:.200?}, not {want:.200?}");
        assert!(message.is_complete, "incomplete: {message:#?}");
        self
    }

    /// The trailer fields.
    #[track_caller]
    pub fn expect_trailers(&self, expected: &[(&str, &str)]) -> &Self {
        let message = self.message();
        let got: Vec<_> =
            message.trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(got, expected);
        self
    }

    /// It did not come to its end.
    #[track_caller]
    pub fn expect_incomplete(&self) -> &Self {
        assert!(!self.message().is_complete, "complete: {:#?}", self.message());
        self
    }

    /// It came on this connection, counted from 0.
    #[track_caller]
    pub fn expect_connection(&self, conn: usize) -> &Self {
        assert_eq!(self.conn, conn);
        self
    }

    /// What was received.
    pub fn message(&self) -> Message {
        let state = self.state.borrow();
        state.origins[self.origin].conns[self.conn].reader.messages[self.message].clone()
    }
}

impl OriginState {
    pub(crate) fn new() -> Self {
        Self { rules: Vec::new(), greeting: Vec::new(), conns: Vec::new(), requests: Vec::new() }
    }

    fn describe(&self) -> String {
        let conns: Vec<String> = self
            .conns
            .iter()
            .map(|conn| {
                let messages = conn.reader.messages.iter().map(|message| format!("{message:?}"));
                let messages: Vec<String> = messages.collect();
                format!("end {:?}, error {:?}: {messages:#?}", conn.end, conn.reader.error)
            })
            .collect();
        format!("the origin's connections: {conns:#?}")
    }

    /// The steps for a request, and whether they begin before it is complete.
    fn rule_for(&self, line: &str) -> Option<usize> {
        let asked = line.strip_suffix(" HTTP/1.1").unwrap_or(line);
        self.rules
            .iter()
            .position(|rule| rule.uses_left != Some(0) && (rule.pattern == "*" || rule.pattern == asked))
    }
}

impl Conn {
    fn new(socket: SocketId) -> Self {
        Self {
            socket,
            reader: Reader::new(Role::Requests),
            outbox: VecDeque::new(),
            steps: VecDeque::new(),
            begun: 0,
            echoed: 0,
            is_reading: true,
            is_waiting: false,
            is_gone: false,
            end: None,
        }
    }

    /// The request that is served.
    fn message(&self) -> Option<&Message> {
        self.reader.messages.get(self.begun.checked_sub(1)?)
    }
}

impl State {
    pub(crate) fn on_origin_accepted(&mut self, index: usize, socket: SocketId) {
        let origin = &mut self.origins[index];
        let mut conn = Conn::new(socket);
        conn.steps.extend(origin.greeting.iter().cloned());
        origin.conns.push(conn);
        let conn = origin.conns.len() - 1;
        self.sockets.insert(socket, Who::Origin(index, conn));
        if self.is_ended {
            self.close_origin(index, conn, Close::Gentle);
        }
        // The greeting says how to read what may have come already.
        self.go_on(index, conn);
        self.on_origin_ready(index, conn);
    }

    pub(crate) fn on_origin_ready(&mut self, index: usize, at: usize) {
        let conn = &mut self.origins[index].conns[at];
        let mut buffer = [0; 16 * 1024];
        while conn.is_reading && !conn.is_gone && conn.end.is_none() {
            match self.stage.receive(conn.socket, &mut buffer) {
                Ok(0) => conn.end = Some("finished"),
                Ok(len) => conn.reader.push(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => conn.end = Some("reset"),
            }
        }
        if let Some(error) = conn.reader.error.clone() {
            panic!("an origin cannot read what it got: {error}: {}", self.origins[index].describe());
        }
        let messages = conn.reader.messages.len() - usize::from(conn.reader.is_in_head());
        let origin = &mut self.origins[index];
        let known = origin.requests.iter().filter(|(conn, _)| *conn == at).count();
        origin.requests.extend((known..messages).map(|message| (at, message)));
        self.go_on(index, at);
    }

    pub(crate) fn on_origin_alarm(&mut self, index: usize, conn: usize) {
        self.origins[index].conns[conn].is_waiting = false;
        self.go_on(index, conn);
    }

    /// Does what can be done on a connection.
    fn go_on(&mut self, index: usize, at: usize) {
        loop {
            self.send_origin_outbox(index, at);
            let conn = &self.origins[index].conns[at];
            if conn.is_gone || conn.is_waiting {
                return;
            }
            let goes_on = match conn.steps.front().cloned() {
                Some(step) => conn.outbox.is_empty() && self.do_step(index, at, step),
                None => self.begin_script(index, at),
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Takes up the next request. False when there is none.
    fn begin_script(&mut self, index: usize, at: usize) -> bool {
        let origin = &self.origins[index];
        let conn = &origin.conns[at];
        let Some(message) = conn.reader.messages.get(conn.begun) else { return false };
        if conn.begun + 1 == conn.reader.messages.len() && conn.reader.is_in_head() {
            return false;
        }
        let rule = origin.rule_for(&message.line);
        let rule = rule.unwrap_or_else(|| panic!("the origin has no answer to {:?}", message.line));
        let steps = origin.rules[rule].steps.clone();
        let before = (!origin.rules[rule].is_early).then_some(Step::ReadAll);
        let origin = &mut self.origins[index];
        if let Some(uses) = &mut origin.rules[rule].uses_left {
            *uses -= 1;
        }
        let conn = &mut origin.conns[at];
        conn.begun += 1;
        conn.echoed = 0;
        conn.steps = before.into_iter().chain(steps).collect();
        true
    }

    /// One step. False when it has to be waited for.
    fn do_step(&mut self, index: usize, at: usize, step: Step) -> bool {
        let conn = &mut self.origins[index].conns[at];
        let is_complete = conn.message().is_none_or(|message| message.is_complete);
        match step {
            Step::Send(bytes) => conn.outbox.extend(bytes),
            Step::Read(len) if conn.message().is_some_and(|message| message.body.len() < len) => {
                return false;
            }
            Step::ReadAll if !is_complete => return false,
            Step::Read(_) | Step::ReadAll => {}
            Step::Wait(time) => {
                conn.is_waiting = true;
                self.set_alarm(time, Who::Origin(index, at));
            }
            Step::Finish => self.stage.finish(conn.socket),
            Step::Close(how) => self.close_origin(index, at, how),
            Step::StopReading => conn.is_reading = false,
            Step::ResumeReading => {
                conn.is_reading = true;
                conn.steps.pop_front();
                self.on_origin_ready(index, at);
                return false;
            }
            Step::Tunnel => conn.reader.become_raw(),
            Step::Echo => return conn.echo(),
            Step::EchoRaw => {
                conn.reader.become_raw();
                return conn.echo_raw();
            }
            Step::Hang => return false,
        }
        self.origins[index].conns[at].steps.pop_front();
        true
    }

    fn send_origin_outbox(&mut self, index: usize, at: usize) {
        let conn = &mut self.origins[index].conns[at];
        while !conn.outbox.is_empty() && !conn.is_gone {
            match self.stage.send(conn.socket, conn.outbox.make_contiguous()) {
                Ok(len) => _ = conn.outbox.drain(..len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => conn.outbox.clear(),
            }
        }
    }

    /// Ends everything that an origin has not ended, and what still comes to it.
    pub(crate) fn close_origins(&mut self) {
        for index in 0..self.origins.len() {
            for conn in 0..self.origins[index].conns.len() {
                self.close_origin(index, conn, Close::Gentle);
            }
        }
    }

    fn close_origin(&mut self, index: usize, at: usize, how: Close) {
        let conn = &mut self.origins[index].conns[at];
        if !conn.is_gone {
            conn.is_gone = true;
            self.stage.close(conn.socket, how);
            self.sockets.insert(conn.socket, Who::Nobody);
        }
    }
}

impl Conn {
    /// Sends what came of the content. True when something was sent.
    fn echo(&mut self) -> bool {
        let Some(message) = self.message() else { return false };
        let (more, is_complete) = (message.body[self.echoed..].to_vec(), message.is_complete);
        if !more.is_empty() {
            self.echoed += more.len();
            self.outbox.extend(format!("{:x}\r\n", more.len()).into_bytes());
            self.outbox.extend(more);
            self.outbox.extend(b"\r\n");
            return true;
        }
        if is_complete {
            self.outbox.extend(b"0\r\n\r\n");
            self.steps.pop_front();
        }
        is_complete
    }

    fn echo_raw(&mut self) -> bool {
        let more = self.reader.raw[self.echoed..].to_vec();
        self.echoed += more.len();
        self.outbox.extend(&more);
        !more.is_empty()
    }
}

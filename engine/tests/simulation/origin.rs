//! The origins' side: every request is answered as it was planned, and checked.

use crate::World;
use crate::http::{Reader, Role};
use crate::plan::{Answer, Ending, Framed, SURPLUS};
use crate::tunnel::Prelude;
use ringway_engine::io::Close;
use ringway_engine::io::sim::SocketId;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

/// A connection from the proxy.
pub(crate) struct Conn {
    socket: SocketId,
    reader: Reader,
    steps: VecDeque<Step>,
    outbox: VecDeque<u8>,
    begun: usize,
    checked: usize,
    is_waiting: bool,
    /// Said 101: what comes now is for the end of the tunnel.
    is_switching: bool,
    /// A send failed.
    is_deaf: bool,
    is_gone: bool,
    is_over: bool,
}

#[derive(Debug)]
enum Step {
    ReadAll,
    Send(Vec<u8>),
    /// Sends the 101 to this request, and so many bytes behind it.
    Switch(u64, Vec<u8>, usize),
    /// Goes on as the end of a tunnel that has sent so much.
    BeRaw(u64, usize),
    Wait(Duration),
    Close(Close),
    Hang,
}

impl Conn {
    pub(crate) fn new(socket: SocketId) -> Self {
        Self {
            socket,
            reader: Reader::new(Role::Requests),
            steps: VecDeque::new(),
            outbox: VecDeque::new(),
            begun: 0,
            checked: 0,
            is_waiting: false,
            is_switching: false,
            is_deaf: false,
            is_gone: false,
            is_over: false,
        }
    }
}

impl World {
    pub(crate) fn on_origin_ready(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        let mut buffer = [0; 16 * 1024];
        while !conn.is_gone && !conn.is_over && !conn.is_switching {
            match self.network.receive(conn.socket, &mut buffer) {
                Ok(0) => conn.is_over = true,
                Ok(len) => conn.reader.push(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => conn.is_over = true,
            }
        }
        assert_eq!(conn.reader.error, None, "an origin cannot read what it got");
        self.check_requests(at);
        self.go_on(at);
        let conn = &mut self.conns[at];
        if conn.is_over && !conn.is_gone {
            conn.is_gone = true;
            self.network.close(conn.socket, Close::Gentle);
        }
    }

    pub(crate) fn on_origin_alarm(&mut self, at: usize) {
        self.conns[at].is_waiting = false;
        self.go_on(at);
    }

    /// Every complete request is the one that was meant.
    fn check_requests(&mut self, at: usize) {
        let conn = &mut self.conns[at];
        while let Some(message) = conn.reader.messages.get(conn.checked).filter(|message| message.is_complete)
        {
            conn.checked += 1;
            let id: u64 =
                message.get("x-id").and_then(|id| id.parse().ok()).expect("every request has an id");
            let ask = self.plan.ask(id);
            assert_eq!(message.line, format!("{} /{id} HTTP/1.1", ask.method));
            assert_eq!(message.get("upgrade"), ask.upgrade.map(|_| "websocket"), "{id}");
            assert!(message.body == ask.content.bytes, "{id}: the origin got another content");
            let trailers = if ask.content.has_trailers { 1 } else { 0 };
            assert_eq!(message.trailers.len(), trailers, "{id}: the trailers that the origin got");
            let is_framed = !matches!(ask.content.framing, Framed::Nothing | Framed::UntilClose);
            assert!(is_framed || message.body.is_empty());
        }
    }

    fn go_on(&mut self, at: usize) {
        loop {
            let conn = &mut self.conns[at];
            while !conn.outbox.is_empty() && !conn.is_gone {
                match self.network.send(conn.socket, conn.outbox.make_contiguous()) {
                    Ok(len) => _ = conn.outbox.drain(..len),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(_) => {
                        conn.is_deaf = true;
                        conn.outbox.clear();
                    }
                }
            }
            if conn.is_gone || conn.is_waiting {
                return;
            }
            let is_inside =
                conn.reader.messages.get(conn.begun.wrapping_sub(1)).is_some_and(|last| !last.is_complete);
            let Some(step) = conn.steps.pop_front() else {
                if self.begin(at) {
                    continue;
                }
                return;
            };
            match step {
                Step::ReadAll if is_inside && !conn.is_over => {
                    conn.steps.push_front(Step::ReadAll);
                    return;
                }
                // Nobody is left to be answered.
                Step::ReadAll if is_inside => conn.steps.clear(),
                Step::ReadAll => {}
                Step::Send(bytes) => conn.outbox.extend(bytes),
                Step::Switch(id, wire, behind) => self.switch(at, id, &wire, behind),
                Step::BeRaw(id, sent) => self.be_raw(at, id, sent),
                Step::Wait(time) => {
                    conn.is_waiting = true;
                    self.set_alarm(time, crate::Who::Origin(at));
                }
                Step::Close(how) => {
                    conn.is_gone = true;
                    self.network.close(conn.socket, how);
                }
                Step::Hang => {
                    conn.steps.push_front(Step::Hang);
                    return;
                }
            }
        }
    }

    /// Takes up the next request.
    fn begin(&mut self, at: usize) -> bool {
        let conn = &mut self.conns[at];
        let Some(message) = conn.reader.messages.get(conn.begun) else { return false };
        if conn.reader.is_in_head() {
            return false;
        }
        conn.begun += 1;
        let id: u64 = message.get("x-id").and_then(|id| id.parse().ok()).expect("every request has an id");
        let ask = self.plan.ask(id);
        let attempt = self.attempts.entry(id).or_default();
        *attempt += 1;
        let attempt = *attempt;
        assert!(attempt == 1 || ask.is_idempotent(), "{id}: a {} came twice", ask.method);
        assert!(!self.never.contains(&id), "{id} was sent behind the end of its connection");
        let answer = self.plan.answer(id, attempt);
        let (wire, _) = answer.wire(id, attempt, ask.method);
        if answer.status == 101 && answer.ending == Ending::Open {
            self.plan_switch(at, id, &answer, wire);
            return true;
        }
        let steps = &mut self.conns[at].steps;
        if !answer.is_early {
            steps.push_back(Step::ReadAll);
        }
        steps.extend(answer.delay.map(Step::Wait));
        steps.push_back(Step::Send(wire[..answer.sent(wire.len())].to_vec()));
        match answer.ending {
            Ending::Open if answer.is_until_close(ask.method) || answer.says_close => {
                steps.push_back(Step::Close(Close::Gentle));
            }
            Ending::Open => {}
            Ending::Later(time, how) => steps.extend([Step::Wait(time), Step::Close(how)]),
            Ending::Cut(_, how) => steps.push_back(Step::Close(how)),
            Ending::Hang(_) => steps.push_back(Step::Hang),
            Ending::Garbage => {
                steps
                    .extend([Step::Send(b"220 mail.example ESMTP\r\n".to_vec()), Step::Close(Close::Gentle)]);
            }
            Ending::Surplus => steps.extend([Step::Send(SURPLUS.to_vec()), Step::Close(Close::Gentle)]),
        }
        steps.push_back(Step::ReadAll);
        true
    }

    fn plan_switch(&mut self, at: usize, id: u64, answer: &Answer, wire: Vec<u8>) {
        let conn = &mut self.conns[at];
        // What comes before the 101 is seen at once as what it is.
        conn.reader.become_raw();
        conn.steps.extend(answer.delay.map(Step::Wait));
        conn.steps.push_back(Step::Switch(id, wire, answer.behind_switch));
    }

    fn switch(&mut self, at: usize, id: u64, wire: &[u8], behind: usize) {
        let conn = &mut self.conns[at];
        assert!(conn.reader.raw.is_empty(), "{id}: bytes of a tunnel came before the 101");
        // Nobody is left to switch with.
        if conn.is_over {
            return;
        }
        conn.is_switching = true;
        conn.outbox.extend(wire);
        conn.outbox.extend(&self.plan.raw_content(id, false)[..behind]);
        conn.steps.push_back(Step::BeRaw(id, behind));
    }

    /// The 101 and what stands behind it is sent, or never will be.
    fn be_raw(&mut self, at: usize, id: u64, sent: usize) {
        let conn = &mut self.conns[at];
        conn.is_gone = true;
        let (socket, is_deaf) = (conn.socket, conn.is_deaf);
        if is_deaf {
            return self.network.close(socket, Close::Gentle);
        }
        let index = self.add_raw_end(socket, Some(id), false, Prelude { sent, ..Prelude::default() });
        self.on_raw_ready(index);
    }
}

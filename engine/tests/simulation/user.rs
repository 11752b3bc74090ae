//! The users' side: connections with requests on them, one after the other or pipelined, some of them slow, some
//! of them gone before they are answered.

use crate::http::{Message, Reader, Role};
use crate::plan::{Ask, Ending, Plan};
use crate::tunnel::Prelude;
use crate::{Who, World};
use ringway_engine::io::Close;
use ringway_engine::io::sim::SocketId;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

/// A user: a connection, and what is still to be asked.
pub(crate) struct User {
    socket: SocketId,
    reader: Reader,
    asks: VecDeque<Ask>,
    /// Requests on this connection that were begun, in order; the first `answered` of them are done with.
    sent: Vec<Ask>,
    answered: usize,
    /// Messages of the reader that were looked at.
    seen: usize,
    outbox: VecDeque<u8>,
    /// Content that is held back for a 100.
    held_back: Option<(u64, Vec<u8>)>,
    manner: Manner,
    is_waiting: bool,
    is_open: bool,
    /// A send failed; and the connection broke, so that an end that is read is none.
    is_deaf: bool,
    is_broken: bool,
    has_finished: bool,
    /// Which connection of the user this is, for alarms of earlier ones.
    number: u64,
    received: usize,
}

/// How a user behaves on one connection.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Requests that may be unanswered.
    window: usize,
    /// Bytes sent at once, and the pause behind them.
    pace: Option<(usize, Duration)>,
    /// Pauses before it receives.
    slow: Option<Duration>,
    /// Leaves when so many bytes were received.
    leaves_after: Option<(usize, Close)>,
    /// Half-closes behind its last request.
    finishes: bool,
    /// Waits for the proxy to close at the end.
    lingers: bool,
}

impl World {
    pub(crate) fn add_user(&mut self, asks: VecDeque<Ask>) {
        let index = self.users.len();
        let user = User {
            socket: self.connect(index),
            reader: Reader::new(Role::Responses),
            asks,
            sent: Vec::new(),
            answered: 0,
            seen: 0,
            outbox: VecDeque::new(),
            held_back: None,
            manner: self.manner(),
            is_waiting: false,
            is_open: true,
            is_deaf: false,
            is_broken: false,
            has_finished: false,
            number: 0,
            received: 0,
        };
        self.users.push(user);
    }

    fn connect(&mut self, user: usize) -> SocketId {
        let peer = self.simulation.peer();
        let socket = self.network.connect(peer, &crate::plan::proxy_address());
        self.sockets.insert(socket, Who::User(user, 0));
        socket
    }

    fn manner(&mut self) -> Manner {
        let is_clean = self.plan.is_clean;
        let rng = &mut self.rng;
        let pause =
            |most, rng: &mut ringway_engine::io::sim::Rng| Duration::from_micros(rng.between(1, most) as u64);
        let how = if rng.chance(500) { Close::Gentle } else { Close::Reset };
        Manner {
            window: *rng.pick(&[1, 1, 1, 2, 5]),
            pace: rng.chance(200).then(|| (rng.between(200, 5000), pause(3000, rng))),
            slow: rng.chance(150).then(|| pause(20_000, rng)),
            leaves_after: (!is_clean && rng.chance(100)).then(|| (rng.between(0, 3000), how)),
            finishes: !is_clean && rng.chance(50),
            lingers: rng.chance(100),
        }
    }

    pub(crate) fn on_user_ready(&mut self, index: usize) {
        if !self.users[index].is_open {
            return;
        }
        self.user_sends(index);
        let user = &mut self.users[index];
        match user.manner.slow {
            Some(_) if user.is_waiting => {}
            Some(pause) => {
                user.is_waiting = true;
                let who = Who::User(index, user.number);
                self.set_alarm(pause, who);
            }
            None => self.user_receives(index),
        }
    }

    pub(crate) fn on_user_alarm(&mut self, index: usize, number: u64) {
        let user = &mut self.users[index];
        if !user.is_open || user.number != number {
            return;
        }
        user.is_waiting = false;
        self.user_receives(index);
        if self.users[index].is_open && self.users[index].number == number {
            self.user_sends(index);
        }
    }

    fn user_receives(&mut self, index: usize) {
        let user = &mut self.users[index];
        let mut buffer = [0; 16 * 1024];
        let mut is_over = false;
        // What follows a 101 is for the end of the tunnel.
        while !is_over && !user.has_switched() {
            let most = user.manner.leaves_after.map_or(buffer.len(), |(left, _)| left.clamp(1, buffer.len()));
            match self.network.receive(user.socket, &mut buffer[..most]) {
                // Whoever was told of a break while sending knows what this end is.
                Ok(0) => {
                    is_over = true;
                    if !user.is_broken {
                        user.reader.finish();
                    }
                }
                Ok(len) => {
                    user.received += len;
                    user.reader.push(&buffer[..len]);
                    if let Some((left, _)) = &mut user.manner.leaves_after {
                        *left = left.saturating_sub(len);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => (is_over, user.is_broken) = (true, true),
            }
        }
        assert_eq!(user.reader.error, None, "a client cannot read what it got");
        let must_close = self.look(index, is_over);
        if self.users[index].has_switched() {
            return self.switch_user(index);
        }
        let user = &self.users[index];
        let leaves = user.manner.leaves_after.filter(|(left, _)| *left == 0).map(|(_, how)| how);
        if is_over || must_close || leaves.is_some() {
            return self.leave(index, leaves.unwrap_or(Close::Gentle));
        }
        self.user_sends(index);
    }

    /// Looks at the messages that are new. Says whether the connection is done with.
    fn look(&mut self, index: usize, is_over: bool) -> bool {
        let mut must_close = false;
        while let Some(message) = self.users[index].reader.messages.get(self.users[index].seen) {
            let user = &self.users[index];
            let is_last = user.seen + 1 == user.reader.messages.len();
            let may_be_cut = is_over && is_last && !user.reader.is_in_head();
            if !message.is_complete && !may_be_cut {
                break;
            }
            let message = message.clone();
            assert!(user.answered < user.sent.len(), "an answer to nothing: {message:?}");
            let ask = user.sent[user.answered].clone();
            if message.status() == 101 {
                self.on_switch(index, &ask, &message);
            } else if message.status() < 200 {
                assert!(!ask.is_http10, "{}: an interim response to HTTP/1.0", ask.id);
                self.on_interim(index, &ask, &message);
            } else {
                must_close |= self.on_final(index, &ask, &message);
                // Bytes of a tunnel that is none may be taken for a request, and answered.
                if ask.upgrade.is_some_and(|behind| behind > 0) {
                    return true;
                }
            }
            self.users[index].seen += 1;
        }
        must_close
    }

    fn on_switch(&mut self, index: usize, ask: &Ask, message: &Message) {
        assert!(ask.upgrade.is_some(), "{}: a 101 that nobody asked for", ask.id);
        assert_eq!(message.get("x-id"), Some(&*ask.id.to_string()), "a 101 to another request");
        assert_eq!(message.get("upgrade"), Some("websocket"));
        let answer = self.plan.answer(ask.id, 1);
        assert!(
            answer.status == 101 && answer.ending == Ending::Open,
            "{}: a 101 that was never sent",
            ask.id
        );
        self.users[index].answered += 1;
        self.answered.push((ask.id, 101, true));
    }

    /// The connection goes on as the end of a tunnel, and the user on another one.
    fn switch_user(&mut self, index: usize) {
        let user = &mut self.users[index];
        user.is_open = false;
        let (socket, id) = (user.socket, user.sent.last().expect("the last one switched").id);
        let prelude = Prelude {
            sent: user.sent_behind(),
            received: std::mem::take(&mut user.reader.raw),
            is_finished: user.has_finished || user.is_deaf,
            is_broken: user.is_broken,
        };
        let end = self.add_raw_end(socket, Some(id), true, prelude);
        self.check_raw(end);
        self.on_raw_ready(end);
        self.go_on_anew(index);
    }

    fn on_interim(&mut self, index: usize, ask: &Ask, message: &Message) {
        if let Some(id) = message.get("x-id") {
            assert_eq!(id, ask.id.to_string(), "an interim response to another request");
        }
        let user = &mut self.users[index];
        if message.status() == 100
            && let Some((_, content)) = user.held_back.take_if(|(id, _)| *id == ask.id)
        {
            user.outbox.extend(content);
        }
    }

    /// Checks a final response. Says whether nothing can follow it.
    fn on_final(&mut self, index: usize, ask: &Ask, message: &Message) -> bool {
        let user = &mut self.users[index];
        user.answered += 1;
        // The content that was held back is not sent any more, so nothing can follow.
        let is_held_back = user.held_back.take_if(|(id, _)| *id == ask.id).is_some();
        let says_close = message.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
        let is_10_end = ask.is_http10 && !message.all("connection").contains(&"keep-alive");
        match message.get("x-id") {
            // Bytes that come when the connection is in use again cannot be told from an answer: an origin that
            // says too much harms its own requests.
            Some("0") if !self.plan.is_clean => assert!(b"poison".starts_with(&message.body[..])),
            Some(id) => {
                assert_eq!(id, ask.id.to_string(), "an answer to another request");
                let attempt =
                    message.get("x-attempt").and_then(|n| n.parse().ok()).expect("says which attempt");
                self.plan.answer(ask.id, attempt).check(ask, attempt, message);
            }
            None => {
                assert!(!self.plan.is_clean, "{}: {message:?}", ask.id);
                let is_known = matches!(message.status(), 408 | 418 | 500 | 502 | 503 | 504);
                assert!(is_known, "{}: {message:?}", ask.id);
            }
        }
        assert!(message.is_complete || !self.plan.is_clean, "{}: cut: {message:?}", ask.id);
        self.answered.push((ask.id, message.status(), message.is_complete));
        let says_end = says_close || is_10_end || is_held_back || ask.says_close;
        let must_close = says_end || !message.is_complete;
        let user = &self.users[index];
        // A break tears away what was complete and on its way, and the next request was begun behind it.
        if says_end || (!message.is_complete && !user.is_broken) {
            // RFC 9112 section 9.6: what was sent behind is not processed.
            self.never.extend(user.sent[user.answered..].iter().map(|ask| ask.id));
        }
        let user = &self.users[index];
        must_close || (user.asks.is_empty() && user.answered == user.sent.len() && !user.manner.lingers)
    }

    /// Sends what may be sent.
    fn user_sends(&mut self, index: usize) {
        loop {
            let user = &mut self.users[index];
            if user.is_deaf || !user.is_open {
                return;
            }
            if user.outbox.is_empty() && !user.next_request(&self.plan) {
                if user.manner.finishes && user.asks.is_empty() && user.held_back.is_none() {
                    self.network.finish(user.socket);
                    user.has_finished = true;
                    self.note_upgrade_sent(index, true);
                }
                return;
            }
            let most = user.manner.pace.map_or(usize::MAX, |(bytes, _)| bytes);
            let bytes = user.outbox.make_contiguous();
            match self.network.send(user.socket, &bytes[..bytes.len().min(most)]) {
                Ok(len) => _ = user.outbox.drain(..len),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    user.is_deaf = true;
                    // The proxy had finished in order before: what it sent is whole.
                    user.is_broken = error.kind() != ErrorKind::BrokenPipe;
                    return;
                }
            }
            if let Some((_, pause)) = user.manner.pace
                && !user.is_waiting
            {
                user.is_waiting = true;
                let who = Who::User(index, user.number);
                return self.set_alarm(pause, who);
            }
        }
    }

    /// Ends the connection; what was not asked yet is asked on the next one.
    fn leave(&mut self, index: usize, how: Close) {
        let user = &mut self.users[index];
        user.is_open = false;
        let socket = user.socket;
        self.note_upgrade_sent(index, how == Close::Gentle && self.network.unread(socket) == 0);
        self.network.close(socket, how);
        let user = &self.users[index];
        let unanswered = user.sent.len() - user.answered;
        assert!(
            unanswered == 0 || !self.plan.is_clean || !self.never.is_empty(),
            "not answered: {:?}",
            user.sent
        );
        let clean_loss = user.sent[user.answered..].iter().any(|ask| !self.never.contains(&ask.id));
        assert!(!clean_loss || !self.plan.is_clean, "not answered: {:?}", user.sent);
        self.go_on_anew(index);
    }

    /// Whoever stops sending without having seen a 101 may have spoken into a tunnel all the same.
    fn note_upgrade_sent(&mut self, index: usize, in_order: bool) {
        let user = &self.users[index];
        let Some(ask) = user.sent.last().filter(|ask| ask.upgrade.is_some()) else { return };
        self.note_sent(ask.id, true, user.sent_behind(), in_order);
    }

    /// Asks on another connection what was not asked yet.
    fn go_on_anew(&mut self, index: usize) {
        if self.users[index].asks.is_empty() {
            return;
        }
        let (socket, manner) = (self.connect(index), self.manner());
        let user = &mut self.users[index];
        user.number += 1;
        user.socket = socket;
        user.manner = manner;
        user.reader = Reader::new(Role::Responses);
        user.sent.clear();
        user.outbox.clear();
        user.held_back = None;
        (user.answered, user.seen, user.received) = (0, 0, 0);
        (user.is_waiting, user.is_open) = (false, true);
        (user.is_deaf, user.is_broken, user.has_finished) = (false, false, false);
    }

    /// Users that still wait at the end of everything; in the end nobody may.
    pub(crate) fn check_users(&self) {
        if let Some(user) = self.users.iter().find(|user| user.is_open) {
            panic!("a user waits for ever: {:?}", user.sent.get(user.answered));
        }
    }
}

impl User {
    /// Begins the next request, when the window lets it.
    fn next_request(&mut self, plan: &Plan) -> bool {
        let in_flight = self.sent.len() - self.answered;
        // Behind an upgrade nothing is a request until it is refused.
        let is_last =
            self.sent.last().is_some_and(|ask| ask.says_close || ask.upgrade.is_some() && in_flight > 0);
        if in_flight >= self.manner.window || self.held_back.is_some() || is_last {
            return false;
        }
        let Some(ask) = self.asks.pop_front() else { return false };
        self.reader.expect(ask.method);
        self.outbox.extend(ask.head());
        let content = ask.content.wire(&mut ringway_engine::io::sim::Rng::new(ask.id));
        if ask.expects {
            self.held_back = Some((ask.id, content));
        } else {
            self.outbox.extend(content);
        }
        if let Some(behind) = ask.upgrade {
            self.outbox.extend(&plan.raw_content(ask.id, true)[..behind]);
        }
        self.sent.push(ask);
        true
    }

    /// Whether a 101 came.
    fn has_switched(&self) -> bool {
        self.reader.messages.last().is_some_and(|last| last.is_complete && last.status() == 101)
    }

    /// How many of the bytes behind the head of an upgrade are sent.
    fn sent_behind(&self) -> usize {
        let behind = self.sent.last().and_then(|ask| ask.upgrade).unwrap_or(0);
        behind.saturating_sub(self.outbox.len())
    }
}

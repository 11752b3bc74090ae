//! Raw connections through the proxy: both ends send what was planned, and each checks what it gets. Requests that
//! switched to a WebSocket go on as such.

use crate::plan::is_upgrade;
use crate::{Who, World};
use ringway_engine::io::Close;
use ringway_engine::io::sim::{Rng, SocketId};
use std::io::ErrorKind;
use std::time::Duration;

/// One end of a raw connection.
pub(crate) struct RawEnd {
    socket: SocketId,
    /// Which connection it is; an origin learns that from the first bytes.
    id: Option<u64>,
    is_client: bool,
    sent: usize,
    received: Vec<u8>,
    pace: Option<(usize, Duration)>,
    /// Breaks off behind so many bytes sent or received.
    breaks_after: Option<(usize, Close)>,
    is_waiting: bool,
    is_finished: bool,
    /// A send was told that the connection broke: the end that is read is none.
    is_broken: bool,
    is_over: bool,
    is_gone: bool,
}

/// What has become of a connection before it was raw.
#[derive(Default)]
pub(crate) struct Prelude {
    /// Bytes that were sent behind the head.
    pub(crate) sent: usize,
    pub(crate) received: Vec<u8>,
    pub(crate) is_finished: bool,
    pub(crate) is_broken: bool,
}

/// How an end stopped sending, for the other one to check.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    len: usize,
    /// It finished or closed in order, with nothing left unread.
    in_order: bool,
}

impl World {
    pub(crate) fn add_tunnel(&mut self, id: u64) {
        let peer = self.simulation.peer();
        let socket = self.network.connect(peer, &crate::plan::raw_address());
        self.add_raw_end(socket, Some(id), true, Prelude::default());
    }

    /// An end begins, or goes on behind a 101. Says which one it is.
    pub(crate) fn add_raw_end(
        &mut self,
        socket: SocketId,
        id: Option<u64>,
        is_client: bool,
        prelude: Prelude,
    ) -> usize {
        let is_clean = self.plan.is_clean;
        let rng = &mut self.rng;
        let how = if rng.chance(500) { Close::Gentle } else { Close::Reset };
        let pause = Duration::from_micros(rng.between(1, 3000) as u64);
        let end = RawEnd {
            socket,
            id,
            is_client,
            sent: prelude.sent,
            received: prelude.received,
            pace: rng.chance(300).then(|| (rng.between(100, 5000), pause)),
            breaks_after: (!is_clean && rng.chance(250)).then(|| (rng.between(0, 4000), how)),
            is_waiting: false,
            is_finished: prelude.is_finished,
            is_broken: prelude.is_broken,
            is_over: false,
            is_gone: false,
        };
        let index = self.raw_ends.len();
        self.raw_ends.push(end);
        self.sockets.insert(socket, Who::Raw(index));
        index
    }

    pub(crate) fn on_raw_ready(&mut self, index: usize) {
        self.raw_receives(index);
        self.raw_sends(index);
        let end = &self.raw_ends[index];
        if let Some((after, how)) = end.breaks_after
            && end.sent.max(end.received.len()) >= after
        {
            self.raw_leaves(index, how);
        } else if end.is_over && (end.is_finished || end.is_broken || end.id.is_none()) {
            self.raw_leaves(index, Close::Gentle);
        }
    }

    pub(crate) fn on_raw_alarm(&mut self, index: usize) {
        self.raw_ends[index].is_waiting = false;
        self.on_raw_ready(index);
    }

    fn raw_receives(&mut self, index: usize) {
        let mut buffer = [0; 8 * 1024];
        loop {
            let end = &mut self.raw_ends[index];
            if end.is_gone || end.is_over {
                return;
            }
            match self.network.receive(end.socket, &mut buffer) {
                Ok(0) => {
                    end.is_over = true;
                    if !end.is_broken {
                        self.check_raw_end(index);
                    }
                }
                Ok(len) => {
                    end.received.extend_from_slice(&buffer[..len]);
                    self.check_raw(index);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => (end.is_over, end.is_broken) = (true, true),
            }
        }
    }

    /// What came is what the other end sends, from its beginning.
    pub(crate) fn check_raw(&mut self, index: usize) {
        let end = &mut self.raw_ends[index];
        if end.id.is_none() {
            let Some(digits) = end.received.first_chunk::<8>() else { return };
            end.id = Some(std::str::from_utf8(digits).ok().and_then(|id| id.parse().ok()).expect("an id"));
        }
        let (id, is_client) = (end.id.expect("known by now"), end.is_client);
        let meant = self.plan.raw_content(id, !is_client);
        assert!(meant.starts_with(&self.raw_ends[index].received), "{id}: other bytes in a tunnel");
    }

    /// An end in order is the end of all that the other one sent.
    fn check_raw_end(&self, index: usize) {
        let end = &self.raw_ends[index];
        // An origin whose client never said who it is.
        let Some(id) = end.id else { return };
        let sent = self.raw_sent.get(&(id, !end.is_client)).copied().unwrap_or_default();
        if end.received.is_empty() && self.was_no_tunnel(id, end.is_client) {
            return;
        }
        assert!(sent.in_order, "{id}: a tunnel that broke ends as if it had ended in order");
        assert_eq!(end.received.len(), sent.len, "{id}: bytes of a tunnel are lost");
    }

    /// Whether an end that got nothing may be alone with its belief in a tunnel.
    fn was_no_tunnel(&self, id: u64, is_client: bool) -> bool {
        let has_end =
            |is_client| self.raw_ends.iter().any(|end| end.id == Some(id) && end.is_client == is_client);
        match is_upgrade(id) {
            // The 101 came when nobody waited for it any more. Who has seen it, knows of both ends.
            true => !has_end(true),
            // A shard that never reached an origin closes its client as if nothing had been.
            false => is_client && self.raw_sent.get(&(id, false)).is_none_or(|sent| sent.len == 0),
        }
    }

    fn raw_sends(&mut self, index: usize) {
        loop {
            let end = &mut self.raw_ends[index];
            let Some(id) = end.id else { return };
            if end.is_gone || end.is_broken || end.is_finished || end.is_waiting {
                return;
            }
            let content = self.plan.raw_content(id, end.is_client);
            let stops = end.breaks_after.map_or(content.len(), |(after, _)| after.min(content.len()));
            let most = end.pace.map_or(usize::MAX, |(bytes, _)| bytes).min(stops.saturating_sub(end.sent));
            if most == 0 {
                if end.sent == content.len() {
                    end.is_finished = true;
                    self.network.finish(end.socket);
                    self.note_raw_sent(index, true);
                }
                return;
            }
            let from = end.sent;
            match self.network.send(end.socket, &content[from..from + most]) {
                Ok(len) => end.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // An end in order that came before is one all the same (EPIPE); and nothing more can be sent.
                Err(error) => {
                    end.is_finished = true;
                    end.is_broken = error.kind() != ErrorKind::BrokenPipe;
                    return;
                }
            }
            if let Some((_, pause)) = end.pace {
                end.is_waiting = true;
                return self.set_alarm(pause, Who::Raw(index));
            }
        }
    }

    fn note_raw_sent(&mut self, index: usize, in_order: bool) {
        let end = &self.raw_ends[index];
        let Some(id) = end.id else { return };
        self.note_sent(id, end.is_client, end.sent, in_order);
    }

    /// An end has stopped sending, for good.
    pub(crate) fn note_sent(&mut self, id: u64, is_client: bool, len: usize, in_order: bool) {
        let noted = self.raw_sent.entry((id, is_client)).or_default();
        *noted = Sent { len, in_order: in_order || noted.in_order };
    }

    fn raw_leaves(&mut self, index: usize, how: Close) {
        let end = &mut self.raw_ends[index];
        if end.is_gone {
            return;
        }
        end.is_gone = true;
        let is_read = self.network.unread(end.socket) == 0;
        let socket = end.socket;
        self.note_raw_sent(index, how == Close::Gentle && is_read);
        self.network.close(socket, how);
    }

    /// Where nobody misbehaved both ends have everything.
    pub(crate) fn check_tunnels(&self) {
        for end in &self.raw_ends {
            assert!(end.is_gone, "a tunnel is left: {:?}", end.id);
            if self.plan.is_clean {
                let id = end.id.expect("every client says who it is");
                let meant = self.plan.raw_content(id, !end.is_client);
                assert!(end.received == meant && !end.is_broken, "{id}: {} bytes", end.received.len());
            }
        }
    }
}

/// What one end of a raw connection sends: its number, and something else each way. The line lets an origin notice
/// at once that it got what it never agreed to.
pub(crate) fn content(seed: u64, id: u64, is_client: bool, most: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed ^ (id << 8) ^ u64::from(is_client));
    let len = rng.between(0, most);
    let mut content = if is_client { format!("{id:08}\n").into_bytes() } else { Vec::new() };
    content.extend(rng.text(len));
    content
}

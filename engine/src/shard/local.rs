//! User code on one side of an exchange: an app that answers, or somebody within who asks.

use super::slots::{Role, Running, Slot, Stage};
use super::{Life, Shard};
use crate::client::{Asked, Call};
use crate::conn::Connection;
use crate::exchange::{Downstream, Exchange, Id, Outcome, Provenance, Side};
use crate::io::{Close, Io};
use crate::keys::{ConnKey, ExchangeKey};
use crate::phase::{App, Session};
use crate::port::{self, Speech};
use crate::rt::{self, JoinHandle, Local};
use ringway_proto::message::Part;
use std::rc::Rc;
use std::time::Duration;

impl<I: Io> Shard<I> {
    /// Somebody has put something on the desk.
    pub(super) fn on_desk(&mut self) {
        while let Some(call) = self.desk.take() {
            self.begin_call(call);
        }
    }

    /// User code asks for something: an exchange whose client is within.
    fn begin_call(&mut self, call: Call) {
        let Call { port, asked, peer } = call;
        let number = self.ids.make();
        let facts = Rc::clone(&self.within);
        let spare = self.spares.pop();
        let exchange = Exchange::new(facts, 1, Id::Made(number), &self.snapshot, spare, self.now);
        // The two know each other's keys.
        let conn = Connection::port(port, self.pool.clone(), self.now);
        let conn = self.conns.insert(Slot::new(conn, Role::Closed));
        let key = self.exchanges.insert(Running::new(exchange, conn));
        self.plug(conn, key, Side::Downstream, None);
        self.counters.exchanges_active.set(self.exchanges.len() as u64);
        match asked {
            Asked::Http(head) => self.feed(key, |exchange, env| exchange.on_call(*head, peer, env)),
            Asked::Raw => self.feed(key, |exchange, env| exchange.on_raw_call(peer, env)),
        }
        self.relay_exchange(key);
        self.touch_both(key);
    }

    /// Gets an exchange to an app: it is spawned, and there at once.
    pub(super) fn open_app(&mut self, key: ExchangeKey, app: &App) {
        let Some(running) = self.exchanges.get_mut(key) else { return };
        let speech = if running.exchange.is_raw() { Speech::Raw } else { Speech::Http };
        let (port, handle) = port::pair(speech);
        let conn = Connection::port(port, self.pool.clone(), self.now);
        let conn = self.conns.insert(Slot::new(conn, Role::Closed));
        running.upstream = Some(conn);
        running.exchange.on_selected(None, &self.app_text);
        let client =
            running.exchange.session().map_or_else(|| Rc::clone(&self.within), Session::client_facts);
        let task = self.rt.spawn(app.serve(handle, &client));
        self.plug(conn, key, Side::Upstream, Some(task));
        self.feed(key, |exchange, env| exchange.on_connected(Provenance::Fresh, env));
        self.relay_exchange(key);
        self.touch_both(key);
    }

    /// Connects a connection in memory to its exchange.
    fn plug(&mut self, conn: ConnKey, exchange: ExchangeKey, side: Side, task: Option<JoinHandle<()>>) {
        let ringer = self.wakers.of(exchange.index()).clone();
        if let Some(slot) = self.conns.get_mut(conn) {
            if let Some(port) = slot.conn.as_port() {
                port.set_ringer(ringer);
            }
            slot.role = Role::Local { exchange, side, task };
        }
    }

    /// User code took something, or left: whoever was paused for it goes on.
    pub(super) fn refresh_ports(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        for conn in [Some(running.downstream), running.upstream].into_iter().flatten() {
            if let Some(slot) = self.conns.get_mut(conn)
                && slot.is_full
                && slot.conn.as_port().is_some_and(|port| port.held_bytes() <= crate::limits::QUEUE_LOW_BYTES)
            {
                slot.is_full = false;
            }
        }
    }

    /// Ends an exchange whose user code left, where that is not said by a part: a stream has two directions, and one
    /// that left takes nothing any more.
    pub(super) fn relay_leaving(&mut self, key: ExchangeKey) {
        let Some(running) = self.exchanges.get(key) else { return };
        let ends = [(Some(running.downstream), Side::Upstream), (running.upstream, Side::Downstream)];
        for (conn, other) in ends {
            let Some(port) = conn.and_then(|conn| self.conns.get(conn)).and_then(|slot| slot.conn.as_port())
            else {
                continue;
            };
            if port.is_released() {
                self.feed(key, Exchange::on_released);
                self.touch_both(key);
            } else if port.speech() == Speech::Raw && port.is_left() && port.is_ended() {
                self.feed(key, |exchange, env| exchange.on_part(other, Part::End, env));
                self.touch_both(key);
            }
        }
    }

    /// What is queued for user code has reached it: an exchange that only waited for that is over.
    pub(super) fn conclude_local(&mut self, conn: ConnKey) {
        let Some(Role::Local { exchange, side: Side::Downstream, .. }) =
            self.conns.get(conn).map(|slot| &slot.role)
        else {
            return;
        };
        let exchange = *exchange;
        let Some(running) = self.exchanges.get_mut(exchange) else {
            return self.close(conn, Close::Gentle);
        };
        if running.stage == Stage::Leaving {
            return;
        }
        running.exchange.on_flushed();
        if running.exchange.outcome().is_some() {
            self.complete(exchange);
            self.close(conn, Close::Gentle);
        }
    }

    /// Tells user code that its connection is over, and why. An app whose answer is complete may go on.
    pub(super) fn close_port(
        &self,
        conn: &Connection,
        exchange: ExchangeKey,
        task: Option<JoinHandle<()>>,
        how: Close,
    ) {
        let Some(port) = conn.as_port() else { return };
        let exchange = self.exchanges.get(exchange).map(|running| &running.exchange);
        let is_told = port.is_attended();
        port.close(exchange.and_then(Exchange::verdict).unwrap_or(Outcome::Complete) as u8);
        if let (Some(task), Close::Reset) = (task, how) {
            let snapshot = exchange.map_or(&self.snapshot, Exchange::snapshot);
            end_app(&self.rt, task, is_told, snapshot.settings.limits.hook_timeout);
        }
    }

    /// The upstream connection of a stream goes to its pool: both ends are still open, and nothing is on its way.
    pub(super) fn keep_upstream(&mut self, key: ExchangeKey) {
        let is_serving = self.life == Life::Serving;
        let upstream = self.exchanges.get(key).and_then(|running| running.upstream);
        let slot = upstream.and_then(|conn| self.conns.get(conn));
        if is_serving && slot.is_some_and(|slot| slot.conn.is_reusable() && slot.conn.queue().is_empty()) {
            self.release_upstream(key);
        } else {
            self.abandon_upstream(key);
        }
    }
}

/// Ends an app in the middle. One that deals with its client learns of it there, and has some time to come to an end of
/// its own. Nobody needs what another one is doing: it stops where it waits.
fn end_app(rt: &Rc<Local>, task: JoinHandle<()>, is_told: bool, patience: Duration) {
    if !is_told {
        return task.abort();
    }
    let mut task = task;
    drop(rt.spawn(async move {
        if rt::timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
    }));
}

/// The client of an exchange that user code began.
pub(super) fn within() -> Rc<Downstream> {
    Rc::new(Downstream {
        address: "within".into(),
        port: 0,
        destination: None,
        is_trusted: true,
        scheme: "http",
        listener: usize::MAX,
        server_address: None,
    })
}

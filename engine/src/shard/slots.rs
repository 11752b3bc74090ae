//! What a shard keeps of each connection and each exchange.

use crate::conn::Connection;
use crate::exchange::{Downstream, Exchange, Side};
use crate::io::Interest;
use crate::keys::{ConnKey, ExchangeKey};
use crate::rt::JoinHandle;
use crate::time::Instant;
use crate::time::wheel::TimerId;
use crate::upstream::EndpointId;
use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

/// A connection and what it is for.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) conn: Connection,
    pub(super) role: Role,
    /// For whose requests alone an upstream connection is: it began with a PROXY header that names this client.
    pub(super) owner: Option<Rc<Downstream>>,
    /// What the pump was last told to watch.
    pub(super) interest: Interest,
    /// The armed timer and when it fires. A deadline that moves later leaves it alone: it fires, looks, and is
    /// armed again. So a request costs no timer operation.
    pub(super) timer: Option<(TimerId, Instant)>,
    /// Whether it is in the list of connections to settle before the turn ends.
    pub(super) is_touched: bool,
    /// Whether the other side of the exchange is paused because this queue passed its high mark; it goes on at the
    /// low mark.
    pub(super) is_full: bool,
    /// Whether the last receive left nothing in the socket, as far as one can tell.
    pub(super) is_dry: bool,
}

/// What a timer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timed {
    /// A connection and whatever it waits for.
    Conn(ConnKey),
    /// The hook that waits in an exchange.
    Hook(ExchangeKey),
}

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Role {
    /// A client's.
    Downstream(Client),
    /// Ours to an origin.
    Upstream { endpoint: EndpointId, state: Upstream },
    /// User code's in this process: on the client's side of its exchange, or on the origin's.
    Local { exchange: ExchangeKey, side: Side, task: Option<JoinHandle<()>> },
    /// Nothing yet, or any more.
    Closed,
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) facts: Rc<Downstream>,
    /// Requests begun.
    pub(super) requests: u64,
    /// What hooks keep for the connection's next request.
    pub(super) context: Option<Box<dyn Any>>,
    /// How long the next request is waited for, where the last exchange has said it.
    pub(super) keepalive_idle: Option<Duration>,
    pub(super) state: Serving,
}

/// Where a client's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// Before everything that is served, since then: see `opening`.
    Opening { since: Instant },
    /// Between requests since then, or in the middle of a head.
    Waiting { since: Instant },
    /// In an exchange.
    Busy { exchange: ExchangeKey },
    /// Half-closed since then: what still comes is dropped, so that the client can read our answer before a
    /// reset destroys it (RFC 9112 section 9.6).
    Lingering { since: Instant },
}

/// Where an upstream connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upstream {
    /// Being dialed for this exchange.
    Dialing { exchange: ExchangeKey, since: Instant },
    /// Serving this exchange.
    Busy { exchange: ExchangeKey },
    /// In the pool.
    Idle { since: Instant },
    /// Sending what is left of a tunnel, then closed.
    Closing { since: Instant },
}

/// An exchange and its connections.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) exchange: Exchange,
    pub(super) downstream: ConnKey,
    pub(super) upstream: Option<ConnKey>,
    pub(super) stage: Stage,
    /// Fires when a hook has waited for too long. As with connections, one that is armed is left alone.
    pub(super) hook_timer: Option<TimerId>,
}

/// How far an exchange has come, as far as its shard has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It relays messages.
    Relaying,
    /// It was counted as a tunnel.
    Tunneling,
    /// It is over, was counted and logged, and has no connections any more; its last hooks wait.
    Leaving,
}

impl Running {
    pub(super) fn new(exchange: Exchange, downstream: ConnKey) -> Self {
        Self { exchange, downstream, upstream: None, stage: Stage::Relaying, hook_timer: None }
    }
}

impl Slot {
    pub(super) fn new(conn: Connection, role: Role) -> Self {
        let interest = Interest::default();
        Self {
            conn,
            role,
            owner: None,
            interest,
            timer: None,
            is_touched: false,
            is_full: false,
            is_dry: true,
        }
    }

    /// Puts the connection in the list of those to settle, once.
    #[inline]
    pub(super) fn touch(&mut self, key: ConnKey, touched: &mut Vec<ConnKey>) {
        if !self.is_touched {
            self.is_touched = true;
            touched.push(key);
        }
    }

    /// The exchange that runs on the connection.
    #[inline]
    pub(super) fn exchange(&self) -> Option<ExchangeKey> {
        match &self.role {
            Role::Downstream(Client { state: Serving::Busy { exchange }, .. })
            | Role::Upstream {
                state: Upstream::Busy { exchange } | Upstream::Dialing { exchange, .. },
                ..
            }
            | Role::Local { exchange, .. } => Some(*exchange),
            _ => None,
        }
    }

    /// Whether bytes can leave: not before the connection is established.
    #[inline]
    pub(super) fn is_established(&self) -> bool {
        !matches!(self.role, Role::Upstream { state: Upstream::Dialing { .. }, .. })
    }

    pub(super) fn client(&self) -> Option<&Client> {
        match &self.role {
            Role::Downstream(client) => Some(client),
            Role::Upstream { .. } | Role::Local { .. } | Role::Closed => None,
        }
    }

    #[inline]
    pub(super) fn client_mut(&mut self) -> Option<&mut Client> {
        match &mut self.role {
            Role::Downstream(client) => Some(client),
            Role::Upstream { .. } | Role::Local { .. } | Role::Closed => None,
        }
    }
}

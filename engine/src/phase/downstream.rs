//! What of the client's side one exchange has otherwise than its server: how long the client may take, and what it is
//! sent.
//!
//! Most exchanges have nothing of this and hold one empty pointer for it.

use super::Session;
use std::time::Duration;

/// What differs. `None` is as [`crate::settings::Limits`] has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DownstreamOptions {
    pub(crate) body_idle: Option<Duration>,
    pub(crate) write_idle: Option<Duration>,
    pub(crate) keepalive_idle: Option<Duration>,
    pub(crate) tunnel_idle: Option<Duration>,
    pub(crate) linger: Option<Duration>,
    pub(crate) request_timeout: Option<Option<Duration>>,
    /// Bytes a second that a client has to take.
    pub(crate) send_rate_min: Option<u64>,
    pub(crate) drops_interim: bool,
}

/// For the client's side of this exchange alone, from the end of the hook that says it; what is said last holds. Nothing
/// of it has an effect in `logging`, when the connection may be in its next exchange.
impl Session {
    /// How long the client may pause in the request's content: instead of [`crate::settings::Limits::body_idle`].
    pub fn set_body_idle(&mut self, timeout: Duration) {
        self.options().body_idle = Some(timeout);
    }

    /// How long the client may take nothing of what is queued for it: instead of
    /// [`crate::settings::Limits::write_idle`].
    pub fn set_write_idle(&mut self, timeout: Duration) {
        self.options().write_idle = Some(timeout);
    }

    /// How many bytes a second the client has to take at least, over all of the time in which something of the response
    /// was queued for it, with [`crate::limits::SEND_RATE_GRACE`] in advance; slower, and its connection is cut with
    /// `downstream_write_timeout`. What the kernel takes counts as taken, so that short responses never meet it.
    /// Default, and with 0: any progress within `write_idle` will do.
    pub fn set_send_rate_min(&mut self, bytes_per_second: u64) {
        self.options().send_rate_min = (bytes_per_second > 0).then_some(bytes_per_second);
    }

    /// How long the connection may wait for its next request behind this exchange: instead of
    /// [`crate::settings::Limits::keepalive_idle`]. [`Session::close_connection`] says that there is no next one.
    pub fn set_keepalive_idle(&mut self, timeout: Duration) {
        self.options().keepalive_idle = Some(timeout);
    }

    /// How long a tunnel may be silent that becomes of this exchange: instead of
    /// [`crate::settings::Limits::tunnel_idle`].
    pub fn set_tunnel_idle(&mut self, timeout: Duration) {
        self.options().tunnel_idle = Some(timeout);
    }

    /// How long the rest of a request is read and dropped that was answered before its end: instead of
    /// [`crate::settings::Limits::linger`].
    pub fn set_linger(&mut self, timeout: Duration) {
        self.options().linger = Some(timeout);
    }

    /// How long the exchange may take from the first byte of its request to the last of its response; `None` is without
    /// bound. Instead of [`crate::settings::Limits::request_timeout`].
    pub fn set_request_timeout(&mut self, timeout: Option<Duration>) {
        self.options().request_timeout = Some(timeout);
    }

    /// Keeps interim responses (1xx) of the origin from the client, but for a 100 (Continue) that it waits for, and a
    /// 101. Default: they are relayed.
    pub fn drop_interim_responses(&mut self) {
        self.options().drops_interim = true;
    }

    fn options(&mut self) -> &mut DownstreamOptions {
        self.has_said = true;
        self.downstream_options.get_or_insert_default()
    }
}

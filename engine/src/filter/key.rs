//! Whom a limit counts.

use crate::phase::Session;
use crate::settings::{IpNet, LimitKey};
use ringway_proto::message::Name;
use ringway_proto::rules::list;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Whom a limit counts: what requests have in common that share one.
///
/// The client's address is that of the connection; where that is one of the trusted proxies, the last address in
/// `X-Forwarded-For` that is none of them. Of IPv6 the first 64 bits count, for that is what a customer has, and whoever
/// has them can use any address below.
#[derive(Clone, Debug)]
pub struct Key {
    by: LimitKey,
    trusted: Arc<[IpNet]>,
}

/// The key of one request.
pub(super) struct KeyOf<'a> {
    key: &'a Key,
    session: &'a Session,
}

impl Key {
    /// The client's address.
    pub fn client() -> Self {
        Self::new(LimitKey::Client, &[])
    }

    /// What `by` says, behind proxies that are `trusted`.
    pub fn new(by: LimitKey, trusted: &[IpNet]) -> Self {
        Self { by, trusted: trusted.into() }
    }

    pub(super) fn of<'a>(&'a self, session: &'a Session) -> KeyOf<'a> {
        KeyOf { key: self, session }
    }

    /// The client's address; `None` where there is none, on a Unix-domain socket.
    fn client_of(&self, session: &Session) -> Option<IpAddr> {
        let client = session.client();
        let peer: Option<IpAddr> = client.address.parse().ok();
        if !client.is_trusted {
            return peer;
        }
        let values: Vec<&[u8]> = session.request().fields.get_all(Name::XForwardedFor).collect();
        let mut nearest = peer;
        for element in
            values.iter().rev().flat_map(|value| list::elements(value).collect::<Vec<_>>().into_iter().rev())
        {
            let Some(address) =
                std::str::from_utf8(element).ok().and_then(|text| text.parse::<IpAddr>().ok())
            else {
                break;
            };
            nearest = Some(address);
            if !self.trusted.iter().any(|range| range.contains(address)) {
                break;
            }
        }
        nearest
    }
}

impl Hash for KeyOf<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { key, session } = self;
        let request = session.request();
        match &key.by {
            LimitKey::Client => {}
            LimitKey::All => return 1_u8.hash(state),
            LimitKey::Host => return (2_u8, session.host().to_ascii_lowercase()).hash(state),
            LimitKey::Path => return (3_u8, request.path()).hash(state),
            LimitKey::Header(name) => {
                if let Some(value) = request.fields.find(name.as_bytes()) {
                    return (4_u8, value).hash(state);
                }
            }
        }
        // Who leaves the field out is counted by address.
        match key.client_of(session).map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => (5_u8, address).hash(state),
            Some(IpAddr::V6(address)) => (6_u8, network(address)).hash(state),
            None => 7_u8.hash(state),
        }
    }
}

fn network(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 64) as u64
}

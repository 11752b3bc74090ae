//! Where user code leaves what it asks of its shard.

use crate::phase::Peer;
use crate::port::Port;
use ringway_proto::message::RequestHead;
use std::cell::RefCell;
use std::collections::VecDeque;

/// What user code wants done by its shard. It cannot call the shard, in the middle of whose turn it runs.
#[derive(Debug, Default)]
pub struct Desk {
    calls: RefCell<VecDeque<Call>>,
}

/// Something that is asked of a peer.
#[derive(Debug)]
pub struct Call {
    /// The shard's end of what is asked on.
    pub port: Port,
    /// What is asked.
    pub asked: Asked,
    /// Of whom.
    pub peer: Peer,
}

/// What is asked.
#[derive(Debug)]
pub enum Asked {
    /// A request, whose content follows.
    Http(Box<RequestHead>),
    /// A stream of bytes.
    Raw,
}

impl Desk {
    /// Leaves a call for the shard, which looks before its turn ends.
    pub fn put(&self, call: Call) {
        self.calls.borrow_mut().push_back(call);
    }

    /// The next call.
    pub fn take(&self) -> Option<Call> {
        self.calls.borrow_mut().pop_front()
    }
}

//! How good or bad a simulated network is.

use std::time::Duration;

/// The weather. Everything random is drawn from the seed. Chances are in a thousand.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How long a packet travels: at least, at most. Packets of one direction of a connection keep their order.
    pub latency: (Duration, Duration),
    /// Bytes of one packet: at most. What is sent at once arrives in so many pieces, one after the other.
    pub packet_bytes: usize,
    /// Whether packets are of random length up to that.
    pub ragged: bool,
    /// Bytes that may be sent and not yet read by the peer, for each direction of a connection.
    pub buffer_bytes: usize,
    /// Whether events of the same instant come in random order; else in the order of their causes.
    pub shuffled: bool,
    /// Chance that a shard's receive gets less than there is.
    pub short_receive: u32,
    /// Chance that a shard's send takes less than there is room for.
    pub short_send: u32,
    /// Chance that a shard's receive or send says `WouldBlock` or `Interrupted` for no reason.
    pub would_block: u32,
    /// Chance that a shard is told of readiness again when there is none.
    pub spurious: u32,
    /// Chance that a reset overtakes what was sent before it, which is then lost.
    pub reset_overtakes: u32,
    /// Chance that a reset also takes with it what has arrived and was not read. (Linux leaves it.)
    pub reset_discards: u32,
    /// Chance that a dial of a shard fails at once for want of descriptors.
    pub no_descriptor: u32,
    /// Chance that a shard finds no descriptor for a connection that it is to accept.
    pub accept_exhausted: u32,
    /// How late a shard's timer may go off.
    pub timer_late: Duration,
}

impl Conditions {
    /// What a machine room offers: nothing goes wrong that the ends do not do themselves.
    pub fn calm() -> Self {
        Self {
            latency: (Duration::from_micros(100), Duration::from_micros(100)),
            packet_bytes: usize::MAX,
            ragged: false,
            buffer_bytes: 64 * 1024,
            shuffled: false,
            short_receive: 0,
            short_send: 0,
            would_block: 0,
            spurious: 0,
            reset_overtakes: 0,
            reset_discards: 0,
            no_descriptor: 0,
            accept_exhausted: 0,
            timer_late: Duration::ZERO,
        }
    }

    /// Every byte travels alone.
    pub fn dribbling() -> Self {
        Self { packet_bytes: 1, ..Self::calm() }
    }

    /// Late, torn and shuffled, as far as a correct end has to bear it without anybody noticing: no connection
    /// breaks that nobody broke.
    pub fn rough() -> Self {
        Self {
            latency: (Duration::from_micros(10), Duration::from_micros(900)),
            packet_bytes: 3000,
            ragged: true,
            shuffled: true,
            short_receive: 200,
            short_send: 200,
            would_block: 50,
            spurious: 50,
            timer_late: Duration::from_millis(2),
            ..Self::calm()
        }
    }

    /// As [`rough`](Self::rough), and resets take with them what they can, buffers are small, descriptors run
    /// out.
    pub fn hostile() -> Self {
        Self {
            buffer_bytes: 8 * 1024,
            reset_overtakes: 300,
            reset_discards: 300,
            no_descriptor: 5,
            accept_exhausted: 50,
            ..Self::rough()
        }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::calm()
    }
}

//! The bill: what a configuration can cost, before it does.
//!
//! Every number is an upper bound that follows from the limits, not a measurement: a machine that can pay this
//! bill is not surprised later.

use crate::config::units::format_size;
use crate::serve::{cost, shards};
use ringway_engine::settings::{Compression, ConcurrencyLimit, RateLimit, Settings};
use std::fmt::{self, Display, Formatter};

/// What serving `settings` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bill {
    shards: u64,
    http: u64,
    tcp: u64,
    descriptors: Descriptors,
    memory: Memory,
    open_files: OpenFiles,
}

/// Descriptors by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptors {
    clients: u64,
    upstream: u64,
    listeners: u64,
    process: u64,
}

/// Bytes by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    /// Of limits that hold for the process.
    limits: u64,
    /// Of responses that are being coded.
    codings: u64,
    shards: u64,
    idle: u64,
    worst: u64,
}

/// `RLIMIT_NOFILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// What the process may open now.
    pub(crate) soft: u64,
    /// What it may raise that to.
    pub(crate) hard: u64,
}

impl OpenFiles {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        let (soft, hard) = limits.unwrap_or((0, 0));
        Self { soft, hard }
    }
}

impl Bill {
    /// The bill for `settings` where `open_files` are allowed.
    pub(crate) fn new(settings: &Settings, open_files: OpenFiles) -> Self {
        let shards = shards(settings) as u64;
        Self {
            shards,
            http: settings.listeners.len() as u64,
            tcp: settings.tcp.len() as u64,
            descriptors: Descriptors::new(settings, shards),
            memory: Memory::new(settings, shards),
            open_files,
        }
    }
}

impl Descriptors {
    fn new(settings: &Settings, shards: u64) -> Self {
        let clients = settings.limits.connections as u64;
        let idle = settings
            .clusters
            .iter()
            .map(|cluster| shards * cluster.endpoints.len() as u64 * cluster.keepalive.idle_max as u64);
        Self {
            clients,
            // A client's exchange has one upstream connection at a time; those of others may be idle meanwhile.
            upstream: clients.saturating_add(idle.sum()),
            // Each shard has a descriptor of its own for each.
            listeners: shards * (settings.listeners.len() + settings.tcp.len()) as u64,
            process: cost::PROCESS_DESCRIPTORS + shards * cost::SHARD_DESCRIPTORS,
        }
    }

    fn sum(&self) -> u64 {
        self.clients.saturating_add(self.upstream).saturating_add(self.listeners + self.process)
    }
}

impl Memory {
    fn new(settings: &Settings, shards: u64) -> Self {
        let limits = &settings.limits;
        // Every client in the middle of an exchange: both heads held, both connections full, a body kept for
        // another attempt.
        let heads = limits.request_head_bytes as u64 + limits.response_head_bytes as u64;
        let connection = cost::BUSY_CONNECTION_BYTES + cost::IDLE_CONNECTION_BYTES;
        let exchange = heads + limits.replay_bytes as u64 + 2 * connection;
        let clients = limits.connections as u64;
        let (limits, codings) = (limits_of(settings), codings_of(settings, shards));
        let fixed = shards * cost::SHARD_BYTES + limits;
        Self {
            limits,
            codings,
            shards: shards * cost::SHARD_BYTES,
            idle: clients.saturating_mul(cost::IDLE_CONNECTION_BYTES),
            worst: clients.saturating_mul(exchange).saturating_add(codings).saturating_add(fixed),
        }
    }
}

/// What is remembered of whom, for limits of rate and number.
fn limits_of(settings: &Settings) -> u64 {
    let routes = settings.sites.iter().flat_map(|site| &site.routes).map(|route| &route.filters);
    let of_sites = settings.sites.iter().map(|site| (&site.rate_limits, &site.concurrency_limits));
    let all = of_sites.chain(routes.map(|filters| (&filters.rate_limits, &filters.concurrency_limits)));
    let bytes = |(rates, numbers): (&Vec<RateLimit>, &Vec<ConcurrencyLimit>)| {
        let keys =
            rates.iter().map(|limit| limit.keys.next_power_of_two().max(8) as u64 * cost::RATE_KEY_BYTES);
        keys.sum::<u64>() + numbers.len() as u64 * cost::CONCURRENCY_LIMIT_BYTES
    };
    all.map(bytes).sum()
}

/// What coders and decoders hold when as many as possible are in use.
fn codings_of(settings: &Settings, shards: u64) -> u64 {
    let filters = settings.sites.iter().flat_map(|site| &site.routes).map(|route| &route.filters);
    // Routes that code in the same way share their coders.
    let mut encoders: Vec<&Compression> = Vec::new();
    let mut decodes = false;
    for filters in filters {
        decodes |= filters.decompression.is_some();
        if let Some(compression) = &filters.compression {
            decodes |= compression.policy.decodes;
            if !encoders.contains(&compression) {
                encoders.push(compression);
            }
        }
    }
    let encoder = |compression: &&Compression| {
        let largest = compression.policy.offered.iter().map(|coding| cost::encoder_bytes(*coding)).max();
        shards.saturating_mul(compression.streams_max as u64).saturating_mul(largest.unwrap_or(0))
    };
    let clients = settings.limits.connections as u64;
    let decoders = if decodes { clients.saturating_mul(cost::DECODER_BYTES) } else { 0 };
    encoders.iter().map(encoder).fold(decoders, u64::saturating_add)
}

impl Display for Bill {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Descriptors { clients, upstream, listeners, process } = self.descriptors;
        let OpenFiles { soft, hard } = self.open_files;
        let needed = self.descriptors.sum();
        writeln!(f, "shards       {}", self.shards)?;
        writeln!(f, "listeners    {} http, {} tcp", self.http, self.tcp)?;
        writeln!(f, "descriptors  {needed} needed at most, {soft} allowed, {hard} after raising the limit")?;
        writeln!(
            f,
            "             clients {clients}, upstream {upstream}, listeners {listeners}, process {process}"
        )?;
        writeln!(f, "memory       {} for shards without connections", format_size(self.memory.shards))?;
        if self.memory.limits > 0 {
            writeln!(f, "             {} for limits of rate and number", format_size(self.memory.limits))?;
        }
        if self.memory.codings > 0 {
            writeln!(
                f,
                "             {} for content that is coded or decoded, at most",
                format_size(self.memory.codings)
            )?;
        }
        let each = format_size(cost::IDLE_CONNECTION_BYTES);
        writeln!(
            f,
            "             {} for {clients} idle connections, {each} each",
            format_size(self.memory.idle)
        )?;
        writeln!(
            f,
            "             {} at worst, every connection at every limit",
            format_size(self.memory.worst)
        )?;
        if needed > hard {
            writeln!(
                f,
                "warning: {needed} descriptors can be needed and {hard} are allowed: raise the limit \
                 (`ulimit -n`, LimitNOFILE=) or lower `limits {{ connections … }}`"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_engine::settings::Address;

    fn settings() -> Settings {
        let address = |port: u16| Address::Tcp(([127, 0, 0, 1], port).into());
        let mut settings = Settings::reverse_proxy(address(8080), vec![address(1), address(2)]);
        settings.workers = Some(4);
        settings.limits.connections = 1000;
        settings
    }

    #[test]
    fn descriptors_are_those_of_every_connection_that_can_exist() {
        let bill = Bill::new(&settings(), OpenFiles { soft: 1024, hard: 10_000 });
        assert_eq!(bill.descriptors.clients, 1000);
        assert_eq!(bill.descriptors.upstream, 1000 + 4 * 2 * 128);
        assert_eq!(bill.descriptors.listeners, 4);
    }

    #[test]
    fn too_few_descriptors_are_warned_of() {
        let shown = |hard| Bill::new(&settings(), OpenFiles { soft: 1024, hard }).to_string();
        assert!(!shown(10_000).contains("warning"));
        assert!(shown(1024).contains("warning: "), "{}", shown(1024));
    }

    #[test]
    fn limits_and_codings_are_on_the_bill() {
        use ringway_engine::coding::Policy;
        use ringway_engine::settings::LimitKey;
        let mut settings = settings();
        let shown =
            |settings: &Settings| Bill::new(settings, OpenFiles { soft: 1024, hard: 10_000 }).to_string();
        assert!(!shown(&settings).contains("coded"));
        settings.sites[0].concurrency_limits = vec![ConcurrencyLimit { max: 1, key: LimitKey::All }];
        let filters = &mut settings.sites[0].routes[0].filters;
        filters.compression = Some(Compression { policy: Policy::default(), streams_max: 10 });
        let bill = shown(&settings);
        assert!(bill.contains("32 KiB for limits of rate and number"), "{bill}");
        assert!(bill.contains("160 MiB for content that is coded or decoded, at most"), "{bill}");
    }

    #[test]
    fn no_limit_is_too_large_to_be_shown() {
        let mut settings = settings();
        settings.limits.connections = usize::MAX;
        settings.workers = Some(1024);
        assert!(Bill::new(&settings, OpenFiles { soft: 1, hard: 2 }).to_string().contains("warning"));
    }
}

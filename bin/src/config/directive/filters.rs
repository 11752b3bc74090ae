//! What happens to the messages of a route, or of all routes of a site: codings and limits.
//!
//! A key of a site is the default of its routes, and a route that has the key itself goes by that; the limits of rate
//! and number of a site hold for its routes together, besides those that a route has.

use super::super::Mention;
use super::super::diagnose::{Problem, Report};
use super::super::node::{Node, Value};
use super::super::spec::{Arguments, Directive, Property, Spec, visit_all};
use super::super::syntax::{parse_limit_key, parse_limit_name};
use super::super::units::parse_rate;
use ringway_engine::coding::{Coding, DecodeLimits, Levels, Policy, TypePattern};
use ringway_engine::filter::compression::STREAMS_MAX;
use ringway_engine::settings::{Compression, ConcurrencyLimit, Filters, LimitKey, Limits, RateLimit};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a route or a site says.
#[derive(Default)]
pub(super) struct FiltersDraft {
    compression: Said<Compression>,
    decompression: Said<Decompression>,
    request_bytes_max: Said<u64>,
    response_bytes_max: Said<u64>,
    pub(super) rate_limits: Vec<RateLimit>,
    pub(super) concurrency_limits: Vec<ConcurrencyLimit>,
    /// Names of rate limits that responses tell.
    announced: Vec<Mention>,
}

/// A key that a site may have for its routes, and a route for itself.
#[derive(Clone, Default)]
enum Said<T> {
    /// It is not there.
    #[default]
    Unsaid,
    /// `"off"`.
    Off,
    On(T),
}

/// When, and up to what, content is decoded.
#[derive(Clone)]
struct Decompression {
    is_always: bool,
    limits: DecodeLimits,
}

/// Who has these keys.
pub(super) trait Filtered: 'static {
    fn filters(&mut self) -> &mut FiltersDraft;
}

impl FiltersDraft {
    /// Finds names of limits that another limit of the same requests has: earlier here, or in that of `site`.
    pub(super) fn check_announced(&self, site: Option<&Self>, report: &mut Report) {
        let of_site = site.map_or(&[][..], |site| &site.announced);
        for (index, mention) in self.announced.iter().enumerate() {
            let mut earlier = of_site.iter().chain(&self.announced[..index]);
            if let Some(earlier) = earlier.find(|earlier| earlier.name == mention.name) {
                let message = format!("the limit \"{}\" is announced twice", mention.name);
                report.error(mention.span.clone(), message).earlier(earlier.span.clone());
            }
        }
    }

    /// What a route of `site` does.
    pub(super) fn finish(self, site: &Self) -> Filters {
        let mut compression = self.compression.or(&site.compression);
        let mut decompression = None;
        match self.decompression.or(&site.decompression) {
            Some(Decompression { is_always: true, limits }) => decompression = Some(limits),
            Some(Decompression { is_always: false, limits }) => {
                let nothing = Policy { offered: Vec::new(), ..Policy::default() };
                let coding = Compression { policy: nothing, streams_max: STREAMS_MAX };
                let policy = &mut compression.get_or_insert(coding).policy;
                policy.decodes = true;
                policy.decode_limits = limits;
            }
            None => {}
        }
        Filters {
            compression,
            decompression,
            request_bytes_max: self.request_bytes_max.or(&site.request_bytes_max),
            response_bytes_max: self.response_bytes_max.or(&site.response_bytes_max),
            rate_limits: self.rate_limits,
            concurrency_limits: self.concurrency_limits,
        }
    }
}

impl<T: Clone> Said<T> {
    fn or(self, other: &Self) -> Option<T> {
        match (self, other) {
            (Self::On(value), _) => Some(value),
            (Self::Unsaid, Self::On(value)) => Some(value.clone()),
            (Self::Off, _) | (Self::Unsaid, _) => None,
        }
    }
}

pub(super) const fn compress<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec {
            name: "compress",
            arguments: Arguments::Many("CODING"),
            help: "Codes responses for clients that accept one of these: \"zstd\", \"gzip\", \"br\"; the first that \
                   a client wants as much as any other. \"off\" in a route undoes what its site says. Not for \
                   content that holds a secret next to something that others may choose (BREACH). Default: nothing \
                   is coded.",
            properties: &[
                Property {
                    name: "min",
                    value: "SIZE",
                    help: "Content that is known to be shorter is sent as it is. Default: \"256B\".",
                },
                Property {
                    name: "streams",
                    value: "NUMBER",
                    help: "Responses that are coded at a time on each shard; others are sent as they are. A coder \
                           holds up to 0.4 MiB for gzip, 1.8 for zstd, 3.1 for br. Default: 256.",
                },
            ],
            keys: |visit| visit_all(COMPRESS_KEYS, visit),
            ..Spec::EMPTY
        },
        apply: |node, parent, report| {
            if let Some(said) = read_compress(node, report) {
                parent.filters().compression = said;
            }
        },
    }
}

static COMPRESS_KEYS: &[&Directive<Policy>] = &[&TYPES, &LEVEL];

fn read_compress(node: &Node<'_>, report: &mut Report) -> Option<Said<Compression>> {
    if is_off(node, &["min", "streams"], report)? {
        return Some(Said::Off);
    }
    let mut policy = Policy { offered: Vec::new(), ..Policy::default() };
    for value in node.arguments() {
        let Some(coding) = value.parse(report, parse_coding) else { continue };
        if policy.offered.contains(&coding) {
            report.error(value.span, format!("`{}` is given twice", coding.token()));
        }
        policy.offered.push(coding);
    }
    if let Some(min) = node.property("min").and_then(|value| value.size(0..=u64::MAX, report)) {
        policy.length_min_bytes = min;
    }
    let streams = node.property("streams").and_then(|value| value.number(1..=1_000_000_usize, report));
    node.block(COMPRESS_KEYS, &mut policy, report);
    Some(Said::On(Compression { policy, streams_max: streams.unwrap_or(STREAMS_MAX) }))
}

fn parse_coding(text: &str) -> Result<Coding, Problem> {
    const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Brotli];
    let found = CODINGS.into_iter().find(|coding| coding.token() == text);
    found.ok_or_else(|| {
        let problem = Problem::new(format!("`{text}` is not a coding that is offered"));
        match text.to_ascii_lowercase().as_str() {
            "brotli" => problem.with_help("did you mean \"br\"?"),
            "zstandard" | "zst" => problem.with_help("did you mean \"zstd\"?"),
            "x-gzip" | "gz" | "deflate" | "gzip" => problem.with_help("did you mean \"gzip\"?"),
            _ => problem.with_help("\"zstd\", \"gzip\", \"br\", or \"off\" alone"),
        }
    })
}

static TYPES: Directive<Policy> = Directive {
    spec: Spec {
        name: "types",
        arguments: Arguments::Many("TYPE"),
        help: "The types of content to code: \"text/html\", all of a kind as \"text/*\", or all with a suffix as \
               \"+json\". What is compressed in itself is never coded. Default: text, JSON, XML, scripts, vector \
               graphics, WebAssembly and the like.",
        ..Spec::EMPTY
    },
    apply: |node, policy, report| {
        policy.types.clear();
        for value in node.arguments() {
            policy.types.extend(value.parse(report, |text| {
                TypePattern::parse(text).ok_or_else(|| {
                    Problem::new(format!("`{text}` is not a type of content"))
                        .with_help("like \"text/html\", \"text/*\" or \"+json\"")
                })
            }));
        }
    },
};

static LEVEL: Directive<Policy> = Directive {
    spec: Spec {
        name: "level",
        help: "How hard the codings try, from 1, the fastest, to 9, the smallest.",
        properties: &[
            Property { name: "gzip", value: "LEVEL", help: "Default: 5." },
            Property { name: "br", value: "LEVEL", help: "Default: 5." },
            Property { name: "zstd", value: "LEVEL", help: "Default: 3." },
        ],
        ..Spec::EMPTY
    },
    apply: |node, policy, report| {
        let mut set = |name, range: RangeInclusive<u8>, level: &mut u8| {
            if let Some(given) = node.property(name).and_then(|value| value.number(range, report)) {
                *level = given;
            }
        };
        set("gzip", Levels::GZIP, &mut policy.levels.gzip);
        set("br", Levels::BROTLI, &mut policy.levels.brotli);
        set("zstd", Levels::ZSTD, &mut policy.levels.zstd);
    },
};

pub(super) const fn decompress<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec {
            name: "decompress",
            arguments: Arguments::One("WHEN"),
            help: "Decodes content that an origin has coded: \"excluded\" for clients that exclude how it was coded, \
                   \"always\" for everybody; `compress` then codes it as a client wants. \"off\" in a route undoes \
                   what its site says. Default: nothing is decoded.",
            properties: &[
                Property {
                    name: "max",
                    value: "SIZE",
                    help: "The response is cut when it becomes longer. Default: no bound.",
                },
                Property {
                    name: "ratio",
                    value: "NUMBER",
                    help: "The response is cut when it becomes so many times longer than what came, above 1 MiB. \
                           Default: 256.",
                },
            ],
            ..Spec::EMPTY
        },
        apply: |node, parent, report| {
            if let Some(said) = read_decompress(node, report) {
                parent.filters().decompression = said;
            }
        },
    }
}

fn read_decompress(node: &Node<'_>, report: &mut Report) -> Option<Said<Decompression>> {
    if is_off(node, &["max", "ratio"], report)? {
        return Some(Said::Off);
    }
    let is_always = node.parse(report, |text| match text {
        "always" => Ok(true),
        "excluded" => Ok(false),
        _ => Err(Problem::new(format!("`{text}` is not a time to decode"))
            .with_help("\"excluded\", \"always\" or \"off\"")),
    })?;
    let mut limits = DecodeLimits::default();
    if let Some(max) = node.property("max").and_then(|value| value.size(1..=u64::MAX, report)) {
        limits.content_bytes_max = max;
    }
    if let Some(ratio) = node.property("ratio").and_then(|value| value.number(1..=u32::MAX, report)) {
        limits.ratio_max = ratio;
    }
    Some(Said::On(Decompression { is_always, limits }))
}

pub(super) const fn request_limit<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec::one(
            "request-limit",
            "SIZE",
            "Bytes of a request's content; more is answered 413, before any of it is sent on where its length is \
             announced. \"off\" in a route undoes what its site says. Default: no bound but `limits { request-body }`.",
        ),
        apply: |node, parent, report| {
            if let Some(said) = read_limit(node, report) {
                parent.filters().request_bytes_max = said;
            }
        },
    }
}

pub(super) const fn response_limit<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec::one(
            "response-limit",
            "SIZE",
            "Bytes of a response's content as its origin sends it; more is answered 502, or cut where the length was \
             not announced. \"off\" in a route undoes what its site says. Default: no bound.",
        ),
        apply: |node, parent, report| {
            if let Some(said) = read_limit(node, report) {
                parent.filters().response_bytes_max = said;
            }
        },
    }
}

fn read_limit(node: &Node<'_>, report: &mut Report) -> Option<Said<u64>> {
    if is_off(node, &[], report)? {
        return Some(Said::Off);
    }
    node.argument()?.size(0..=u64::MAX, report).map(Said::On)
}

pub(super) const fn rate_limit<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec {
            name: "rate-limit",
            arguments: Arguments::One("RATE"),
            repeats: true,
            help: "How often requests may come, evenly: \"100/s\", \"10/m\", \"1/500ms\". Others are answered 429 with \
                   `Retry-After`. One limit for the whole process; that of a site holds for its routes together, \
                   besides theirs.",
            properties: &[
                Property {
                    name: "burst",
                    value: "NUMBER",
                    help: "Requests that may come at once, after a time without. Default: as many as the rate has.",
                },
                BY,
                Property {
                    name: "delay",
                    value: "TIME",
                    help: "A request that comes too early waits, if it has to wait no longer than this. Default: \"0s\".",
                },
                Property {
                    name: "keys",
                    value: "NUMBER",
                    help: "Clients, or whatever is counted, that are remembered at a time; eight bytes each. When \
                           there are more, those that asked least are forgotten. Default: 65536.",
                },
                Property {
                    name: "announce",
                    value: "NAME",
                    help: "Responses tell of the limit by this name, with `RateLimit-Policy` and `RateLimit` \
                           (draft-ietf-httpapi-ratelimit-headers). Default: they do not.",
                },
            ],
            ..Spec::EMPTY
        },
        apply: |node, parent, report| {
            let limit = read_rate_limit(node, report);
            let filters = parent.filters();
            if let Some(name) = limit.as_ref().and_then(|limit| limit.announced.clone())
                && let Some(value) = node.property("announce")
            {
                filters.announced.push(Mention { name, span: value.span });
            }
            filters.rate_limits.extend(limit);
        },
    }
}

fn read_rate_limit(node: &Node<'_>, report: &mut Report) -> Option<RateLimit> {
    let mut quota = node.parse(report, parse_rate)?;
    if let Some(burst) = node.property("burst").and_then(|value| value.number(1..=u32::MAX, report)) {
        quota = quota.burst(burst);
    }
    let delay = node.property("delay");
    let delay_max = delay.as_ref().and_then(|value| value.time(Duration::ZERO, report)).unwrap_or_default();
    let patience = Limits::default().hook_timeout;
    if let Some(delay) = delay.filter(|_| delay_max >= patience) {
        report.error(delay.span, format!("a request waits less than {patience:?}"));
    }
    let keys = node.property("keys").and_then(|value| value.number(1..=KEYS_MAX, report));
    let announced = node.property("announce").and_then(|value| value.parse(report, parse_limit_name));
    Some(RateLimit { quota, key: read_key(node, report), delay_max, keys: keys.unwrap_or(KEYS), announced })
}

pub(super) const fn concurrency_limit<P: Filtered>() -> Directive<P> {
    Directive {
        spec: Spec {
            name: "concurrency-limit",
            arguments: Arguments::One("NUMBER"),
            repeats: true,
            help: "How many requests may be under way; others are answered 429. One limit for the whole process; that \
                   of a site holds for its routes together, besides theirs.",
            properties: &[BY],
            ..Spec::EMPTY
        },
        apply: |node, parent, report| {
            let max = node.argument().and_then(|value| value.number(1..=u64::from(u32::MAX), report));
            let key = read_key(node, report);
            parent.filters().concurrency_limits.extend(max.map(|max| ConcurrencyLimit { max, key }));
        },
    }
}

const BY: Property = Property {
    name: "by",
    value: "KEY",
    help: "Whose requests are counted together: \"client\" (an IPv4 address, or a /64 of IPv6; behind a trusted proxy \
           what it says in `X-Forwarded-For`), \"host\", \"path\", \"header:NAME\" (without it, by client), or \"all\". \
           Default: \"client\".",
};

fn read_key(node: &Node<'_>, report: &mut Report) -> LimitKey {
    let key = node.property("by").and_then(|value| value.parse(report, parse_limit_key));
    key.unwrap_or(LimitKey::Client)
}

/// Whether it says `"off"`, alone and with none of the `properties`. `None` when nothing is said.
fn is_off(node: &Node<'_>, properties: &[&'static str], report: &mut Report) -> Option<bool> {
    let is_off = |value: &Value<'_>| value.is_text("off");
    node.argument()?;
    if !node.arguments().any(|value| is_off(&value)) {
        return Some(false);
    }
    let others = node.arguments().filter(|value| !is_off(value));
    let given = properties.iter().filter_map(|name| node.property(name));
    others.chain(given).for_each(|value| {
        report.error(value.span, "this has no effect with \"off\"");
    });
    Some(true)
}

/// As the engine has it.
const KEYS: usize = 65_536;
/// 512 MiB.
const KEYS_MAX: usize = 64 * 1024 * 1024;

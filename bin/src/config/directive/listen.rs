//! `listen`: where HTTP is accepted.

use super::super::Draft;
use super::super::address::parse_listen;
use super::super::diagnose::{Problem, Report};
use super::super::node::Node;
use super::super::spec::{Arguments, Directive, Property, Spec, visit_all};
use super::proxy_protocol::proxy_protocol;
use ringway_engine::settings::{Address, Listener, ProxyProtocol};

pub(super) static LISTEN: Directive<Draft> = Directive {
    spec: Spec {
        name: "listen",
        arguments: Arguments::One("ADDRESS"),
        repeats: true,
        help: "Accepts HTTP/1.1 in clear at an IP address and port, or at \"unix:PATH\". Port 0 asks the kernel \
               for one; the address in use is printed.",
        properties: &[MODE],
        keys: |visit| visit_all(KEYS, visit),
        later: &["tls", "protocols"],
    },
    apply: |node, draft, report| {
        let listener = apply_address(node, draft, report);
        let mut proxy_protocol = None;
        node.block(KEYS, &mut proxy_protocol, report);
        if let Some((address, mode)) = listener {
            let listener = Listener { mode, proxy_protocol, ..Listener::new(address) };
            draft.config.settings.listeners.push(listener);
        }
    },
};

static KEYS: &[&Directive<Option<ProxyProtocol>>] = &[&PROXY_PROTOCOL];

static PROXY_PROTOCOL: Directive<Option<ProxyProtocol>> = proxy_protocol();

/// The same for every listener.
pub(super) const MODE: Property = Property {
    name: "mode",
    value: "MODE",
    help: "Who may connect to a Unix socket, as an octal file mode like \"0660\". Default: what the umask leaves.",
};

/// The address and mode of a listener. The address is remembered, so that a second use of it is found.
pub(super) fn apply_address(
    node: &Node<'_>,
    draft: &mut Draft,
    report: &mut Report,
) -> Option<(Address, Option<u32>)> {
    let mode = node.property(MODE.name);
    let parsed_mode = mode.as_ref().and_then(|value| value.parse(report, parse_mode));
    let address = node.parse(report, parse_listen)?;
    if let (Address::Tcp(_), Some(mode)) = (&address, mode) {
        report.error(mode.span, "only a `unix:` socket has a file mode");
    }
    let span = node.argument().map_or_else(|| node.span(), |value| value.span);
    draft.listens.push((address.clone(), span));
    Some((address, parsed_mode))
}

fn parse_mode(text: &str) -> Result<u32, Problem> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| Problem::new(format!("`{text}` is not a file mode")).with_help("octal, like \"0660\""))
}

//! What no block sees alone: names that lead nowhere, and things that nothing leads to.

use super::Draft;
use super::diagnose::{Report, closest};
use ringway_engine::settings::Address;

/// Checks a draft after its last node.
pub(super) fn check(draft: &Draft, report: &mut Report) {
    check_clusters(draft, report);
    check_listens(draft, report);
    check_presence(draft, report);
}

fn check_clusters(draft: &Draft, report: &mut Report) {
    for used in &draft.proxied {
        let mut names = draft.clusters.iter().map(|cluster| cluster.name.as_str());
        if names.clone().any(|name| name == used.name) || report.is_unread(&used.name) {
            continue;
        }
        let only = names.clone().count() == 1;
        let meant = closest(&used.name, names.clone()).or_else(|| names.next().filter(|_| only));
        let error = report.error(used.span.clone(), format!("there is no cluster \"{}\"", used.name));
        if let Some(meant) = meant {
            error.help(format!("did you mean \"{meant}\"?"));
        }
    }
    for (index, cluster) in draft.clusters.iter().enumerate() {
        let name = &cluster.name;
        if let Some(earlier) = draft.clusters[..index].iter().find(|earlier| earlier.name == *name) {
            let error = report.error(cluster.span.clone(), format!("cluster \"{name}\" is given twice"));
            error.earlier(earlier.span.clone());
        } else if !draft.proxied.iter().any(|used| used.name == *name) && !report.is_unread(name) {
            let error = report.error(cluster.span.clone(), format!("cluster \"{name}\" is not used"));
            error.help("no `proxy` names it");
        }
    }
}

fn check_listens(draft: &Draft, report: &mut Report) {
    for (index, (address, span)) in draft.listens.iter().enumerate() {
        // Port 0 is another port each time.
        if matches!(address, Address::Tcp(address) if address.port() == 0) {
            continue;
        }
        let earlier = draft.listens[..index].iter().find(|(earlier, _)| earlier == address);
        if let Some((_, earlier)) = earlier {
            let error = report.error(span.clone(), format!("{address} is listened at twice"));
            error.earlier(earlier.clone());
        }
    }
}

/// Listeners need sites and sites need listeners. Where something could not be understood, it may just be that.
fn check_presence(draft: &Draft, report: &mut Report) {
    if !report.is_empty() {
        return;
    }
    let settings = &draft.config.settings;
    if settings.listeners.is_empty() && !settings.sites.is_empty() {
        let span = draft.hosts.first().map_or(0..0, |host| host.span.clone());
        report.error(span, "no `listen` leads to this site").help("add `listen \"127.0.0.1:8080\"`");
    } else if settings.listeners.is_empty() && settings.tcp.is_empty() {
        report.error(0..0, "there is nothing to listen on").help("add `listen \"127.0.0.1:8080\"`");
    } else if !settings.listeners.is_empty() && settings.sites.is_empty() {
        let span = draft.listens.first().map_or(0..0, |(_, span)| span.clone());
        report.error(span, "there is no `site`: every request would be answered 404");
    }
}

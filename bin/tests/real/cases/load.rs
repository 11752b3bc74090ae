//! wrk: many requests in a short time, none lost.

use crate::harness::programs::{Server, run_well};
use crate::harness::proxy::Proxy;

/// Runs wrk for two seconds and looks for anything but good answers.
#[track_caller]
fn wrk(args: &[&str]) -> u64 {
    let report = run_well("wrk", &[&["-t1", "-d2s", "--timeout", "20s"], args].concat());
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.expect("a sum").0.parse().expect("a number");
    assert!(requests > 100, "{report}");
    requests
}

const FILES: &[(&str, &[u8])] = &[("one", b"1"), ("some", &[b'x'; 10_000])];

cases! {
    fn connections_that_are_kept_lose_nothing(driver) {
        let nginx = Server::nginx(FILES, "keepalive_requests 1000000;");
        let proxy = Proxy::to_with_all_cores(driver, &nginx.address);
        wrk(&["-c64", &proxy.url("/one")]);
        wrk(&["-c64", &proxy.url("/some")]);
    }

    fn a_connection_for_each_request_loses_nothing(driver) {
        let nginx = Server::nginx(FILES, "keepalive_requests 1000000;");
        let proxy = Proxy::to_with_all_cores(driver, &nginx.address);
        wrk(&["-c32", "-H", "Connection: close", &proxy.url("/one")]);
    }

    /// nginx closes each connection after seven requests: the pool is always about to be wrong.
    fn an_origin_that_keeps_closing_loses_nothing(driver) {
        let nginx = Server::nginx(FILES, "keepalive_requests 7;");
        let proxy = Proxy::to_with_all_cores(driver, &nginx.address);
        wrk(&["-c32", &proxy.url("/one")]);
    }

    fn pipelined_requests_are_answered_in_order(driver) {
        let nginx = Server::nginx(FILES, "keepalive_requests 1000000;");
        let proxy = Proxy::to(driver, &nginx.address);
        let script = proxy.dir.write("pipeline.lua", PIPELINE);
        wrk(&["-c16", "-s", &script, &proxy.url("/")]);
    }
}

/// Sixteen requests at once, of lengths that differ: an answer at the wrong place breaks wrk's reading.
const PIPELINE: &str = r#"
init = function(args)
    local all = {}
    for i = 1, 16 do
        all[i] = wrk.format("GET", i % 3 == 0 and "/some" or "/one")
    end
    batch = table.concat(all)
end
request = function() return batch end
"#;

-- A JSON report at the end of any wrk run, on a line of its own:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/report.lua http://127.0.0.1:8080/
--
-- Requests stay wrk's own (static, nothing of Lua in the measured path). The other scripts of this directory
-- include this one, so every one of them ends with the same line.

function done(summary, latency, requests)
   local e = summary.errors
   local seconds = summary.duration / 1e6
   io.write(string.format(
      '{"requests":%d,"duration_us":%d,"bytes":%d,"rps":%.1f,' ..
      '"latency_us":{"mean":%.1f,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"max":%d},' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
      summary.requests, summary.duration, summary.bytes, summary.requests / seconds,
      latency.mean, latency:percentile(50), latency:percentile(90), latency:percentile(99),
      latency:percentile(99.9), latency.max,
      e.connect, e.read, e.write, e.status, e.timeout))
end

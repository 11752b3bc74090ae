-- Pipelined GET requests, 16 in one write or as many as said, and a JSON report:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/pipeline.lua http://127.0.0.1:8080/
--   wrk -t1 -c64 -d10s -s scripts/wrk/pipeline.lua http://127.0.0.1:8080/ -- 4
--
-- "requests" counts each one. Percentiles are not to be used here: wrk takes the pauses between batches for
-- omitted samples and corrects for them, often down to 0.

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

local batch

function init(args)
   batch = string.rep(wrk.format("GET"), tonumber(args[1] or 16))
end

function request()
   return batch
end

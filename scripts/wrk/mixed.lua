-- GET requests of mixed sizes, in proportions of ordinary traffic, and a JSON report. The URL's path is
-- replaced; the origin has to know these (benches/src/bin/origin.rs does):
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/mixed.lua http://127.0.0.1:8080/
--
-- Other paths, each as often as it is named:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/mixed.lua http://127.0.0.1:8080/ -- /a /a /b

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

local requests = {}
local turn = 0

function init(args)
   local paths = args
   if #paths == 0 then
      paths = { "/1", "/1k", "/1k", "/1k", "/1k", "/1", "/16k", "/16k", "/1k", "/64k" }
   end
   for i, path in ipairs(paths) do
      requests[i] = wrk.format("GET", path)
   end
end

-- In turn, not at random: two runs ask for the same.
function request()
   turn = turn % #requests + 1
   return requests[turn]
end

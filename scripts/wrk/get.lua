-- GET requests and a JSON report:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/get.lua http://127.0.0.1:8080/1k
--
-- With "close" every request has a connection of its own:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/get.lua http://127.0.0.1:8080/ -- close

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

function init(args)
   if args[1] == "close" then
      wrk.headers["Connection"] = "close"
   end
end

-- POST requests with a body of 1 KiB, or of as many bytes as said, and a JSON report:
--
--   wrk -t1 -c64 -d10s -s scripts/wrk/post.lua http://127.0.0.1:8080/
--   wrk -t1 -c64 -d10s -s scripts/wrk/post.lua http://127.0.0.1:8080/ -- 65536

dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "report.lua")

function init(args)
   wrk.method = "POST"
   wrk.body = string.rep("x", tonumber(args[1] or 1024))
   wrk.headers["Content-Type"] = "application/octet-stream"
end

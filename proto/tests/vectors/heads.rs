//! Heads as they are on the wire, for tests and benches: what browsers, tools and a content network send, and
//! what origins answer. Host names, cookies and tokens are made up; names, order, case and lengths are not.

macro_rules! cookie {
    () => {
        "Zm9vYmFyYmF6cXV4Y29ycGxhZ2V3YWxkb2ZyZWRwbHVnaHh5enp5dGh1ZGZvb2JhcmJhenF1eGNvcnBsYWdld2FsZG9mcmVkcGx1Z2h4eXp6\
        eXRodWRmb29iYXJiYXpxdXhjb3JwbGFnZXdhbGRvZnJlZHBsdWdoeHl6enl0aHVkZm9vYmFyYmF6cXV4Y29ycGxhZ2V3YWxkb2ZyZWRwbHVna"
    };
}

/// A name for reports, and the bytes.
pub type Head = (&'static str, &'static str);

/// Request heads.
pub const REQUESTS: &[Head] = &[
    ("chrome", CHROME),
    ("firefox", FIREFOX),
    ("safari", SAFARI),
    ("curl", CURL),
    ("wrk", WRK),
    ("fetch-post", FETCH_POST),
    ("websocket", WEBSOCKET),
    ("cdn", CDN),
    ("long-cookie", LONG_COOKIE),
    ("httparse-bench", HTTPARSE_BENCH),
];

/// Response heads.
pub const RESPONSES: &[Head] = &[
    ("nginx-static", NGINX_STATIC),
    ("api-json", API_JSON),
    ("cdn-response", CDN_RESPONSE),
    ("not-modified", NOT_MODIFIED),
];

/// Chrome 126 on Windows, a navigation.
const CHROME: &str = "GET /catalogue/autumn/coats?sort=price&page=3 HTTP/1.1\r\n\
Host: www.shop.example\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
sec-ch-ua: \"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Windows\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.shop.example/catalogue/autumn\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7\r\n\
Cookie: sid=f3b1c7aa42d94b0c8a7e5d1c90be71f2; consent=1; ab=checkout-b\r\n\r\n";

/// Firefox 128 on Linux, a navigation.
const FIREFOX: &str = "GET /en-US/docs/Web/HTTP/Headers HTTP/1.1\r\n\
Host: developer.docs.example\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
DNT: 1\r\n\
Connection: keep-alive\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: none\r\n\
Sec-Fetch-User: ?1\r\n\
Priority: u=0, i\r\n\
If-Modified-Since: Tue, 09 Jul 2024 00:42:11 GMT\r\n\
If-None-Match: \"8d5f2c7b0e9a\"\r\n\r\n";

/// Safari 17 on macOS, an image.
const SAFARI: &str = "GET /assets/img/hero@2x.webp HTTP/1.1\r\n\
Host: cdn.news.example\r\n\
Accept: image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5\r\n\
Sec-Fetch-Site: same-site\r\n\
Accept-Language: en-GB,en;q=0.9\r\n\
Sec-Fetch-Mode: no-cors\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Referer: https://www.news.example/\r\n\
User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15\r\n\
Connection: keep-alive\r\n\
Sec-Fetch-Dest: image\r\n\r\n";

/// curl 8.
const CURL: &str = "GET /v1/status HTTP/1.1\r\n\
Host: api.service.example:8443\r\n\
User-Agent: curl/8.8.0\r\n\
Accept: */*\r\n\r\n";

/// wrk: the least there is.
const WRK: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// `fetch` of Chrome with a JSON body.
const FETCH_POST: &str = "POST /api/v2/cart/items HTTP/1.1\r\n\
Host: api.shop.example\r\n\
Connection: keep-alive\r\n\
Content-Length: 87\r\n\
sec-ch-ua-platform: \"macOS\"\r\n\
Authorization: Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0OTA1MSIsImlhdCI6MTcyMTA0MDAwMH0.u0xqk1F3o2m9wY7c4bJr8t5s6v7w8x9y0zABCDEFGHIJKLMNOPQRSTUVWXYZabcd\r\n\
User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Accept: application/json\r\n\
sec-ch-ua: \"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"\r\n\
Content-Type: application/json\r\n\
sec-ch-ua-mobile: ?0\r\n\
X-Requested-With: XMLHttpRequest\r\n\
X-Csrf-Token: 7f1d9c02a84e4b5f\r\n\
Origin: https://www.shop.example\r\n\
Sec-Fetch-Site: same-site\r\n\
Sec-Fetch-Mode: cors\r\n\
Sec-Fetch-Dest: empty\r\n\
Referer: https://www.shop.example/cart\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: de-DE,de;q=0.9\r\n\r\n";

/// Chrome opening a WebSocket.
const WEBSOCKET: &str = "GET /live?room=42 HTTP/1.1\r\n\
Host: ws.chat.example\r\n\
Connection: Upgrade\r\n\
Pragma: no-cache\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Upgrade: websocket\r\n\
Origin: https://chat.example\r\n\
Sec-WebSocket-Version: 13\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// What a content network sends to its origin: many fields of its own, long cookies.
const CDN: &str = "GET /media/2024/07/clip-1080p.m3u8?token=exp=1721044800~acl=/*~hmac=3f9a6c5e0b7d8a19c2e4f60718293a4b HTTP/1.1\r\n\
Host: origin.video.example\r\n\
Connection: Keep-Alive\r\n\
Accept-Encoding: gzip\r\n\
X-Forwarded-For: 203.0.113.57, 198.51.100.9\r\n\
CF-RAY: 8a3f0c1d2e4b5f60-FRA\r\n\
X-Forwarded-Proto: https\r\n\
CF-Visitor: {\"scheme\":\"https\"}\r\n\
CF-IPCountry: DE\r\n\
CDN-Loop: edge; loops=1; subreqs=1\r\n\
Via: 1.1 edge-fra-14, 1.1 shield-ams-2\r\n\
X-Request-Id: 0f9c2b1e-77d3-4c58-9a41-5d2e8b7f6a30\r\n\
X-Amzn-Trace-Id: Root=1-66951c3a-3f1b2c4d5e6f708192a3b4c5\r\n\
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
tracestate: vendor=t61rcWkgMzE,other=00f067aa0ba902b7\r\n\
CF-Connecting-IP: 203.0.113.57\r\n\
True-Client-IP: 203.0.113.57\r\n\
X-Real-IP: 203.0.113.57\r\n\
sec-ch-ua: \"Not/A)Brand\";v=\"8\", \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\"\r\n\
sec-ch-ua-mobile: ?1\r\n\
sec-ch-ua-platform: \"Android\"\r\n\
User-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36\r\n\
Accept: */*\r\n\
Origin: https://www.video.example\r\n\
Sec-Fetch-Site: same-site\r\n\
Sec-Fetch-Mode: cors\r\n\
Sec-Fetch-Dest: empty\r\n\
Referer: https://www.video.example/watch/8812\r\n\
Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7\r\n\
Range: bytes=0-1048575\r\n\
If-Range: \"66951c3a-1f4000\"\r\n\
Cache-Control: no-cache\r\n\
Pragma: no-cache\r\n\
Cookie: _ga=GA1.2.1123581321.1720000000; _gid=GA1.2.3455891442.1721000000; session=eyJ1aWQiOjg4MTIsInJvbGUiOiJ2aWV3ZXIiLCJleHAiOjE3MjEwNDQ4MDB9.Zm9vYmFyYmF6cXV4Y29ycGxhZ2V3YWxkbw; prefs=%7B%22theme%22%3A%22dark%22%2C%22autoplay%22%3Atrue%2C%22quality%22%3A%221080p%22%7D; consent=2024-07-15T10:22:31Z|analytics=1|ads=0; AWSALB=9s8d7f6g5h4j3k2l1mNbVcXzAsDfGhJkLpOiUyTrEwQ+0987654321/poiuytrewq; visitor=b7c1e2f3-a4d5-4e6f-8091-a2b3c4d5e6f7\r\n\r\n";

/// One small field and 2 KiB of cookies.
const LONG_COOKIE: &str = concat!(
    "GET / HTTP/1.1\r\nHost: www.bank.example\r\nCookie: a=",
    cookie!(),
    "; b=",
    cookie!(),
    "; c=",
    cookie!(),
    "; d=",
    cookie!(),
    "; e=",
    cookie!(),
    "; f=",
    cookie!(),
    "; g=",
    cookie!(),
    "; h=",
    cookie!(),
    "\r\n\r\n"
);

/// The request of httparse's own bench.
const HTTPARSE_BENCH: &str = "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n\
Host: www.kittyhell.com\r\n\
User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 Firefox/3.6.3 Pathtraq/0.9\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n\
Accept-Encoding: gzip,deflate\r\n\
Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n\
Keep-Alive: 115\r\n\
Connection: keep-alive\r\n\
Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; __utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; __utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|utmcmd=referral|padding=under256\r\n\r\n";

/// nginx, a file.
const NGINX_STATIC: &str = "HTTP/1.1 200 OK\r\n\
Server: nginx/1.26.1\r\n\
Date: Mon, 15 Jul 2024 10:22:31 GMT\r\n\
Content-Type: application/javascript\r\n\
Content-Length: 48213\r\n\
Last-Modified: Fri, 12 Jul 2024 08:01:55 GMT\r\n\
Connection: keep-alive\r\n\
ETag: \"6690e2d3-bc55\"\r\n\
Expires: Tue, 15 Jul 2025 10:22:31 GMT\r\n\
Cache-Control: max-age=31536000\r\n\
Accept-Ranges: bytes\r\n\r\n";

/// An application server, JSON in chunks.
const API_JSON: &str = "HTTP/1.1 201 Created\r\n\
content-type: application/json; charset=utf-8\r\n\
transfer-encoding: chunked\r\n\
date: Mon, 15 Jul 2024 10:22:31 GMT\r\n\
vary: Origin, Accept-Encoding\r\n\
access-control-allow-origin: https://www.shop.example\r\n\
access-control-allow-credentials: true\r\n\
access-control-expose-headers: x-request-id\r\n\
x-request-id: 0f9c2b1e-77d3-4c58-9a41-5d2e8b7f6a30\r\n\
set-cookie: cart=8f14e45f; Path=/; Secure; HttpOnly; SameSite=Lax\r\n\
strict-transport-security: max-age=63072000; includeSubDomains; preload\r\n\r\n";

/// A content network, with policies.
const CDN_RESPONSE: &str = "HTTP/1.1 200 OK\r\n\
Date: Mon, 15 Jul 2024 10:22:31 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Transfer-Encoding: chunked\r\n\
Connection: keep-alive\r\n\
Vary: Accept-Encoding\r\n\
Cache-Control: public, max-age=0, must-revalidate\r\n\
Content-Security-Policy: default-src 'self'; script-src 'self' 'nonce-8IBTHwOdqNKAWeKl7plt8g==' https://static.shop.example; style-src 'self' 'unsafe-inline'; img-src 'self' data: https://img.shop.example; connect-src 'self' https://api.shop.example; frame-ancestors 'none'\r\n\
X-Frame-Options: DENY\r\n\
X-Content-Type-Options: nosniff\r\n\
X-XSS-Protection: 1; mode=block\r\n\
Referrer-Policy: strict-origin-when-cross-origin\r\n\
Permissions-Policy: camera=(), microphone=(), geolocation=()\r\n\
Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
Set-Cookie: sid=f3b1c7aa42d94b0c8a7e5d1c90be71f2; Path=/; Expires=Tue, 15 Jul 2025 10:22:31 GMT; HttpOnly; Secure\r\n\
Set-Cookie: ab=checkout-b; Path=/; Max-Age=2592000\r\n\
Server-Timing: cdn-cache; desc=HIT, edge; dur=1\r\n\
CF-Cache-Status: DYNAMIC\r\n\
Report-To: {\"endpoints\":[{\"url\":\"https://report.edge.example/r?s=abc\"}],\"group\":\"nel\",\"max_age\":604800}\r\n\
NEL: {\"success_fraction\":0,\"report_to\":\"nel\",\"max_age\":604800}\r\n\
Server: edge\r\n\
CF-RAY: 8a3f0c1d2e4b5f60-FRA\r\n\
alt-svc: h3=\":443\"; ma=86400\r\n\r\n";

/// Without content.
const NOT_MODIFIED: &str = "HTTP/1.1 304 Not Modified\r\n\
Date: Mon, 15 Jul 2024 10:22:31 GMT\r\n\
Connection: keep-alive\r\n\
ETag: \"6690e2d3-bc55\"\r\n\r\n";

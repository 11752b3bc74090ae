"""One connection of http.client for every kind of request, as a program would use it."""

import http.client
import sys

host, port = sys.argv[1].rsplit(":", 1)
connection = http.client.HTTPConnection(host, int(port), timeout=30)


def ask(method, path, body=None, headers=None, chunked=False):
    connection.request(method, path, body=body, headers=headers or {}, encode_chunked=chunked)
    response = connection.getresponse()
    content = response.read()
    assert response.version == 11, response.version
    return response, content


for n in range(50):
    response, content = ask("GET", f"/size/{n * 100}")
    assert response.status == 200 and len(content) == n * 100, (n, response.status, len(content))

response, content = ask("POST", "/hash", body=b"x" * 100_000)
assert content.startswith(b"Length(100000) "), content

pieces = (b"y" * n for n in range(1, 300))
response, content = ask("POST", "/hash", body=pieces, headers={"Transfer-Encoding": "chunked"}, chunked=True)
assert content.startswith(b"Chunked ") and content.endswith(b'-44850 ""'), content

response, content = ask("GET", "/chunked/123456")
assert len(content) == 123456 and response.getheader("Transfer-Encoding") == "chunked"

response, content = ask("HEAD", "/size/777")
assert content == b"" and response.getheader("Content-Length") == "777"

for status in (204, 304, 404, 500):
    response, content = ask("GET", f"/status/{status}")
    assert response.status == status and content == b"", (status, response.status, content)

response, content = ask("PUT", "/head", body=b"abc", headers={"X-Long": "v" * 20_000})
assert b"v" * 20_000 in content

response, content = ask("DELETE", "/status/200")
assert response.status == 200

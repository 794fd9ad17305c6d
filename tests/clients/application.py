"""The application of these tests, for a real server (hypercorn): HTTP/1.1, HTTP/2 over TLS, h2c, WebSocket."""

import asyncio
import gzip
import hashlib
import json

FILE = bytes(range(256)) * 40
TAG = '"v7"'
# What a proxy adds or owns; everything else must arrive as a client sent it.
OWN = {"expect", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto",
       "x-forwarded-host", "x-forwarded-port", "x-real-ip", "content-length", "traceparent", "tracestate", "http2-settings", "upgrade"}
PAGE = """<!doctype html><title>one</title><link rel=stylesheet href=/style><img src=/picture alt=""><p id=said></p>
<script src=/script></script>"""
SCRIPT = r"""
const text = (r) => r.text();
async function stream() {
  const began = performance.now(), seen = [];
  await new Promise((good, bad) => {
    const events = new EventSource("/events/3/300");
    events.onmessage = (e) => { seen.push(e.data); if (seen.length === 1) seen.first = performance.now() - began;
      if (seen.length === 3) { events.close(); good(); } };
    events.onerror = () => { if (seen.length < 3) bad(new Error("events ended")); };
  });
  return { seen: [...seen], early: seen.first < 450 };
}
async function socket() {
  const got = [];
  const at = new WebSocket(location.origin.replace("http", "ws") + "/socket", ["two", "one"]);
  return new Promise((good, bad) => {
    at.onopen = () => { at.send("hello"); at.send("x".repeat(100000)); };
    at.onmessage = (e) => { got.push(e.data.length); if (got.length === 2) at.close(4001, "enough"); };
    at.onclose = (e) => good({ got, protocol: at.protocol, code: e.code, clean: e.wasClean });
    at.onerror = () => bad(new Error("socket failed"));
  });
}
async function all() {
  const said = {};
  const post = await fetch("/echo?a=1&b=%20", { method: "POST", body: "x".repeat(300000), headers: { "X-One": "1" } });
  const { sha, length, target } = await post.json();
  said.post = { status: post.status, sha, length, target };
  said.many = (await Promise.all([...Array(40).keys()].map((n) => fetch(`/bytes/${n * 1000}`).then((r) => r.arrayBuffer())))).map((b) => b.byteLength);
  said.gzip = (await fetch("/gzip").then(text)).length;
  said.moved = await fetch("/redirect").then((r) => [r.redirected, r.status]);
  said.missing = await fetch("/status/404").then((r) => r.status);
  said.cookies = await fetch("/cookies").then(() => document.cookie);
  const abort = new AbortController();
  const late = fetch("/events/100/100", { signal: abort.signal });
  await late.then((r) => r.body.getReader().read());
  abort.abort();
  said.stream = await stream();
  said.socket = await socket();
  said.picture = document.images[0].naturalWidth;
  said.style = getComputedStyle(document.querySelector("#said")).color;
  return said;
}
window.said = all().then(JSON.stringify, (e) => "failed: " + e);
"""
PICTURE = (b'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>')


def body_of(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


async def receive_body(receive):
    digest, length = hashlib.sha256(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, length
        digest.update(message.get("body", b""))
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            return digest.hexdigest(), length


class Answer:
    """One answer under way."""

    def __init__(self, scope, send):
        self.scope, self.send = scope, send

    async def head(self, status=200, *fields, trailers=False):
        fields = [(n.encode(), v.encode()) for n, v in fields]
        await self.send({"type": "http.response.start", "status": status, "headers": fields, "trailers": trailers})

    async def piece(self, data=b"", more=False):
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def whole(self, status, data, *fields):
        await self.head(status, *fields, ("content-length", str(len(data))))
        await self.piece(data)


async def echo(answer, receive):
    scope = answer.scope
    sha, length = await receive_body(receive)
    fields = {}
    for name, value in scope["headers"]:
        if name.decode() not in OWN:
            fields.setdefault(name.decode(), []).append(value.decode("latin1"))
    query = scope["query_string"].decode()
    said = {"method": scope["method"], "target": scope["raw_path"].decode() + ("?" + query if query else ""), "fields": fields,
            "length": length, "sha": sha}
    await answer.whole(200, json.dumps(said, sort_keys=True).encode(), ("content-type", "application/json"))


async def file(answer, receive):
    fields = dict(answer.scope["headers"])
    if fields.get(b"if-none-match") == TAG.encode():
        await answer.head(304, ("etag", TAG))
        return await answer.piece()
    wanted = fields.get(b"range", b"").decode()
    if wanted.startswith("bytes="):
        first, _, last = wanted[6:].partition("-")
        first, last = int(first), min(int(last or len(FILE) - 1), len(FILE) - 1)
        if first > last:
            return await answer.whole(416, b"", ("content-range", f"bytes */{len(FILE)}"))
        return await answer.whole(206, FILE[first:last + 1], ("content-range", f"bytes {first}-{last}/{len(FILE)}"), ("etag", TAG))
    return await answer.whole(200, FILE, ("accept-ranges", "bytes"), ("etag", TAG), ("last-modified", "Tue, 24 Nov 2026 10:00:00 GMT"))


async def events(answer, count, gap):
    await answer.head(200, ("content-type", "text/event-stream"), ("cache-control", "no-store"))
    for number in range(count):
        await answer.piece(b"data: %d\n\n" % number, True)
        await asyncio.sleep(gap / 1000)
    await answer.piece()


async def http(scope, receive, send):
    answer, words = Answer(scope, send), scope["path"].strip("/").split("/")
    kind, numbers = words[0], [int(w) for w in words[1:] if w.isdigit()]
    if kind == "status":  # hypercorn ends a whole HTTP/2 connection if a body goes on after its answer
        await receive_body(receive)
    if kind == "bytes":
        data = body_of(numbers[0])
        await answer.head(200, ("content-length", str(len(data))), ("content-type", "application/octet-stream"))
        for at in range(0, len(data), 65536):
            await answer.piece(data[at:at + 65536], at + 65536 < len(data))
        if not data:
            await answer.piece()
    elif kind == "chunks":
        await answer.head(200, ("content-type", "text/plain"))
        for number in range(numbers[0]):
            await answer.piece(b"%d\n" % number, True)
        await answer.piece()
    elif kind == "file":
        await file(answer, receive)
    elif kind == "gzip":
        plain = b"a line that is said again and again\n" * 500
        if b"gzip" in dict(scope["headers"]).get(b"accept-encoding", b""):
            await answer.whole(200, gzip.compress(plain, mtime=0), ("content-encoding", "gzip"), ("vary", "Accept-Encoding"))
        else:
            await answer.whole(200, plain, ("vary", "Accept-Encoding"))
    elif kind == "status" and numbers[0] in (204, 304):
        await answer.head(numbers[0], ("x-here", "yes"))
        await answer.piece()
    elif kind == "status":
        await answer.whole(numbers[0], b"status\n", ("x-here", "yes"))
    elif kind == "redirect":
        await answer.whole(302, b"", ("location", "/echo?moved"))
    elif kind == "cookies":
        await answer.whole(200, b"ok", ("set-cookie", "one=1; Path=/"), ("x-same", "b"), ("set-cookie", "two=2; Path=/; Secure"),
                           ("x-same", "a"), ("set-cookie", "one=3; Path=/"))
    elif kind == "events":
        await events(answer, *numbers)
    elif kind == "trailers":
        can = "http.response.trailers" in scope.get("extensions", {})  # this server can on HTTP/2
        await answer.head(200, ("content-type", "text/plain"), ("trailer", "x-sum"), trailers=can)
        await answer.piece(b"before", True)
        await answer.piece(b"after")
        if can:
            await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"11"), (b"x-more", b"two")], "more_trailers": False})
    elif kind == "page":
        await answer.whole(200, PAGE.encode(), ("content-type", "text/html"))
    elif kind == "script":
        await answer.whole(200, SCRIPT.encode(), ("content-type", "text/javascript"))
    elif kind == "style":
        await answer.whole(200, b"#said { color: rgb(1, 2, 3) }", ("content-type", "text/css"))
    elif kind == "picture":
        await answer.whole(200, PICTURE, ("content-type", "image/svg+xml"))
    else:
        await echo(answer, receive)


async def websocket(scope, receive, send):
    await receive()
    offered = scope.get("subprotocols") or []
    await send({"type": "websocket.accept", "subprotocol": "one" if "one" in offered else None})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "close":
            return await send({"type": "websocket.close", "code": 4002, "reason": "asked"})
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def app(scope, receive, send):
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

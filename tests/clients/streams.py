"""What comes when: the first event at once, uploads as they are sent, 100 Continue, answers before the upload's end."""

import socket
import ssl
import threading
import time

from stand import NAME

LATE = 0.25  # seconds that loopback and a busy machine may take


class Raw:
    """An application that does one thing a connection, with every byte under control."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            stream, _ = self.listener.accept()
            threading.Thread(target=self.one, args=(stream,), daemon=True).start()

    def one(self, stream):
        with stream:
            stream.settimeout(10)
            try:
                self.serve(stream)
            except OSError:
                pass


def head_of(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        got = stream.recv(65536)
        if not got:
            return data, b""
        data += got
    return data.split(b"\r\n\r\n", 1)


def until(stream, word):
    """Returns what came until a word did, or the stream ended or fell silent."""
    data = b""
    try:
        while word not in data:
            got = stream.recv(65536)
            if not got:
                break
            data += got
    except OSError:
        pass
    return data


def connected(stand, port, tls):
    stream = socket.create_connection(("127.0.0.1", port), 5)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.settimeout(10)
    return ssl.create_default_context(cafile=stand.ca).wrap_socket(stream, server_hostname=NAME) if tls else stream


def streams(stand, report):
    report.begin("streams")
    for tls in (False, True):
        word = " over TLS" if tls else ""
        events(stand, report, tls, word)
        arrivals(stand, report, tls, word)
        continues(stand, report, tls, word)
        early(stand, report, tls, word)


def events(stand, report, tls, word):
    """The first of two events that are a second apart."""
    for upstream, front in stand.fronts.items():
        took = []
        for _ in range(3):
            with connected(stand, front.port(tls), tls) as stream:
                began = time.monotonic()
                stream.sendall(b"GET /events/2/1000 HTTP/1.1\r\nHost: %s\r\n\r\n" % NAME.encode())
                until(stream, b"data: 0")
                took.append(time.monotonic() - began)
        report.check(max(took) < LATE, f"SSE{word}, to {upstream}: the first event at once, the second comes 1 s later", f"slowest of 3 {max(took) * 1e3:.1f} ms")


def arrivals(stand, report, tls, word):
    """Three pieces of an upload, 200 ms apart: each arrives before the next is sent."""
    seen = []

    def serve(stream):
        _, rest = head_of(stream)
        got = rest
        while got.count(b"piece") < 3:
            seen.append((time.monotonic(), got.count(b"piece")))
            got += stream.recv(65536)
        seen.append((time.monotonic(), 3))
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    front = stand.front(f"http://127.0.0.1:{Raw(serve).port}")
    sent = []
    with connected(stand, front.port(tls), tls) as stream:
        stream.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % NAME.encode())
        for _ in range(3):
            sent.append(time.monotonic())
            stream.sendall(b"5\r\npiece\r\n")
            time.sleep(0.2)
        stream.sendall(b"0\r\n\r\n")
        answer = stream.recv(65536)
    late = [min((at for at, count in seen if count >= number + 1), default=1e9) - when for number, when in enumerate(sent)]
    report.check(max(late) < 0.15 and b"200" in answer, f"an upload{word} arrives as it is sent", f"each piece within {max(late) * 1e3:.1f} ms")
    front.stop()


def continues(stand, report, tls, word):
    """`Expect: 100-continue` is the application's to answer: yes, or a refusal before the body."""
    got = {}

    def yes(stream):
        head, _ = head_of(stream)
        stream.setblocking(False)
        time.sleep(0.3)
        try:
            got["early"] = stream.recv(100)
        except BlockingIOError:
            got["early"] = b""
        stream.settimeout(5)
        stream.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        got["body"] = stream.recv(100)
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def no(stream):
        head_of(stream)
        stream.sendall(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
        got["body after no"] = stream.recv(100)
    ask = b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n" % NAME.encode()
    front = stand.front(f"http://127.0.0.1:{Raw(yes).port}")
    with connected(stand, front.port(tls), tls) as stream:
        began = time.monotonic()
        stream.sendall(ask)
        first = stream.recv(1000)
        took = time.monotonic() - began
        stream.sendall(b"body")
        last = until(stream, b"ok")
    good = first.startswith(b"HTTP/1.1 100") and took > 0.25 and got["early"] == b"" and got.get("body") == b"body" and b"200" in last
    report.check(good, f"100 Continue{word} comes when the application says it", f"after {took * 1e3:.0f} ms; {first[:25]!r}, {got}")
    front.stop()
    front = stand.front(f"http://127.0.0.1:{Raw(no).port}")
    with connected(stand, front.port(tls), tls) as stream:
        stream.sendall(ask)
        first = stream.recv(1000)
    report.check(first.startswith(b"HTTP/1.1 417"), f"a refusal{word} comes without 100 Continue before it", first[:25])
    front.stop()


def early(stand, report, tls, word):
    """A 413 while the client still uploads: it arrives, and at once."""
    def refuse(stream):
        head_of(stream)
        stream.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        time.sleep(0.5)
    front = stand.front(f"http://127.0.0.1:{Raw(refuse).port}")
    with connected(stand, front.port(tls), tls) as stream:
        began = time.monotonic()
        stream.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000000\r\n\r\n" % NAME.encode() + b"x" * 10000)
        first = stream.recv(65536)
        took = time.monotonic() - began
        first += b"" if b"large" in first else until(stream, b"large")
        stream.settimeout(4)
        ended, sent = time.monotonic(), 0
        try:
            while time.monotonic() - ended < 4:
                stream.sendall(b"x" * 1000)
                sent += 1000
                time.sleep(0.01)
            closed = 99.0
        except OSError:
            closed = time.monotonic() - ended
    good = first.startswith(b"HTTP/1.1 413") and first.endswith(b"large") and took < LATE
    report.check(good, f"413{word} while the upload goes on", f"after {took * 1e3:.1f} ms: {first[:25]!r}")
    report.check(closed < 3, f"and then{word} the upload is cut", f"after {closed:.1f} s, {sent} bytes")
    front.stop()

"""1 GiB down and up through a slice in shadow: outcome, memory, time to the first byte."""

import socket
import threading
import time

from lab import until

GIB = 1 << 30
ROOM = 120  # MiB


def large(lab, report):
    report.begin("1 GiB")
    _, legacy = lab.origin("legacy", "bulk")
    _, candidate = lab.origin("candidate", "bulk")
    names = ("big", "put", "late", "slow")
    proxy = lab.proxy(f"legacy: http://127.0.0.1:{legacy}\nbackends: {{ new: http://127.0.0.1:{candidate} }}\nslices:\n"
                      + "".join(f"  - {{ name: {n}, match: /{n}, to: new, stage: shadow, shadow: {{ rate: none }} }}\n" for n in names))
    idle = proxy.memory_mib("VmRSS")
    report.check(idle < 50, "resident memory at rest under 50 MiB", f"{idle:.1f} MiB")
    down(proxy, report)
    up(proxy, report)
    late(proxy, report)
    if not lab.quick:
        slow(proxy, report)
    proxy.adds_up()
    proxy.stop()


def watched(proxy, move):
    """Runs `move` and returns what it gave, with peak and largest resident memory meanwhile."""
    proxy.forget_peak()
    largest, ended = [0.0], threading.Event()

    def look():
        while not ended.wait(0.02):
            largest[0] = max(largest[0], proxy.memory_mib("VmRSS"))
    thread = threading.Thread(target=look)
    thread.start()
    given = move()
    ended.set()
    thread.join()
    return given, proxy.memory_mib("VmHWM"), largest[0]


def receive(stream, pause=0.0):
    """Reads an answer to its end; returns body bytes and seconds to the first of them."""
    began, head, first = time.monotonic(), b"", None
    while b"\r\n\r\n" not in head:
        head += stream.recv(65536)
    head, body = head.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    got = len(body)
    buffer = bytearray(1 << 20)
    while got < length:
        if first is None and got:
            first = time.monotonic() - began
            time.sleep(pause)
        read = stream.recv_into(buffer)
        if not read:
            break
        got += read
    return got, first if first is not None else time.monotonic() - began


def ask(proxy, text):
    stream = socket.create_connection(("127.0.0.1", proxy.data))
    stream.settimeout(60)
    stream.sendall(text + b"\r\nHost: app.example\r\n\r\n")
    return stream


def down(proxy, report):
    began = time.monotonic()
    (got, first), peak, largest = watched(proxy, lambda: receive(ask(proxy, b"GET /big/1024 HTTP/1.1")))
    took = time.monotonic() - began
    report.check(got == GIB, "1 GiB down arrives whole", f"{got} bytes, {1024 / took:.0f} MiB a second, first byte after {first * 1e3:.1f} ms")
    report.check(peak < ROOM, f"resident memory under {ROOM} MiB, down", f"VmHWM {peak:.1f}, VmRSS at most {largest:.1f} MiB")
    until(lambda: proxy.outcomes("big"), 5)
    report.check(proxy.outcomes("big") == {"not_comparable(too_large)": 1}, "it is not_comparable(too_large)", proxy.outcomes("big"))


def up(proxy, report):
    def put():
        with ask(proxy, b"PUT /put/1 HTTP/1.1\r\nContent-Length: %d" % GIB) as stream:
            piece = b"u" * (1 << 20)
            for _ in range(1024):
                stream.sendall(piece)
            return receive(stream)
    began = time.monotonic()
    (got, _), peak, largest = watched(proxy, put)
    took = time.monotonic() - began
    report.check(got == 4, "1 GiB up is taken whole", f"{1024 / took:.0f} MiB a second")
    report.check(peak < ROOM, f"resident memory under {ROOM} MiB, up", f"VmHWM {peak:.1f}, VmRSS at most {largest:.1f} MiB")
    until(lambda: proxy.outcomes("put"), 5)
    report.check(proxy.outcomes("put") == {"unsafe_method": 1}, "it is unsafe_method", proxy.outcomes("put"))


def late(proxy, report):
    """The origin sends its first bytes, then nothing for two seconds."""
    firsts = []
    for _ in range(3):
        with ask(proxy, b"GET /late/1000 HTTP/1.1") as stream:
            began, head = time.monotonic(), b""
            while b"first" not in head:
                head += stream.recv(65536)
            firsts.append(time.monotonic() - began)
            while b"after" not in head:
                head += stream.recv(65536)
    report.check(max(firsts) < 0.1, "the first byte arrives at once though the rest comes 1 s later", f"slowest of 3: {max(firsts) * 1e3:.1f} ms")


def slow(proxy, report):
    """Eight clients that read nothing for a while: what waits for them stays with the origin."""
    def many():
        got = []
        clients = [threading.Thread(target=lambda: got.append(receive(ask(proxy, b"GET /slow/1 HTTP/1.1".replace(b"/slow/1", b"/big/256")), 3.0)[0]))
                   for _ in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return got
    got, peak, _ = watched(proxy, many)
    report.check(got == [256 << 20] * 8 and peak < ROOM, "eight slow readers of 256 MiB, memory stays", f"VmHWM {peak:.1f} MiB")

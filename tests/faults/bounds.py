"""Bounds: parties that stall, more requests than the application can take, ten thousand connections, memory at rest."""

import concurrent.futures
import json
import resource
import socket
import statistics
import subprocess
import sys
import time

from lab import until
from ledger import Books, balance
from side_faults import shadow

TIMEOUT = 1.0


def stalled(lab, report):
    """Every party that falls silent is cut within its timeout and a second more."""
    report.begin("stalled parties")
    _, stalling = lab.origin("legacy", "stall")
    _, bulk = lab.origin("candidate", "bulk")
    _, reads = Books(lab).origin("reads")
    slow = "timeouts: { connect: 1s, response: 1s, idle: 1s }"
    text = (f"legacy: {{ endpoints: [http://127.0.0.1:{stalling}], {slow} }}\n"
            f"backends: {{ reads: {{ endpoints: [http://127.0.0.1:{reads}], {slow} }}, bulk: {{ endpoints: [http://127.0.0.1:{bulk}], {slow} }}, full: {{ endpoints: [http://127.0.0.1:{full_port()}], {slow} }} }}\nslices:\n"
            "  - { name: late, match: /late, to: bulk, stage: retired }\n  - { name: big, match: /big, to: bulk, stage: retired }\n"
            "  - { name: put, match: /put, to: reads, stage: retired }\n  - { name: full, match: /full, to: full, stage: retired }\n")
    proxy = lab.proxy(text)
    proxy.head = proxy.head.replace(f'"127.0.0.1:{proxy.data}"', f'"127.0.0.1:{proxy.data}", timeouts: {{ idle: 1s, body: 1s, header: 1s }}')
    proxy.write(text)
    proxy.stop()
    proxy.run()
    cases = {
        "a connection without a word": (b"", b"", None), "half a head": (b"GET / HT", b"", b"408"), "a head, byte by byte": (b"GET / HTTP/1.1\r\nX: ", b"drip", b"408"),
        "half an upload": (b"PUT /put/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nxx", b"", b"408"),
        "half a chunk": (b"PUT /put/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nxx", b"", None),
        "an application that never answers": (b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"504"), "an application that takes no connection": (b"GET /full HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"504"),
        "an application silent in its answer": (b"GET /late/30000 HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"200"),
    }
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        found = dict(zip(cases, pool.map(lambda case: cut_after(proxy.data, *case[:2]), cases.values())))
    for name, (took, said) in found.items():
        wanted = cases[name][2]
        # Where an answer ends a request, the connection may go on and be idle for its time.
        room = 2 * TIMEOUT + 1 if name.startswith("an application that") else TIMEOUT + 1
        good = took < room + 0.3 and (wanted is None or wanted in said[:15])
        report.check(good, f"{name}: cut within timeout + 1 s", f"after {took:.2f} s, {said[:30]!r}")
    took = unread(proxy)
    report.check(took < 2 * TIMEOUT + 2, "a client that does not read its answer: cut, the application's connection too", f"after {took:.1f} s")
    took = time.monotonic()
    code = proxy.stop()
    report.check(code == 0 and time.monotonic() - took < 5, "nothing is left that would wait", f"exit {code} after {time.monotonic() - took:.1f} s")


def full_port():
    """Returns a port whose queue of connections is full, so that a further one waits for ever."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    HELD.append(listener)
    for _ in range(4):
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(listener.getsockname())
        HELD.append(stream)
    return listener.getsockname()[1]


HELD = []


def cut_after(port, first, then):
    """Sends something and then nothing more, or a byte now and then; returns when the end came, and what before it."""
    with socket.create_connection(("127.0.0.1", port), 5) as stream:
        began, said = time.monotonic(), b""
        stream.sendall(first)
        stream.settimeout(0.2)
        while time.monotonic() - began < 10:
            try:
                if then and not said:
                    stream.sendall(b"x")
                got = stream.recv(65536)
                if not got:
                    break
                said += got
            except TimeoutError:
                pass
            except OSError:
                break
        return time.monotonic() - began, said


def unread(proxy):
    """A client asks for 256 MiB and reads nothing; returns after how long nothing is in flight."""
    with socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect(("127.0.0.1", proxy.data))
        stream.sendall(b"GET /big/256 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        took = until(lambda: proxy.metric("supplant_open_connections") == 0, 10, 0.05)
        return 99 if took is None else took + 0.3


def overload(lab, report):
    """Twice what the application can take: goodput stays, and what is not admitted is told so at once."""
    report.begin("overload")
    slots, pause = 20, 0.05
    books = Books(lab)
    _, legacy = books.origin("legacy", f"served:{int(pause * 1000)}:{slots}")
    proxy = lab.proxy(f"legacy: {{ endpoints: [http://127.0.0.1:{legacy}], max_inflight: {slots} }}\n")
    seconds = 4 if lab.quick else 15
    books.load(proxy.data, rate=10_000, processes=2, connections=slots // 2)
    time.sleep(seconds)
    before = books.end()
    capacity = sum(how == "ok" for _, how, _ in before.values()) / seconds
    books.load(proxy.data, rate=2 * capacity, processes=2, connections=60, posts=0.2)
    time.sleep(seconds)
    found = books.end()
    ways = balance(report, "twice the capacity", found, books.received("legacy"), ("503", "503+retry-after"))
    goodput = ways["ok"] / seconds
    refused = [took for _, how, took in found.values() if how.startswith("503")]
    report.check(goodput >= 0.9 * capacity, "goodput is at least 90 % of the capacity", f"{goodput:.0f} of {capacity:.0f} a second, {len(found) / seconds:.0f} asked for")
    if not refused:
        return report.check(False, "what is not admitted is refused", ways)
    report.check(not ways.get("503"), "every refusal says when to come again", ways)
    late, bound = sorted(refused)[int(len(refused) * 0.99)], 0.025 if lab.quick else 0.005  # --quick runs beside whatever else runs
    report.check(late < bound, f"what is not admitted is told in less than {bound * 1e3:.0f} ms", f"{len(refused)} refusals, median {statistics.median(refused) * 1e3:.1f} ms, p99 {late * 1e3:.1f} ms, "
                 "as a Python client sees it")
    return proxy.stop()


CROWD = """
import asyncio, json, socket, sys, time
port, count, at_once = map(int, sys.argv[1:4])
def ask(reader, writer):
    writer.write(b"GET /s/1 HTTP/1.1\\r\\nHost: app.example\\r\\n\\r\\n")
async def one(took, streams):
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2048)
        ask(reader, writer)
        head = await asyncio.wait_for(reader.readuntil(b"\\r\\n\\r\\n"), 30)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0])
        await reader.readexactly(length)
        took.append((head[9:12].decode(), time.monotonic() - began))
        streams.append(writer)
    except Exception as error:
        took.append((type(error).__name__, time.monotonic() - began))
async def main():
    took, streams = [], []
    turn = asyncio.Semaphore(at_once)
    async def in_turn():
        async with turn:
            await one(took, streams)
    await asyncio.gather(*(in_turn() for _ in range(count)))
    ways = {}
    for how, _ in took:
        ways[how] = ways.get(how, 0) + 1
    print(json.dumps({"ways": ways, "slowest": max(t for _, t in took), "open": len(streams)}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
asyncio.run(main())
"""


def crowd(lab, report):
    """10,000 connections opening at once, each with a request; then as many one after the other, and idle.

    What the peak of a storm leaves in the allocator is used again and is no part of an idle connection, so
    memory is measured where connections come a few at a time."""
    report.begin("10,000 connections")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 10_000
    if hard < wanted * 2 + 2000:  # the proxy takes as many clients as it could connect to applications, too
        wanted = (hard - 2000) // 2
        report.skip(f"10,000 connections: only {hard} descriptors are allowed; {wanted} are opened")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    legacy = lab.nginx(workers=16384)
    for at_once in (wanted, 20):
        crowded(lab, report, legacy, wanted, at_once)


def crowded(lab, report, legacy, wanted, at_once):
    storm = at_once == wanted
    proxy = lab.proxy(shadow(legacy, legacy).replace("stage: shadow", "stage: legacy"))
    time.sleep(1)
    idle = proxy.memory_mib("VmRSS")
    report.check(idle <= 50, "resident memory at rest is at most 50 MiB", f"{idle:.1f} MiB")
    halves = [lab.start([sys.executable, "-c", CROWD, str(proxy.data), str(wanted // 2), str(at_once)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [json.loads(half.stdout.readline()) for half in halves]
    opened, ways = sum(s["open"] for s in said), {}
    for one in said:
        for how, count in one["ways"].items():
            ways[how] = ways.get(how, 0) + count
    report.check(ways == {"200": wanted // 2 * 2}, f"all are served, {at_once} at once", f"{ways}, slowest {max(s['slowest'] for s in said):.1f} s")
    time.sleep(6)  # until kept connections to the application are closed
    held = proxy.metric("supplant_open_connections")
    each = (proxy.memory_mib("VmRSS") - idle) * 1024 / max(1, opened)
    report.check((storm or each <= 30) and held >= opened * 0.99, "they are held" if storm else "at most 30 KB for an idle connection", f"{each:.1f} KB each of {held:.0f}, resident {proxy.memory_mib('VmRSS'):.0f} MiB")
    descriptors = proxy.metric("process_open_fds")
    for half in halves:
        half.stdin.close()
        half.wait(30)
    gone = until(lambda: proxy.metric("supplant_open_connections") == 0, 10, 0.1)
    report.check(gone is not None and proxy.metric("process_open_fds") < 200, "descriptors come back", f"{descriptors:.0f} before, {proxy.metric('process_open_fds'):.0f} after; resident {proxy.memory_mib('VmRSS'):.0f} MiB")
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")

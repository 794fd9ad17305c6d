"""Faults of what is around: names, the clock, the rules file cut while it is written, a slow store, floods of either side."""

import contextlib
import ctypes
import glob
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import threading
import time

from lab import free_port, until
from ledger import Books, balance
from origin_faults import rules


def steady(lab, books, proxy, report, what, seconds):
    """Runs clients for a while and compares both books; nothing may fail."""
    time.sleep(seconds)
    found = books.end()
    ways = balance(report, what, found, books.received("legacy"))
    slow = sorted(took for _, _, took in found.values())
    return ways, slow


def names(lab, report):
    """The name of legacy stops resolving, the candidate's never did; in a mount namespace with its own hosts file."""
    report.begin("DNS fails")
    if os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return report.skip("not root, or no mount namespaces: nothing can stand in for a name server")
    hosts, resolver = os.path.join(lab.folder, "hosts"), os.path.join(lab.folder, "resolv.conf")
    write(hosts, "127.0.0.1 localhost legacy.test\n")
    write(resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # nobody answers there
    books = Books(lab)
    _, legacy = books.origin("legacy")
    script = f"mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf && exec \"$@\""
    text = rules(legacy, free_port()).replace(f"http://127.0.0.1:{legacy}", f"http://legacy.test:{legacy}").replace("new: http://127.0.0.1", "new: http://candidate.test")
    proxy = lab.proxy(text, prefix=["unshare", "-m", "sh", "-c", script, "sh"])
    books.load(proxy.data, posts=0.3)
    until(lambda: proxy.outcomes("s").get("candidate_error", 0) > 20)
    write(hosts, "127.0.0.1 localhost\n")
    ways, slow = steady(lab, books, proxy, report, "the name of legacy is gone; the candidate's never was", 2 if lab.quick else 25)
    report.check(proxy.outcomes("s").get("candidate_error", 0) > 20, "candidate_error is counted", f"{proxy.outcomes('s')}; slowest answer {slow[-1] * 1e3:.0f} ms")
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")
    return None


def write(path, text):
    """Writes in place: the file is mounted elsewhere by its inode."""
    with open(path, "w") as file:
        file.write(text)


def clock(lab, report):
    """The wall clock jumps an hour ahead and a day back under load (libfaketime; the monotonic clock goes on)."""
    report.begin("clock steps")
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        return report.skip("libfaketime is not installed")
    control = os.path.join(lab.folder, "faketime")
    write(control, "+0\n")
    books = Books(lab)
    _, legacy = books.origin("legacy")
    _, candidate = books.origin("candidate")
    environment = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": control, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    proxy = lab.proxy(rules(legacy, candidate), environment=environment)
    books.load(proxy.data, posts=0.3)
    compared = lambda: sum(proxy.outcomes("s").get(o, 0) for o in ("match", "masked", "divergence"))
    for step in ("+1h", "-1d", "+0"):
        before = compared()
        write(control, step + "\n")
        time.sleep(0.7 if lab.quick else 3)
        report.check(compared() > before, f"after {step} pairs are compared on", f"{compared() - before} pairs")
        began = time.monotonic()
        code, said = proxy.command("kill", "s")
        report.check(code == 0 and time.monotonic() - began < 1, f"after {step} a kill is taken", f"exit {code}: {said}")
        code, said = proxy.command("resume", "s")
        report.check(code == 0, f"after {step} a resume is taken", f"exit {code}: {said}; the last change is of {proxy.json('/api/v1/changes')['items'][0].get('at')}")
    steady(lab, books, proxy, report, "steps of an hour ahead and a day back", 0.5)
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")
    return None


def truncated(lab, report):
    """The rules are written in place, slowly, and so are read cut at any byte: what was right before stays in force."""
    report.begin("rules cut while written")
    books = Books(lab)
    _, legacy = books.origin("legacy")
    _, candidate = books.origin("candidate")
    extra = "".join(f"  - {{ name: x{n}, match: /x{n}, to: new, stage: shadow }}\n" for n in range(6))
    full = rules(legacy, candidate, extra)
    proxy = lab.proxy(full)
    books.load(proxy.data, posts=0.3)
    names_of = lambda: {s["name"] for s in json.loads(proxy.ask("GET", "/api/v1/slices")[1])["items"] if not s["name"].startswith("_")}
    before, wrong = names_of(), []
    text = proxy.head + full
    for _ in range(15 if lab.quick else 60):
        at = random.randrange(len(proxy.head), len(text))
        with open(proxy.config, "w") as file:
            file.write(text[:at])
            file.flush()
            time.sleep(0.25)
            seen = names_of()
            if not before <= seen:
                wrong.append((at, text[at - 20:at], sorted(before - seen)))
            file.write(text[at:])
        time.sleep(0.05)
    report.check(not wrong, "a front half never takes a slice away", f"{wrong[:3]}" if wrong else "cut at random, a quarter of a second each")
    back = until(lambda: names_of() == before and proxy.metric("supplant_config_last_reload_successful") == 1, 3)
    report.check(back is not None, "whole again, it is in force", f"after {back or 99:.2f} s")
    steady(lab, books, proxy, report, "clients meanwhile", 0.1)
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


def slow_store(lab, report):
    """Somebody holds the store's lock four fifths of the time."""
    report.begin("store slow")
    books = Books(lab)
    _, legacy = books.origin("legacy")
    _, candidate = books.origin("candidate")
    proxy = lab.proxy(rules(legacy, candidate))
    books.load(proxy.data, posts=0.3)
    ended = threading.Event()

    def hold():
        link = sqlite3.connect(os.path.join(proxy.store, "supplant.db"), isolation_level=None, timeout=10)
        while not ended.is_set():
            link.execute("BEGIN EXCLUSIVE")
            time.sleep(0.4)
            link.execute("ROLLBACK")
            time.sleep(0.1)
        link.close()
    thread = threading.Thread(target=hold)
    thread.start()
    took = []
    for _ in range(2 if lab.quick else 8):
        began = time.monotonic()
        code, said = proxy.command("kill", "s")
        in_force = until(lambda: proxy.outcomes("s").get("not_mirrored(killed)", 0) > 0, 2)
        took.append((time.monotonic() - began, code, in_force is not None))
        code, said = proxy.command("resume", "s")
        took[-1] += (code, said)
        time.sleep(0.5)
    _, slow = steady(lab, books, proxy, report, "clients meanwhile", 1 if lab.quick else 5)
    ended.set()
    thread.join()
    report.check(all(t[2] for t in took), "kills are in force", f"{[f'{t[0]:.2f} s, exit {t[1]}' for t in took][:4]}, slowest answer {slow[-1] * 1e3:.0f} ms")
    kept = until(lambda: proxy.json("/api/v1/status")["store"]["state"] == "ok", 10)
    report.check(kept is not None, "the store is well when the lock is gone", f"after {kept or 99:.2f} s")
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


def queue_full(lab, report):
    """More copies than are sent: what is above `max_inflight`, and what finds no place in the queue, is dropped and counted.

    A slow candidate fills the first alone, however high it is: the threads of mirroring take up to 1,024 copies from the
    queue each millisecond. The queue is full only where these threads get no time, so here they are stopped.
    """
    report.begin("queue full")
    crowded(lab, report, "served:400:4", "max_inflight: 1000, timeout: 8s", "shed(inflight)")
    crowded(lab, report, "well", "max_inflight: 100000, timeout: 8s", "shed(queue)", still=True)


def crowded(lab, report, candidate, bounds, wanted, still=False):
    books = Books(lab)
    _, legacy = books.origin("legacy")
    _, candidate = books.origin("candidate", candidate)
    proxy = lab.proxy(rules(legacy, candidate).replace("rate: none", f"rate: none, {bounds}"))
    with contextlib.ExitStack() as stack:
        if still:
            try:
                stack.enter_context(stopped(proxy.program.pid, "shadow-"))
            except PermissionError as error:
                return report.skip(f"threads cannot be stopped here, and without that no queue is full: {error}")
        books.load(proxy.data, rate=900, processes=2, connections=16)
        until(lambda: wanted in proxy.outcomes("s"), 12, 0.2)
        length, most = proxy.metric("supplant_shadow_queue_length"), proxy.metric("supplant_shadow_queue_capacity")
        _, slow = steady(lab, books, proxy, report, f"clients, until {wanted} and on", 1 if lab.quick else 8)
        found = proxy.outcomes("s")
        report.check(wanted in found and (length == most or not still), f"{wanted} is counted", f"queue {length:.0f} of {most:.0f}; {found}; slowest answer {slow[-1] * 1e3:.0f} ms")
        report.check(proxy.memory_mib("VmHWM") < 200, "memory stays", f"VmHWM {proxy.memory_mib('VmHWM'):.0f} MiB")
    if still:
        compared = until(lambda: sum(proxy.outcomes("s").get(o, 0) for o in ("match", "masked", "divergence")) >= most, 10, 0.1)
        report.check(compared is not None, "what waited is compared when the threads go on", proxy.outcomes("s"))
    proxy.adds_up()
    report.check(proxy.stop() == 0, "ends gently", "exit 0")
    return None


@contextlib.contextmanager
def stopped(pid, name):
    """The threads of this name stand still: as a debugger does it, since a signal would stop them all."""
    seize, interrupt, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def trace(what, thread):
        if libc.ptrace(what, thread, None, None) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    named = [int(os.path.basename(os.path.dirname(at))) for at in glob.glob(f"/proc/{pid}/task/*/comm") if open(at).read().startswith(name)]
    held = []
    try:
        for thread in named:
            trace(seize, thread)
            trace(interrupt, thread)
            os.waitpid(thread, wall)
            held.append(thread)
        yield held
    finally:
        for thread in held:
            trace(detach, thread)


def floods(lab, report):
    """The admin side is flooded: clients see nothing. The data side is: a kill gets through."""
    report.begin("floods")
    books = Books(lab)
    _, legacy = books.origin("legacy")
    _, candidate = books.origin("candidate")
    proxy = lab.proxy(rules(legacy, candidate) + "limits: { connections: 500 }\n")
    books.load(proxy.data, posts=0.3, connections=8)
    held, ended = [], threading.Event()

    def busy():
        while not ended.is_set():
            try:
                proxy.ask("GET", "/metrics", timeout=2)
            except Exception:  # refused is what may happen here
                time.sleep(0.01)
    threads = [threading.Thread(target=busy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(1500):
        hold(held, proxy.admin, (b"GET / HT", b"", b"POST /api/v1/slices/s/kill HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx", b"\x16\x03\x01\x02" * 500)[number % 4])
    _, slow = steady(lab, books, proxy, report, "1,500 connections and eight greedy clients at the admin side: clients of the data side", 2 if lab.quick else 8)
    ended.set()
    for thread in threads:
        thread.join()
    for stream in held:
        stream.close()
    back = until(lambda: ready(proxy), 15, 0.1)
    report.check(back is not None, "the admin side answers after it", f"after {back or 99:.2f} s; slowest answer of the data side {slow[-1] * 1e3:.0f} ms")
    held = []
    for _ in range(1500):
        hold(held, proxy.data, b"GET /s/1 HT")
    refused = until(lambda: proxy.metric("supplant_connections_refused_total") > 0, 5, 0.05)
    began = time.monotonic()
    code, said = proxy.command("kill", "s")
    took = time.monotonic() - began
    report.check(code == 0 and took < 1 and refused is not None, "with the data side full a kill is taken within 1 s",
                 f"{took:.2f} s, exit {code}; {proxy.metric('supplant_connections_refused_total'):.0f} connections refused, {proxy.metric('supplant_open_connections'):.0f} open; {said}")
    for stream in held:
        stream.close()
    back = until(lambda: served(proxy), 10, 0.05)
    report.check(back is not None, "clients are served when the flood is over", f"after {back or 99:.2f} s")
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


def hold(held, port, text):
    stream = socket.socket()
    stream.settimeout(1)
    try:
        stream.connect(("127.0.0.1", port))
        stream.sendall(text)
        held.append(stream)
    except OSError:
        stream.close()


def ready(proxy):
    try:
        return proxy.ask("GET", "/readyz", timeout=2)[0] == 200
    except Exception:  # refused, reset or late: not yet
        return False


def served(proxy):
    try:
        return proxy.get("/s/1", timeout=2)[0] == 200
    except Exception:
        return False

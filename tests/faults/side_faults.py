"""Faults of the applications: a candidate that dies, hangs, resets, drips or floods, clients that leave."""

import random
import re
import socket
import statistics
import subprocess
import threading
import time

from lab import Load, until


def shadow(legacy, candidate, more="rate: none"):
    return f"""legacy: http://127.0.0.1:{legacy}
backends: {{ new: http://127.0.0.1:{candidate} }}
slices:
  - {{ name: s, match: /s, to: new, stage: shadow, shadow: {{ {more} }} }}
"""


def killed_candidate(lab, report):
    """`kill -9` of the candidate under load, and a start on the same port."""
    report.begin("candidate killed")
    _, legacy = lab.origin("legacy")
    candidate, port = lab.origin("candidate")
    proxy = lab.proxy(shadow(legacy, port))
    load = Load(lab, proxy.data)
    compared = lambda: sum(proxy.outcomes("s").get(o, 0) for o in ("match", "divergence", "masked"))
    report.check(until(lambda: compared() > 300) is not None, "pairs are compared before", compared())
    candidate.kill()
    candidate.wait()
    errors = lambda: proxy.outcomes("s").get("candidate_error", 0)
    took = until(lambda: errors() > 0)
    report.check(took is not None, "candidate_error is counted", f"after {took or 99:.2f} s")
    time.sleep(1 if lab.quick else 4)
    before = errors(), compared()
    lab.origin("candidate", port=port)
    took = until(lambda: compared() > before[1] + 100)
    report.check(took is not None, "pairs are compared again after its start", f"after {took or 99:.2f} s, {before[0]} candidate_error")
    proxy.adds_up(load.end())
    calls = proxy.metric("supplant_backend_errors_total", slice="s", side="candidate")
    report.check(calls >= errors() > 0, "backend errors tell it", f"{calls:.0f} calls failed, {errors()} outcomes")
    report.check(not proxy.outcomes("s").get("legacy_error"), "no error is put on legacy", proxy.outcomes("s"))
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


UNRULY = {
    "cut": {"candidate_error"}, "garbage": {"candidate_error"}, "refuse": {"candidate_error"},
    "stall": {"timeout", "shed(inflight)"}, "drip": {"timeout", "shed(inflight)"},
    "huge": {"divergence"},
}


def unruly_candidates(lab, report):
    """Each bad habit at once, a slice and a backend each."""
    report.begin("unruly candidates")
    _, legacy = lab.origin("legacy")
    ports = {mode: lab.origin("candidate", mode)[1] for mode in UNRULY}
    backends = ", ".join(f"{mode}: http://127.0.0.1:{port}" for mode, port in ports.items())
    slices = "".join(f"  - {{ name: {m}, match: /{m}, to: {m}, stage: shadow, shadow: {{ rate: none, timeout: 500ms }} }}\n" for m in ports)
    proxy = lab.proxy(f"legacy: http://127.0.0.1:{legacy}\nbackends: {{ {backends} }}\nslices:\n{slices}")
    load = Load(lab, proxy.data, list(ports), rate=300)
    time.sleep(3 if lab.quick else 10)
    asked = load.end()
    proxy.adds_up(asked)
    for mode, allowed in UNRULY.items():
        found = proxy.outcomes(mode)
        # What was overtaken by the others' load may be shed; what is said must be true.
        good = found.keys() & allowed and found.keys() <= allowed | {"shed(queue)", "shed(local)", "shed(inflight)", "shed(memory)"}
        report.check(good, f"{mode} is told as it is", found)
    peak = proxy.memory_mib("VmHWM")
    report.check(peak < 120, "peak of resident memory under 120 MiB", f"{peak:.0f} MiB")
    proxy.stop()


def leaving_clients(lab, report):
    """Clients that go away before their answer ended, among others that stay."""
    report.begin("clients that leave")
    _, legacy = lab.origin("legacy", "bulk")
    _, candidate = lab.origin("candidate")
    proxy = lab.proxy(shadow(legacy, candidate).replace("name: s, match: /s,", "name: late, match: /late,")
                      + "  - { name: c, match: /c, to: new, stage: cutover }\n")
    load = Load(lab, proxy.data, "c")
    count = 40 if lab.quick else 300

    def leave(number):
        with socket.create_connection(("127.0.0.1", proxy.data)) as stream:
            stream.sendall(b"GET /late/3000 HTTP/1.1\r\nHost: app.example\r\n\r\n")
            if number % 2:
                stream.recv(100)
                time.sleep(random.random() / 20)
            if number % 3 == 0:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gone = [threading.Thread(target=leave, args=(n,)) for n in range(count)]
    for one in gone:
        one.start()
        time.sleep(0.005)
    for one in gone:
        one.join()
    until(lambda: proxy.outcomes("late").get("aborted", 0) >= count, 5, 0.05)
    found = proxy.outcomes("late")
    report.check(found.get("aborted") == sum(found.values()) and sum(found.values()) >= count * 0.9,
                 "each request that was read ends aborted", f"{found} of {count} clients")
    proxy.adds_up(load.end())
    proxy.stop()


def dead_legacy(lab, report):
    """Legacy dies: clients of it must see it, everything else goes on, and the sum holds."""
    report.begin("legacy killed")
    legacy, port = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    proxy = lab.proxy(shadow(port, candidate) + "  - { name: c, match: /c, to: new, stage: cutover, shadow: { sample: 100% } }\n")
    load = Load(lab, proxy.data, "c")
    time.sleep(0.5)
    legacy.kill()
    legacy.wait()
    statuses = [proxy.get("/s/1")[0] for _ in range(20)]
    report.check(statuses == [502] * 20, "what legacy serves is 502", f"{statuses.count(502)} of 20")
    time.sleep(1)
    asked = load.end("failed requests of clients that the candidate serves")
    proxy.adds_up({**asked, "s": 20})
    found = proxy.outcomes("s"), proxy.outcomes("c")
    report.check(found[0] == {"legacy_error": 20} and found[1].get("legacy_error"), "legacy_error is counted", found)
    proxy.stop()


# A candidate that never answers, at full rate.

def wrk(port, path, seconds):
    """Returns requests a second, and what failed."""
    out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"],
                         capture_output=True, text=True).stdout
    failed = sum(map(int, re.findall(r"(?:responses:|connect|read|write|timeout) (\d+)", out)))
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), failed


def interval(pairs, draws=4000):
    """Returns the median ratio over rounds and its 95 % interval, rounds drawn with replacement."""
    dice, ratios = random.Random(1), [a / b for a, b in pairs]
    found = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(draws))
    return statistics.median(ratios), found[int(draws * 0.025)], found[int(draws * 0.975)]


def stalling_candidate(lab, report):
    """The rate with mirroring to a candidate that never answers, against the rate without mirroring."""
    report.begin("candidate never answers")
    legacy = lab.nginx()
    _, candidate = lab.origin("candidate", "stall")
    off = "".join(f"  - {{ name: {n}, match: /{n}, to: new, stage: legacy }}\n" for n in ("off", "again"))
    proxy = lab.proxy(shadow(legacy, candidate).replace("name: s, match: /s,", "name: on, match: /on,") + off)
    arms, rates, failed = ["on", "off", "again"], {"on": [], "off": [], "again": []}, 0
    rounds, seconds = (4, 1) if lab.quick else (24, 2)
    for turn in range(rounds + 1):
        for arm in arms[turn % 3:] + arms[:turn % 3]:
            rate, wrong = wrk(proxy.data, f"/{arm}/x", seconds)
            failed += wrong
            if turn:
                rates[arm].append(rate)
            time.sleep(0.1)  # what is still queued belongs to this round
    value, low, high = interval(list(zip(rates["on"], rates["off"])))
    same = interval(list(zip(rates["again"], rates["off"])))
    report.check(failed == 0, "failed requests of clients", f"{failed} at {statistics.median(rates['on']):.0f} requests a second")
    figure = (f"{value:.3f} [{low:.3f}, {high:.3f}] over {rounds} rounds; "
              f"without against without {same[0]:.3f} [{same[1]:.3f}, {same[2]:.3f}]")
    if same[1] < 0.97 or same[2] > 1.03 or not same[1] <= 1 <= same[2]:
        report.skip(f"void, the machine is not quiet: rate of live requests against without mirroring: {figure}")
    else:
        report.check(high >= 0.97, "rate of live requests against without mirroring", figure)
    proxy.adds_up()
    found = proxy.outcomes("on")
    report.check(set(found) <= {"timeout", "shed(inflight)", "shed(queue)", "aborted"} and found.get("timeout"), "timeouts and what was shed are counted", found)
    made = proxy.metric("supplant_shadow_queue_wait_seconds_count") / sum(found.values())
    report.check(made < 0.2, "copies that would find no place are not made", f"{made:.1%} of the requests were queued")
    proxy.stop()

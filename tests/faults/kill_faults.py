"""`kill -9` of the proxy at any moment of a change: what it begins with then is old or new, never neither."""

import json
import random
import socket
import time

from lab import until
from side_faults import shadow

ACTS = {"candidate": "kill", "legacy": "resume"}  # by who answers before


def killed_in_change(lab, report):
    """Asks for a kill or a resume, and kills the process at a random moment from the first byte sent on."""
    trials = lab.kills or (15 if lab.quick else 100)
    report.begin(f"killed in a change, {trials} times")
    _, legacy = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    proxy = lab.proxy(shadow(legacy, candidate) + "  - { name: e, match: /e, to: new, stage: cutover }\n")
    typical = measure(proxy)
    side, wrong, starts = proxy.side("e"), [], []
    tally = {"old": 0, "new": 0, "answered": 0}
    reach = 2.5 * typical  # follows what is seen: how long the first change after a start takes is the machine's affair
    for trial in range(trials):
        act = ACTS[side]
        answered = killed_while(proxy, act, random.random() * reach)
        try:
            starts.append(proxy.run())
            now, held = proxy.side("e"), proxy.json("/api/v1/slices/e")["killed"]
        except (SystemExit, OSError, RuntimeError, KeyError, ValueError) as error:
            report.check(False, f"trial {trial}: it starts, with the old state or the new", f"after {act}: {error}")
            return
        is_new = now != side
        tally["new" if is_new else "old"] += 1
        tally["answered"] += answered
        reach = max(typical, reach / 1.3 if is_new else reach * 1.3)
        # What serves and what is shown are one, and what was answered is kept.
        if now not in ACTS or held != (now == "legacy") or (answered and not is_new):
            wrong.append((trial, act, side, now, held, answered))
        side = now
    report.check(not wrong, "old or new, never neither; what was answered is kept", f"{tally}, a change takes {typical * 1000:.1f} ms {wrong[:5]}")
    report.check(min(tally["old"], tally["new"]) > 0, "the moments fall on both sides of the change", tally)
    report.check(max(starts) < 2, "starts again", f"ready after {max(starts):.2f} s at most")
    report.check(not proxy.metric("supplant_panics_total"), "without a panic", 0)
    proxy.stop()


def measure(proxy):
    """How long a change takes, from the first byte sent to the answer: a median."""
    times = []
    for number in range(10):
        began = time.monotonic()
        proxy.ask("POST", f"/api/v1/slices/e/{('kill', 'resume')[number % 2]}", {})
        times.append(time.monotonic() - began)
    until(lambda: proxy.side("e") == "candidate", 5)
    return sorted(times)[5]


def killed_while(proxy, act, seconds):
    """Asks for an act and kills after so long; returns whether the act was answered as done."""
    body = json.dumps({"reason": "mended"} if act == "resume" else {})
    with socket.create_connection(("127.0.0.1", proxy.admin), 5) as link:
        link.sendall(f"POST /api/v1/slices/e/{act} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.admin}\r\nAuthorization: Bearer {proxy.token}\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            pass  # a sleep is too coarse
        proxy.kill()
        answer = b""
        try:
            while piece := link.recv(4096):
                answer += piece
        except OSError:
            pass
    return answer.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" in answer

"""Faults of the application that serves, with books at both ends: what has effects happens once, and nothing is made up."""

import time

from lab import until
from ledger import Books, balance
from side_faults import shadow

QUICK_RATES = "timeouts: { response: 1s, idle: 1s }"


def rules(legacy, candidate, more=""):
    # Without control calls, so that each copy is asked for once.
    text = shadow(legacy, candidate, "rate: none }, compare: { control: 0%")
    return text.replace(f"legacy: http://127.0.0.1:{legacy}", f"legacy: {{ endpoints: [http://127.0.0.1:{legacy}], {QUICK_RATES} }}") + more


def origins(lab, fault="well"):
    books = Books(lab)
    program, legacy = books.origin("legacy", fault)
    _, candidate = books.origin("candidate")
    return books, program, legacy, candidate


def begun(lab, fault="well"):
    books, program, legacy, candidate = origins(lab, fault)
    return books, program, legacy, candidate, lab.proxy(rules(legacy, candidate))


def closed(books, proxy, report, what, allowed=()):
    found = books.end()
    ways = balance(report, what, found, books.received("legacy"), allowed, books.received("candidate"))
    proxy.adds_up()
    return found, ways


def restarting(lab, report):
    """`kill -9` of legacy and a start on its port, ten times under load."""
    report.begin("legacy restarts")
    books, program, legacy, _, proxy = begun(lab)
    books.load(proxy.data, posts=0.3)
    for _ in range(10):
        time.sleep(0.3 if lab.quick else 1)
        program.kill()
        program.wait()
        time.sleep(0.05)
        program, _ = books.origin("legacy", port=legacy)
    time.sleep(0.5)
    back = until(lambda: proxy.get("/s/1")[0] == 200, 3)
    report.check(back is not None and back < 1, "serves again after the last start", f"after {back or 99:.2f} s")
    closed(books, proxy, report, "ten kills of legacy", ("502", "503+retry-after", "503", "504", "truncated"))
    proxy.stop()


def failing(lab, report):
    """Legacy that resets, stalls, is slow, cuts its answers, and closes idle connections."""
    report.begin("legacy misbehaves")
    failures = ("502", "503", "503+retry-after", "504")
    for fault, allowed, what in (("reset", failures, "resets a tenth"), ("stall", failures, "never answers a tenth"), ("slow", (), "is up to 300 ms late"),
                                 ("cut", (*failures, "truncated"), "cuts a tenth of its answers")):
        books, _, _, _, proxy = begun(lab, fault)
        books.load(proxy.data, posts=0.3, connections=24 if fault in ("stall", "slow") else 8)
        time.sleep(3 if lab.quick else 10)
        _, ways = closed(books, proxy, report, f"legacy {what}", allowed)
        if allowed:
            report.check(sum(ways[a] for a in allowed) > 0, f"legacy {what}: it is told", dict(ways))
        proxy.stop()


def idle_closing(lab, report):
    """Legacy closes connections that were idle for up to 50 ms: GETs never fail, POSTs hardly ever."""
    report.begin("legacy closes idle connections")
    books, _, _, _, proxy = begun(lab, "idle")
    books.load(proxy.data, rate=400, posts=0.5, connections=16)
    time.sleep(4 if lab.quick else 30)
    found, _ = closed(books, proxy, report, "closes at random", ("502",))
    gets = sum(how != "ok" for method, how, _ in found.values() if method == "GET")
    posts = [how for method, how, _ in found.values() if method == "POST"]
    failed = sum(how != "ok" for how in posts)
    report.check(gets == 0, "GETs that failed", gets)
    mean = 0.005 * len(posts)
    report.check(failed <= mean + 3 * mean ** 0.5, "POSTs that failed, of 0.5 % at most, chance aside", f"{failed} of {len(posts)}, {failed / max(1, len(posts)):.2%}")
    proxy.stop()


def reloads(lab, report):
    """100 reloads that change slices, under load; connections are kept all the while."""
    report.begin("100 reloads")
    books, _, legacy, candidate, proxy = begun(lab)
    books.load(proxy.data, rate=500, posts=0.3)
    made = 0
    for number in range(100):
        proxy.write(rules(legacy, candidate, f"  - {{ name: n{number}, match: /n{number}, to: new, stage: legacy }}\n"))
        made += 1
        time.sleep(0.06 if lab.quick else 0.2)
    taken = until(lambda: proxy.metric("supplant_config_last_reload_successful") == 1 and "n99" in proxy.ask("GET", "/api/v1/slices")[1], 5)
    report.check(taken is not None, "the last one is in force", f"{proxy.metric('supplant_config_reloads_total', result='ok'):.0f} reloads of {made} edits")
    closed(books, proxy, report, "100 reloads")
    report.check(proxy.stop() == 0, "ends gently", "exit 0")


def drained(lab, report):
    """SIGTERM under load, ten times (three in a hurry): what legacy received is answered."""
    report.begin("drain under load")
    for trial in range(3 if lab.quick else 10):
        books, _, legacy, candidate = origins(lab, "slow")
        proxy = lab.proxy(rules(legacy, candidate), head="threads: 2\ndrain: { delay: 500ms, timeout: 10s }\n")
        books.load(proxy.data, rate=400, posts=0.3, until_refused=True, connections=12)
        time.sleep(0.7)
        code = proxy.stop()
        found = books.wait()
        received = books.received("legacy")
        ways = {}
        for _, how, _ in found.values():
            ways[how] = ways.get(how, 0) + 1
        lost = [f"{m} {n}" for n, (m, how, _) in found.items() if how not in ("ok", "refused") and received[f"{m} {n}"]]
        twice = [n for n, times in received.items() if times > 1]
        report.check(code == 0 and not lost and not twice and not ways.get("corrupted"), f"drain {trial + 1}: nothing that was in flight is lost",
                     f"exit {code}, {ways}, in flight lost {len(lost)} {lost[:3]}, duplicated {len(twice)}")
        cut = ways.get("cut", 0) + ways.get("cut fresh", 0)
        report.check(cut == 0, f"drain {trial + 1}: no connection is closed under a request", f"{cut} cut, of them {ways.get('cut fresh', 0)} on new connections")


def candidates(lab, report):
    """Each fault of a candidate, with books at both ends of the served side: nobody may notice."""
    report.begin("candidate misbehaves, both books")
    for mode in ("dead", "refuse", "cut", "stall", "drip", "garbage", "huge"):
        books = Books(lab)
        _, legacy = books.origin("legacy")
        program, candidate = lab.origin("candidate", "stall" if mode == "dead" else mode)
        if mode == "dead":
            program.kill()
            program.wait()
        proxy = lab.proxy(rules(legacy, candidate).replace("rate: none", "rate: none, timeout: 500ms"))
        books.load(proxy.data, posts=0.2)
        time.sleep(1.5 if lab.quick else 6)
        found = books.end()
        balance(report, f"candidate: {mode}", found, books.received("legacy"))
        slow = sorted(took for _, _, took in found.values())
        outcomes = proxy.outcomes("s")
        report.check(sum(outcomes.get(o, 0) for o in ("candidate_error", "timeout", "divergence", "shed(inflight)", "shed(queue)")) > 0, f"candidate: {mode}: it is counted",
                     f"{outcomes}; slowest answer {slow[-1] * 1e3:.0f} ms")
        proxy.adds_up()
        proxy.stop()

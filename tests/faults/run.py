#!/usr/bin/env python3
"""Breaks everything around the proxy, under load, and checks that no client sees it.

  run.py BINARY [--quick] [--only NAME…] [--kills N] [--keep]

Runs the binary in temporary folders on free loopback ports. Needs Python alone; for the rate beside a
candidate that never answers wrk and nginx, and root for the store that is full. `--quick` takes three
minutes. Prints a table of figures and `N passed, N failed`.
"""

import argparse
import os
import shutil
import signal
import sys
import time
import traceback

import around_faults
import bounds
import change_faults
import kill_faults
import large
import origin_faults
import side_faults
import store_faults
from lab import Lab, Report

ALL = {
    "candidate-killed": side_faults.killed_candidate, "candidate-unruly": side_faults.unruly_candidates,
    "candidate-stalls": side_faults.stalling_candidate, "legacy-killed": side_faults.dead_legacy,
    "clients-leave": side_faults.leaving_clients,
    "store-full": store_faults.full, "store-locked": store_faults.locked,
    "store-deleted": store_faults.deleted, "store-gone": store_faults.gone,
    "edits": change_faults.edits, "take-back": change_faults.take_back, "proxy-killed": change_faults.killed_proxy,
    "killed-in-change": kill_faults.killed_in_change,
    "large": large.large,
    "origin-restarts": origin_faults.restarting, "origin-fails": origin_faults.failing, "origin-idle": origin_faults.idle_closing,
    "reloads": origin_faults.reloads, "drain": origin_faults.drained, "candidate-books": origin_faults.candidates,
    "dns": around_faults.names, "clock": around_faults.clock, "rules-cut": around_faults.truncated, "store-slow": around_faults.slow_store,
    "queue-full": around_faults.queue_full, "floods": around_faults.floods,
    "stalled": bounds.stalled, "overload": bounds.overload, "crowd": bounds.crowd,
}


class Late(Exception):
    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="target/release/supplant")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter waits")
    parser.add_argument("--only", nargs="+", choices=ALL, metavar="NAME", default=list(ALL), help=", ".join(ALL))
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="how often `killed-in-change` kills; 15 quick, else 100")
    parser.add_argument("--keep", action="store_true", help="keep the folders with logs and stores")
    args = parser.parse_args()
    report, began = Report(), time.monotonic()

    def too_late(*_):
        raise Late("it took too long")
    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name in args.only:
        if name == "candidate-stalls" and not (shutil.which("wrk") and shutil.which("nginx")):
            report.begin(name)
            report.skip("wrk and nginx are not installed")
            continue
        lab, started = Lab(args.binary, report, args.quick), time.monotonic()
        signal.alarm(max(40 if args.quick else 300, 2 * args.kills))
        lab.kills = args.kills
        try:
            ALL[name](lab, report)
        except Exception as error:
            traceback.print_exc()
            report.check(False, "it runs to its end", f"{type(error).__name__}: {error}")
        finally:
            signal.alarm(0)
            lab.end(args.keep)
        print(f"  {name} took {time.monotonic() - started:.1f} s", flush=True)
    good = report.end()
    print(f"took {time.monotonic() - began:.0f} s on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

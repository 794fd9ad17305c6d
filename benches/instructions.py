#!/usr/bin/env python3
"""Counts the instructions of a plain request, which do not move with the machine.

  instructions.py --proxy PATH [--relay PATH] [--keep]

The program runs under callgrind and answers 8,000 requests, then anew 16,000; the difference is what
8,000 requests cost, without start and end. The figure is held against the one in instructions.json: more
than 3 % above it fails. `--keep` writes the new figure there, which belongs in the commit that explains
it. Instructions move with the compiler, whose version is kept beside the figure: with another the run is
void, and exits with 2. The libraries are those of Cargo.lock. Needs valgrind.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import peers
import peers_lab

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
FEW, MANY, ROOM = 8_000, 16_000, 1.03


def counted(lab, name, command, port, requests):
    """Returns the instructions of a whole run that answers `requests`."""
    out = os.path.join(lab.folder, f"callgrind-{name}-{requests}")
    process = lab.run(name, ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command], 0)
    lab.wait(port)
    time.sleep(1)
    load = ["h2load", "--h1", "-t1", "-c8", f"-n{requests}", f"http://127.0.0.1:{port}/small"]
    text = peers.on_core_1(load).communicate()[0]
    if f"{requests} succeeded" not in text:
        sys.exit(f"not every request was answered:\n{text}")
    process.end()
    lab.started.remove(process)
    with open(out) as file:
        return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M)[1])


def per_request(lab, name, command):
    """`command` makes the command for a port."""
    def run(requests):
        port = peers_lab.free_port()
        return counted(lab, name, command(port), port, requests)
    return (run(MANY) - run(FEW)) / (MANY - FEW)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", required=True, help="target/release/supplant")
    parser.add_argument("--relay", help="target/release/examples/relay")
    parser.add_argument("--keep", action="store_true", help="writes the figures")
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "supplant-peers"))
    parser.error = lambda words: sys.exit(f"{parser.prog}: error: {words}")  # not 2, which says void
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("this needs valgrind")
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    with open(FIGURES) as file:
        kept = json.load(file)
    if rustc != kept["rustc"] and not args.keep:
        peers_lab.say(f"void: the figures are of rustc {kept['rustc']}, this is {rustc}; --keep writes new ones")
        sys.exit(peers.VOID)
    os.makedirs(args.folder, exist_ok=True)
    lab = peers_lab.Lab(args)

    def proxy(port):
        text = peers_lab.routes(lab.folder, port, peers_lab.free_port(), *lab.origins, "legacy")
        return [os.path.abspath(args.proxy), "run", "--access-log", "off", "--config", lab.write("counted.yaml", text)]

    try:
        found = {"supplant": per_request(lab, "counted", proxy)}
        if args.relay:
            relay = lambda port: [os.path.abspath(args.relay), f"127.0.0.1:{port}", f"127.0.0.1:{lab.origins[0]}", "1"]
            found["relay"] = per_request(lab, "relay", relay)
    finally:
        lab.end()
    bad = False
    for name, figure in found.items():
        before = kept["instructions"].get(name)
        more = before and figure > before * ROOM
        bad |= bool(more)
        peers_lab.say(f"{'MORE  ' if more else 'ok    '} {name}: {figure:,.0f} instructions a request"
                  + (f" ({figure / before - 1:+.1%} to {before:,})" if before else ""))
    if args.keep:
        kept = {"rustc": rustc, "instructions": {**kept["instructions"], **{k: round(v) for k, v in found.items()}}}
        with open(FIGURES, "w") as file:
            json.dump(kept, file, indent=1)
            file.write("\n")
    sys.exit(1 if bad and not args.keep else 0)


if __name__ == "__main__":
    main()

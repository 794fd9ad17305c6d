#!/usr/bin/env python3
"""The Autobahn cases for WebSockets, directly and through the proxy: no case may differ.

  autobahn.py BINARY [--tools DIR] [--cases 1.* 2.*…] [--without-wstest]

Where a Python 2.7 is found, the test suite itself (`wstest`) is installed and run as a client, against an
echo server (`websockets`), once directly and twice through the proxy, in clear and over TLS.
Elsewhere its cases, as far as a client of this project's own sends them frame by frame (`wsproto` parses
what comes back), run the same ways. It says which of both was run.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve
async def echo(link):
    async for message in link:
        await link.send(message)
async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None, max_queue=None, ping_interval=None, compression=sys.argv[2] if sys.argv[2] != "none" else None):
        await asyncio.Future()
asyncio.run(main())
"""


def python2():
    """Returns a Python 2.7, or nothing."""
    found = [shutil.which("python2.7"), *glob.glob(os.path.expanduser("~/.pyenv/versions/2.7*/bin/python2.7")), "/usr/bin/python2.7"]
    for python in filter(None, found):
        if os.path.exists(python) and subprocess.run([python, "-c", "import sys; assert sys.version_info[:2] == (2, 7)"], capture_output=True).returncode == 0:
            return python
    return None


def wstest(tools):
    """Returns the path of the test suite's command, installed if it must be; nothing where it cannot."""
    python = python2()
    if not python:
        return None
    at = os.path.join(tools, "autobahn")
    command = os.path.join(at, "bin", "wstest")
    if not os.path.exists(command):
        print("installing autobahntestsuite from PyPI, for Python 2.7", flush=True)
        maker = os.path.join(tools, "virtualenv")
        steps = [[sys.executable, "-m", "venv", "--clear", maker], [f"{maker}/bin/pip", "install", "-q", "--disable-pip-version-check", "virtualenv<20.22"],
                 [f"{maker}/bin/virtualenv", "-q", "--clear", "-p", python, at], [f"{at}/bin/pip", "install", "-q", "autobahntestsuite"]]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, timeout=600)
            if done.returncode:
                print(f"it cannot be installed: {(done.stdout + done.stderr)[-500:]}")
                return None
    return command


def suite(command, folder, servers, cases):
    """Runs the suite against every server; returns {server: {case: what was found}}."""
    spec = os.path.join(folder, "spec.json")
    with open(spec, "w") as file:
        json.dump({"outdir": os.path.join(folder, "reports"), "servers": [{"agent": name, "url": url} for name, url in servers.items()],
                   "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}, file)
    with open(os.path.join(folder, "wstest.log"), "ab") as log:
        done = subprocess.run([command, "-m", "fuzzingclient", "-s", spec], stdout=log, stderr=log, cwd=folder, timeout=7200)
    if done.returncode:
        sys.exit(f"wstest ended with {done.returncode}; its log is in {folder}")
    with open(os.path.join(folder, "reports", "index.json")) as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="target/release/supplant")
    parser.add_argument("--tools", default=os.path.join(tempfile.gettempdir(), "supplant-clients"))
    parser.add_argument("--cases", nargs="+", default=["*"], help="as the suite names them")
    parser.add_argument("--without-wstest", action="store_true", help="the cases of this project's own client")
    args = parser.parse_args()
    tools = os.path.abspath(args.tools)
    if os.environ.get("SUPPLANT_CLIENTS") != tools:
        sys.path.insert(0, HERE)
        from run import environment
        python = environment(tools)
        os.execve(python, [python, *sys.argv], {**os.environ, "SUPPLANT_CLIENTS": tools, "PYTHONDONTWRITEBYTECODE": "1"})
    sys.path.insert(0, HERE)
    from stand import Stand, free_port
    from lab import Report
    report, began = Report(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stand = Stand(args.binary, report, False, tools)
    try:
        report.begin("Autobahn")
        port = free_port()
        stand.start([sys.executable, "-c", ECHO, str(port), "deflate"])
        stand.stands(port)
        proxy = stand.front(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
        command = None if args.without_wstest else wstest(tools)
        if command:
            servers = {"directly": f"ws://127.0.0.1:{port}", "through": f"ws://127.0.0.1:{proxy.data}", "through-tls": f"wss://127.0.0.1:{proxy.tls}"}
            print(f"running Autobahn's own suite (wstest), cases {' '.join(args.cases)}", flush=True)
            again = lambda cases: suite(command, stand.folder, servers, cases)
            found = again(args.cases)
        else:
            import frames
            print("Autobahn's suite is not there (it needs Python 2.7): running this project's client with its cases", flush=True)

            def again(cases=None):
                return {"directly": frames.run(port, None, cases), "through": frames.run(proxy.data, None, cases), "through-tls": frames.run(proxy.tls, stand.ca, cases)}
            found = again()
        weigh(report, found, again)
        proxy.adds_up()
        report.check(proxy.stop() == 0, "ends gently", "exit 0")
    finally:
        stand.end()
    good = report.end()
    print(f"took {time.monotonic() - began:.0f} s")
    sys.exit(0 if good else 1)


def weigh(report, found, again):
    """No case may differ from the direct run in what was found, nor in how the connection ended.

    Where the server fails a connection just after it echoed, chance decides whether the echo was sent (the suite says OK or
    NON-STRICT). So a case that differs is run four times more, and differs if the ways that were seen have nothing in common.
    """
    direct = found["directly"]
    told = lambda row: tuple(row[t] for t in ("behavior", "behaviorClose", "remoteCloseCode"))
    failed = [case for case, row in direct.items() if row["behavior"] in ("FAILED", "UNIMPLEMENTED")]
    report.check(len(direct) > 0 and len(failed) < len(direct) / 5, "directly", f"{len(direct)} cases, of which the server fails or lacks {len(failed)}")
    unsure = {case for rows in found.values() for case, row in rows.items() if told(row) != told(direct[case])}
    seen = {name: {case: {told(row)} for case, row in rows.items()} for name, rows in found.items()}
    for _ in range(4 if unsure else 0):
        for name, rows in again(sorted(unsure)).items():
            for case, row in rows.items():
                seen[name][case].add(told(row))
    for name, rows in seen.items():
        if name == "directly":
            continue
        wrong = [f"\n         {case}: {sorted(seen['directly'][case])} and {sorted(ways)}" for case, ways in rows.items() if not ways & seen["directly"][case]]
        more = f"; tried again because chance decides them: {' '.join(sorted(unsure))}" if unsure else ""
        report.check(rows.keys() == direct.keys() and not wrong, f"{name}: no case differs", f"{len(rows)} cases{more}{''.join(wrong[:8])}")


if __name__ == "__main__":
    main()

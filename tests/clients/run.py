#!/usr/bin/env python3
"""Real clients and real servers, directly and through the proxy: what a client sees must be the same.

  run.py BINARY [--quick] [--only NAME…] [--tools DIR] [--keep]

Clients: curl, requests, httpx, websockets, grpcio, node's fetch and undici, a browser. Servers: hypercorn
(HTTP/1.1, HTTP/2 over TLS, h2c, WebSocket), websockets, grpcio, and sockets that do one thing. Everything
is copied to a second application meanwhile, so that a client that could tell would be found. Python
packages go to an environment below DIR, node's beside these files, programs come from Debian. Prints
`N passed, N failed`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = ["requests>=2.32,<3", "httpx[http2,brotli]>=0.28,<0.29", "websockets>=15,<18", "wsproto>=1.2,<2", "grpcio>=1.65,<2", "protobuf>=5,<8",
            "hypercorn>=0.17,<0.19"]
NAMES = ["curl", "requests", "httpx", "streams", "websockets", "grpcio", "node", "browser"]


def environment(tools):
    """Returns the Python of these tests; makes it first if it is not there."""
    python = os.path.join(tools, "bin", "python")
    stamp = os.path.join(tools, "packages")
    wanted = "\n".join([sys.version, *PACKAGES])
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        print(f"installing from PyPI: {', '.join(PACKAGES)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", tools], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True, timeout=600)
        with open(stamp, "w") as file:
            file.write(wanted)
    return python


class Late(Exception):
    pass


def too_late(*_):
    raise Late("it took too long")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="target/release/supplant")
    parser.add_argument("--quick", action="store_true", help="one kind of upstream for each client")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--tools", default=os.path.join(tempfile.gettempdir(), "supplant-clients"), help="where packages are installed")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    args = parser.parse_args()
    tools = os.path.abspath(args.tools)
    if os.environ.get("SUPPLANT_CLIENTS") != tools:
        python = environment(tools)
        os.execve(python, [python, *sys.argv], {**os.environ, "SUPPLANT_CLIENTS": tools, "PYTHONDONTWRITEBYTECODE": "1", "GRPC_VERBOSITY": "NONE"})
    sys.path.insert(0, HERE)
    sys.exit(0 if tried(args, tools) else 1)


def tried(args, tools):
    from calls import calls
    from curl import curl
    from node_clients import browser, by_node
    from python_clients import by_httpx, by_requests
    from sockets import sockets
    from stand import Stand, needed
    from streams import streams
    from lab import Report

    needed("openssl", "openssl")
    needed("curl", "curl")
    tests = dict(zip(NAMES, (curl, by_requests, by_httpx, streams, sockets, calls, by_node, browser)))
    report, began = Report(), time.monotonic()
    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stand = Stand(args.binary, report, args.quick, tools)
    try:
        stand.server, copies = stand.hypercorn(), stand.hypercorn()
        fronts(stand, copies)
        for name in args.only or NAMES:
            started = time.monotonic()
            signal.alarm(90 if args.quick else 240)
            try:
                tests[name](stand, report)
            except Exception as error:
                traceback.print_exc()
                report.check(False, "it runs to its end", f"{type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
            print(f"  {name} took {time.monotonic() - started:.1f} s", flush=True)
        rest(stand, report)
    finally:
        stand.end(args.keep)
    good = report.end()
    print(f"took {time.monotonic() - began:.0f} s on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    return good


def fronts(stand, copies):
    """A proxy for each kind of upstream; one of them only where it must be quick."""
    stand.fronts = {"http": stand.front(f"http://127.0.0.1:{stand.server.plain}", f"http://127.0.0.1:{copies.plain}")}
    if not stand.quick:
        stand.fronts["https"] = stand.front(f"https://localhost:{stand.server.tls}", f"http://127.0.0.1:{copies.plain}", ca=True)
        stand.fronts["h2c"] = stand.front(f"h2c://127.0.0.1:{stand.server.plain}", f"http://127.0.0.1:{copies.plain}")


def rest(stand, report):
    """After all of it: outcomes add up, copies were made, no panic, and no descriptor is left open."""
    report.begin("at rest")
    for upstream, front in stand.fronts.items():
        front.adds_up()
        found = front.outcomes("all")
        report.check(found.get("match", 0) + found.get("masked", 0) + found.get("divergence", 0) > 0, f"to {upstream}: copies were compared", found)
        report.check(front.metric("supplant_open_connections") <= 2, f"to {upstream}: no connection is left", front.metric("supplant_open_connections"))
        report.check(front.stop() == 0, f"to {upstream}: ends gently", "exit 0")


if __name__ == "__main__":
    main()

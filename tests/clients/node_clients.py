"""Clients on node, and a browser; both run as programs that say what they saw."""

import json
import os
import subprocess

from stand import HERE, needed


def modules(stand):
    """Installs what node needs beside these files; returns why it cannot, or nothing."""
    if not needed("node", "nodejs") or not needed("npm", "npm"):
        return "node and npm are not installed"
    stamp = os.path.join(HERE, "node_modules", "installed")
    with open(os.path.join(HERE, "package-lock.json")) as file:
        wanted = file.read()
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        print("installing undici and playwright-core from npm", flush=True)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE, check=True, timeout=300)
        with open(stamp, "w") as file:
            file.write(wanted)
    return None


def run(stand, *words, patience=90):
    done = subprocess.run(["node", *words], cwd=HERE, capture_output=True, text=True, timeout=patience)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def by_node(stand, report):
    report.begin("node")
    why = modules(stand)
    if why:
        return report.skip(why)
    ask = lambda at: run(stand, "node_clients.mjs", str(at.port(False)), str(at.port(True)), stand.ca)[0]
    whole = direct = ask(stand.server)
    odd = {k: v for k, v in direct.items() if str(v).startswith("failed")}
    report.check(not odd, "directly", f"{len(direct)} cases {odd or ''}")
    for upstream, front in stand.fronts.items():
        through = ask(front)
        if upstream == "http":  # on HTTP/1.1 this server sends no trailers
            direct, through = ({k: v for k, v in said.items() if not k.endswith("trailers")} for said in (whole, through))
        else:
            direct = whole
        wrong = [f"\n         {k}: {direct[k]!r:.300} and {through.get(k)!r:.300}" for k in direct if direct[k] != through.get(k)]
        report.check(not wrong, f"to {upstream}: as directly", f"{len(direct)} cases{''.join(wrong[:6])}")
    return None


def browser(stand, report):
    report.begin("browser")
    why = modules(stand)
    if why or not needed("chromium", "chromium"):
        return report.skip(why or "chromium is not installed")
    direct, *through = run(stand, "browser.mjs", str(stand.server.tls), *(str(f.tls) for f in stand.fronts.values()), patience=180)
    good = direct["said"].startswith("{") and "h2" in direct["protocols"] and not direct["faults"]
    report.check(good, "directly, over TLS and HTTP/2", direct)
    for upstream, seen in zip(stand.fronts, through):
        report.check(seen == direct, f"over TLS and HTTP/2, to {upstream}: as directly", "the same" if seen == direct else f"{direct} and {seen}")
    return None

"""curl over every protocol that it speaks."""

import concurrent.futures
import json
import os
import re
import subprocess
import tempfile

from application import OWN
from stand import NAME

# What differs from answer to answer, or belongs to one connection.
PASSING = OWN | {"date", "server", "alt-svc"}
# name: (flags, TLS, the version that curl must report)
PROTOCOLS = {
    "HTTP/1.0": (["--http1.0"], False, "1.0"), "HTTP/1.1": (["--http1.1"], False, "1.1"), "h2c": (["--http2-prior-knowledge"], False, "2"),
    "HTTP/1.1 over TLS": (["--http1.1"], True, "1.1"), "HTTP/2 over TLS": (["--http2"], True, "2"),
}
CASES = {
    "get": ["/echo?x=1&y=%20&y=+&&z"], "raw path": ["--path-as-is", "/a%2Fb//c/%61;d=1/~e/?q='(x)"],
    "fields": ["-H", "X-Many: one", "-H", "X-Many: two", "-H", "Cookie: a=1; b=2", "-H", "X-Empty;", "-A", "agent/1", "/echo"],
    "head": ["-I", "/bytes/1000"], "large": ["/bytes/3000000"], "no length": ["/chunks/500"],
    "range": ["-r", "10-1999", "/file"], "range beyond": ["-r", "99999999-", "/file"], "tag": ["-H", 'If-None-Match: "v7"', "/file"],
    "compressed": ["--compressed", "/gzip"], "raw gzip": ["-H", "Accept-Encoding: gzip", "/gzip"],
    "post": ["-d", "a=1&b=2", "/echo"], "empty post": ["-d", "", "/echo"], "form": ["-F", "one=1", "-F", "file=@{small};filename=f", "/status/201"],
    "upload": ["-T", "{large}", "/echo"], "expect": ["-H", "Expect: 100-continue", "-T", "{large}", "/echo"],
    "delete": ["-X", "DELETE", "/echo"], "options": ["-X", "OPTIONS", "/echo"], "patch": ["-X", "PATCH", "-d", "x", "/echo"], "own method": ["-X", "BREW", "/echo"],
    "no content": ["/status/204"], "not modified": ["/status/304"], "missing": ["/status/404"], "broken": ["/status/503"], "redirect": ["-L", "/redirect"],
    "cookies": ["/cookies"], "several": ["/bytes/10", "/echo", "/bytes/20"], "trailers": ["/trailers"],
}
# HTTP/1.0 knows no chunks, and an answer without a length ends with its connection.
CHUNKED = {"chunked upload": ["-H", "Transfer-Encoding: chunked", "-T", "{large}", "/echo"]}


def heads(text):
    """Returns [(status, {name: [values]})] without interim answers and what belongs to a connection."""
    found = []
    for block in re.split(r"\r?\n\r?\n", text.strip()):
        lines = block.splitlines()
        if not lines or not lines[0].startswith("HTTP/") or lines[0].split()[1].startswith("1"):
            continue
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() not in PASSING:
                fields.setdefault(name.lower(), []).append(value.strip())
        found.append((lines[0].split()[1], fields))
    return found


def ask(stand, port, tls, flags, words, files):
    with tempfile.TemporaryDirectory(dir=stand.folder) as folder:
        at = f"{'https' if tls else 'http'}://{NAME}"
        words = [at + w if w.startswith("/") else w.format(**files) for w in words]
        outputs = [part for place in range(sum(w.startswith(at) for w in words)) for part in ("-o", f"{folder}/body{place}")]
        done = subprocess.run(["curl", "-sS", "-q", "--noproxy", "*", "-m", "20", "--connect-to", f"::127.0.0.1:{port}", "--cacert", stand.ca, "-D", f"{folder}/head",
                               "-w", "%{http_version} %{num_connects}\n", *flags, *outputs, *words], capture_output=True, text=True, timeout=40,
                              env={**os.environ, "HOME": folder})
        bodies = []
        for place in range(len(outputs) // 2):
            path = f"{folder}/body{place}"
            data = b""
            if os.path.exists(path):
                with open(path, "rb") as file:
                    data = file.read()
            bodies.append(said(data))
        with open(f"{folder}/head", errors="replace") as file:
            head = heads(file.read())
        versions = {line.split()[0] for line in done.stdout.splitlines() if line}
        connections = sum(int(line.split()[1]) for line in done.stdout.splitlines() if line)
        if "-I" in words:  # curl writes the head there, too
            bodies = []
        if "--http1.0" in flags:  # which version an answer to it has is the server's business
            versions = set()
        return {"exit": done.returncode, "error": done.stderr.strip(), "heads": head, "bodies": bodies, "versions": versions, "connections": connections}


def said(data):
    try:
        return json.loads(data)
    except ValueError:
        return data


def unlike(one, two):
    wrong = []
    for key in one:
        if one[key] != two[key]:
            wrong.append(f"{key}: {one[key]!r:.300} and {two[key]!r:.300}")
    return "; ".join(wrong)


def curl(stand, report):
    report.begin("curl")
    files = {name: os.path.join(stand.folder, name) for name in ("small", "large")}
    for name, size in (("small", 100), ("large", 2_000_000)):
        with open(files[name], "wb") as file:
            file.write(bytes(range(250)) * (size // 250 + 1))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for protocol, (flags, tls, version) in PROTOCOLS.items():
            cases = {**CASES, **(CHUNKED if version == "1.1" else {})}
            if protocol == "h2c":  # curl 7.88 cannot use such a connection twice
                del cases["several"], cases["redirect"]
            one = lambda case, port: ask(stand, port, tls, flags, cases[case], files)
            direct = dict(zip(cases, pool.map(lambda c: one(c, stand.server.port(tls)), cases)))
            odd = {c: d for c, d in direct.items() if version != "1.0" and d["versions"] != {version} or d["exit"]}
            report.check(not odd, f"{protocol}, directly", f"{len(cases)} cases {odd or ''}")
            for upstream, front in stand.fronts.items():
                through = dict(zip(cases, pool.map(lambda c: one(c, front.port(tls)), cases)))
                wrong = [f"\n         {c}: {unlike(direct[c], through[c])}" for c in cases if direct[c] != through[c]]
                report.check(not wrong, f"{protocol}, to {upstream}: as directly", f"{len(cases)} cases{''.join(wrong[:6])}")

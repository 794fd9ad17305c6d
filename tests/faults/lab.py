"""What the tests stand on: programs that are started and surely ended, the proxy, and a report."""

import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Report:
    """Checks with their figures, printed as they come and as a table at the end."""

    def __init__(self):
        self.rows, self.part, self.skipped = [], "", []

    def begin(self, part):
        self.part = part
        print(f"\n== {part}", flush=True)

    def check(self, good, what, figure=""):
        self.rows.append((self.part, bool(good), what, str(figure)))
        print(f"  {'ok    ' if good else 'FAILED'} {what}: {figure}", flush=True)

    def skip(self, why):
        self.skipped.append((self.part, why))
        print(f"  SKIPPED {why}", flush=True)

    def end(self):
        """Prints the table; returns whether all is good."""
        width = max(len(part) for part, *_ in self.rows)
        print("\n" + "=" * 100)
        for part, good, what, figure in self.rows:
            print(f"{part:{width}}  {'ok    ' if good else 'FAILED'}  {what}: {figure}")
        for part, why in self.skipped:
            print(f"{part:{width}}  SKIPPED {why}")
        failed = sum(not good for _, good, *_ in self.rows)
        print(f"\n{len(self.rows) - failed} passed, {failed} failed", flush=True)
        return not failed


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(true_now, seconds=10, step=0.005):
    """Waits until something holds; returns after how many seconds, or nothing."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if true_now():
            return time.monotonic() - began
        time.sleep(step)
    return None


class Lab:
    """A temporary folder and what runs in it."""

    def __init__(self, binary, report, quick):
        self.binary, self.report, self.quick = os.path.abspath(binary), report, quick
        self.folder = tempfile.mkdtemp(prefix="supplant-faults-")
        self.running, self.kills = [], 0

    def start(self, command, **more):
        program = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}, start_new_session=True)
        self.running.append(program)
        return program

    def origin(self, side, mode="well", port=0):
        """Starts an application; returns it and its port."""
        command = [sys.executable, os.path.join(HERE, "origin.py"), side, mode, str(port)]
        program = self.start(command, stdout=subprocess.PIPE, text=True)
        return program, int(program.stdout.readline())

    def nginx(self, text="return 200 '{\"id\":1,\"name\":\"widget\"}';", workers=8192):
        """Starts nginx as an application that costs little; returns its port."""
        port = free_port()
        conf = os.path.join(self.folder, f"nginx-{port}.conf")
        with open(conf, "w") as file:
            file.write(f"""worker_processes 1; daemon off; pid {conf}.pid; error_log {conf}.err;
events {{ worker_connections {workers}; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {conf}.1; proxy_temp_path {conf}.2; fastcgi_temp_path {conf}.3; uwsgi_temp_path {conf}.4; scgi_temp_path {conf}.5;
  server {{ listen 127.0.0.1:{port} backlog=8192; location / {{ {text} }} }} }}
""")
        self.start(["nginx", "-c", conf, "-p", self.folder], stdout=subprocess.DEVNULL)
        if until(lambda: listens(port)) is None:
            sys.exit("nginx does not start")
        return port

    def proxy(self, rules, **more):
        return Proxy(self, rules, **more)

    def end(self, keep=False):
        for program in reversed(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)  # with its workers
            program.wait()
        if keep:
            print(f"everything is kept in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


class Proxy:
    """The product, with a folder of its own; its store lies in another folder inside."""

    def __init__(self, lab, rules, store=None, head="threads: 2\n", environment=None, tls=None, prefix=()):
        self.lab, self.report = lab, lab.report
        self.folder = tempfile.mkdtemp(dir=lab.folder)
        self.store = store or os.path.join(self.folder, "store")
        os.makedirs(self.store, exist_ok=True)
        self.data, self.admin, self.tls = free_port(), free_port(), free_port() if tls else None
        listen = f'{{ address: "127.0.0.1:{self.data}" }}'
        if tls:  # (certificate, key)
            listen += f', {{ address: "127.0.0.1:{self.tls}", tls: {{ certificates: [{{ cert: {tls[0]}, key: {tls[1]} }}] }} }}'
        self.head = (f'listen: [{listen}]\nadmin: {{ address: "127.0.0.1:{self.admin}" }}\n'
                     f"store: sqlite:{self.store}/supplant.db\n{head}")
        self.config = os.path.join(self.folder, "routes.yaml")
        self.environment, self.prefix = {**os.environ, **(environment or {})}, list(prefix)
        self.write(rules)
        self.run()

    def run(self):
        """Starts it, and waits until it is ready; returns after how many seconds."""
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.program = self.lab.start([*self.prefix, self.lab.binary, "run", "--config", self.config, "--access-log", "off"],
                                      stdout=self.log, stderr=self.log, env=self.environment)
        took = until(lambda: self.program.poll() is not None or self.is_ready(), 15)
        if took is None or self.program.poll() is not None:
            with open(self.log.name) as file:
                sys.exit("the proxy does not start:\n" + file.read()[-3000:])
        with open(os.path.join(self.store, "supplant.token")) as file:
            self.token = file.read().strip()
        # The folder of the store may go away, and commands still want the token.
        self.token_file = os.path.join(self.folder, "token")
        with open(self.token_file, "w") as file:
            file.write(self.token)
        return took

    def is_ready(self):
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill(self):
        self.program.send_signal(signal.SIGKILL)
        self.program.wait()

    def stop(self):
        """Ends it gently; returns its exit code."""
        self.program.send_signal(signal.SIGTERM)
        try:
            return self.program.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            return "never"

    # Rules.

    def write(self, rules, in_place=False):
        """Saves rules by rename, as most editors do, or in place, cut first."""
        path = self.config if in_place else self.config + ".new"
        with open(path, "w") as file:
            file.write(self.head + rules)
        if not in_place:
            os.rename(path, self.config)

    # Admin side.

    def ask(self, method, path, body=None, timeout=10):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=timeout)
        fields = {"Host": f"127.0.0.1:{self.admin}", "Content-Type": "application/json"}
        if getattr(self, "token", None):
            fields["Authorization"] = f"Bearer {self.token}"
        connection.request(method, path, body and json.dumps(body), fields)
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode()
        connection.close()
        return status, text

    def json(self, path):
        status, text = self.ask("GET", path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {text}")
        return json.loads(text)

    def command(self, *words):
        """Runs a command of the product; returns its exit code and what it says."""
        done = subprocess.run([self.lab.binary, *words, "--admin", f"127.0.0.1:{self.admin}", "--token-file", self.token_file],
                              capture_output=True, text=True, timeout=40)
        return done.returncode, (done.stdout + done.stderr).strip()

    def metrics(self):
        """Returns {(name, labels as a sorted tuple): value}."""
        found = {}
        for line in self.ask("GET", "/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name, _, labels = series.partition("{")
                found[name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels)))] = float(value)
        return found

    def metric(self, name, **labels):
        """Returns the sum over all series that have these labels."""
        want = set(labels.items())
        return sum(value for (n, l), value in self.metrics().items() if n == name and want <= set(l))

    def outcomes(self, slice_):
        """Returns how often each outcome was counted in this process, as `name` or `name(reason)`."""
        found = {}
        for (name, labels), value in self.metrics().items():
            labels = dict(labels)
            if name == "supplant_outcomes_total" and labels["slice"] == slice_ and value:
                reason = labels.get("reason")
                found[labels["outcome"] + (f"({reason})" if reason else "")] = int(value)
        return found

    def adds_up(self, asked=None, seconds=12):
        """Checks, at rest, that nothing is pending and that outcomes add up to requests, slice by slice."""
        took = until(lambda: not any(v for (n, _), v in self.metrics().items() if n == "supplant_outcomes_pending"), seconds, 0.1)
        metrics, sums, requests = self.metrics(), {}, {}
        for (name, labels), value in metrics.items():
            slice_ = dict(labels).get("slice")
            if name == "supplant_outcomes_total":
                sums[slice_] = sums.get(slice_, 0) + int(value)
            elif name == "supplant_requests_total":
                requests[slice_] = int(value)
        wrong = {s: (n, sums.get(s, 0)) for s, n in requests.items() if n != sums.get(s, 0)}
        for slice_, count in (asked or {}).items():
            if requests.get(slice_, 0) != count:
                wrong[slice_] = f"the client sent {count}, counted {requests.get(slice_, 0)}"
        panics = self.metric("supplant_panics_total")
        good = took is not None and not wrong and not panics
        figure = f"{sum(requests.values())} requests" if good else f"pending {took is None}, {wrong}, panics {panics}"
        self.report.check(good, "outcomes add up, none pending at rest", figure)

    # Clients.

    def port(self, tls):
        return self.tls if tls else self.data

    def get(self, path, timeout=5):
        connection = http.client.HTTPConnection("127.0.0.1", self.data, timeout=timeout)
        connection.request("GET", path)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
        connection.close()
        return status, body

    def side(self, slice_):
        """Returns who answers in a slice whose answers tell."""
        return json.loads(self.get(f"/{slice_}/1")[1])["side"]

    # What is kept.

    def positions_file(self):
        """Returns the text beside the store, or nothing."""
        with contextlib.suppress(OSError):
            with open(os.path.join(self.store, "supplant.db.positions")) as file:
                return file.read()
        return ""

    def positions_row(self):
        """Returns generation and text of the row in the store, or nothing."""
        path = os.path.join(self.store, "supplant.db")
        if not os.path.exists(path):
            return None
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.2)) as link:
            return link.execute("SELECT generation, body FROM position").fetchone()
        return None

    def kept(self, generation):
        """Whether file and row both hold this generation."""
        row = self.positions_row()
        return row is not None and row[0] == generation and generation == self.generation()

    def generation(self):
        found = re.search(r'"generation": ?(\d+)', self.positions_file())
        return int(found[1]) if found else None

    # Memory.

    def memory_mib(self, what):
        with open(f"/proc/{self.program.pid}/status") as file:
            return int(re.search(rf"{what}:\s+(\d+) kB", file.read())[1]) / 1024

    def forget_peak(self):
        """Has the kernel measure the peak of resident memory anew."""
        with open(f"/proc/{self.program.pid}/clear_refs", "w") as file:
            file.write("5")


class Load:
    """Clients in processes of their own, that check every answer."""

    def __init__(self, lab, port, slices="s", rate=600, processes=2, connections=8, restarts=False):
        order = {"port": port, "slices": list(slices), "rate": rate / processes, "connections": connections, "restarts": restarts}
        command = [sys.executable, os.path.join(HERE, "client.py"), json.dumps(order)]
        self.report, self.began = lab.report, time.monotonic()
        self.programs = [lab.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)]

    def end(self, what="failed requests of clients"):
        """Ends it and checks that nothing failed; returns how often each slice was asked."""
        for program in self.programs:
            program.stdin.close()
        took = time.monotonic() - self.began
        self.asked, self.sides, failed, samples, self.lost, p99, slowest = {}, {}, 0, [], 0, 0, 0
        for program in self.programs:
            if not select.select([program.stdout], [], [], 20)[0]:
                self.report.check(False, "clients end", "they hang")
                return {}
            seen = json.loads(program.stdout.read() or '{"asked":{},"failed":1,"samples":["a client broke"],"sides":{},"lost":0,"p99":0,"slowest":0}')
            failed, samples, self.lost = failed + seen["failed"], samples + seen["samples"], self.lost + seen["lost"]
            p99, slowest = max(p99, seen["p99"]), max(slowest, seen["slowest"])
            for slice_, count in seen["asked"].items():
                self.asked[slice_] = self.asked.get(slice_, 0) + count
            for slice_, sides in seen["sides"].items():
                for side, count in sides.items():
                    mine = self.sides.setdefault(slice_, {})
                    mine[side] = mine.get(side, 0) + count
        total = sum(self.asked.values())
        figure = f"{failed} of {total} in {took:.1f} s, p99 {p99 * 1e3:.1f} ms, slowest {slowest * 1e3:.0f} ms"
        self.report.check(failed == 0 and total > 0, what, figure + "".join(f"\n         {s}" for s in samples[:5]))
        self.slowest = slowest
        return self.asked

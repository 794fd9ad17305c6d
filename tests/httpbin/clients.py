"""Three real clients, each giving back what it got as it stood on the wire."""

import subprocess

import httpx
import requests


class Got:
    """One answer as a client saw it."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


class Clients:
    """The clients of one thread, with connections that are kept."""

    def __init__(self, base):
        self.base = base
        self.requests = requests.Session()
        self.requests.trust_env = False
        # Where redirects are not followed, the session would still read the body to look at them.
        self.requests.resolve_redirects = lambda *_, **__: iter(())
        self.httpx = httpx.Client(follow_redirects=False, trust_env=False, timeout=60)

    def ask(self, which, endpoint, headers):
        return getattr(self, f"_{which}")(endpoint, {**endpoint.headers, **headers})

    def _requests(self, endpoint, headers):
        self.requests.cookies.clear()
        answer = self.requests.request(endpoint.method, self.base + endpoint.target, headers=headers,
                                       data=endpoint.body, allow_redirects=False, stream=True, timeout=60)
        body = answer.raw.read(decode_content=False)
        fields = answer.raw._original_response.headers.items()
        got = Got(answer.status_code, answer.raw.reason, list(fields), body)
        answer.close()
        return got

    def _httpx(self, endpoint, headers):
        self.httpx.cookies.clear()
        with self.httpx.stream(endpoint.method, self.base + endpoint.target, headers=headers,
                               content=endpoint.body) as answer:
            body = b"".join(answer.iter_raw())
            fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.headers.raw]
            reason = answer.extensions.get("reason_phrase", b"").decode("latin-1")
            return Got(answer.status_code, reason, fields, body)

    def _curl(self, endpoint, headers):
        command = ["curl", "--silent", "--show-error", "--include", "--path-as-is", "--noproxy", "*",
                   "--max-time", "60"]
        command += ["--head"] if endpoint.method == "HEAD" else ["--request", endpoint.method]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        if endpoint.body is not None:
            command += ["--data-binary", "@-", "--header", "Expect: 100-continue"]
        done = subprocess.run(command + [self.base + endpoint.target], input=endpoint.body,
                              capture_output=True, timeout=90)
        if done.returncode:
            raise RuntimeError(f"curl: {done.stderr.decode()}")
        rest = done.stdout
        while True:
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            _, status, *reason = line.split(" ", 2)
            if not status.startswith("1"):
                break
        fields = [(n, v.strip()) for n, _, v in (f.partition(":") for f in fields)]
        return Got(int(status), (reason or [""])[0], fields, rest)

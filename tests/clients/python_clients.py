"""requests and httpx: sessions, streams both ways, many at once."""

import asyncio
import concurrent.futures
import hashlib
import time

import httpx
import requests
from requests.adapters import HTTPAdapter

from application import body_of
from curl import PASSING
from stand import NAME


def fields(pairs):
    found = {}
    for name, value in pairs:
        if name.lower() not in PASSING:
            found.setdefault(name.lower(), []).append(value)
    return found


def pieces(count=40, size=20_000, gap=0.0):
    for number in range(count):
        yield bytes([number]) * size
        time.sleep(gap)


def compared(stand, report, what, tls, ask):
    """Asks directly and through each front; each must be as directly."""
    direct = ask(stand.server.port(tls))
    for upstream, front in stand.fronts.items():
        through = ask(front.port(tls))
        if upstream != "http":  # HTTP/2 has no reason phrases
            direct, through = ({name: without_reason(value) for name, value in said.items()} for said in (direct, through))
        wrong = [f"\n         {name}: {direct[name]!r:.300} and {through.get(name)!r:.300}" for name in direct if direct[name] != through.get(name)]
        report.check(not wrong, f"{what}, to {upstream}: as directly", f"{len(direct)} cases{''.join(wrong[:6])}")


def without_reason(value):
    return (value[0], *value[2:]) if isinstance(value, tuple) and len(value) == 5 else value


class Named(HTTPAdapter):
    """Connects to loopback, and asks for the name and verifies it."""

    def __init__(self, port, tls):
        self.port = port
        super().__init__(pool_maxsize=8, **({} if tls else {}))

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool.update(assert_hostname=NAME, server_hostname=NAME)
        return {**host, "host": "127.0.0.1", "port": self.port}, pool


def by_requests(stand, report):
    report.begin("requests")
    for tls in (False, True):
        compared(stand, report, "requests over TLS" if tls else "requests", tls, lambda port: with_requests(stand, port, tls))


def with_requests(stand, port, tls):
    base, said = f"{'https' if tls else 'http'}://{NAME}", {}
    with requests.Session() as session:
        session.trust_env, session.verify = False, stand.ca
        session.mount(base, Named(port, tls))
        session.headers.update({"User-Agent": "agent", "Host": NAME})

        def note(name, answer):
            said[name] = (answer.status_code, answer.reason, fields(answer.raw.headers.items()), hashlib.sha256(answer.content).hexdigest(), len(answer.content))
        for name, path in (("get", "/echo?a=%20"), ("gzip", "/gzip"), ("large", "/bytes/1000000"), ("pieces", "/chunks/300"), ("moved", "/redirect"),
                           ("cookies", "/cookies"), ("with cookies", "/echo"), ("missing", "/status/404"), ("none", "/status/204")):
            note(name, session.get(base + path, timeout=20))
        note("json", session.post(base + "/echo", json={"a": [1, 2]}, timeout=20))
        note("form", session.put(base + "/echo", data={"a": "1"}, auth=("me", "secret"), timeout=20))
        note("generator", session.post(base + "/echo", data=pieces(), timeout=20))
        note("head", session.head(base + "/bytes/100", timeout=20))
        with session.get(base + "/bytes/2000000", stream=True, timeout=20) as answer:
            said["left early"] = len(next(answer.iter_content(1000)))
        with session.get(base + "/chunks/1000", stream=True, timeout=20) as answer:
            said["lines"] = sum(map(int, answer.iter_lines()))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            said["many"] = list(pool.map(lambda n: session.get(f"{base}/bytes/{n * 997}", timeout=20).content == body_of(n * 997), range(100)))
    return said


def by_httpx(stand, report):
    report.begin("httpx")
    for what, tls, two in (("httpx", False, False), ("httpx over TLS", True, False), ("httpx HTTP/2 over TLS", True, True), ("httpx h2c", False, True)):
        compared(stand, report, what, tls, lambda port: with_httpx(stand, port, tls, two))


def with_httpx(stand, port, tls, two):
    base, said = f"{'https' if tls else 'http'}://127.0.0.1:{port}", {}
    more = {"sni_hostname": NAME}
    verify = httpx.create_ssl_context(verify=stand.ca) if tls else True
    words = dict(http2=two, http1=not (two and not tls), verify=verify, trust_env=False, timeout=20, headers={"Host": NAME, "User-Agent": "agent"})
    with httpx.Client(**words) as client:
        def note(name, method, path, **words):
            answer = client.request(method, base + path, extensions=more, **words)
            said[name] = (answer.status_code, answer.http_version, fields(answer.headers.multi_items()), hashlib.sha256(answer.content).hexdigest())
        for name, path in (("get", "/echo?a=%20"), ("gzip", "/gzip"), ("large", "/bytes/1000000"), ("pieces", "/chunks/300"), ("cookies", "/cookies"),
                           ("missing", "/status/404"), ("none", "/status/204"), ("range", "/file")):
            note(name, "GET", path, **({"headers": {"Range": "bytes=5-"}} if name == "range" else {}))
        note("json", "POST", "/echo", json={"a": [1, 2]})
        note("stream up", "POST", "/echo", content=pieces())
        note("crumbs", "GET", "/echo", headers={"Cookie": "a=1; b=2; c=3"})
        note("head", "HEAD", "/bytes/100")
        with client.stream("GET", base + "/bytes/5000000", extensions=more) as answer:
            said["left early"] = len(next(answer.iter_bytes(1000)))
        note("after it", "GET", "/echo")
        with client.stream("GET", base + "/events/3/150", extensions=more) as answer:
            began = time.monotonic()
            texts = list(answer.iter_text())
            said["events"] = ("".join(texts), time.monotonic() - began > 0.15)
    said["many"] = asyncio.run(many(words, base, more))
    return said


async def many(words, base, more):
    """200 answers, 20 at a time, on a client without threads: httpx writes one thread's frames into
    another's on HTTP/2, with or without a proxy."""
    async with httpx.AsyncClient(**words) as client:
        turn = asyncio.Semaphore(20)

        async def whole(length):
            async with turn:
                return (await client.get(f"{base}/bytes/{length}", extensions=more)).content == body_of(length)
        return await asyncio.gather(*(whole(n * 499) for n in range(200)))

"""What truly differs between two applications, found by asking both without any proxy.

Independent of the product: its own walk over JSON, its own reading of what is compared. The words
(places and kinds) are those that the product uses, so that both can be laid side by side.
"""

import gzip
import http.client
import json
import re
import zlib

import brotli

# Not compared by default: transport, clocks, and what names an instance.
LEFT_OUT = {
    "date", "server", "via", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade",
    "content-length", "etag", "last-modified", "age", "x-request-id", "traceparent", "x-runtime",
    "content-encoding",
}
BODY_KINDS = {"value", "type", "length", "format"}


def ask(port, host, endpoint):
    """Returns (status, [(name, value)], decoded body) of one direct request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Host": host, "User-Agent": "oracle", "Accept": "*/*", "X-Forwarded-For": "127.0.0.1",
               "X-Forwarded-Proto": "http", "X-Forwarded-Host": host, **endpoint.headers}
    connection.request(endpoint.method, endpoint.target, body=endpoint.body, headers=headers)
    answer = connection.getresponse()
    body, coding = answer.read(), answer.getheader("Content-Encoding")
    if coding == "gzip" and body:
        body = gzip.decompress(body)
    elif coding == "deflate" and body:
        body = zlib.decompress(body)
    elif coding == "br" and body:
        body = brotli.decompress(body)
    fields = answer.getheaders()
    connection.close()
    return answer.status, fields, body


def template(method, path):
    """Returns the endpoint's name, with digits, UUIDs and long hexadecimal segments folded."""
    uuid = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    fold = lambda s: "{}" if re.fullmatch(rf"\d+|{uuid}|[0-9a-fA-F]{{16,}}", s) else s
    return method + " " + "/".join(map(fold, path.split("/")))


def name_of(key):
    return f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f"[{json.dumps(key)}]"


def json_differences(a, b, path="$"):
    kind_of = lambda v: "number" if isinstance(v, (int, float)) and not isinstance(v, bool) else type(v).__name__
    if kind_of(a) != kind_of(b):
        return {(path, "type")}
    found = set()
    if isinstance(a, dict):
        for key in a.keys() | b.keys():
            at = path + name_of(key)
            if key not in b:
                found.add((at, "missing"))
            elif key not in a:
                found.add((at, "extra"))
            else:
                found |= json_differences(a[key], b[key], at)
    elif isinstance(a, list):
        if len(a) != len(b):
            found.add((path, "length"))
        for one, two in zip(a, b):
            found |= json_differences(one, two, path + "[*]")
    elif a != b:
        found.add((path, "value"))
    return found


def fields_of(fields):
    out = {}
    for name, value in fields:
        if name.lower() not in LEFT_OUT:
            out.setdefault(name.lower(), []).append(value)
    return out


def as_json(body):
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, (dict, list)) else None


def differences(one, two):
    """Returns {(place, kind)} between two answers as `ask` gives them."""
    found = set()
    if one[0] != two[0]:
        found.add(("status", "value"))
    a, b = fields_of(one[1]), fields_of(two[1])
    for name in a.keys() | b.keys():
        if name not in b:
            found.add((f"header:{name}", "missing"))
        elif name not in a:
            found.add((f"header:{name}", "extra"))
        elif a[name] != b[name]:
            found.add((f"header:{name}", "value"))
    if one[2] != two[2]:
        left, right = as_json(one[2]), as_json(two[2])
        if left is not None and right is not None:
            found |= json_differences(left, right)
        else:
            found.add(("body", "value"))
    return found


def says_nothing(one, two):
    """Whether equal statuses make a pair that says nothing about either side."""
    return one[0] == two[0] and (one[0] in (304, 401) or one[0] >= 500)


CONDITIONAL = {"if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range", "range"}


def is_compared(endpoint):
    """Whether a request is one that the proxy copies and compares by its defaults."""
    return (endpoint.method in ("GET", "HEAD") and "delete" not in endpoint.path
            and not CONDITIONAL & {n.lower() for n in endpoint.headers})


def truth(endpoints, legacy, candidate, host, rounds=8):
    """Returns ({template: {true keys}}, {template: {noisy keys}}) from direct requests."""
    true, noisy = {}, {}
    for endpoint in filter(is_compared, endpoints):
        where = template(endpoint.method, endpoint.path)
        against, itself, before = [], set(), None
        for _ in range(rounds):
            first, other, again = (ask(p, host, endpoint) for p in (legacy, candidate, legacy))
            if says_nothing(first, other):
                against.append(set())
                continue
            against.append(differences(first, other))
            itself |= differences(first, again)
            if before is not None:
                itself |= differences(before, first)
            before = again
        steady = set.intersection(*against) - itself
        if steady:
            true.setdefault(where, set()).update(steady)
        if itself:
            noisy.setdefault(where, set()).update(itself)
    return true, noisy


def main():
    import sys
    import endpoints
    legacy, candidate = map(int, sys.argv[1:3])
    true, noisy = truth(endpoints.all_endpoints(), legacy, candidate, "shop.test")
    for title, found in (("differs", true), ("noisy", noisy)):
        for where, keys in sorted(found.items()):
            print(title, where, *sorted(f"{p} {k}" for p, k in keys), sep="  ")


if __name__ == "__main__":
    main()

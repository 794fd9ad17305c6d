"""The requests that the test makes: name, method, target, header fields, body.

Every line is an endpoint of its own for the proxy or exercises another part of HTTP. Nothing here
says what differs between the two versions: `oracle.py` finds that out by asking both.
"""

FORM = b"custname=Ada&comments=ring+twice"
JSON = b'{"a": 1, "b": [true, null, 2.50]}'
MULTIPART = (
    b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n"
    b"Content-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
)


class Endpoint:
    """One request, repeated."""

    def __init__(self, target, method="GET", headers=(), body=None):
        self.target = target
        self.method = method
        self.headers = dict(headers)
        self.body = body
        self.path = target.split("?")[0]

    def __str__(self):
        more = "".join(f" -H '{k}: {v}'" for k, v in self.headers.items())
        return f"{self.method} {self.target}{more}"


# No `seed` anywhere: it would seed the generator of the whole application, and so tie requests together.
def all_endpoints():
    e = Endpoint
    # Safe requests: these are mirrored and compared.
    plain = [
        "/", "/get?b=2&a=1&a=3", "/headers", "/ip", "/user-agent", "/uuid", "/html", "/xml", "/json",
        "/robots.txt", "/deny", "/encoding/utf8", "/forms/post", "/gzip", "/deflate", "/brotli",
        "/image/png", "/image/jpeg", "/image/webp", "/image/svg", "/cache", "/cache/60",
        "/etag/abc", "/range/1024", "/bytes/64", "/bytes/16", "/stream-bytes/4096",
        "/stream/5", "/drip?numbytes=5&duration=0&delay=0", "/delay/0", "/links/5/0", "/links/5",
        "/base64/SFRUUEJJTiBpcyBhd2Vzb21l", "/response-headers?X-Multi=a&X-Multi=b&X-Other=c",
        "/cookies", "/cookies/set?flavor=oat", "/cookies/set/flavor/oat", "/redirect/2",
        "/relative-redirect/2", "/absolute-redirect/2", "/redirect-to?url=/get&status_code=307",
        "/anything", "/anything/deep/path%20x?q=%C3%A9", "/status/200", "/status/204", "/status/301",
        "/status/404", "/status/406", "/status/418", "/status/500", "/status/503",
        "/no-such-page", "/static/no-such-file", "/basic-auth/ada/pw", "/hidden-basic-auth/ada/pw",
        "/bearer", "/digest-auth/auth/ada/pw/MD5", "/legacy", "/spec.json",
    ]
    # Asked in other ways.
    other = [
        e("/get", "HEAD"), e("/gzip", "HEAD"), e("/html", "HEAD"),
        e("/image", headers={"Accept": "image/webp"}),
        e("/image", headers={"Accept": "text/csv"}),
        e("/anything", headers={"Cookie": "flavor=oat; second=2", "X-Mixed-CASE": "Yes"}),
        e("/basic-auth/eve/pw", headers={"Authorization": "Basic ZXZlOnB3"}),
        e("/bearer", headers={"Authorization": "Bearer abc"}),
        e("/cache", headers={"If-None-Match": "x"}),
        e("/cache", headers={"If-Modified-Since": "Tue, 24 Nov 2026 10:00:00 GMT"}),
        e("/range/512", headers={"Range": "bytes=10-99"}),
        e("/cookies/delete?flavor="),
        e("/get", "OPTIONS"),
    ]
    # Requests with effects: these pass through once and are never copied.
    effects = [
        e("/post", "POST", {"Content-Type": "application/x-www-form-urlencoded"}, FORM),
        e("/post", "POST", {"Content-Type": "multipart/form-data; boundary=b"}, MULTIPART),
        e("/put", "PUT", {"Content-Type": "application/json"}, JSON),
        e("/patch", "PATCH", {"Content-Type": "application/json"}, JSON),
        e("/delete", "DELETE"),
        e("/anything/post", "POST", {"Content-Type": "text/plain"}, b"x" * 100_000),
        e("/status/202", "POST", {}, b""),
    ]
    return [e(t) for t in plain] + other + effects

"""What these tests stand on: certificates, servers, and the proxy in front of them."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "faults"))

from lab import Lab, free_port, listens, until  # noqa: E402

NAME = "app.example"


def certificates(folder):
    """Makes an authority and a certificate for `app.example` and loopback; returns (ca, cert, key)."""
    at = lambda name: os.path.join(folder, name)
    with open(at("extensions"), "w") as file:
        file.write(f"subjectAltName=DNS:{NAME},DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "2", "-subj", "/CN=test authority"],
        ["req", *key, "-keyout", at("leaf.key"), "-out", at("leaf.csr"), "-subj", f"/CN={NAME}"],
        ["x509", "-req", "-in", at("leaf.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2",
         "-extfile", at("extensions"), "-out", at("leaf.pem")],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return at("ca.pem"), at("leaf.pem"), at("leaf.key")


class Server:
    """A server with a plain and a TLS port."""

    def __init__(self, plain, tls):
        self.plain, self.tls = plain, tls

    def port(self, tls):
        return self.tls if tls else self.plain


class Stand(Lab):
    """A lab with certificates."""

    def __init__(self, binary, report, quick, tools):
        super().__init__(binary, report, quick)
        self.tools = tools
        self.ca, self.cert, self.key = certificates(self.folder)

    def hypercorn(self):
        """Starts the application under a real server: HTTP/1.1 and h2c on one port, both over TLS on the other."""
        server = Server(free_port(), free_port())
        log = open(os.path.join(self.folder, "hypercorn.log"), "ab")
        self.start([sys.executable, "-m", "hypercorn", "application:app", "--workers", "0", "--insecure-bind", f"127.0.0.1:{server.plain}",
                    "--bind", f"127.0.0.1:{server.tls}", "--certfile", self.cert, "--keyfile", self.key], cwd=HERE, stdout=log, stderr=log)
        self.stands(server.plain, server.tls)
        return server

    def stands(self, *ports):
        for port in ports:
            if until(lambda: listens(port), 20, 0.05) is None:
                sys.exit(f"a server does not start; its log is in {self.folder}")

    def front(self, legacy, candidate=None, ca=False):
        """Starts the proxy before a URL; with a candidate, everything is copied to it."""
        trust = f", tls: {{ ca: {self.ca} }}" if ca else ""
        rules = f"legacy: {{ endpoints: [{legacy}]{trust} }}\n"
        if candidate:
            rules += (f"backends: {{ new: {candidate} }}\nslices:\n"
                      "  - { name: all, match: /, to: new, stage: shadow, shadow: { rate: none } }\n")
        return self.proxy(rules, tls=(self.cert, self.key))


def needed(command, package):
    """Installs a command from Debian if it is missing, as root; returns whether it is there."""
    if not shutil.which(command) and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing from Debian: {package}", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=False,
                       stdout=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    return shutil.which(command) is not None

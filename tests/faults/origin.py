#!/usr/bin/env python3
"""An application that does as it is told: `origin.py SIDE MODE [PORT]`; prints its port.

  well     answers what answers.py says; `/big/N` is N MiB, `/late/MS` its first bytes and the rest
           MS milliseconds later; reads any PUT to its end
  stall    accepts and never answers        cut      resets each connection after the head
  drip     a byte of the head a second      garbage  says what is no HTTP
  huge     1 GiB to every request           refuse   listens and is closed at once
"""

import asyncio
import socket
import sys
import threading
import time

import answers

PIECE = b"x" * (1 << 20)


class Application(asyncio.Protocol):
    """One connection; requests without a body, one after the other or pipelined."""

    def __init__(self, side):
        self.side, self.buffer = side, b""

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            path = head.split(b" ", 2)[1].decode()
            try:
                said, status = answers.body(self.side, path), b"200 OK"
            except ValueError:
                said, status = b"{}", b"404 Not Found"
            self.transport.write(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                                 % (status, len(said), said))


def bulk(stream):
    """Large and late answers, on a thread a connection: blocking calls move a GiB faster."""
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = stream.recv(1 << 20)
            if not data:
                return
            buffer += data
        head, buffer = buffer.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        _, kind, number = head.split(b" ", 2)[1].split(b"/")
        if fields.get(b"transfer-encoding"):
            sys.exit("an upload here has a length")
        left, number = int(fields.get(b"content-length", 0)) - len(buffer), int(number)
        buffer = b""
        while left > 0:
            got = len(stream.recv(min(left, 1 << 20)))
            if not got:
                return
            left -= got
        if kind == b"big":
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (number << 20))
            for _ in range(number):
                stream.sendall(PIECE)
        elif kind == b"late":
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            time.sleep(number / 1000)
            stream.sendall(b"after")
        else:
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread")


def unruly(stream, mode):
    if mode == "refuse":
        return
    if mode == "stall":
        while stream.recv(65536):
            pass
        return
    while b"\r\n\r\n" not in stream.recv(65536):
        pass
    if mode == "cut":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif mode == "garbage":
        stream.sendall(b"\0\xff this is no status line\r\n\r\n" * 100)
    elif mode == "drip":
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
            stream.sendall(bytes([byte]))
            time.sleep(1)
    elif mode == "huge":
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        for _ in range(1 << 10):
            stream.sendall(PIECE)


def threads(listener, serve, *more):
    def one(stream):
        with stream:
            try:
                serve(stream, *more)
            except OSError:
                pass
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=one, args=(stream,), daemon=True).start()


async def well(listener, side):
    server = await asyncio.get_running_loop().create_server(lambda: Application(side), sock=listener, backlog=4096)
    await server.serve_forever()


def main():
    side, mode = sys.argv[1:3]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0))
    listener.listen(4096)
    print(listener.getsockname()[1], flush=True)
    if mode == "well":
        asyncio.run(well(listener, side))
    elif mode == "bulk":
        threads(listener, bulk)
    else:
        threads(listener, unruly, mode)


if __name__ == "__main__":
    main()

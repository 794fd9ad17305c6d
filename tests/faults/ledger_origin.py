#!/usr/bin/env python3
"""An application that writes down the id of every request: `ledger_origin.py LEDGER FAULT [PORT]`; prints its port.

An answer tells the id, what was received, and a filling that follows from the id. Faults, in a tenth of the
requests unless said otherwise:

  well     none                                   reset    the connection is reset before the answer
  slow     answers up to 300 ms later (all)       stall    never answers
  idle     closes connections that were idle for up to 50 ms after an answer (all)
  cut      the connection is reset in the middle of the answer
  served:MS:SLOTS   answers after MS milliseconds, SLOTS at a time (all)
"""

import asyncio
import hashlib
import random
import socket
import sys

LINGER = b"\1\0\0\0\0\0\0\0"


def filling(name):
    """Returns what an answer is filled with: nothing, 2 KB or 100 KB."""
    number = int(hashlib.md5(name.encode()).hexdigest()[:8], 16)
    size = (0, 2_000, 0, 2_000, 0, 2_000, 0, 100_000)[number % 8]
    return (b"%08x" % number) * (size // 8)


def answer(method, name, body):
    return f"{method} {name} {hashlib.sha256(body).hexdigest()[:16]} ".encode() + filling(name)


class Origin:
    def __init__(self, ledger, fault):
        self.ledger = open(ledger, "ab", buffering=0)
        self.fault, _, more = fault.partition(":")
        if self.fault == "served":
            pause, slots = more.split(":")
            self.pause, self.slots = int(pause) / 1000, asyncio.Semaphore(int(slots))

    async def serve(self, reader, writer):
        try:
            first = True
            while await self.one(reader, writer, first):
                first = False
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def one(self, reader, writer, first):
        patience = random.random() * 0.05 if self.fault == "idle" and not first else None
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
        except asyncio.TimeoutError:
            return False
        lines = head.decode("latin1").split("\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
        method = lines[0].split(" ")[0]
        body = await reader.readexactly(int(fields.get("content-length", 0))) if fields.get("transfer-encoding") != "chunked" else await chunks(reader)
        name = fields.get("x-id", "")
        if name:
            self.ledger.write(f"{method} {name}\n".encode())
        ill = random.random() < 0.1
        if self.fault == "served":
            async with self.slots:
                await asyncio.sleep(self.pause)
        elif self.fault == "slow":
            await asyncio.sleep(random.random() * 0.3)
        elif self.fault == "stall" and ill:
            await asyncio.sleep(3600)
        elif self.fault == "reset" and ill:
            return reset(writer)
        said = answer(method, name, body)
        if random.random() < 0.5:
            text = b"Content-Length: %d\r\n\r\n%s" % (len(said), said)
        else:
            half = len(said) // 2
            text = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (said[:half], said[half:]) if p) + b"0\r\n\r\n"
        text = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + text
        if self.fault == "cut" and ill:
            writer.write(text[:-random.randrange(1, len(said))])
            await writer.drain()
            return reset(writer)
        writer.write(text)
        await writer.drain()
        return True


async def chunks(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if not size:
            return body


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    writer.transport.abort()
    return False


async def main():
    origin = Origin(sys.argv[1], sys.argv[2])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0))
    listener.listen(4096)
    print(listener.getsockname()[1], flush=True)
    server = await asyncio.start_server(origin.serve, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

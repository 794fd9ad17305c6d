#!/usr/bin/env python3
"""Asks with an id in each request, and writes down how each ended: `ledger_client.py '{"port": …}'`.

Ends when its input ends, or when nobody listens any more and it was told `until_refused`. Prints one JSON
map: id to [method, how, seconds]. How: `ok`, `corrupted`, a status, `truncated` (visibly), `cut` (no byte of an
answer on a connection that served before; `cut fresh` on a new one), `hung`, `refused` (no connection).
"""

import asyncio
import json
import random
import sys
import time

from ledger_origin import answer

PATIENCE = 15  # seconds for an answer


class Cut(Exception):
    """No byte of an answer came."""


class Truncated(Exception):
    """The answer ended in the middle, and it can be seen."""


async def read_answer(reader):
    """Returns status, fields and body; raises where it is not whole."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise (Truncated if getattr(error, "partial", b"") else Cut) from error
    lines = head.decode("latin1").split("\r\n")
    fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:] if line)}
    try:
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Truncated from error
    return lines[0].split(" ")[1], fields, body


class Client:
    def __init__(self, order):
        self.order, self.ended, self.found, self.number = order, asyncio.Event(), {}, 0
        self.due = time.monotonic()

    async def turn(self):
        """Waits until the next request is due; the rate is that of all connections together."""
        self.due = max(self.due + 1 / self.order["rate"], time.monotonic() - 0.5)
        await asyncio.sleep(max(0, self.due - time.monotonic()))

    async def connection(self):
        stream = None
        while not self.ended.is_set():
            await self.turn()
            if self.ended.is_set():
                break
            self.number += 1
            name, method = f"{self.order['tag']}-{self.number}", "POST" if random.random() < self.order.get("posts", 0) else "GET"
            began, fields, fresh = time.monotonic(), {}, stream is None
            try:
                if stream is None:
                    stream = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.order["port"], limit=1 << 20), 10)
                how, fields = await asyncio.wait_for(self.ask(*stream, method, name), PATIENCE)
            except Truncated:
                how = "truncated"
            except Cut:
                how = "cut"
            except (asyncio.TimeoutError, TimeoutError):
                how = "hung"
            except OSError:
                how = "refused" if stream is None else "cut"
            if how == "cut" and fresh:
                how = "cut fresh"
            self.found[name] = [method, how, time.monotonic() - began]
            if how == "refused":
                if self.order.get("until_refused"):
                    self.ended.set()
                await asyncio.sleep(0.05)
            if stream and (how in ("truncated", "cut", "cut fresh", "hung", "refused") or fields.get("connection", "").lower() == "close" or self.order.get("fresh")):
                stream[1].close()
                stream = None
        if stream:
            stream[1].close()

    async def ask(self, reader, writer, method, name):
        body = random.randbytes(random.choice((0, 10, 5_000, 30_000))) if method == "POST" else b""
        head = f"{method} /s/{self.number} HTTP/1.1\r\nHost: app.example\r\nX-Id: {name}\r\n"
        if method == "POST" and self.number % 2:
            half = len(body) // 2
            body_text = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:half], body[half:]) if p) + b"0\r\n\r\n"
            writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body_text)
        else:
            writer.write(head.encode() + (b"Content-Length: %d\r\n\r\n" % len(body) if method == "POST" else b"\r\n") + body)
        status, fields, said = await read_answer(reader)
        if status == "200":
            return ("ok" if said == answer(method, name, body) else "corrupted"), fields
        return status + ("+retry-after" if "retry-after" in fields else ""), fields


async def main():
    client = Client(json.loads(sys.argv[1]))
    asyncio.get_running_loop().add_reader(sys.stdin, client.ended.set)
    await asyncio.gather(*(client.connection() for _ in range(client.order["connections"])))
    print(json.dumps(client.found))


if __name__ == "__main__":
    asyncio.run(main())

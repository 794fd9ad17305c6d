#!/usr/bin/env python3
"""Asks without end, checks every status and byte, and counts: `client.py '{"port": …}'`.

Ends when its input ends, after the requests that run, and prints what it saw as JSON. Of every 20
paths one is each tenth that the candidate answers differently.
"""

import asyncio
import json
import sys
import time

import answers

PATIENCE = 5  # seconds for an answer


class Seen:
    def __init__(self):
        self.asked, self.failed, self.samples, self.took = {}, 0, [], []
        self.sides, self.lost = {}, 0

    def fail(self, path, why):
        self.failed += 1
        if len(self.samples) < 10:
            self.samples.append(f"{time.time():.3f} {path}: {why}")


async def ask(reader, writer, path, seen):
    """Returns whether the connection can go on; raises where there was no whole answer."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: app.example\r\nAccept: application/json\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().index(b"content-length: ") + 16
    said = await reader.readexactly(int(head[length:head.index(b"\r\n", length)]))
    side = answers.bodies(path).get(said)
    if not head.startswith(b"HTTP/1.1 200 "):
        seen.fail(path, head.split(b"\r\n")[0].decode("latin1") + " " + said[:200].decode("latin1"))
    elif side is None:
        seen.fail(path, "a wrong body: " + said[:200].decode("latin1"))
    else:
        name = path.split("/")[1]
        seen.sides.setdefault(name, {}).setdefault(side, 0)
        seen.sides[name][side] += 1
        # When each side answered last, and first since the other did.
    return b"connection: close" not in head.lower()


async def connection(order, place, seen, ended):
    """Asks on one connection at its share of the rate, and opens another when that one ends."""
    stream, number = None, place
    gap = order["connections"] / order["rate"]
    due = time.monotonic() + gap * place / order["connections"]
    while not ended.is_set():
        await asyncio.sleep(max(0, due - time.monotonic()))
        due = max(due + gap, time.monotonic() - 1)  # late is made up for, within a second
        number += order["connections"]
        slice_ = order["slices"][number // 7 % len(order["slices"])]
        path = f"/{slice_}/{number}"
        seen.asked[slice_] = seen.asked.get(slice_, 0) + 1
        began = time.monotonic()
        try:
            stream = stream or await asyncio.open_connection("127.0.0.1", order["port"])
            if not await asyncio.wait_for(ask(*stream, path, seen), PATIENCE):
                stream[1].close()
                stream = None
            seen.took.append(time.monotonic() - began)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError) as error:
            if order.get("restarts") and not isinstance(error, (asyncio.TimeoutError, ValueError)):
                seen.lost += 1  # nobody listened, or the process was killed in the middle
                seen.asked[slice_] -= 1
                await asyncio.sleep(0.02)
            else:
                seen.fail(path, f"{type(error).__name__} {error}")
            if stream:
                stream[1].close()
                stream = None
    if stream:
        stream[1].close()


async def main():
    order = json.loads(sys.argv[1])
    seen, ended = Seen(), asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await asyncio.gather(*(connection(order, place, seen, ended) for place in range(order["connections"])))
    took = sorted(seen.took) or [0.0]
    print(json.dumps({"asked": seen.asked, "failed": seen.failed, "samples": seen.samples, "sides": seen.sides,
                      "lost": seen.lost, "p99": took[int(len(took) * 0.99)], "slowest": took[-1]}))


if __name__ == "__main__":
    asyncio.run(main())

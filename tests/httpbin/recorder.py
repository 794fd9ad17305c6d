"""A relay in front of legacy that keeps what legacy's socket sent for each request.

Bytes pass through as they come. What is kept: for each request that carries `X-Test-Id` and no
`Supplant-Role` (so the one that a client waits for), the status line, the header lines as sent, and
the body with chunking undone.
"""

import asyncio
import threading
import time


class Recorded:
    """One answer of legacy."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


class Source:
    """Reads from a peer, passes everything on, and can look for the end while idle."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.buffer, self.pending = reader, writer, b"", None

    def watch(self):
        if self.pending is None:
            self.pending = asyncio.ensure_future(self.reader.read(65536))
        return self.pending

    async def more(self):
        data = await self.watch()
        self.pending = None
        if not data:
            raise EOFError
        self.writer.write(data)
        await self.writer.drain()
        self.buffer += data

    async def until(self, mark):
        while mark not in self.buffer:
            await self.more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    async def exactly(self, count):
        while len(self.buffer) < count:
            await self.more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    async def rest(self):
        try:
            while True:
                await self.more()
        except EOFError:
            found, self.buffer = self.buffer, b""
            return found

    async def head(self):
        first, *lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        return first, [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines)]

    async def body(self, headers, close_ends=False):
        low = {n.lower(): v for n, v in headers}
        if "chunked" in low.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int((await self.until(b"\r\n")).split(b";")[0], 16)
                body += await self.exactly(size)
                if size:
                    await self.until(b"\r\n")
                    continue
                while await self.until(b"\r\n"):
                    pass
                return body
        if "content-length" in low:
            return await self.exactly(int(low["content-length"]))
        return await self.rest() if close_ends else b""


class Recorder:
    """Listens on a port of its own and relays to `upstream`."""

    def __init__(self, upstream):
        self.upstream, self.answers, self.calls, self.port = upstream, {}, {}, None
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        if not ready.wait(10):
            raise RuntimeError("the recorder did not start")

    def take(self, name):
        """Returns what was sent for a request, or nothing; it may have arrived before it is kept."""
        for _ in range(200):
            answer = self.answers.pop(name, None)
            if answer is not None:
                return answer
            time.sleep(0.01)
        return None

    async def _serve(self, ready):
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _client(self, reader, writer):
        up_writer = None
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
            client, legacy = Source(reader, up_writer), Source(up_reader, writer)
            while await self._exchange(client, legacy):
                pass
        except (EOFError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for side in (writer, up_writer):
                if side is not None:
                    side.close()

    async def _exchange(self, client, legacy):
        if not client.buffer:  # idle: whoever ends first ends both, as without a relay
            await asyncio.wait({client.watch(), legacy.watch()}, return_when=asyncio.FIRST_COMPLETED)
            if legacy.pending.done() and not client.pending.done():
                return False
        request, fields = await client.head()
        method = request.split(" ")[0]
        low = {n.lower(): v for n, v in fields}
        role, name = low.get("supplant-role", "served"), low.get("x-test-id")
        self.calls[role] = self.calls.get(role, 0) + 1
        upload = asyncio.ensure_future(client.body(fields))
        try:
            while True:
                line, headers = await legacy.head()
                _, status, *reason = line.split(" ", 2)
                if not status.startswith("1"):
                    break
            bare = method == "HEAD" or status in ("204", "304")
            body = b"" if bare else await legacy.body(headers, close_ends=True)
            if name and role == "served":
                self.answers[name] = Recorded(int(status), (reason or [""])[0], headers, body)
            await upload
        finally:
            upload.cancel()
        return low.get("connection", "").lower() != "close"

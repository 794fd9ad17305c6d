"""WebSockets: echo, fragments, pings, close codes, compression, both ends leaving; over TLS; on HTTP/2 (RFC 8441)."""

import asyncio
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets
import wsproto
import wsproto.events
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from stand import NAME


async def behave(link):
    """The server: echoes; a word makes it do something else."""
    try:
        async for message in link:
            if message == "close":
                await link.close(4001, "as asked")
            elif message == "cut":
                link.transport.abort()
            elif message == "many":
                for number in range(500):
                    await link.send(str(number))
            elif message == "pieces":
                await link.send(["one ", "two ", "", "three"])
            elif message == "ping":
                await (await link.ping(b"from here"))
                await link.send("ponged")
            elif message == "who":
                fields = {k: v for k, v in link.request.headers.raw_items()
                          if k.lower() not in ("sec-websocket-key", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "forwarded")}
                await link.send(str((link.request.path, sorted((k.lower(), v) for k, v in fields.items()))))
            else:
                await link.send(message)
    except websockets.ConnectionClosed:
        pass


async def closing(link):
    try:
        return await asyncio.wait_for(link.recv(), 5)
    except websockets.ConnectionClosed as error:
        got = error.rcvd
        return type(error).__name__, got and (got.code, got.reason)


async def bounded(*words):
    """Returns what a client sees, word by word, as far as it came."""
    said = {}
    try:
        await asyncio.wait_for(conversation(said, *words), 20)
    except Exception as error:
        said[f"after {list(said)[-1:]}"] = repr(error)
    return said


async def conversation(said, url, context, compression, port):
    where = dict(host="127.0.0.1", port=port, ssl=context, server_hostname=NAME if context else None, compression=compression, max_size=None, proxy=None, close_timeout=3,
                 additional_headers={"Origin": "https://" + NAME, "X-One": "1", "Cookie": "a=1; b=2"}, subprotocols=["two", "one"], user_agent_header="agent")
    opened = lambda: connect(url, **where)
    async with opened() as link:
        answer = link.response
        said["opened"] = (answer.status_code, link.subprotocol, sorted(k.lower() for k in answer.headers if k.lower() not in ("via", "date", "server")),
                          answer.headers.get("Sec-WebSocket-Extensions"))
        await link.send("who")
        said["who"] = await link.recv()
        for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            await link.send(b"b" * size)
            said[f"binary {size}"] = len(await link.recv())
        await link.send("grüße ☃ 𝄞")
        said["text"] = await link.recv()
        await link.send(["in ", "", "four ", "pieces"])
        said["fragments up"] = await link.recv()
        await link.send("pieces")
        said["fragments down"] = [piece async for piece in link.recv_streaming()]
        pong = await link.ping(b"p" * 125)
        said["ping"] = await asyncio.wait_for(pong, 5) >= 0
        await link.send("ping")
        said["ping from the server"] = await link.recv()
        await link.send("many")
        said["many"] = [await link.recv() for _ in range(500)] == [str(n) for n in range(500)]
        for number in range(300):
            await link.send(str(number))
        said["many up"] = [await link.recv() for _ in range(300)] == [str(n) for n in range(300)]
        await link.send("close")
        said["server closes"] = await closing(link)
    for code, reason in ((1000, ""), (1001, "going"), (1011, ""), (3000, "r" * 123), (4999, "ü")):
        async with opened() as link:
            await link.send("x")
            await link.recv()
            await link.close(code, reason)
            said[f"client closes {code}"] = (link.close_code, link.close_reason)
    async with opened() as link:
        await link.send("cut")
        said["server cuts"] = await closing(link)
    async with opened() as link:
        await asyncio.sleep(1.2)
        await link.send("still here")
        said["after a silence"] = await link.recv()
    links = [await opened() for _ in range(40)]
    for number, link in enumerate(links):
        await link.send(str(number))
    said["forty at once"] = [await link.recv() for link in links] == [str(n) for n in range(40)]
    await asyncio.gather(*(link.close() for link in links))
    try:
        async with connect(url + "/refused", **where):
            said["refused"] = "opened"
    except websockets.InvalidStatus as error:
        said["refused"] = (error.response.status_code, error.response.body)


def refuse(link, request):
    if request.path.endswith("/refused"):
        return link.respond(403, "not here\n")
    return None


async def left(front, report, word, context):
    """A client whose connection goes away: the server must see it."""
    gone = asyncio.Event()

    async def watch(link):
        await link.send("hello")
        await link.wait_closed()
        gone.set()
    async with serve(watch, "127.0.0.1", 0) as server:
        proxy = front(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        scheme = "wss" if context else "ws"
        link = await connect(f"{scheme}://127.0.0.1:{proxy.port(bool(context))}/", ssl=context, server_hostname=NAME if context else None, proxy=None)
        await link.recv()
        link.transport.abort()
        try:
            await asyncio.wait_for(gone.wait(), 5)
            report.check(True, f"a client{word} that is cut off ends the server's side", "")
        except TimeoutError:
            report.check(False, f"a client{word} that is cut off ends the server's side", "not within 5 s")
    await asyncio.to_thread(proxy.stop)


async def over_one(stand, report):
    for tls in (False, True):
        server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server_side.load_cert_chain(stand.cert, stand.key)
        client_side = ssl.create_default_context(cafile=stand.ca)
        context, word = (client_side, " over TLS") if tls else (None, "")
        scheme = "wss" if tls else "ws"
        for compression in (("deflate" if tls else None,) if stand.quick else (None, "deflate")):
            for up in (False, True):
                more = dict(subprotocols=["one"], process_request=refuse, max_size=None, compression=compression, close_timeout=3)
                async with serve(behave, "127.0.0.1", 0, ssl=server_side if tls else None, **more) as direct, \
                        serve(behave, "127.0.0.1", 0, ssl=server_side if up else None, **more) as behind:
                    port_of = lambda s: s.sockets[0].getsockname()[1]
                    proxy = await asyncio.to_thread(stand.front, f"http{'s' if up else ''}://127.0.0.1:{port_of(behind)}", None, up)
                    # One name and port for both, so that Host is the same; loopback is where it leads.
                    say = lambda port: bounded(f"{scheme}://{NAME}/way?q=%20", context, compression, port)
                    one, two = await say(port_of(direct)), await say(proxy.port(tls))
                    wrong = [f"\n         {k}: {one.get(k)!r:.300} and {two.get(k)!r:.300}" for k in one | two if one.get(k) != two.get(k)]
                    what = f"websockets{word}{', deflate' if compression else ''}, to {'https' if up else 'http'}: as directly"
                    report.check(not wrong, what, f"{len(one)} cases{''.join(wrong[:6])}")
                    await asyncio.to_thread(proxy.stop)
        await left(stand.front, report, word, context)


class Extended:
    """A WebSocket on a stream of HTTP/2."""

    def __init__(self, stand, port):
        context = ssl.create_default_context(cafile=stand.ca)
        context.set_alpn_protocols(["h2"])
        self.stream = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=NAME)
        self.stream.settimeout(5)
        self.link = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.link.initiate_connection()
        self.socket = wsproto.Connection(wsproto.ConnectionType.CLIENT)
        self.head, self.ended, self.allowed = None, False, False
        self.flush()

    def flush(self):
        self.stream.sendall(self.link.data_to_send())

    def step(self):
        data = self.stream.recv(65536)
        if not data:
            self.ended = True
        for event in self.link.receive_data(data):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                changed = event.changed_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL)
                self.allowed = self.allowed or bool(changed and changed.new_value)
            elif isinstance(event, h2.events.ResponseReceived):
                self.head = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.link.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.socket.receive_data(event.data)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)):
                self.ended = True
        self.flush()

    def events(self, until):
        """Returns what the socket said until it said as much as is wanted."""
        found = list(self.socket.events())
        while not until(found) and not self.ended:
            self.step()
            found += self.socket.events()
        return found

    def say(self, event):
        data = self.socket.send(event)
        while data:
            room = self.link.local_flow_control_window(1)
            if not room:
                self.step()
                continue
            piece, data = data[:min(room, 16384)], data[min(room, 16384):]
            self.link.send_data(1, piece)
            self.flush()

    def converse(self):
        said = {}
        while not self.allowed and not self.ended:
            self.step()
        said["allowed"] = self.allowed
        self.link.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/socket"), (":authority", NAME),
                                   ("sec-websocket-version", "13"), ("sec-websocket-protocol", "two, one"), ("origin", "https://" + NAME)])
        self.flush()
        while self.head is None and not self.ended:
            self.step()
        said["head"] = self.head and (self.head.get(":status"), self.head.get("sec-websocket-protocol"))
        if not self.head or self.head[":status"] != "200":
            return said
        whole = lambda found: any(getattr(e, "message_finished", False) for e in found)
        for size in (0, 10, 200_000):
            self.say(wsproto.events.TextMessage("x" * size))
            said[f"text {size}"] = sum(len(e.data) for e in self.events(whole) if isinstance(e, wsproto.events.TextMessage))
        self.say(wsproto.events.Ping(b"payload"))
        said["ping"] = [bytes(e.payload) for e in self.events(lambda f: any(isinstance(e, wsproto.events.Pong) for e in f)) if isinstance(e, wsproto.events.Pong)]
        self.say(wsproto.events.TextMessage("close"))
        found = self.events(lambda f: any(isinstance(e, wsproto.events.CloseConnection) for e in f))
        said["close"] = [(e.code, e.reason) for e in found if isinstance(e, wsproto.events.CloseConnection)]
        return said


def sockets(stand, report):
    report.begin("websockets")
    asyncio.run(over_one(stand, report))
    direct = Extended(stand, stand.server.tls).converse()
    report.check(direct.get("close"), "on HTTP/2, directly", direct)
    for upstream, front in stand.fronts.items():
        through = Extended(stand, front.tls).converse()
        report.check(through == direct, f"on HTTP/2 (RFC 8441), to {upstream}: as directly", through)

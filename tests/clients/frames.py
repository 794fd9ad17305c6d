"""Autobahn's cases by a client of this project's own: frames as written here, answers parsed by wsproto.

Sections 1 to 7, 9 and 10 of the suite: framing, pings, reserved bits and opcodes, fragments, UTF-8, closing,
sizes. A case is what is sent, in pieces; what is found is every event until the connection ends.
"""

import os
import socket
import ssl
import struct

import wsproto
from wsproto import events

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode, payload=b"", final=True, reserved=0, length=None):
    """Returns one masked frame."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += b"\xfe" + struct.pack("!H", size)
    else:
        head += b"\xff" + struct.pack("!Q", size)
    mask = os.urandom(4)
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes((mask * (len(payload) // 4 + 1))[:len(payload)], "big")).to_bytes(len(payload), "big")
    return head + mask + masked


def chopped(data, size=1):
    return [data[at:at + size] for at in range(0, len(data), size)]


def closing(code=1000, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def all_cases():
    """Returns {name: pieces}."""
    cases, end = {}, closing()
    for section, opcode, filler in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for place, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            cases[f"{section}.{place}"] = [frame(opcode, filler * size), end]
        cases[f"{section}.8"] = [*chopped(frame(opcode, filler * 65536), 997), end]
    for place, payload in enumerate((b"", b"Hello, world!", b"\0\xff\xfe\xfd\xfc\xfb\0\xff", b"\xfe" * 125, b"\xfe" * 126), 1):
        cases[f"2.{place}"] = [frame(PING, payload), end]
    cases["2.6"] = [*chopped(frame(PING, b"\xfe" * 125)), end]
    for place, payload in ((7, b""), (8, b"unsolicited")):
        cases[f"2.{place}"] = [frame(PONG, payload), end]
    cases["2.9"] = [frame(PONG, b"unsolicited"), frame(PING, b"ping"), end]
    cases["2.10"] = [*(frame(PING, b"p%d" % n) for n in range(10)), end]
    cases["2.11"] = [*chopped(b"".join(frame(PING, b"p%d" % n) for n in range(10))), end]
    for bits in range(1, 8):
        cases[f"3.{bits}"] = [frame(TEXT, b"Hello", reserved=bits), end]
        cases[f"3.{bits}.after"] = [frame(TEXT, b"small"), frame(TEXT, b"Hello", reserved=bits), frame(PING), end]
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        cases[f"4.{opcode}"] = [frame(opcode, b"x" if opcode % 2 else b""), end]
        cases[f"4.{opcode}.after"] = [frame(TEXT, b"Hello"), frame(opcode, b"x"), frame(PING), end]
    fragments(cases, end)
    texts(cases, end)
    ends(cases)
    for size in (64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20):
        cases[f"9.1.{size}"] = [frame(TEXT, b"*" * size), end]
        cases[f"9.2.{size}"] = [frame(BINARY, b"\xfe" * size), end]
        pieces = chopped(b"*" * size, 64 << 10)
        cases[f"9.3.{size}"] = [*(frame(TEXT if not n else 0, p, final=n == len(pieces) - 1) for n, p in enumerate(pieces)), end]
    for size in (64, 256, 1024, 4096, 65536):
        cases[f"9.5.{size}"] = [*chopped(frame(TEXT, b"*" * (1 << 20)), size), end]
    for size in (0, 16, 64, 256, 1024):
        cases[f"9.7.{size}"] = [*(frame(TEXT, b"*" * size) for _ in range(1000)), end]
        cases[f"9.8.{size}"] = [*(frame(BINARY, b"\xfe" * size) for _ in range(1000)), end]
    cases["10.1.1"] = [frame(TEXT, b"*" * 1300, final=False), frame(0, b"*" * 64236), end]
    return cases


def fragments(cases, end):
    one, two = frame(TEXT, b"fragment1", final=False), frame(0, b"fragment2")
    more = frame(0, b"fragment2", final=False)
    for name, pieces in {
        "1": [frame(PING, b"part", final=False), frame(0, b"rest")], "2": [frame(PONG, b"part", final=False), frame(0, b"rest")], "3": [one, two],
        "5": chopped(one + two), "6": [one, frame(PING, b"between"), two], "8": chopped(one + frame(PING, b"between") + two),
        "9": [frame(0, b"nothing to continue"), frame(TEXT, b"Hello")], "10": [frame(0, b"nothing", final=False), frame(TEXT, b"Hello")],
        "12": [frame(0, b"no", final=False), frame(TEXT, b"Hello")], "15": [one, two, frame(0, b"fragment3", final=False), frame(TEXT, b"fragment4")],
        "18": [one, frame(TEXT, b"fragment2")], "19": [one, more, frame(PING, b"1"), more, more, frame(PING, b"2"), two], "20": chopped(one + more + frame(PING, b"1") + two),
        "empty": [frame(TEXT, b"", final=False), frame(0, b"", final=False), frame(0, b"")], "empties": [frame(TEXT, b"", final=False), frame(0, b"middle", final=False), frame(0, b"")],
    }.items():
        cases[f"5.{name}"] = [*pieces, end]


def texts(cases, end):
    greek = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    cases["6.2.1"], cases["6.2.2"] = [frame(TEXT, greek), end], [frame(TEXT, greek[:12], final=False), frame(0, greek[12:]), end]
    letters = chopped(greek)
    cases["6.2.3"] = [*(frame(0 if n else TEXT, letter, final=n == len(letters) - 1) for n, letter in enumerate(letters)), end]
    bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"
    cases["6.3.1"], cases["6.3.2"] = [frame(TEXT, bad), end], [*(frame(0 if n else TEXT, l, final=n == len(bad) - 1) for n, l in enumerate(chopped(bad))), end]
    cases["6.4.1"] = [frame(TEXT, bad[:12], final=False), frame(0, b"\xf4\x90\x80\x80", final=False), frame(0, b"edited"), end]
    good = [b"\0", b"\x7f", "\x80".encode(), "߿".encode(), "ࠀ".encode(), "\uffff".encode(), "\U00010000".encode(), "\U0010ffff".encode(), "\ud7ff\ue000�".encode(), "﷐\ufffe".encode()]
    wrong = [b"\x80", b"\xbf", b"\x80\xbf", bytes(range(0x80, 0xc0)), b"\xc0 ", b"\xe0 ", b"\xf0 ", b"\xf8 ", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf",
             b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xfe", b"\xff", b"\xce", b"\xf0\x9d\x84", b"\xfb\xbf\xbf\xbf\xbf"]
    for place, payload in enumerate(good):
        cases[f"6.good.{place}"] = [frame(TEXT, payload), end]
    for place, payload in enumerate(wrong):
        cases[f"6.wrong.{place}"] = [frame(TEXT, payload), end]


def ends(cases):
    cases["7.1.1"] = [frame(TEXT, b"Hello"), closing()]
    cases["7.1.2"] = [closing(), closing()]
    cases["7.1.3"] = [closing(), frame(PING, b"after")]
    cases["7.1.4"] = [closing(), frame(TEXT, b"after")]
    cases["7.1.5"] = [frame(TEXT, b"part", final=False), closing(), frame(0, b"rest")]
    cases["7.1.6"] = [frame(TEXT, b"*" * (256 << 10)), frame(TEXT, b"Hello"), closing(), frame(PING)]
    cases["7.3.1"], cases["7.3.2"] = [frame(CLOSE)], [frame(CLOSE, b"a")]
    cases["7.3.4"], cases["7.3.5"], cases["7.3.6"] = [closing(1000, b"Hello")], [closing(1000, b"*" * 123)], [frame(CLOSE, b"\3\xe8" + b"*" * 124)]
    cases["7.5.1"] = [closing(1000, b"\xce\xba\xed\xa0\x80")]
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        cases[f"7.7.{code}"] = [closing(code)]
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        cases[f"7.9.{code}"] = [closing(code)]
    cases["7.cut"] = [frame(TEXT, b"x", length=1000)]


class Sent:
    """Counts the messages that were sent whole, so that each can be waited for before the next is sent."""

    def __init__(self):
        self.buffer, self.whole = b"", 0

    def feed(self, data):
        self.buffer += data
        while len(self.buffer) >= 2:
            size, at = self.buffer[1] & 0x7f, 2
            if size > 125:
                at = 4 if size == 126 else 10
                if len(self.buffer) < at:
                    return
                size = int.from_bytes(self.buffer[2:at], "big")
            if len(self.buffer) < at + 4 + size:
                return
            self.whole += bool(self.buffer[0] & 0x80) and self.buffer[0] & 15 in (0, TEXT, BINARY)
            self.buffer = self.buffer[at + 4 + size:]


class Talk:
    """One connection and what came from it."""

    def __init__(self, port, ca):
        self.stream = socket.create_connection(("127.0.0.1", port), 5)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if ca:
            self.stream = ssl.create_default_context(cafile=ca).wrap_socket(self.stream, server_hostname="app.example")
        self.stream.settimeout(5)
        self.socket, self.found, self.ended = wsproto.WSConnection(wsproto.ConnectionType.CLIENT), [], False
        self.stream.sendall(self.socket.send(events.Request(host="app.example", target="/")))
        while not any(isinstance(e, (events.AcceptConnection, events.RejectConnection)) for e in self.read()):
            if self.ended:
                break

    def read(self):
        """Reads once; returns the events."""
        try:
            data = self.stream.recv(1 << 18)
        except TimeoutError:
            data, self.ended = b"", True
            self.found.append("nothing more, and not closed")
            return []
        except OSError:
            data = b""
        return self.parsed(data)

    def parsed(self, data):
        self.ended = self.ended or not data
        try:
            self.socket.receive_data(data or None)
            return list(self.socket.events())
        except wsproto.utilities.RemoteProtocolError as error:
            self.found.append(f"wrong: {error}")
            self.ended = True
            return []

    def take(self, got):
        for event in got:
            if isinstance(event, events.Message):
                kind = type(event).__name__
                same = self.found and isinstance(self.found[-1], list) and self.found[-1][0] == kind and not self.found[-1][2]
                if same:
                    self.found[-1][1] += len(event.data)
                    self.found[-1][2] = event.message_finished
                else:
                    self.found.append([kind, len(event.data), event.message_finished])
            elif isinstance(event, events.CloseConnection):
                self.found.append(("close", event.code, event.reason))
            elif isinstance(event, (events.Ping, events.Pong)):
                self.found.append((type(event).__name__, bytes(event.payload)))

    def play(self, pieces, cut):
        """Sends every piece, reading meanwhile, so that neither side waits for the other."""
        sent = Sent()
        for piece in pieces:
            try:
                self.send(piece)
            except OSError:
                break
            sent.feed(piece)
            self.answered(sent.whole)
        if cut:
            self.stream.close()
            return self.found
        self.stream.settimeout(5)
        while not self.ended:
            self.take(self.read())
        self.stream.close()
        return self.found

    def answered(self, count):
        """Waits for that many echoes, or half a second of silence: not everything is answered."""
        self.stream.settimeout(0.5)
        while not self.ended and sum(isinstance(e, list) and e[2] for e in self.found) < count:
            try:
                data = self.stream.recv(1 << 18)
            except TimeoutError:
                return
            except OSError:
                data = b""
            self.take(self.parsed(data))

    def send(self, piece):
        self.stream.settimeout(0.2)
        for at in range(0, len(piece), 1 << 16):
            part = piece[at:at + (1 << 16)]
            while part:
                try:
                    part = part[self.stream.send(part):]
                except (TimeoutError, ssl.SSLWantWriteError):
                    try:
                        self.take(self.parsed(self.stream.recv(1 << 18)))
                    except TimeoutError:
                        continue
                    if self.ended:
                        return


def run(port, ca=None, cases=None):
    """Returns {case: what was found} in the words of the suite's index."""
    rows = {}
    for name, pieces in all_cases().items():
        if cases and name not in cases:
            continue
        talk = Talk(port, ca)
        found = talk.play(pieces, name.endswith("cut"))
        ended = next((e for e in found if isinstance(e, tuple) and e[0] == "close"), None)
        rows[name] = {"behavior": repr(found), "behaviorClose": repr(ended), "remoteCloseCode": ended and int(ended[1])}
    return rows

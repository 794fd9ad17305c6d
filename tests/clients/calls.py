"""gRPC with grpcio on both ends: unary and streams, trailers, statuses, deadlines, cancellation; h2c and TLS."""

import concurrent.futures
import threading
import time

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from stand import NAME

SERVICE = "lab.Talk"
KINDS = {"Unary": grpc.unary_unary_rpc_method_handler, "Down": grpc.unary_stream_rpc_method_handler,
         "Up": grpc.stream_unary_rpc_method_handler, "Both": grpc.stream_stream_rpc_method_handler}
CODES = {code.name: code for code in grpc.StatusCode}


class Talk:
    """The service; what is asked says what to do."""

    def __init__(self):
        self.cancelled = threading.Event()

    def unary(self, ask, context):
        word, _, rest = ask.value.partition(" ")
        if word == "fail":
            context.set_trailing_metadata((("why", "asked"), ("raw-bin", b"\0\xff\n")))
            context.abort(CODES[rest], f"said so: {rest} – ü%")
        if word == "sleep":
            context.add_callback(self.cancelled.set)
            time.sleep(float(rest))
        if word == "who":
            seen = {k: v for k, v in context.invocation_metadata() if k in ("one", "many", "raw-bin", "user-agent") and k != "user-agent"}
            return StringValue(value=repr(sorted(seen.items())) + repr([v for k, v in context.invocation_metadata() if k == "many"]))
        context.send_initial_metadata((("first", "1"), ("raw-bin", b"\1\2")))
        context.set_trailing_metadata((("last", "2"), ("last", "3")))
        return StringValue(value=ask.value)

    def down(self, ask, context):
        count, _, gap = ask.value.partition(" ")
        context.add_callback(self.cancelled.set)
        for number in range(int(count)):
            if not context.is_active():
                return
            yield StringValue(value=str(number))
            time.sleep(float(gap or 0))
        if gap == "0":
            context.abort(grpc.StatusCode.DATA_LOSS, "after messages")

    def up(self, asks, context):
        total = sum(len(a.value) for a in asks)
        return StringValue(value=str(total))

    def both(self, asks, context):
        for ask in asks:
            yield StringValue(value=ask.value.upper())


def serving(stand, tls):
    talk = Talk()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
    handlers = {name: make(getattr(talk, name.lower()), request_deserializer=StringValue.FromString, response_serializer=StringValue.SerializeToString)
                for name, make in KINDS.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if tls:
        with open(stand.key, "rb") as key, open(stand.cert, "rb") as cert:
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key.read(), cert.read())]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port, talk


def channel(stand, port, tls):
    options = [("grpc.default_authority", NAME), ("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
               ("grpc.enable_http_proxy", 0)]
    if not tls:
        return grpc.insecure_channel(f"127.0.0.1:{port}", options)
    with open(stand.ca, "rb") as ca:
        return grpc.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(ca.read()), [*options, ("grpc.ssl_target_name_override", NAME)])


def outcome(call):
    """Returns status, words and metadata of a call, whatever it ended as."""
    keep = lambda pairs: sorted((k, v) for k, v in pairs or () if k not in ("date", "via", "server", "trailer"))
    return call.code().name, call.details(), keep(call.initial_metadata()), keep(call.trailing_metadata())


def talked(link, talk):
    """Returns what a client sees of everything, word by word."""
    said, words = {}, dict(request_serializer=StringValue.SerializeToString, response_deserializer=StringValue.FromString)
    unary = link.unary_unary(f"/{SERVICE}/Unary", **words)
    down = link.unary_stream(f"/{SERVICE}/Down", **words)
    up = link.stream_unary(f"/{SERVICE}/Up", **words)
    both = link.stream_stream(f"/{SERVICE}/Both", **words)
    value = lambda text: StringValue(value=text)

    def tried(method, *ask, **more):
        more.setdefault("timeout", 20)
        try:
            answer, call = method.with_call(*ask, **more)
            return (answer.value if len(answer.value) < 100 else len(answer.value), *outcome(call))
        except grpc.RpcError as error:
            return outcome(error)
    said["unary"] = tried(unary, value("hello"))
    said["metadata"] = tried(unary, value("who"), metadata=(("one", "1"), ("many", "a"), ("many", "b"), ("raw-bin", b"\0\1\xff")))
    said["large"] = tried(unary, value("x" * 3_000_000))
    said["empty"] = tried(unary, value(""))
    for code in ("CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "UNAUTHENTICATED"):
        said[code] = tried(unary, value("fail " + code))
    said["no such method"] = tried(link.unary_unary(f"/{SERVICE}/None", **words), value("x"))
    said["deadline"] = tried(unary, value("sleep 2"), timeout=0.3)[:1]
    def note(name, what):
        try:
            said[name] = what()
        except Exception as error:  # whatever it is, it is not what the direct call gave
            said[name] = f"{type(error).__name__}: {str(error)[:200]}"

    def failing_stream():
        call, got = down(value("3 0"), timeout=20), []
        try:
            for message in call:
                got.append(message.value)
        except grpc.RpcError:
            pass
        return (got, *outcome(call)[:2])

    def first_at_once():
        began = time.monotonic()
        next(down(value("2 1"), timeout=20))
        return time.monotonic() - began < 0.5

    def cancelled():
        talk.cancelled.clear()
        call = down(value("1000 0.01"), timeout=20)
        next(call)
        call.cancel()
        return call.code().name, talk.cancelled.wait(5)

    def many():
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            return list(pool.map(lambda n: unary(value(str(n)), timeout=20).value == str(n), range(400))).count(True)
    note("down", lambda: [m.value for m in down(value("200"), timeout=20)] == [str(n) for n in range(200)])
    note("down, then a status", failing_stream)
    note("first message at once", first_at_once)
    note("up", lambda: tried(up, (value("x" * 1000) for _ in range(500)))[:2])
    note("up, nothing", lambda: tried(up, iter(()))[:2])
    note("both", lambda: ping_pong(both, value))
    note("cancelled", cancelled)
    note("many", many)
    return said


def ping_pong(both, value):
    """Each message is sent after the answer to the one before: nothing may be held back."""
    turn, ended = threading.Semaphore(1), False

    def asks():
        for number in range(50):
            if not turn.acquire(timeout=5):
                return
            yield value(f"m{number}")
    got = []
    for message in both(asks(), timeout=20):
        got.append(message.value)
        turn.release()
    return got == [f"M{n}" for n in range(50)], ended


def calls(stand, report):
    report.begin("grpcio")
    for up in (False, True):
        server, port, talk = serving(stand, up)
        proxy = stand.front(f"{'https' if up else 'h2c'}://127.0.0.1:{port}", ca=up)
        with channel(stand, port, up) as link:
            direct = talked(link, talk)
        report.check(direct["unary"][1] == "OK" and direct["many"] == 400, f"{'TLS' if up else 'h2c'}, directly", f"{len(direct)} cases")
        for tls in (False, True):
            with channel(stand, proxy.port(tls), tls) as link:
                through = talked(link, talk)
            wrong = [f"\n         {k}: {direct[k]!r:.300} and {through.get(k)!r:.300}" for k in direct if direct[k] != through.get(k)]
            report.check(not wrong, f"{'TLS' if tls else 'h2c'} to {'https' if up else 'h2c'}: as directly", f"{len(direct)} cases{''.join(wrong[:6])}")
        proxy.stop()
        server.stop(None)

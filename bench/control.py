"""Measures POST /throttle over HTTP and over the control socket, idle and in bursts: `python -m bench.control`.

The server is a process of its own: the real bus with a desk that answers at once, the real operations, HTTP with a key,
the socket with peer credentials, the log to /dev/null as JSON lines. The client is one blocking connection. Peers in the
same run: a bare echo on the same loop (the machine's own noise, which a p99 is judged net of), and the threaded design
(http.server in threads, a lock around the state). Figures are medians of the runs in microseconds, p50/p99.
"""

import argparse
import asyncio
import http.server
import json
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import structlog
import uvloop

from hedgegridd import messages as m
from hedgegridd.config import Control, Key
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.http import HttpServer
from hedgegridd.control.keys import fingerprint
from hedgegridd.control.operation import Services
from hedgegridd.control.peers import Peers
from hedgegridd.control.unix import UnixServer
from hedgegridd.ctl.client import Client
from hedgegridd.operations import REGISTRY
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock

BTC = "BTCUSDT-PERP.BINANCE"
KEY = "hgd_bench"
BODY = b'{"throttle": 0.5}'
TICKS, TICK_COST_NS, BURST_EVERY_S = 5_000, 12_000, 0.5
WARM = 200


class Quote(m.Event, frozen=True, kw_only=True):
    lane: ClassVar[str] = "data"
    n: int


def handle(envelope: m.Envelope) -> Sequence[m.Message]:
    """The desk: answers at once; a quote costs 12 µs."""
    match envelope.message:
        case m.SetThrottle():
            facts = {"old": "1", "new": "0.5", "instruments": {BTC: "1"}}
            return (m.Done(to=envelope.seq, detail=facts),)
        case Quote():
            end_ns = time.perf_counter_ns() + TICK_COST_NS
            while time.perf_counter_ns() < end_ns:
                pass
    return ()


def quiet_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(
                serializer=lambda event, **_: msgspec.json.encode(event).decode()
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=Path(os.devnull).open("w")),  # till the end
        cache_logger_on_first_use=True,
    )


async def on_disk(_timeout_s: float) -> None:
    """The journal's own cost is measured in bench.journal."""


async def serve(path: str, bursts: bool, pipe: Connection) -> None:
    bus = Bus(RealClock(), [m.SetThrottle, m.Done, Quote])
    bus.register("desk", handler=handle, commands=(m.SetThrottle,), events=(Quote,), data_max=1 << 20)
    bus.start(asyncio.get_running_loop())
    services = Services(
        bus=bus, instruments=(BTC,), time_ns=time.time_ns, durable=on_disk, recent=list, environment="paper"
    )
    dispatcher = Dispatcher(REGISTRY, services)
    key = Key(name="bench", role="operator", sha256=fingerprint(KEY))
    web = HttpServer(dispatcher, Control(http_port=0, keys=(key,), writes_per_min=100_000))
    unix = UnixServer(dispatcher, path, Peers(None))
    await web.start()
    await unix.start()
    echo = await asyncio.start_server(echo_back, "127.0.0.1", 0)
    pipe.send((web.port, echo.sockets[0].getsockname()[1]))
    n = 0
    while not pipe.poll():
        await asyncio.sleep(BURST_EVERY_S)
        for _ in range(TICKS if bursts else 0):
            n += 1
            bus.publish(Quote(n=n))
    await web.stop()
    await unix.stop()
    echo.close()
    bus.stop()


async def echo_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


def server(path: str, bursts: bool, pipe: Connection) -> None:
    quiet_log()
    uvloop.run(serve(path, bursts, pipe))


def threaded(pipe: Connection) -> None:
    """The design it replaces, of the standard library: a thread per connection, a lock around the state."""
    lock = threading.Lock()
    state = {"throttle": 1.0}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:  # http.server's name
            wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                old, state["throttle"] = state["throttle"], wanted["throttle"]
            body = json.dumps({"old": old, "new": wanted["throttle"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            """Nothing is logged."""

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    pipe.send(web.server_address[1])
    pipe.recv()
    web.shutdown()


# --- the client -----------------------------------------------------------------------------------


def connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def http_call(port: int) -> Callable[[], None]:
    connection = connect(port)
    head = f"POST /throttle HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    def call() -> None:
        connection.sendall(request)
        data = connection.recv(65536)
        while b"\r\n\r\n" not in data or not data.endswith(b"}"):
            data += connection.recv(65536)
        assert b" 200 " in data[:20], data

    return call


def unix_call(path: str) -> Callable[[], None]:
    client = Client(path)

    def call() -> None:
        assert client.call("throttle", {"throttle": "0.5"}, 5).status == 200

    return call


def echo_call(port: int) -> Callable[[], None]:
    connection = connect(port)

    def call() -> None:
        connection.sendall(BODY)
        connection.recv(4096)

    return call


def measure(call: Callable[[], None], count: int, gap_s: float) -> tuple[float, float]:
    """p50 and p99 in microseconds; calls are spread by `gap_s`, so that they meet the bursts as they come."""
    for _ in range(WARM):
        call()
    took = []
    for _ in range(count):
        time.sleep(gap_s)
        began = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - began) / 1e3)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def run(bursts: bool, runs: int, count: int) -> None:
    figures: dict[str, list[tuple[float, float]]] = {}
    gap_s = 0.001 if bursts else 0.0002
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/c.sock"
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=server, args=(path, bursts, theirs))
        process.start()
        peer_ours, peer_theirs = spawn.Pipe()
        peer = spawn.Process(target=threaded, args=(peer_theirs,))
        peer.start()
        theirs.close()  # so that a server that dies is noticed
        peer_theirs.close()
        try:
            http_port, echo_port = ours.recv()
            calls = {"echo": echo_call(echo_port), "HTTP": http_call(http_port), "unix": unix_call(path)}
            calls["threaded"] = http_call(peer_ours.recv())
            for _ in range(runs):
                for name, call in calls.items():
                    figures.setdefault(name, []).append(measure(call, count, gap_s))
        finally:
            for child, pipe in ((process, ours), (peer, peer_ours)):
                if child.is_alive():
                    pipe.send("stop")
                child.join(5)
                if child.is_alive():
                    child.terminate()
    print(f"{'bursts' if bursts else 'idle'} (µs, median of {runs} runs of {count})")
    for name, found in figures.items():
        p50, p99 = (statistics.median(item[at] for item in found) for at in (0, 1))
        print(f"  {name:9} p50 {p50:8.0f}   p99 {p99:8.0f}")


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--count", type=int, default=2000)
    line.add_argument("--idle-only", action="store_true")
    asked = line.parse_args()
    for bursts in (False,) if asked.idle_only else (False, True):
        run(bursts, asked.runs, asked.count)


if __name__ == "__main__":
    main()

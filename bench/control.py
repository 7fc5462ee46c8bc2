"""Measures POST /throttle over HTTP and over the control socket, idle and in bursts: `python -m bench.control`.

The server is a process of its own: the real bus with a desk that answers at once, the real operations, HTTP with a key,
the socket with peer credentials, the log to /dev/null as JSON lines. The client is one blocking connection. Peers in the
same run: a bare echo on the same loop (the machine's own noise, which a p99 is judged net of), and the threaded design
(FastAPI on uvicorn in a thread, a pool of two, a lock around the strategy, which has the same bursts of quotes).
Figures are medians of the runs in microseconds, p50/p99.
"""

import argparse
import asyncio
import hmac
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
import structlog
import uvicorn
import uvloop
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from bench.noise import RunDelay
from bench.table import Row, p, text, verdict
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

type Call = tuple[Callable[[], None], RunDelay]  # and the waits of the threads that answer it


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
    echo.close()
    await web.stop()
    await unix.stop()
    bus.stop()


async def echo_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


def server(path: str, bursts: bool, pipe: Connection) -> None:
    quiet_log()
    uvloop.run(serve(path, bursts, pipe))


class Wanted(BaseModel):
    """The body of the peer's POST."""

    throttle: float


class LockedStrategy:
    """The strategy of the design that is replaced: quotes and commands take turns at one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.throttle = 1.0

    def on_quotes(self) -> None:
        """A burst of quotes, each of the cost that ours have."""
        for _ in range(TICKS):
            with self._lock:
                end_ns = time.perf_counter_ns() + TICK_COST_NS
                while time.perf_counter_ns() < end_ns:
                    pass

    def set_throttle(self, throttle: float) -> dict[str, float]:
        with self._lock:
            old, self.throttle = self.throttle, throttle
        return {"old": old, "new": throttle}


def threaded(bursts: bool, pipe: Connection) -> None:
    """FastAPI and uvicorn in a thread beside the strategy's own, two threads for the work, a lock between."""
    strategy = LockedStrategy()
    workers = ThreadPoolExecutor(2)
    api = FastAPI()

    async def throttle(wanted: Wanted, x_api_key: Annotated[str, Header()] = "") -> dict[str, float]:
        if not hmac.compare_digest(fingerprint(x_api_key), fingerprint(KEY)):
            raise HTTPException(403, "unknown key")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(workers, strategy.set_throttle, wanted.throttle)

    api.add_api_route("/throttle", throttle, methods=["POST"])
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    made = uvicorn.Server(uvicorn.Config(api, log_level="warning", access_log=False, loop="uvloop"))
    thread = threading.Thread(target=made.run, kwargs={"sockets": [taken]})
    thread.start()
    while not made.started and thread.is_alive():
        time.sleep(0.01)
    pipe.send(taken.getsockname()[1])
    while not pipe.poll(BURST_EVERY_S):
        if bursts:
            strategy.on_quotes()
    made.should_exit = True
    thread.join(5)
    workers.shutdown()


# --- the client -----------------------------------------------------------------------------------


def connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), 5)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def http_call(port: int, get: str = "") -> Callable[[], None]:
    """POST /throttle, or GET of a path."""
    connection = connect(port)
    head = f"{f'GET {get}' if get else 'POST /throttle'} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n"
    body = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    request = head.encode() + (b"\r\n" if get else body)

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


class Figures(msgspec.Struct):
    """Microseconds of each call: as measured, and net of the waits of client and server for a core."""

    took: list[float] = []
    net: list[float] = []

    def percentiles(self) -> tuple[float, float, float]:
        return p(self.took, 0.99), p(self.net, 0.5), p(self.net, 0.99)


def measure(calls: dict[str, Call], count: int, gap_s: float) -> dict[str, tuple[float, float, float]]:
    """p99 as measured, p50 and p99 net, of each, in microseconds.

    They take turns call by call, so that a noisy moment is everybody's, spread by `gap_s`, so that they meet the
    bursts as they come.
    """
    for call, _ in calls.values():
        for _ in range(WARM):
            call()
    mine = RunDelay(os.getpid())
    found = {name: Figures() for name in calls}
    for _ in range(count):
        for name, (call, server) in calls.items():
            time.sleep(gap_s)
            waited = mine.ns() + server.ns()
            began = time.perf_counter_ns()
            call()
            took = time.perf_counter_ns() - began
            waited = mine.ns() + server.ns() - waited
            found[name].took.append(took / 1e3)
            found[name].net.append(max(0, took - waited) / 1e3)
    mine.close()
    return {name: each.percentiles() for name, each in found.items()}


def run(bursts: bool, runs: int, count: int) -> dict[str, tuple[float, float, float]]:
    """Medians over runs of what `measure` finds."""
    figures: dict[str, list[tuple[float, float, float]]] = {}
    gap_s = 0.001 if bursts else 0.0002
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/c.sock"
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=server, args=(path, bursts, theirs))
        process.start()
        peer_ours, peer_theirs = spawn.Pipe()
        peer = spawn.Process(target=threaded, args=(bursts, peer_theirs))
        peer.start()
        theirs.close()  # so that a server that dies is noticed
        peer_theirs.close()
        try:
            http_port, echo_port = ours.recv()
            peer_port = peer_ours.recv()
            assert process.pid is not None
            assert peer.pid is not None
            # Ours answers in its one thread; of the peer every thread's wait is taken off, which is in its favour.
            here, there = RunDelay(process.pid), RunDelay(peer.pid, every_thread=True)
            calls: dict[str, Call] = {
                "echo": (echo_call(echo_port), here),
                "HTTP": (http_call(http_port), here),
                "unix": (unix_call(path), here),
                "threaded": (http_call(peer_port), there),
            }
            for _ in range(runs):
                for name, found in measure(calls, count, gap_s).items():
                    figures.setdefault(name, []).append(found)
        finally:
            for child, pipe in ((process, ours), (peer, peer_ours)):
                if child.is_alive():
                    pipe.send("stop")
                child.join(5)
                if child.is_alive():
                    child.terminate()
    return {
        name: tuple(statistics.median(values) for values in zip(*each, strict=True))
        for name, each in figures.items()
    }


TARGETS_US = {("HTTP", False): 400, ("HTTP", True): 800, ("unix", False): 250, ("unix", True): 500}
BETTER = 5


def rows(runs: int, count: int, kinds: Sequence[bool] = (False, True)) -> list[Row]:
    """Rows of both fronts beside the threaded design; all figures in microseconds, net of waits for a core."""
    made, noise = [], 0.0
    for bursts in kinds:
        found = run(bursts, runs, count)
        echo, peer = found["echo"], found["threaded"]
        # The idle echo alone is noise: in bursts an echo waits for our quotes as well.
        noise = noise if bursts else echo[2]
        when = "in bursts" if bursts else "idle"
        for name, what in (("HTTP", "POST over HTTP"), ("unix", "unix socket")):
            raw, p50, p99 = found[name]
            target, ratio = TARGETS_US[name, bursts], peer[2] / p99
            net = (
                p99 - echo[2]
            )  # the echo's share: kernel, loop and what the machine does beside waits for a core
            better = name == "HTTP"
            made.append(
                Row(
                    bench="control",
                    what=f"{what}, {when} (echo p50 {echo[1]:.0f}, p99 {echo[2]:.0f} us)",
                    measured=f"p50 {p50:.0f}, p99 {p99:.0f} us (raw {raw:.0f})",
                    peer=f"FastAPI in threads {peer[1]:.0f}, {peer[2]:.0f} us (raw {peer[0]:.0f})",
                    ratio=ratio,
                    target=f"p99 {target} us net of the idle echo" + (f", {BETTER} x" if better else ""),
                    verdict=verdict(net <= target and (ratio >= BETTER or not better)),
                )
            )
    return made


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--runs", type=int, default=5)
    line.add_argument("--count", type=int, default=1000)
    line.add_argument("--idle-only", action="store_true")
    asked = line.parse_args()
    print(text(rows(asked.runs, asked.count, (False,) if asked.idle_only else (False, True))))


if __name__ == "__main__":
    main()

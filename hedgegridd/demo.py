"""`hedgegridd demo`: paper exchange, daemon and a live view in one command; state in a temporary folder.

The exchange and the daemon are processes of their own, as on a host. They are in sessions of their own, so that Ctrl-C
reaches this process alone: it stops the daemon first, asks the exchange whether an entry is left, and then ends both.
"""

import argparse
import asyncio
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hedgegridd.control.keys import fingerprint, make
from hedgegridd.ctl.client import Client, NoAnswer, NoDaemon
from hedgegridd.ctl.live import LiveView
from hedgegridd.model import Purpose, parse_client_order_id

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
SPEED = 60  # the market's clock: one bar a second
TICK_RATE = "0.5"  # of market time: 30 ticks a second of wall time
PR_SET_PDEATHSIG = 1
UNCONFIRMED = 5  # the daemon's exit code when the venue has not confirmed its stop

CONFIG = """\
[daemon]
state_dir = "{folder}/state"
log_format = "json"

[venue]
environment = "paper"
account = "demo"
rest_url = "{rest}"
market_ws_url = "{ws}"
user_ws_url = "{ws}"

[[grid]]
instrument = "BTCUSDT-PERP"

[pretrade]
max_order_notional_usdt = 5000
max_leg_notional_usdt = 12000
max_gross_notional_usdt = 24000

[control]
http_port = {http}
socket = "{folder}/control.sock"

[[control.keys]]
name = "demo"
role = "operator"
sha256 = "{sha256}"

[metrics]
port = {metrics}

# The market's clock runs 60 x, and so do the orders.
[[guard]]
type = "call_quota"
per_10s = 6000
per_minute = 72000
per_hour = 216000
"""


class DemoError(Exception):
    """The demo cannot go on; the text says why and where to look."""


def _with_parent() -> None:
    """In the child: end when the demo ends, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port(preferred: int) -> int:
    """`preferred` when nobody listens there, else any free port of loopback."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise DemoError("no free port on 127.0.0.1")


def ctl_command(executable: str = sys.executable) -> str:
    """How `hedgegridctl` can be run here: by name, by its path beside our Python, or as a module of it."""
    if shutil.which("hedgegridctl"):
        return "hedgegridctl"
    beside = Path(executable).parent / "hedgegridctl"
    if not beside.exists():
        return f"{executable} -m hedgegridd.ctl.entry"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


class Program:
    """A child process with its output in a file."""

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, secrets: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "hedgegridd", *arguments],
                env={**os.environ, **(secrets or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_with_parent,  # noqa: PLW1509  # no thread runs yet
            )

    def check(self) -> None:
        """Raises DemoError when the process has ended."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise DemoError(f"{self.name} ended with {code}; its last words ({self.log}):\n{tail}")

    async def stop(self, deadline_s: float) -> int:
        """SIGTERM, wait; SIGKILL past the deadline. The exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        until = time.monotonic() + deadline_s
        while self.process.poll() is None:
            if time.monotonic() > until:
                self.process.kill()
                self.process.wait()
                raise DemoError(
                    f"{self.name} did not stop within {deadline_s:.0f} s and was killed ({self.log})"
                )
            await asyncio.sleep(0.05)
        return self.process.returncode


def port_taken(program: Program) -> bool:
    """Whether a program has ended since another one listens on an address it was given."""
    return program.process.poll() is not None and "address already in use" in program.log.read_text().lower()


async def _lines(program: Program, wanted: str) -> list[str]:
    """The program's output once it holds the line `wanted`."""
    until = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < until:
        program.check()
        lines = program.log.read_text(errors="replace").splitlines()
        if wanted in lines:
            return lines
        await asyncio.sleep(0.05)
    raise DemoError(f"{program.name} was not up within {START_DEADLINE_S:.0f} s ({program.log})")


async def ask(client: Client, verb: str) -> dict[str, object]:
    """The result of a read operation; empty while the daemon does not answer or refuses."""
    try:
        reply = await asyncio.to_thread(client.call, verb, {}, 2.0)
    except (NoDaemon, NoAnswer):
        return {}
    return reply.result if reply.ok else {}


async def _ready(daemon: Program, client: Client) -> None:
    until = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < until:
        daemon.check()
        if (await ask(client, "ready")).get("ready"):
            return
        await asyncio.sleep(0.1)
    raise DemoError(f"the daemon was not ready within {START_DEADLINE_S:.0f} s ({daemon.log})")


async def _truth(admin: str) -> dict[str, object]:
    """The exchange's own books."""
    host, port = admin.removeprefix("http://").split(":")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 5)
    writer.write(f"GET /truth HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    facts: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return facts


def _field(lines: Sequence[str], name: str) -> str:
    """The value that the exchange printed behind a name."""
    for line in lines:
        if line.startswith(name):
            return line[len(name) :].strip()
    raise DemoError(f"the exchange did not print its {name}")


class Demo:
    """One demo from start to end; `seconds` ends it by itself (0: Ctrl-C does)."""

    def __init__(self, folder: Path, *, seed: int, speed: int, seconds: float) -> None:
        self.folder = folder
        self.seed = seed
        self.speed = speed
        self.seconds = seconds
        self.stop = asyncio.Event()
        self.key = make()
        self.socket = str(folder / "control.sock")
        self.credentials = folder / "credentials"
        self.credentials.mkdir(mode=0o700, exist_ok=True)

    async def run(self) -> int:
        """0 when the exchange has confirmed that no entry is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
            loop.add_signal_handler(number, self.stop.set)
        programs: list[Program] = []
        try:
            exchange = self._exchange()
            programs.append(exchange)
            lines = await _lines(exchange, "READY")
            if not await self._begun(programs, lines):
                return await self._end(programs, lines, begun=False)
            header = self._header()
            print("\n".join(("READY", *header)), flush=True)
            await self._show(header)
            return await self._end(programs, lines)
        except BaseException:
            for program in reversed(programs):
                if program.process.poll() is None:
                    program.process.terminate()
            raise

    async def _begun(self, programs: list[Program], lines: Sequence[str]) -> bool:
        """Start the daemon and wait until it is ready; False when Ctrl-C came first.

        A port may be taken between our look at it and the daemon's: then once more, with any that are free.
        """
        daemon = self._daemon(lines, free_port(8080), free_port(9090))
        programs.append(daemon)
        try:
            return await self._until_ready(daemon)
        except DemoError:
            if not port_taken(daemon):
                raise
        programs[-1] = daemon = self._daemon(lines, free_port(0), free_port(0))
        return await self._until_ready(daemon)

    def _exchange(self) -> Program:
        options = [
            "--market",
            "synthetic",
            "--seed",
            str(self.seed),
            "--speed",
            str(self.speed),
            "--tick-rate",
            TICK_RATE,
        ]
        return Program("exchange", ["exchange", *options], self.folder)

    def _daemon(self, lines: Sequence[str], http: int, metrics: int) -> Program:
        self.http, self.metrics = http, metrics
        config = self.folder / "hedgegridd.toml"
        config.write_text(
            CONFIG.format(
                folder=self.folder,
                rest=_field(lines, "rest"),
                ws=_field(lines, "websocket"),
                http=self.http,
                metrics=self.metrics,
                sha256=fingerprint(self.key),
            )
        )
        # As files, so that panic has them as well: it shares nothing with the daemon but what is on disk.
        for name, value in (
            ("venue_api_key", _field(lines, "api key")),
            ("venue_api_secret", _field(lines, "api secret")),
        ):
            (self.credentials / name).touch(mode=0o600)
            (self.credentials / name).write_text(value)
        secrets = {"CREDENTIALS_DIRECTORY": str(self.credentials)}
        return Program("daemon", ["run", "-c", str(config)], self.folder, secrets)

    async def _until_ready(self, daemon: Program) -> bool:
        """False when Ctrl-C came first."""
        client = Client(self.socket)
        ready = asyncio.ensure_future(_ready(daemon, client))
        stop = asyncio.ensure_future(self.stop.wait())
        done, pending = await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        client.close()
        if ready in done:
            ready.result()
        return ready in done

    def _header(self) -> tuple[str, ...]:
        return (
            f"http     http://127.0.0.1:{self.http}   (X-API-Key: {self.key})",
            f"metrics  http://127.0.0.1:{self.metrics}/metrics",
            f"control  {ctl_command()} --socket {self.socket} status",
            f"panic    {ctl_command()} panic -c {self.folder}/hedgegridd.toml --credentials {self.credentials}",
            f"logs     {self.folder}",
        )

    async def _show(self, header: tuple[str, ...]) -> None:
        client = Client(self.socket)

        async def poll(verb: str) -> dict[str, object]:
            reply = await asyncio.to_thread(client.call, verb, {}, 2.0)
            if not reply.ok:
                raise DemoError(str(reply.problem))
            return reply.result

        if self.seconds:
            asyncio.get_running_loop().call_later(self.seconds, self.stop.set)
        try:
            await LiveView(poll, header=header).run(self.stop)
        finally:
            client.close()

    async def _end(self, programs: Sequence[Program], lines: Sequence[str], *, begun: bool = True) -> int:
        """Daemon first; then the exchange is asked what is left; then it goes too."""
        print("stopping: entries are cancelled, exits and stops stay", flush=True)
        code = 0
        if len(programs) > 1:
            code = await programs[1].stop(STOP_DEADLINE_S)
            if code == -signal.SIGTERM:  # it takes the signal itself before it asks the venue for anything
                code = 0
            if code == UNCONFIRMED and not begun:  # it had not reached the venue yet, which is asked here
                code = 0
        truth = await _truth(_field(lines, "admin"))
        left = entries_left(truth)
        await programs[0].stop(5.0)
        print(f"stopped: {left} entries left at the exchange, daemon exit {code}", flush=True)
        return code if code or not left else 1


def entries_left(truth: Mapping[str, object]) -> int:
    """Entries of ours that still rest at the exchange, by the purpose in their client order ids."""
    orders = truth["open_orders"]
    assert isinstance(orders, list)
    tags = [parse_client_order_id(str(order["clientOrderId"])) for order in orders]
    return sum(1 for tag in tags if tag is not None and tag.purpose is Purpose.ENTRY)


def main(argv: Sequence[str]) -> int:
    """`hedgegridd demo`: 0 after a clean end, 1 when something could not be started, stopped or confirmed."""
    line = argparse.ArgumentParser(prog="hedgegridd demo", description=(__doc__ or "").partition("\n")[0])
    line.add_argument("--seed", type=int, default=1, help="seed of the market (default %(default)s)")
    line.add_argument(
        "--speed", type=int, default=SPEED, help="market clock over wall clock (default %(default)s)"
    )
    line.add_argument(
        "--seconds", type=float, default=0, help="end by itself after so long (default: Ctrl-C)"
    )
    line.add_argument("--keep", action="store_true", help="keep the temporary folder with state and logs")
    args = line.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="hedgegridd-demo-"))
    try:
        return asyncio.run(Demo(folder, seed=args.seed, speed=args.speed, seconds=args.seconds).run())
    except (DemoError, OSError) as error:
        print(f"hedgegridd demo: {error}", file=sys.stderr)
        args.keep = True
        return 1
    finally:
        if args.keep:
            print(f"state and logs are kept in {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)

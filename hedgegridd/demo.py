"""`hedgegridd demo`: paper exchange, daemon and a live view in one command; state in a temporary folder.

The exchange and the daemon are processes of their own, as on a host. They are in sessions of their own, so that Ctrl-C
reaches this process alone: it stops the daemon first, asks the exchange whether an entry is left, and then ends both.
"""

import argparse
import asyncio
import ctypes
import hashlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hedgegridd.ctl.client import Client, NoAnswer, NoDaemon
from hedgegridd.ctl.live import LiveView

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
SPEED = 60  # the market's clock: one bar a second
PR_SET_PDEATHSIG = 1

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


class Program:
    """A child process with its output in a file."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-m", "hedgegridd", *arguments],
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

"""Real programs for tests and benchmarks: the paper exchange and the daemon as processes, and how to ask them.

Everything is synchronous and bounded: each wait has a deadline, and an error carries the end of the program's log.
"""

import hashlib
import hmac
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
LOG_TAIL_BYTES = 4_000
ANSWER_BYTES_MAX = 64 * 1024 * 1024
POLL_S = 0.02

type Metrics = dict[str, dict[tuple[tuple[str, str], ...], float]]


class ProgramError(Exception):
    """A program did not start, ended early or did not answer; the text has the end of its log."""


def end_with_programs() -> None:
    """SIGTERM unwinds this process like Ctrl-C does, so that the programs it has started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


# Below those that the kernel gives to connections, which may take a port between the look and its use; in an order of
# its own for every process of tests.
_PORTS = range(10_000, 32_000)
_ports = itertools.cycle(random.sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """A loopback port nobody listens on now, another one each time."""
    for port in itertools.islice(_ports, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ProgramError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free")


class Program:
    """`python -m hedgegridd ARGUMENTS`, its output in a file; `entry` instead of `-m hedgegridd` for one with a bug."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        own_session: bool = False,
        entry: Sequence[str] = ("-m", "hedgegridd"),
    ) -> None:
        self.log = log
        self._name = arguments[0]
        with log.open("wb") as out:
            self.process = subprocess.Popen(  # arguments are our own
                [sys.executable, *entry, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
                start_new_session=own_session,
            )

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def check(self) -> None:
        """Raises ProgramError when the program has ended."""
        code = self.process.poll()
        if code is not None:
            raise ProgramError(f"hedgegridd {self._name} has ended with {code}:\n{self.tail()}")

    def kill(self) -> None:
        """SIGKILL, as the kernel or a power cut would end it."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, deadline_s: float, number: int = signal.SIGTERM) -> int:
        """The signal, and after `deadline_s` SIGKILL; the exit code (negative: the signal that ended it)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        return int(self.process.returncode)


class JsonHttp:
    """One kept connection to a loopback address that answers JSON; numbers with a point come as Decimal."""

    def __init__(self, url: str, timeout_s: float = 120.0) -> None:
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The decoded answer. Raises ProgramError for any status but 200."""
        data = None if body is None else json.dumps(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        self._connection.request(method, path, body=data, headers=sent)
        response = self._connection.getresponse()
        text = response.read(ANSWER_BYTES_MAX)
        if response.status != 200:
            raise ProgramError(f"{method} {path} {data}: {response.status} {text[:500]!r}")
        return json.loads(text, parse_float=Decimal)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def until[T](look: Callable[[], T], what: str, deadline_s: float, program: Program | None = None) -> T:
    """The first true answer of `look`, asked over and over. Raises ProgramError after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not (seen := look()):
        if program is not None:
            program.check()
        if time.monotonic() > end:
            log = "" if program is None else f":\n{program.tail()}"
            raise ProgramError(f"not within {deadline_s} s: {what} (last seen: {seen!r}){log}")
        time.sleep(POLL_S)
    return seen


class Exchange:
    """`hedgegridd exchange` under way; `rest`, `websocket`, `key` and `secret` are what it printed."""

    def __init__(self, program: Program, printed: Mapping[str, str]) -> None:
        self.program = program
        self.rest = printed["rest"]
        self.websocket = printed["websocket"]
        self.key = printed["api key"]
        self.secret = printed["api secret"]
        self.admin_url = printed["admin"]
        self._admin = JsonHttp(self.admin_url)
        self._public = JsonHttp(self.rest)

    def step(self, ms: int, quiet_ms: int, timeout_ms: int) -> dict[str, Any]:
        """Advance the paused market by `ms` and wait until it is quiet for `quiet_ms` (wall)."""
        answer = self._admin.ask("POST", "/step", {"ms": ms, "quiet_ms": quiet_ms, "timeout_ms": timeout_ms})
        return dict(answer)

    def admin(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of the admin port: `POST /jump`, `/faults`, `/pause`, `GET /health` and so on."""
        return dict(self._admin.ask(method, path, body))

    def faults(self) -> list[dict[str, Any]]:
        """The fault rules with their hits."""
        return list(self._admin.ask("GET", "/faults"))

    def truth(self) -> dict[str, Any]:
        """The account as the exchange knows it."""
        return dict(self._admin.ask("GET", "/truth"))

    def public(self, path: str) -> Any:
        """The answer of a public GET, its query in the path."""
        return self._public.ask("GET", path)

    def premium_index(self, symbol: str) -> dict[str, Any]:
        """Mark price and funding rate as the venue publishes them."""
        return dict(self._public.ask("GET", f"/fapi/v1/premiumIndex?symbol={symbol}"))

    def signed(self, path: str, *, method: str = "GET", **fields: object) -> Any:
        """The answer of a signed call."""
        stamp = {"recvWindow": 60_000, "timestamp": time.time_ns() // 1_000_000}
        query = urllib.parse.urlencode({**fields, **stamp})
        signature = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        headers = {"X-MBX-APIKEY": self.key}
        return self._public.ask(method, f"{path}?{query}&signature={signature}", headers=headers)

    def user_trades(self, symbol: str, from_id: int) -> list[dict[str, Any]]:
        """At most 1000 trades of the account from `from_id` on, oldest first."""
        return list(self.signed("/fapi/v1/userTrades", symbol=symbol, fromId=from_id, limit=1000))

    def orders_from(self, symbol: str, from_id: int) -> list[dict[str, Any]]:
        """At most 1000 orders of the account, open or ended, from `from_id` on, oldest first."""
        return list(self.signed("/fapi/v1/allOrders", symbol=symbol, orderId=from_id, limit=1000))

    def orders_since(self, symbol: str, began_ms: int) -> list[dict[str, Any]]:
        """At most 1000 orders of the account, open or not, made at `began_ms` (wall) or later."""
        return list(self.signed("/fapi/v1/allOrders", symbol=symbol, startTime=began_ms, limit=1000))

    def close(self) -> None:
        """Close our connections to it."""
        self._admin.close()
        self._public.close()


def printed_addresses(log: Path) -> dict[str, str]:
    """What `hedgegridd exchange` printed before READY by name; empty until then."""
    lines = log.read_text().splitlines() if log.exists() else []
    if "READY" not in lines:
        return {}
    pairs = (line.rpartition(" ") for line in lines[: lines.index("READY")])
    return {name.strip(): value for name, _, value in pairs}


@contextmanager
def exchange(arguments: Sequence[str], log: Path, *, deadline_s: float = 30.0) -> Iterator[Exchange]:
    """Start the paper exchange and wait until it is READY; stopped at the end."""
    program = Program(["exchange", *arguments], log)
    try:
        printed = until(lambda: printed_addresses(log), "the exchange is READY", deadline_s, program)
        running = Exchange(program, printed)
        try:
            yield running
        finally:
            running.close()
    finally:
        program.stop(10)


class ControlSocket:
    """A client of the daemon's unix socket: line JSON, one request at a time."""

    def __init__(self, path: Path, timeout_s: float = 20.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._id = 0

    def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        """The body of the answer to `verb`. Raises ProgramError when it is a problem, or none."""
        self._id += 1
        self._socket.sendall(json.dumps({"id": self._id, "verb": verb, "args": fields}).encode() + b"\n")
        line = self._lines.readline(ANSWER_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise ProgramError(f"the control socket closed instead of answering {verb}: {line[:200]!r}")
        answer = json.loads(line, parse_float=Decimal)
        if answer.get("id") != self._id:
            raise ProgramError(f"{verb}: answer to {answer.get('id')}, not to {self._id}")
        if not answer["ok"]:
            raise ProgramError(f"{verb}: {json.dumps(answer, default=str)[:1000]}")
        return dict(answer["result"])

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


class Daemon:
    """`hedgegridd run` under way."""

    def __init__(
        self, program: Program, control: ControlSocket, metrics_url: str, config: "RunConfig"
    ) -> None:
        self.program = program
        self.control = control
        self.config = config
        self._metrics = urllib.parse.urlsplit(metrics_url)

    def metrics(self) -> Metrics:
        """One scrape: name to labels to value."""
        return parse_metrics(self.scrape())

    def scrape(self) -> str:
        """One scrape as Prometheus gets it."""
        connection = http.client.HTTPConnection(self._metrics.hostname or "", self._metrics.port, timeout=10)
        try:
            connection.request("GET", self._metrics.path)
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES_MAX).decode()
            if response.status != 200:
                raise ProgramError(f"GET {self._metrics.path}: {response.status} {text[:500]}")
        finally:
            connection.close()
        return text


def parse_metrics(text: str) -> Metrics:
    """Prometheus exposition text as name to labels to value."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def toml_table(name: str, fields: Mapping[str, object]) -> str:
    """A TOML table of strings, booleans and numbers; Decimal as a number."""
    lines = [name]
    for key, value in fields.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{key} = {json.dumps(value) if isinstance(value, str) else text}")
    return "\n".join(lines) + "\n"


class RunConfig(msgspec.Struct, frozen=True):
    """What `hedgegridd run` needs: its config file, its environment, and the ports that the file gives it."""

    path: Path
    environment: dict[str, str]
    http_port: int
    metrics_port: int

    @property
    def folder(self) -> Path:
        """Where config, state, socket and logs are."""
        return self.path.parent


def write_config(
    folder: Path,
    venue: Exchange,
    grids: Sequence[Mapping[str, object]],
    *,
    tables: Mapping[str, Mapping[str, object]] | None = None,
    guards: Sequence[Mapping[str, object]] = (),
    control: Mapping[str, object] | None = None,
) -> RunConfig:
    """A config for `hedgegridd run` against `venue` in `folder`, which must exist.

    `tables` are further ones, `guards` the `[[guard]]` tables, `control` further keys of `[control]`.
    """
    http_port, metrics_port = free_port(), free_port()
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    for name, secret in (("venue_api_key", venue.key), ("venue_api_secret", venue.secret)):
        path = credentials / name
        path.touch(mode=0o600)
        path.write_text(secret)
    written = [
        toml_table(
            "[daemon]", {"state_dir": str(folder / "state"), "log_format": "json", "log_level": "info"}
        ),
        toml_table(
            "[venue]",
            {
                "environment": "paper",
                "rest_url": venue.rest,
                "market_ws_url": venue.websocket,
                "user_ws_url": venue.websocket,
                "account_poll_s": 1,
            },
        ),
        toml_table(
            "[pretrade]",
            {
                "max_order_notional_usdt": 20_000,
                "max_leg_notional_usdt": 20_000,
                "max_gross_notional_usdt": 40_000,
                # These two count wall time, in which a stepped market passes hours: as wide as they go.
                "max_orders_per_10s": 300,
                "duplicate_window_ms": 0,
            },
        ),
        toml_table(
            "[control]",
            {"http_port": http_port, "socket": str(folder / "control.sock"), **(control or {})},
        ),
        toml_table("[metrics]", {"port": metrics_port}),
    ]
    for grid in grids:
        plain = {key: value for key, value in grid.items() if not isinstance(value, Mapping)}
        written.append(toml_table("[[grid]]", plain))
        for key, value in grid.items():
            if isinstance(value, Mapping):
                written.append(toml_table(f"[grid.{key}]", value))
    written += [toml_table(name, fields) for name, fields in (tables or {}).items()]
    written += [toml_table("[[guard]]", fields) for fields in guards]
    path = folder / "hedgegridd.toml"
    path.write_text("\n".join(written))
    return RunConfig(path, {"CREDENTIALS_DIRECTORY": str(credentials)}, http_port, metrics_port)


@contextmanager
def daemon(
    folder: Path, venue: Exchange, grids: Sequence[Mapping[str, object]], *, deadline_s: float = 60.0
) -> Iterator[Daemon]:
    """Start the daemon against `venue` and wait until its socket answers; stopped at the end.

    READY is not waited for: the market may have to move first.
    """
    with running(write_config(folder, venue, grids), deadline_s=deadline_s) as bot:
        yield bot


@contextmanager
def running(
    config: RunConfig,
    *,
    log: str = "daemon.log",
    deadline_s: float = 60.0,
    entry: Sequence[str] = ("-m", "hedgegridd"),
) -> Iterator[Daemon]:
    """Start the daemon of a config and wait until its socket answers; stopped at the end if it still runs."""
    program = Program(["run", "-c", str(config.path)], config.folder / log, config.environment, entry=entry)
    try:
        control = _connect(program, config.folder / "control.sock", deadline_s)
        try:
            yield Daemon(program, control, f"http://127.0.0.1:{config.metrics_port}/metrics", config)
        finally:
            control.close()
    finally:
        program.stop(30)


def _connect(program: Program, path: Path, deadline_s: float) -> ControlSocket:
    end = time.monotonic() + deadline_s
    while True:
        program.check()
        try:
            return ControlSocket(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise ProgramError(
                    f"{path}: nobody answers after {deadline_s} s:\n{program.tail()}"
                ) from None
        time.sleep(POLL_S)

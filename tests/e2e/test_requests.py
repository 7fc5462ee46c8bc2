"""Ten thousand random requests to the real daemon's socket and HTTP: clear errors, no crash, nothing changed."""

import http.client
import json
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hedgegridd.control.keys import fingerprint, make
from hedgegridd.operations import REGISTRY
from tests.support.programs import Daemon, Exchange, exchange, running, until, write_config
from tests.support.truth import entries_at, exchange_books, instrument_of

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"
SEED = int(os.environ.get("FUZZ_SEED", "20220121"))
EACH = 2_500  # of four kinds: garbage and near-valid, to the socket and over HTTP
BATCH = 16  # lines under way at a time, as many as the socket reads ahead
GROWTH_MB = 24
STALE_S = 6  # after the market was paused: what the daemon makes of that has happened by then
GRID = {"instrument": f"{SYMBOL}-PERP", "policy": {"kind": "symmetric"}}

VALID: dict[str, dict[str, Any]] = {
    "flatten": {"side": "both"},
    "throttle": {"throttle": 0.5},
    "pause": {},
    "resume": {},
    "start": {},
    "stop": {},
    "mode": {"leg": "short", "mode": "tp_only"},
    "kill": {"reason": "x"},
    "rearm": {"reason": "x"},
}
"""Commands that would change something; each is spoiled in one place before it is sent to the socket."""
WRONG_VALUES: dict[str, tuple[Any, ...]] = {
    "side": ("", "LONGISH", 1, None, [], "x" * 500),
    "throttle": (-0.1, 1.01, "much", None, 1e308, "NaN", [], 0.12345678),
    "leg": ("", "up", 0, {}),
    "mode": ("", "paused", 7, None),
    "reason": (5, [], {"a": 1}, "x" * 501),
    "instrument": ("NOSUCH-PERP", 5, [], {}),
    "deadline_s": (0, -1, 301, "soon", None),
    "x\u0000": (1, "y"),
    "__class__": ("z",),
}


def near_valid(rng: random.Random) -> dict[str, Any]:
    """A request that is right but for one thing, so that it must be refused."""
    verb = rng.choice(list(VALID))
    args = dict(VALID[verb])
    request: dict[str, Any] = {"id": rng.randrange(1 << 40), "verb": verb, "args": args}
    match rng.randrange(5):
        case 0:
            request["verb"] = rng.choice(
                (verb.upper(), verb + " ", "", "panic", "__init__", verb[:-1] + "\u00e9")
            )
        case 1:
            args["instrument"] = rng.choice(WRONG_VALUES["instrument"])
        case 2:
            name = rng.choice([*args, "x\u0000", "__class__"])
            args[name] = rng.choice(WRONG_VALUES[name])
        case 3:
            request["args"] = rng.choice(([], 5, "x", True, [args], None))
        case _:
            request[rng.choice(("zz", "Verb", "role"))] = rng.choice((1, "admin", None))
    return request


def garbage(rng: random.Random) -> bytes:
    """Bytes without a newline: noise, a torn request, deep nesting, numbers that none can hold."""
    whole = json.dumps(near_valid(rng)).encode()
    made = rng.choice(
        (
            rng.randbytes(rng.randrange(1, 300)),
            whole[: rng.randrange(1, len(whole))],
            b"[" * rng.randrange(1, 3_000),
            b'{"verb":"throttle","args":{"throttle":' + b"9" * rng.randrange(400, 4_000) + b"}}",
            b'{"id":' + rng.randbytes(8) + b',"verb":"status"}',
            bytes([rng.randrange(256)]) + whole,
        )
    )
    return made.replace(b"\n", b" ").strip() or b"x"


class Line:
    """One connection to the socket; made anew when the daemon closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(self._path))
        self._lines = self._socket.makefile("rb")

    def ask(self, requests: list[bytes]) -> list[dict[str, Any]]:
        """The answers, one for each request."""
        self._socket.sendall(b"".join(request + b"\n" for request in requests))
        return [json.loads(self._lines.readline()) for _ in requests]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@pytest.fixture(scope="module")
def key() -> str:
    return make()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, key: str) -> Iterator[tuple[Exchange, Daemon]]:
    with at_rest(tmp_path_factory.mktemp("requests"), key) as made:
        yield made


@contextmanager
def at_rest(folder: Path, key: str) -> Iterator[tuple[Exchange, Daemon]]:
    """An exchange whose market stands still, and a daemon that has settled; `key` is an operator's."""
    keys = {"name": "test", "role": "operator", "sha256": fingerprint(key)}
    with (
        exchange(["--regime", "quiet", "--seed", "3"], folder / "exchange.log") as venue,
        running(write_config(folder, venue, [GRID], tables={"[[control.keys]]": keys})) as bot,
    ):
        until(lambda: bot.control.ask("ready")["ready"], "ready", 60, bot.program)
        until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "entries", 30, bot.program)
        venue.admin("POST", "/pause")
        until(
            lambda: _market_age(bot) > STALE_S and bot.control.ask("status")["settled"],
            "rest",
            30,
            bot.program,
        )
        yield venue, bot


def _market_age(bot: Daemon) -> Decimal:
    return min(bot.control.ask("status")["feeds"]["market_age_s"].values())


def state(venue: Exchange, bot: Daemon) -> dict[str, Any]:
    """All that a request could have changed."""
    status = bot.control.ask("status")
    view = instrument_of(status, SYMBOL)
    legs = {
        name: [leg[field] for field in ("mode", "latched", "quantity", "average_entry", "realized_usdt")]
        for name, leg in view["legs"].items()
    }
    return {
        "exchange": exchange_books(venue.truth(), SYMBOL),
        "orders ever": venue.truth()["orders"],
        "ledger": status["pnl"]["ledger_wallet_usdt"],
        "kill switch": status["kill_switch"]["state"],
        "flattens": status["flattens"],
        "view": [view[field] for field in ("trading", "paused", "throttle", "centre", "open_orders")],
        "legs": legs,
    }


def memory_mb(bot: Daemon) -> float:
    """Resident memory of the daemon."""
    pages = int(Path(f"/proc/{bot.program.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def to_socket(bot: Daemon, rng: random.Random, count: int) -> Counter[int]:
    """`count` garbage lines and as many near-valid ones; every answer is a problem that says what is wrong."""
    line = Line(bot.config.folder / "control.sock")
    seen: Counter[int] = Counter()
    for _ in range(count // BATCH + 1):
        noise = [garbage(rng) for _ in range(BATCH)]
        asked = [near_valid(rng) for _ in range(BATCH)]
        for answer in line.ask(noise):
            _is_clear(answer, noise)
            seen[answer["status"]] += 1
        by_id = {answer.get("id"): answer for answer in line.ask([json.dumps(a).encode() for a in asked])}
        for request in asked:
            answer = by_id[request["id"]] if request["id"] in by_id else by_id[None]
            _is_clear(answer, request)
            seen[answer["status"]] += 1
    line.close()
    return seen


def _is_clear(answer: Mapping[str, Any], request: object) -> None:
    assert answer["ok"] is False, (request, answer)
    assert 400 <= answer["status"] < 500, (request, answer)
    problem = answer["problem"]
    assert problem["title"], (request, answer)
    assert problem["detail"], (request, answer)
    assert "Traceback" not in json.dumps(answer)


def over_http(bot: Daemon, key: str, rng: random.Random, count: int) -> Counter[int]:
    """`count` lines of noise, and as many requests that are valid but for their key."""
    seen: Counter[int] = Counter()
    port = bot.config.http_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(count):
        _noise(port, rng)
        seen[0] += 1
        kind = REGISTRY.verbs[rng.choice(list(VALID))]
        headers = {"Content-Type": "application/json", **_wrong_key(key, rng)}
        connection.request(kind.method, rng.choice(kind.paths), json.dumps(VALID[kind.verb]), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        assert response.status in (401, 403, 429), (response.status, body)
        assert body["title"], body
        assert body["status"] == response.status
        seen[response.status] += 1
    connection.close()
    return seen


def _noise(port: int, rng: random.Random) -> None:
    """Bytes that are no HTTP, or hardly; the daemon answers 4xx or closes, and goes on."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        start = rng.choice(
            (b"", b"GET ", b"POST /flatten HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n")
        )
        raw.sendall(start + garbage(rng) + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        try:
            answer = raw.recv(65_536)
        except ConnectionResetError:
            return
        assert not answer or answer.split(maxsplit=2)[1][:1] == b"4", answer[:300]


def _wrong_key(key: str, rng: random.Random) -> dict[str, str]:
    wrong = rng.choice(("", key[:-1], key + "a", key.swapcase(), "x" * 4_000, make()))
    return rng.choice(
        (
            {},
            {"X-API-Key": wrong},
            {"Authorization": f"Bearer {wrong}"},
            {"X-Ops-Token": wrong},
            {"Authorization": wrong},
        )
    )


def test_ten_thousand_random_requests(rig: tuple[Exchange, Daemon], key: str) -> None:
    venue, bot = rig
    rng = random.Random(SEED)
    before = state(venue, bot)
    warm = EACH // 5
    seen = to_socket(bot, rng, warm) + over_http(bot, key, rng, warm)
    memory = memory_mb(bot)
    seen += to_socket(bot, rng, EACH - warm) + over_http(bot, key, rng, EACH - warm)
    grown = memory_mb(bot) - memory
    print(
        f"seed {SEED}: {seen.total()} requests, by status {dict(seen)} (0: noise); memory {memory:.0f} + {grown:.1f} MB"
    )
    assert seen.total() >= 4 * EACH
    bot.program.check()
    assert grown < GROWTH_MB
    assert state(venue, bot) == before
    log = bot.program.log.read_text()
    assert "http_failed" not in log
    assert "Traceback" not in log
    answer = bot.control.ask("throttle", throttle=0.5)
    assert answer["outcome"] == "done", "it still takes a good one"

"""`hedgegridd demo` as a visitor sees it: what it prints, what rests and fills at the exchange, how Ctrl-C ends it."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hedgegridd import demo
from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import (
    Exchange,
    JsonHttp,
    Program,
    ProgramError,
    daemon,
    exchange,
    printed_addresses,
    until,
)
from tests.support.truth import ENTRY_SIDE, LEGS, Coverage, entries_at, instrument_of

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"
SETTLE_S = 2.0
LOOK_S = 0.05
ASK_S = 1.0


@contextmanager
def started(tmp_path: Path) -> Iterator[Program]:
    """The demo in a session of its own, its temporary folder below ours; killed if the test leaves it running."""
    program = Program(["demo"], tmp_path / "demo.log", {"TMPDIR": str(tmp_path)}, own_session=True)
    try:
        yield program
    finally:
        program.stop(40)


def printed(program: Program) -> dict[str, str]:
    """The values that the demo printed behind READY by their names; empty until all are there."""
    lines = program.log.read_text().splitlines()
    if "READY" not in lines:
        return {}
    pairs = [line.split(maxsplit=1) for line in lines[lines.index("READY") + 1 :][:5]]
    return dict(pairs) if len(pairs) == 5 else {}


def fills_by_kind(venue: Exchange) -> set[tuple[str, str]]:
    """(leg, `entry` or `take-profit`) of every trade so far; a take-profit is a maker's exit, stops are takers'."""
    return {
        (row["positionSide"], "entry" if row["side"] == ENTRY_SIDE[row["positionSide"]] else "take-profit")
        for row in venue.user_trades(SYMBOL, 1)
        if row["maker"]
    }


def test_the_first_two_minutes_and_ctrl_c(tmp_path: Path) -> None:
    with started(tmp_path) as demo:
        said = until(lambda: printed(demo), "READY and the addresses", 60, demo)
        ready_at = time.monotonic()
        address, key = re.fullmatch(r"(http://127\.0\.0\.1:\d+) +\(X-API-Key: (\S+)\)", said["http"]).groups()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", said["metrics"])
        venue = Exchange(demo, printed_addresses(Path(said["logs"]) / "exchange.log"))
        web = JsonHttp(address)
        until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "entries on both legs", 10, demo)

        seen = _watch(demo, venue, web, key, ready_at + 120)
        print(f"after READY, s: {seen}")
        _write_over_http(web, address, key)

        began = time.monotonic()
        assert demo.stop(30, signal.SIGINT) == 0, demo.tail()
        print(f"Ctrl-C to the end: {time.monotonic() - began:.1f} s")
        assert "stopped: 0 entries left at the exchange, daemon exit 0" in demo.tail()
        assert "Traceback" not in demo.log.read_text()
        assert not Path(said["logs"]).exists()
        with pytest.raises(OSError):
            venue.admin("GET", "/health")
        web.close()
        venue.close()


def _watch(demo: Program, venue: Exchange, web: JsonHttp, key: str, end: float) -> dict[str, float]:
    """Look until all that is due has been seen; all that time every leg with inventory must be covered."""
    wanted = {(leg, kind) for leg in LEGS for kind in ("entry",)} | {
        ("any", "take-profit"),
        ("any", "recentre"),
    }
    seen: dict[tuple[str, str], float] = {}
    coverage = Coverage(SYMBOL, SETTLE_S)
    first_centre = _view(web, key)["centre"]
    start, ask_at = end - 120, 0.0
    while wanted - seen.keys():
        demo.check()
        assert time.monotonic() < end, f"two minutes after READY: {seen}, still due {wanted - seen.keys()}"
        coverage.look(venue.truth(), time.monotonic())
        time.sleep(LOOK_S)
        if time.monotonic() < ask_at:  # the venue's and the daemon's limits hold for us as well
            continue
        ask_at = time.monotonic() + ASK_S
        found = fills_by_kind(venue)
        found |= {("any", kind) for _, kind in found}
        if _view(web, key)["centre"] != first_centre:
            found.add(("any", "recentre"))
        for what in found & wanted:
            seen.setdefault(what, round(time.monotonic() - start, 1))
    print(f"{coverage.looks} looks, longest gap in the cover {coverage.longest_s:.2f} s")
    assert coverage.with_inventory > 20, "the demo hardly ever held anything: the cover was not tested"
    return {" ".join(what): at for what, at in seen.items()}


def _view(web: JsonHttp, key: str) -> dict[str, Any]:
    return dict(instrument_of(web.ask("GET", "/status", headers={"X-API-Key": key}), SYMBOL))


def _write_over_http(web: JsonHttp, address: str, key: str) -> None:
    answer = web.ask("POST", "/throttle", {"throttle": 0.5}, {"X-API-Key": key})
    assert answer["outcome"] == "done", answer
    assert Decimal(str(_view(web, key)["throttle"])) == Decimal("0.5")
    other = JsonHttp(address)
    with pytest.raises(ProgramError, match="401"):
        other.ask(
            "POST", "/throttle", {"throttle": 1}, {"X-API-Key": key[:-1] + ("a" if key[-1] != "a" else "b")}
        )
    other.close()
    assert Decimal(str(_view(web, key)["throttle"])) == Decimal("0.5")


def test_a_closed_terminal_ends_it_as_clean_as_ctrl_c(tmp_path: Path) -> None:
    with started(tmp_path) as demo:
        until(lambda: printed(demo), "READY and the addresses", 60, demo)
        assert demo.stop(40, signal.SIGHUP) == 0, demo.tail()
        assert "0 entries left at the exchange" in demo.tail()
        assert not list(tmp_path.glob("hedgegridd-*"))


@pytest.mark.parametrize("sign", ["exchange.log", "daemon.log", "state"])
def test_ctrl_c_while_starting(tmp_path: Path, sign: str) -> None:
    """As soon as the exchange, the daemon or the daemon's state is there; READY has not been said then."""
    with started(tmp_path) as demo:
        until(lambda: list(tmp_path.glob(f"hedgegridd-demo-*/{sign}")), f"{sign} is there", 30, demo)
        code = demo.stop(40, signal.SIGINT)
        text = demo.log.read_text()
        assert code == 0, text
        assert "Traceback" not in text
        assert "0 entries left at the exchange" in text
        assert not list(tmp_path.glob("hedgegridd-demo-*"))


def test_sigint_of_the_daemon_leaves_no_entry_at_an_exchange_that_lives_on(tmp_path: Path) -> None:
    """What the demo says of itself, asked of an exchange that the demo does not own."""
    options = ["--seed", "1", "--speed", "60"]
    with (
        exchange(options, tmp_path / "exchange.log") as venue,
        daemon(tmp_path, venue, [{"instrument": f"{SYMBOL}-PERP"}]) as bot,
    ):
        until(
            lambda: all(entries_at(venue.truth(), SYMBOL).values()),
            "entries on both legs",
            30,
            bot.program,
        )
        until(lambda: _held(venue.truth()), "inventory", 60, bot.program)
        assert bot.program.stop(30, signal.SIGINT) == 0, bot.program.tail()
        truth = venue.truth()
        assert entries_at(truth, SYMBOL) == {"LONG": [], "SHORT": []}
        venue.admin("POST", "/pause")
        truth = venue.truth()
        assert entries_at(truth, SYMBOL) == {"LONG": [], "SHORT": []}
        _exits_stay(truth)


def _held(truth: dict[str, Any]) -> bool:
    return any(Decimal(leg["qty"]) for leg in truth["legs"].values())


def _exits_stay(truth: dict[str, Any]) -> None:
    """Inventory that was left keeps its take-profits and its stop; the market ran on, so less may be there now."""
    for name in LEGS:
        left = Decimal(truth["legs"][f"{SYMBOL}:{name}"]["qty"])
        profits = [
            Decimal(order["origQty"]) - Decimal(order["executedQty"])
            for order in truth["open_orders"]
            if order["positionSide"] == name
            and parse_client_order_id(order["clientOrderId"]).purpose is Purpose.TAKE_PROFIT
        ]
        assert sum(profits, Decimal(0)) == left, json.dumps(truth)
        stops = [
            algo for algo in truth["algo_orders"] if algo["positionSide"] == name and algo["closePosition"]
        ]
        assert stops or not left


async def test_a_port_that_is_taken_in_between_costs_one_more_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        found = demo.free_port
        monkeypatch.setattr(demo, "free_port", lambda preferred: taken if preferred == 8080 else found(0))
        made = demo.Demo(tmp_path, seed=1, speed=60, seconds=1)
        assert await made.run() == 0
    assert made.http != taken
    assert f"http://127.0.0.1:{made.http} " in capsys.readouterr().out

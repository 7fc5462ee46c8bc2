"""The replay driver itself: it passes equal books, and finds every lie it is there to find."""

import argparse
import copy
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.replay import Deadlines, Replay, grid_of
from hedgegridd.config_load import load
from tests.support.programs import parse_metrics, write_config
from tests.support.truth import Trades, expected_metrics, metric_differences

SYMBOL = "BTCUSDT"


def limit(
    client_id: str, leg: str, side: str, price: str, qty: str, *, filled: str = "0.000"
) -> dict[str, Any]:
    return {
        "clientOrderId": client_id, "symbol": SYMBOL, "positionSide": leg, "side": side, "price": price,
        "origQty": qty, "executedQty": filled,
    }  # fmt: skip


def stop(client_id: str, leg: str, side: str, trigger: str) -> dict[str, Any]:
    return {
        "clientAlgoId": client_id, "symbol": SYMBOL, "positionSide": leg, "side": side, "triggerPrice": trigger,
        "quantity": "0.000", "closePosition": True,
    }  # fmt: skip


TRUTH: dict[str, Any] = {
    "wallet": "100001.23450000",
    "realised": "2.0",
    "fees": "0.7655",
    "funding": "0",
    "unrealised": "-1.5",
    "margin_balance": "99999.7345",
    "maintenance_margin": "1.878",
    "deposits": "100000",
    "orders": 7,
    "legs": {
        "BTCUSDT:LONG": {"qty": "0.010", "entry": "47000.333333333"},
        "BTCUSDT:SHORT": {"qty": "0", "entry": "0"},
    },
    "open_orders": [
        limit("E2", "LONG", "BUY", "46700.0", "0.010"),
        limit("E1s", "SHORT", "SELL", "47300.0", "0.010", filled="0.002"),
        limit("T1", "LONG", "SELL", "47700.0", "0.010"),
    ],
    "algo_orders": [stop("S1", "LONG", "SELL", "45000.0")],
    "marks": {SYMBOL: "46950.0"},
    "market_ms": 1_641_000_060_000,
    "invariant": "ok",
}


def order(
    client_id: str, leg: str, side: str, price: str, qty: str | None, *, filled: str = "0"
) -> dict[str, Any]:
    algo = client_id.startswith("S")
    return {
        "client_order_id": client_id, "instrument": "BTCUSDT-PERP.BINANCE", "leg": leg, "side": side,
        "price": None if algo else price, "stop_price": price if algo else None, "quantity": qty, "filled": filled,
        "status": "WORKING", "algo": algo,
    }  # fmt: skip


ORDERS: dict[str, Any] = {
    "orders": [
        order("E2", "LONG", "BUY", "46700.0", "0.01"),
        order("E1s", "SHORT", "SELL", "47300.0", "0.01", filled="0.002"),
        order("T1", "LONG", "SELL", "47700.0", "0.01"),
        order("S1", "LONG", "SELL", "45000.0", None),
    ]
}
STATUS: dict[str, Any] = {
    "settled": True,
    "feeds": {},
    "pnl": {"ledger_wallet_usdt": "100001.2345"},
    "instruments": [
        {
            "instrument": "BTCUSDT-PERP.BINANCE",
            "recentres": 2,
            "entries_dropped": 0,
            "legs": {
                "LONG": {"quantity": "0.01", "average_entry": "47000.33", "peak_lots": 3},
                "SHORT": {"quantity": "0", "average_entry": None, "peak_lots": 1},
            },
        }
    ],
}


def metrics_text() -> str:
    lines = []
    for name, value in expected_metrics(TRUTH, SYMBOL, Decimal("0.0001"), Trades(fills=4, maker=3)).items():
        lines += [
            f"# TYPE {name} gauge",
            f'{name}{{instrument="BTCUSDT-PERP.BINANCE"}} {3.0 if value is None else float(value)!r}',
        ]
    return "\n".join(lines) + "\n"


class FakeVenue:
    """An exchange whose account is what a test says; `truths` are given one after the other, the last for ever."""

    def __init__(self, *truths: dict[str, Any]) -> None:
        self._truths = list(truths)
        self.program = SimpleNamespace(check=lambda: None)
        self.steps: list[int] = []

    def step(self, ms: int, _quiet_ms: int, _timeout_ms: int) -> dict[str, Any]:
        self.steps.append(ms)
        return {"market_ms": sum(self.steps), "settled": True, "ended": len(self.steps) > 40}

    def truth(self) -> dict[str, Any]:
        return self._truths.pop(0) if len(self._truths) > 1 else self._truths[0]

    def premium_index(self, _symbol: str) -> dict[str, Any]:
        return {"lastFundingRate": "0.00010000"}

    def user_trades(self, _symbol: str, from_id: int) -> list[dict[str, Any]]:
        return [{"id": i, "maker": i < 4} for i in range(max(1, from_id), 5)]


class FakeBot:
    """A daemon that answers what a test says."""

    def __init__(self, status: dict[str, Any], orders: dict[str, Any], metrics: str, held: int = 0) -> None:
        self.program = SimpleNamespace(check=lambda: None, tail=lambda: "")
        self._answers = {"status": status, "orders": orders}
        self._not_ready = 3
        self._held = held
        self._metrics = metrics
        self.control = self

    def ask(self, verb: str) -> dict[str, Any]:
        if verb == "ready":
            self._not_ready -= 1
            return {"ready": self._not_ready < 0}
        held = ["guard:stale_market"] if -self._not_ready <= self._held else []
        return {"holds": held, **self._answers[verb]}

    def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        return parse_metrics(self._metrics)


def replay(venue: FakeVenue, bot: FakeBot, minutes: int = 10, cover_s: float = 0.0) -> Replay:
    options = argparse.Namespace(symbol=SYMBOL, minutes=minutes, points=3, seed=1, quiet_ms=0)
    return Replay(venue, bot, options, Deadlines(ready_s=5.0, cover_s=cover_s, point_s=0.0))  # type: ignore[arg-type]


def run(
    *truths: dict[str, Any],
    status: dict[str, Any] | None = None,
    orders: dict[str, Any] | None = None,
    metrics: str | None = None,
) -> Replay:
    bot = FakeBot(status or STATUS, orders or ORDERS, metrics or metrics_text())
    found = replay(FakeVenue(*(truths or (TRUTH,))), bot)
    found.run()
    return found


def test_equal_books_and_metrics_pass() -> None:
    found = run()
    assert found.outcome.findings == []
    assert (found.outcome.minutes, found.outcome.points, found.outcome.late_covers) == (10, 4, 0)
    summary = found.summary(2.0)
    assert (summary["fills"], summary["maker_fills"], summary["recentres"]) == (4, 3, 2)
    assert summary["peak_lots"] == {"LONG": 3, "SHORT": 1}
    assert summary["speed_x"] == 300


@pytest.mark.parametrize("held", [0, 2])
def test_the_market_moves_until_ready_and_not_held_and_then_to_a_full_minute(held: int) -> None:
    venue = FakeVenue(TRUTH)
    replay(venue, FakeBot(STATUS, ORDERS, "", held)).prepare()
    assert venue.steps == [1000] * (4 + held) + [60_000 - 1000 * (4 + held)]


def test_a_run_ends_with_the_data() -> None:
    venue = FakeVenue(TRUTH)
    found = replay(venue, FakeBot(STATUS, ORDERS, metrics_text()), minutes=1000)
    found.run()
    assert found.outcome.minutes == 41


def changed(source: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    copied = copy.deepcopy(source)
    change(copied)
    return copied


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("status", lambda s: s["pnl"].update(ledger_wallet_usdt="100001.2400"), "wallet"),
        ("status", lambda s: s["pnl"].update(ledger_wallet_usdt=None), "lacks a figure"),
        ("status", lambda s: s.update(pnl=None), "lacks a figure"),
        ("status", lambda s: s.update(settled=False), "not settled"),
        ("status", lambda s: s["instruments"][0]["legs"]["LONG"].update(quantity="0.011"), "LONG quantity"),
        (
            "status",
            lambda s: s["instruments"][0]["legs"]["LONG"].update(average_entry="47000.32"),
            "LONG average",
        ),
        ("status", lambda s: s["instruments"][0]["legs"]["SHORT"].update(quantity="0.001"), "SHORT quantity"),
        ("orders", lambda o: o["orders"].pop(0), "order E2: .* daemon has none"),
        (
            "orders",
            lambda o: o["orders"].append(order("E9", "LONG", "BUY", "1", "1")),
            "order E9: exchange has none",
        ),
        ("orders", lambda o: o["orders"][0].update(price="46700.1"), "order E2"),
        ("orders", lambda o: o["orders"][1].update(filled="0"), "order E1s"),
        ("orders", lambda o: o["orders"][0].update(status="UNKNOWN"), "UNKNOWN"),
        ("orders", lambda o: o["orders"].pop(), "order S1: exchange algo SELL LONG"),
        ("orders", lambda o: o["orders"][3].update(stop_price="45000.1"), "order S1"),
    ],
)
def test_every_lie_of_the_daemon_is_found(
    part: str, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    found = run(**{part: changed({"status": STATUS, "orders": ORDERS}[part], change)})  # type: ignore[arg-type]
    assert len(found.outcome.findings) >= found.outcome.points == 4
    assert any(re.search(words, line) for line in found.outcome.findings)


@pytest.mark.parametrize("name", sorted(expected_metrics(TRUTH, SYMBOL, Decimal(0), Trades(fills=1))))
def test_every_metric_is_compared_and_must_be_there(name: str) -> None:
    lines = metrics_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{name}{{"))
    absent = [line for i, line in enumerate(lines) if i != at]
    value = float(lines[at].split()[-1])
    wrong = [*lines[:at], f"{lines[at].split()[0]} {-5.0 if value == 0 else value * -1.1}", *lines[at + 1 :]]
    for text in (absent, wrong):
        findings = run(metrics="\n".join(text) + "\n").outcome.findings
        assert len(findings) == 4
        assert all(f"metrics: {name}: " in line for line in findings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["algo_orders"].pop(), "without a stop"),
        (lambda t: t["algo_orders"][0].update(closePosition=False, quantity="0.010"), "without a stop"),
        (lambda t: t["algo_orders"][0].update(side="BUY"), "without a stop"),
        (lambda t: t["open_orders"].pop(), "take-profits cover 0"),
        (lambda t: t["open_orders"][2].update(executedQty="0.004"), "take-profits cover 0.006"),
        (lambda t: t["open_orders"].append(limit("T9", "SHORT", "BUY", "1", "1")), "SHORT holds 0, its take"),
    ],
)
def test_inventory_without_its_exits_is_found_after_every_step(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    found = run(changed(TRUTH, change))
    covers = [line for line in found.outcome.findings if "cover: " in line]
    assert len(covers) == found.outcome.minutes == found.outcome.late_covers
    assert words in covers[0]


def test_a_cover_that_comes_late_is_counted_but_no_difference() -> None:
    naked = changed(TRUTH, lambda t: t["algo_orders"].pop())
    found = replay(FakeVenue(naked, TRUTH), FakeBot(STATUS, ORDERS, metrics_text()), cover_s=2.0)
    found.run()
    assert (found.outcome.late_covers, found.outcome.findings_total) == (1, 0)
    assert found.outcome.slowest_cover_s > 0


def test_a_ratio_of_nothing_must_be_absent() -> None:
    expected = expected_metrics(TRUTH, SYMBOL, Decimal(0), Trades())
    name = "hedgegrid_maker_ratio"
    said = parse_metrics(metrics_text())
    found = [line for line in metric_differences(said, expected, SYMBOL, 60.0) if name in line]
    assert found == [f"{name}: [0.75], expected to be absent"]
    assert not [x for x in metric_differences({}, expected, SYMBOL, 60.0) if name in x]


def test_a_broken_invariant_of_the_exchange_is_a_difference() -> None:
    assert "exchange: off" in run(changed(TRUTH, lambda t: t.update(invariant="off"))).outcome.findings[0]


def test_the_written_config_is_one_the_daemon_reads(tmp_path: Path) -> None:
    venue = SimpleNamespace(rest="http://127.0.0.1:1", websocket="ws://127.0.0.1:1", key="k", secret="s")
    grid = grid_of(SYMBOL, ["step_bps=60", "stops=leg+lots", "enabled=true", "regime.adx_len=20"])
    written = write_config(tmp_path, venue, [grid])  # type: ignore[arg-type]
    read = load(written.path)
    assert (read.grid[0].step_bps, read.grid[0].stops, read.grid[0].regime.adx_len) == (
        Decimal(60),
        "leg+lots",
        20,
    )
    assert (read.venue.rest_url, read.metrics.port) == ("http://127.0.0.1:1", written.metrics_port)
    assert read.control.http_port == written.http_port
    secret = Path(written.environment["CREDENTIALS_DIRECTORY"]) / "venue_api_secret"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("s", 0o600)


@pytest.mark.parametrize("text", ["step_bps", "step_bps.x=1"])
def test_a_bad_override_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="--grid"):
        grid_of(SYMBOL, ["step_bps=1", text])

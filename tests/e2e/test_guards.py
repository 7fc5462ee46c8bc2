"""Guards on the real process: a breach at the paper exchange, what was done about it there, and how it is left."""

import hashlib
import hmac
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import (
    Daemon,
    Exchange,
    JsonHttp,
    ProgramError,
    exchange,
    running,
    until,
    write_config,
)
from tests.support.truth import ENTRY_SIDE, LEGS, entries_at, exchange_books, uncovered

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"
INSTRUMENT = f"{SYMBOL}-PERP.BINANCE"
GRID = {
    "instrument": f"{SYMBOL}-PERP",
    "step_bps": 20,
    "levels_long": 6,
    "levels_short": 6,
    "base_qty": Decimal("0.01"),
    "qty_scale": 1,
    "tp_steps": 40,
    "sl_steps": 90,  # no stop is met on the way down
    "recenter_trigger_bps": 3000,
    "policy": {"kind": "symmetric"},
    "funding": {"window_min": 0},
}


class Rig:
    """Exchange and daemon, and what these tests do with them."""

    def __init__(self, venue: Exchange, bot: Daemon) -> None:
        self.venue = venue
        self.bot = bot

    def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        return self.bot.control.ask(verb, **fields)

    def wait(self, look: Any, what: str, deadline_s: float = 30) -> Any:
        return until(look, what, deadline_s, self.bot.program)

    def entries(self) -> int:
        return sum(map(len, entries_at(self.venue.truth(), SYMBOL).values()))

    def quantity(self, leg: str) -> Decimal:
        return Decimal(self.venue.truth()["legs"][f"{SYMBOL}:{leg}"]["qty"])

    def jump(self, factor: str) -> None:
        self.venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": factor})

    def fill(self, leg: str, rungs: int) -> None:
        """Move price through so many entries of a leg, and wait until what they bought is covered."""
        orders = exchange_books(self.venue.truth(), SYMBOL).orders.values()
        prices = sorted(o.price for o in orders if o.leg == leg and o.side == ENTRY_SIDE[leg])
        last = Decimal(self.venue.premium_index(SYMBOL)["indexPrice"])
        price = prices[-rungs] * Decimal("0.9995") if leg == "LONG" else prices[rungs - 1] * Decimal("1.0005")
        self.jump(f"{price / last:.6f}")
        self.wait(
            lambda: self.quantity(leg) > 0 and not uncovered(self.venue.truth(), SYMBOL), f"{leg} covered"
        )

    def guard(self, name: str) -> dict[str, Any]:
        """The worst that a guard says."""
        return next(item for item in self.ask("guards")["guards"] if item["guard"] == name)

    def kill_state(self) -> str:
        return str(self.ask("status")["kill_switch"]["state"])


@contextmanager
def rig(folder: Path, guards: Sequence[Mapping[str, object]] = ()) -> Iterator[Rig]:
    options = ["--speed", "30", "--regime", "quiet", "--seed", "4", "--no-rate-limits"]
    with exchange(options, folder / "exchange.log") as venue:
        with running(write_config(folder, venue, [GRID], guards=guards)) as bot:
            made = Rig(venue, bot)
            made.wait(lambda: made.ask("ready")["ready"], "ready", 60)
            made.wait(lambda: made.entries() >= 10, "the rungs rest", 60)
            yield made


def test_a_fall_of_the_price_trips_the_drawdown_and_the_exchange_is_flat(tmp_path: Path) -> None:
    # The mark follows a jump slowly, so the close is far from it: that is another guard's matter.
    guards = [
        {"type": "session_drawdown", "trip_pct": Decimal("0.05")},
        {"type": "slippage", "enabled": False},
    ]
    with rig(tmp_path, guards) as r:
        calm = r.ask("guards")
        assert {item["level"] for item in calm["guards"]} == {"OK"}, calm
        assert calm["holds"] == []
        r.jump("0.965")
        r.wait(lambda: r.kill_state() == "HALTED", "halted")
        truth = r.venue.truth()
        assert all(r.quantity(leg) == 0 for leg in LEGS)
        assert exchange_books(truth, SYMBOL).orders == {}
        kill = r.ask("status")["kill_switch"]
        assert "session_drawdown: fall from the peak since start" in kill["cause"]
        assert r.bot.metrics()["hedgegrid_guard_utilization_ratio"][("guard", "session_drawdown"),] > 1
        told = r.guard("session_drawdown")
        assert (told["level"], told["limit"]) == ("WARN", "0.05")
        assert "rearm begins it anew" in told["message"]
        r.ask("rearm", reason="seen")
        assert r.kill_state() == "ARMED"
        r.wait(lambda: r.entries() > 0, "entries come back")
        assert r.guard("session_drawdown")["level"] == "OK"


def test_dear_funding_trims_the_leg_that_pays_once(tmp_path: Path) -> None:
    with rig(tmp_path) as r:
        r.fill("LONG", 4)
        before = r.quantity("LONG")
        r.venue.admin("POST", "/funding", {"symbol": SYMBOL, "rate": "0.004"})
        r.wait(lambda: r.quantity("LONG") < before, "trimmed")
        told = r.guard("funding_cost")
        assert (told["level"], told["leg"]) == ("CRITICAL", "LONG")
        r.wait(lambda: r.ask("status")["settled"], "settled")
        assert before * Decimal("0.6") <= r.quantity("LONG") <= before * Decimal("0.75")
        left = r.quantity("LONG")
        bars = r.ask("health")["last_bar_timestamp"]
        r.wait(lambda: r.ask("health")["last_bar_timestamp"] >= bars + 180, "three bars")
        assert r.quantity("LONG") >= left, "once a settlement"
        assert not uncovered(r.venue.truth(), SYMBOL)


def test_a_deleveraging_halts_the_instrument_until_rearm(tmp_path: Path) -> None:
    with rig(tmp_path) as r:
        r.fill("LONG", 3)
        r.venue.admin("POST", "/deleverage", {"symbol": SYMBOL, "leg": "LONG", "qty": "0.004"})
        r.wait(lambda: r.entries() == 0, "entries gone")
        r.wait(lambda: r.ask("status")["trips"], "a trip")
        (trip,) = r.ask("status")["trips"]
        assert (trip["guard"], trip["action"]) == ("venue_action", "halt"), trip
        r.wait(lambda: not uncovered(r.venue.truth(), SYMBOL), "inventory keeps its exits")
        assert r.quantity("LONG") > 0
        assert r.kill_state() == "ARMED", "the account itself goes on"
        r.wait(lambda: r.guard("venue_action")["level"] == "OK", "the act is over")
        r.ask("rearm", reason="seen", instrument=INSTRUMENT)
        r.wait(lambda: r.entries() > 0, "entries come back")


FALLS = [
    {"type": "session_loss", "trip_usdt": 20},
    {"type": "peak_drawdown", "trip_pct": Decimal("0.02")},
    {"type": "daily_loss", "trip_usdt": 20, "action": "flatten"},
    {"type": "equity_floor", "trip_usdt": 99_970, "cooldown_s": 60},
    {"type": "margin_ratio", "trip_ratio": Decimal("0.00005")},
]


@pytest.mark.parametrize("guard", FALLS, ids=[str(each["type"]) for each in FALLS])
def test_each_guard_of_money_ends_flat_at_the_exchange(guard: dict[str, Any], tmp_path: Path) -> None:
    with rig(tmp_path, [guard]) as r:
        r.jump("0.975")
        r.wait(lambda: r.kill_state() == "HALTED", "halted")
        assert all(r.quantity(leg) == 0 for leg in LEGS)
        assert exchange_books(r.venue.truth(), SYMBOL).orders == {}
        status = r.ask("status")
        assert status["kill_switch"]["cause"].startswith(f"{guard['type']}: "), status["kill_switch"]
        if guard["type"] == "equity_floor":
            with pytest.raises(ProgramError, match="cooling down"):
                r.ask("rearm", reason="too early")


def test_guards_of_size_hold_entries_and_let_go_when_the_inventory_is_gone(tmp_path: Path) -> None:
    guards = [
        {"type": "leverage", "trip_ratio": Decimal("0.005"), "clear_s": 1},
        {"type": "exposure", "trip_usdt": 500, "trip_total_usdt": 600, "clear_s": 1},
        {"type": "position_notional", "trip_leg_usdt": 500, "clear_s": 1},
        {"type": "slippage", "enabled": False},
    ]
    with rig(tmp_path, guards) as r:
        r.fill("LONG", 2)
        r.wait(lambda: r.entries() == 0, "entries gone")
        r.wait(lambda: not uncovered(r.venue.truth(), SYMBOL), "inventory keeps its exits")
        held = {hold["key"].split(":")[1] for hold in r.ask("guards")["holds"]}
        assert held == {"leverage", "exposure", "position_notional"}
        status = r.ask("status")
        assert (status["state"], status["safe"]) == ("HELD", "yes")
        assert r.kill_state() == "ARMED"
        assert r.bot.metrics()["hedgegrid_guard_status"][("guard", "leverage"),] == 3
        r.ask("flatten", side="both", reason="test")
        r.ask("resume")
        r.wait(lambda: r.entries() > 0, "entries come back")
        assert r.ask("guards")["holds"] == []


def cancel_by_hand(venue: Exchange, algo_id: int) -> None:
    """Somebody cancels a conditional order in the venue's own app."""
    stamp = time.time_ns() // 1_000_000
    query = urllib.parse.urlencode(
        {"symbol": SYMBOL, "algoId": algo_id, "recvWindow": 60_000, "timestamp": stamp}
    )
    signature = hmac.new(venue.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    public = JsonHttp(venue.rest)
    path = f"/fapi/v1/algoOrder?{query}&signature={signature}"
    public.ask("DELETE", path, headers={"X-MBX-APIKEY": venue.key})
    public.close()


def test_a_leg_that_gets_no_stop_any_more_is_closed(tmp_path: Path) -> None:
    with rig(tmp_path, [{"type": "stop_missing", "trip_s": 4}]) as r:
        r.fill("LONG", 2)
        (stop,) = [each for each in r.venue.truth()["algo_orders"] if each["positionSide"] == "LONG"]
        refused = {"path": "/fapi/v1/algoOrder", "method": "POST", "status": 400, "code": -4045}
        r.venue.admin(
            "POST",
            "/faults",
            {"target": "rest", "kind": "status_before", "msg": "Reach max stop order limit.", **refused},
        )
        cancel_by_hand(r.venue, stop["algoId"])
        r.wait(lambda: r.ask("status")["trips"], "a trip")
        r.wait(lambda: r.quantity("LONG") == 0, "the leg is closed")
        (trip,) = r.ask("status")["trips"]
        assert (trip["guard"], trip["action"], trip["leg"]) == ("stop_missing", "flatten", "LONG"), trip
        assert r.kill_state() == "ARMED", "the other leg's matter it is not"

"""`flatten` on real processes under 15,000 ticks a second and 100 resting orders, judged by the exchange's truth."""

import threading
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.support.programs import (
    ControlSocket,
    Daemon,
    Exchange,
    ProgramError,
    exchange,
    running,
    until,
    write_config,
)
from tests.support.truth import ENTRY_SIDE, LEGS, entries_at, exchange_books, instrument_of, uncovered

pytestmark = [pytest.mark.e2e, pytest.mark.alone]
SYMBOL = "BTCUSDT"
SPEED = 60  # a bar each second
TICK_RATE = 15_000
ENOUGH_TICKS = 12_000  # in a second, seen by the daemon: the rest is what a busy machine may lose
RESTING = 96  # of 100 rungs: one or two of each leg are filled and have an exit instead
WINDOW_S = 0.5  # over which their rate is measured
TICKS_TO_FILL = 500  # after a jump, for a match and its fills
BARS_WATCHED = 3
STOP_GAP_S = 2.0
BAR_S = 60
DEADLINE_S = 30.0
# Closes far from where they were decided and hundreds of orders within seconds are these tests' own doing.
GUARDS = [{"type": "slippage", "enabled": False}, {"type": "call_quota", "enabled": False}]
GRID = {
    "instrument": f"{SYMBOL}-PERP",
    "step_bps": 9,
    "levels_long": 50,
    "levels_short": 50,
    "base_qty": Decimal("0.002"),
    "qty_scale": 1,
    "tp_steps": 30,  # and a jump to a leg's rung must not close the other leg
    "sl_steps": 60,  # a jump that moves the grid must leave inventory behind to flatten
    "recenter_trigger_bps": 150,
    "policy": {"kind": "symmetric"},
    "funding": {"window_min": 0},
}


class Rig:
    """Exchange and daemon, and what these tests do with them."""

    def __init__(self, venue: Exchange, bot: Daemon) -> None:
        self.venue = venue
        self.bot = bot
        self.rate = 0.0
        self._window: tuple[float, float] | None = None
        self.other = ControlSocket(bot.config.folder / "control.sock", timeout_s=DEADLINE_S + 10)

    def entries(self) -> dict[str, list[str]]:
        """Entries at the exchange by leg."""
        return entries_at(self.venue.truth(), SYMBOL)

    def quantity(self, leg: str) -> Decimal:
        """Inventory of a leg at the exchange."""
        return Decimal(self.venue.truth()["legs"][f"{SYMBOL}:{leg}"]["qty"])

    def wait(self, look: Any, what: str, deadline_s: float = 30) -> Any:
        """`until` with the daemon's log."""
        return until(look, what, deadline_s, self.bot.program)

    def ticks(self) -> float:
        """Ticks that the daemon has taken so far."""
        return self.bot.metrics()["hedgegrid_ticks_total"][()]

    def prepare(self) -> None:
        """100 rungs, inventory on both legs with exits and stops, ticks at their full rate."""
        self.bot.control.ask("resume")
        self.bot.control.ask("throttle", throttle=1)
        self.wait(lambda: sum(map(len, self.entries().values())) >= RESTING, "the rungs rest")
        for leg in LEGS:
            self._fill(leg)
        self.wait(lambda: not uncovered(self.venue.truth(), SYMBOL), "all inventory covered")
        assert all(self.quantity(leg) for leg in LEGS)
        self.wait(self._fast, f"{ENOUGH_TICKS} ticks in a second", 60)

    def _fill(self, leg: str) -> None:
        """Move price just through the nearest entry of the leg, by as many jumps as it takes."""

        def moved() -> bool:
            if self.quantity(leg):
                return True
            orders = exchange_books(self.venue.truth(), SYMBOL).orders
            prices = [o.price for o in orders.values() if o.leg == leg and o.side == ENTRY_SIDE[leg]]
            last = Decimal(self.venue.premium_index(SYMBOL)["indexPrice"])
            factor = (
                max(prices) / last * Decimal("0.9998")
                if leg == "LONG"
                else min(prices) / last * Decimal("1.0002")
            )
            self.jump(f"{factor:.6f}")
            due = self._fed() + TICKS_TO_FILL
            self.wait(lambda: self._fed() >= due, "the market moves on")
            return False

        self.wait(moved, f"inventory on {leg}")

    def _fed(self) -> int:
        """Ticks that the exchange has had so far."""
        return int(self.venue.admin("GET", "/health")["ticks"])

    def _fast(self) -> bool:
        now, ticks = time.monotonic(), self.ticks()
        since, before = self._window or (now, ticks)
        if now - since < WINDOW_S:
            self._window = (since, before)
            return False
        self._window = None
        self.rate = (ticks - before) / (now - since)
        return self.rate >= ENOUGH_TICKS

    def jump(self, factor: str) -> None:
        """Price times `factor` from the next tick on."""
        self.venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": factor})


class Asked:
    """A flatten under way in a thread of its own, the exchange looked at all the time."""

    def __init__(self, rig: Rig, side: str) -> None:
        self._rig = rig
        self._side = side
        self.legs: Sequence[str] = LEGS if side == "both" else (side.upper(),)
        self.answer: dict[str, Any] = {}
        self.error: ProgramError | OSError | None = None
        self.looks = 0
        self.naked_s = 0.0
        self._naked_since: float | None = None
        self.began = time.monotonic()
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self.answer = self._rig.other.ask(
                "flatten", side=self._side, reason="test", deadline_s=DEADLINE_S
            )
        except (ProgramError, OSError) as error:  # told by the test's own thread
            self.error = error
        self.took_s = time.monotonic() - self.began

    def look(self) -> dict[str, Any]:
        """One reading of the exchange: a leg that holds something has its stop, but for the moment it is moved."""
        truth = self._rig.venue.truth()
        now = time.monotonic()
        missing = [line for line in uncovered(truth, SYMBOL) if "without a stop" in line]
        self._naked_since = (self._naked_since or now) if missing else None
        naked_s = now - (self._naked_since or now)
        self.naked_s = max(self.naked_s, naked_s)
        assert naked_s <= STOP_GAP_S, missing
        self.looks += 1
        return truth

    def finished(self) -> None:
        """Wait for the answer: it is verified, and the exchange has nothing left on the legs."""
        while self._thread.is_alive():
            self.look()
            self._rig.bot.program.check()
            self._thread.join(0.01)
        if self.error is not None:
            raise self.error
        truth = self._rig.venue.truth()
        assert self.answer["verified"] is True, self.answer
        assert self.answer["residual_orders"] == 0
        for leg in self.legs:
            assert Decimal(truth["legs"][f"{SYMBOL}:{leg}"]["qty"]) == 0, self.answer
            left = [o for o in exchange_books(truth, SYMBOL).orders.values() if o.leg == leg]
            assert left == [], self.answer
        print(
            f"flatten {self._side}: asked to verified {self.took_s * 1000:.0f} ms (the daemon says {self.answer['after_s']} s), "
            f"{self.looks} looks, stop missing for {self.naked_s * 1000:.0f} ms; ticks before it {self._rig.rate:.0f}/s; proof {self.answer['proof']}"
        )


class OtherLeg:
    """What a leg that was not asked for has; only its own fills may change that."""

    def __init__(self, rig: Rig, leg: str) -> None:
        self._rig = rig
        self._leg = leg
        self._orders = self._now()
        self._qty = rig.quantity(leg)
        self._trade = max((row["id"] for row in self._trades(1)), default=0)

    def _now(self) -> set[int]:
        truth = self._rig.venue.truth()
        orders = {o["orderId"] for o in truth["open_orders"] if o["positionSide"] == self._leg}
        return orders | {o["algoId"] for o in truth["algo_orders"] if o["positionSide"] == self._leg}

    def _trades(self, first: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while page := self._rig.venue.user_trades(SYMBOL, first):
            rows += page
            first = page[-1]["id"] + 1
        return rows

    def check(self) -> None:
        """Orders that went were filled by the market; inventory is what it was and those fills."""
        self._rig.venue.admin("POST", "/pause")
        try:
            since = [row for row in self._trades(self._trade + 1) if row["positionSide"] == self._leg]
            gone = self._orders - self._now()
            assert gone <= {row["orderId"] for row in since}, f"{self._leg}: orders went without a fill"
            signed = sum(
                (Decimal(r["qty"]) * (1 if r["side"] == ENTRY_SIDE[self._leg] else -1) for r in since),
                Decimal(0),
            )
            assert self._rig.quantity(self._leg) == self._qty + signed
            assert self._qty > 0
            assert len(self._orders) > 40
        finally:
            self._rig.venue.admin("POST", "/resume")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("flatten")
    options = [
        "--speed",
        str(SPEED),
        "--tick-rate",
        str(TICK_RATE // SPEED),
        "--regime",
        "quiet",
        "--seed",
        "4",
    ]
    with exchange([*options, "--no-rate-limits"], folder / "exchange.log") as venue:
        tables = {"[journal]": {"snapshot_every": 20_000}}
        config = write_config(folder, venue, [GRID], tables=tables, guards=GUARDS)
        with running(config) as bot:
            until(lambda: bot.control.ask("ready")["ready"], "ready", 60, bot.program)
            made = Rig(venue, bot)
            try:
                yield made
            finally:
                made.other.close()


def stays_away(rig: Rig, legs: Sequence[str]) -> None:
    """Over several bars, with price on the move, no entry of the legs comes back by itself."""

    def bar() -> float:
        return float(instrument_of(rig.bot.control.ask("status"), SYMBOL)["last_bar_timestamp"])

    first = bar()

    def watched() -> bool:
        there = rig.entries()
        assert not any(there[leg] for leg in legs), there
        return bar() >= first + BARS_WATCHED * BAR_S

    rig.wait(watched, f"{BARS_WATCHED} bars", 60)


def comes_back(rig: Rig) -> None:
    """`resume` is what brings entries back."""
    rig.bot.control.ask("resume")
    rig.wait(lambda: all(rig.entries().values()), "entries on both legs after resume")


@pytest.mark.parametrize("side", ["long", "short"])
def test_one_leg(rig: Rig, side: str) -> None:
    rig.prepare()
    other = OtherLeg(rig, "SHORT" if side == "long" else "LONG")
    asked = Asked(rig, side)
    asked.finished()
    other.check()
    stays_away(rig, asked.legs)
    comes_back(rig)


def test_both_legs(rig: Rig) -> None:
    rig.prepare()
    asked = Asked(rig, "both")
    asked.finished()
    stays_away(rig, LEGS)
    comes_back(rig)


def test_at_throttle_zero(rig: Rig) -> None:
    rig.prepare()
    rig.bot.control.ask("throttle", throttle=0)
    rig.wait(lambda: not any(rig.entries().values()), "no entry at throttle 0")
    Asked(rig, "both").finished()
    stays_away(rig, LEGS)
    rig.bot.control.ask("resume")
    stays_away(rig, LEGS)  # throttle 0 still holds
    rig.bot.control.ask("throttle", throttle=1)
    comes_back(rig)


def test_while_paused(rig: Rig) -> None:
    rig.prepare()
    rig.bot.control.ask("pause", reason="test")
    assert not any(rig.entries().values())
    Asked(rig, "both").finished()
    stays_away(rig, LEGS)
    comes_back(rig)


@pytest.mark.parametrize("factor", ["1.02", "0.98"])
def test_while_a_recentre_is_under_way(rig: Rig, factor: str) -> None:
    rig.prepare()
    before = Decimal(instrument_of(rig.bot.control.ask("status"), SYMBOL)["centre"])
    rig.jump(factor)
    Asked(rig, "both").finished()
    stays_away(rig, LEGS)
    comes_back(rig)
    after = Decimal(instrument_of(rig.bot.control.ask("status"), SYMBOL)["centre"])
    assert abs(after / before - 1) > Decimal("0.01"), f"the grid did not move: {before} to {after}"


def test_with_the_first_close_refused_the_stop_is_still_there(rig: Rig) -> None:
    rig.prepare()
    other = OtherLeg(rig, "SHORT")
    rule = {
        "target": "rest",
        "kind": "status_before",
        "method": "POST",
        "path": "/fapi/v1/order",
        "params": {"type": "MARKET"},
        "status": 400,
        "code": -4131,
        "msg": "The counterparty's best price is off.",
    }
    number = rig.venue.admin("POST", "/faults", rule)["id"]
    try:
        asked = Asked(rig, "long")

        def refused() -> bool:
            asked.look()
            return next(r["hits"] for r in rig.venue.faults() if r["id"] == number) >= 1

        rig.wait(refused, "the close was refused")
        truth = asked.look()
        assert Decimal(truth["legs"][f"{SYMBOL}:LONG"]["qty"]) > 0
        stops = [a for a in truth["algo_orders"] if a["positionSide"] == "LONG" and a["closePosition"]]
        assert len(stops) == 1, truth["algo_orders"]
        assert not asked.answer, "verified although the leg still holds something"
    finally:
        rig.venue.admin("DELETE", f"/faults?id={number}")
    asked.finished()
    other.check()
    stays_away(rig, ["LONG"])
    comes_back(rig)

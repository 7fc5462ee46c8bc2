"""Guards of the venue and the feeds on real processes: each fault pauses, no entry rests, and it clears by itself."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Daemon, Exchange, exchange, running, until, write_config
from tests.support.truth import entries_at

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"
GRID = {"instrument": f"{SYMBOL}-PERP", "recenter_trigger_bps": 100, "step_bps": 20}
SPEED = 5
WAIT_S = 30.0
ENTRIES = "/fapi/v1/order"
# Guards of other things, which the same faults may move as well.
OTHERS: list[dict[str, object]] = [
    {"type": "call_quota", "per_10s": 10_000},
    {"type": "slippage", "enabled": False},
    {"type": "venue_health", "clear_s": 0},
]


class Rig:
    """Exchange and daemon, and what these tests do with them."""

    def __init__(self, venue: Exchange, bot: Daemon, guard: str) -> None:
        self.venue = venue
        self.bot = bot
        self.guard = guard

    def fault(self, **rule: object) -> None:
        self.venue.admin("POST", "/faults", rule)

    def mend(self) -> None:
        self.venue.admin("DELETE", "/faults")

    def entries(self) -> int:
        """Entries that rest at the exchange."""
        return sum(map(len, entries_at(self.venue.truth(), SYMBOL).values()))

    def causes(self) -> list[str]:
        """What the guard holds for, in its words."""
        holds = self.bot.control.ask("status")["holds"] or []
        return [hold["cause"] for hold in holds if hold["key"].startswith(f"guard:{self.guard}")]

    def wait(self, look: Callable[[], Any], what: str) -> Any:
        return until(look, what, WAIT_S, self.bot.program)

    def paused(self) -> str:
        """Wait until the guard holds and no entry rests; its cause."""
        causes = self.wait(self.causes, f"{self.guard} holds")
        self.wait(lambda: not self.entries(), "no entry rests")
        return str(causes[0])

    def trades_again(self) -> None:
        """Wait until the guard has let go by itself and entries rest."""
        self.wait(lambda: not self.causes(), f"{self.guard} lets go")
        self.wait(self.entries, "entries rest again")


def tables_of(
    guard: Mapping[str, object], others: Sequence[Mapping[str, object]]
) -> list[Mapping[str, object]]:
    """The `[[guard]]` tables: one a type."""
    given = [guard, *others]
    types = {table["type"] for table in given}
    return [*given, *(table for table in OTHERS if table["type"] not in types)]


@contextmanager
def rig(
    folder: Path,
    guard: Mapping[str, object],
    others: Sequence[Mapping[str, object]] = (),
    symbols: str = SYMBOL,
) -> Iterator[Rig]:
    """A market at 5 times its speed with entries resting; `guard` is the one that is tried."""
    arguments = ["--speed", str(SPEED), "--seed", "4", "--regime", "quiet", "--symbols", symbols]
    with exchange(arguments, folder / "exchange.log") as venue:
        config = write_config(folder, venue, [GRID], guards=tables_of(guard, others))
        text = config.path.read_text()
        config.path.write_text(text.replace("account_poll_s = 1", "account_poll_s = 0.5\nclock_poll_s = 0.5"))
        with running(config) as bot:
            made = Rig(venue, bot, str(guard["type"]))
            made.wait(made.entries, "entries rest")
            assert made.causes() == []
            yield made


def test_a_burst_of_refused_orders_pauses_and_clears_after_its_cool_down(tmp_path: Path) -> None:
    table = {"type": "order_errors", "trip_count": 5, "window_s": 3, "cooldown_s": 2}
    with rig(tmp_path, table) as r:
        r.fault(
            target="rest", kind="status_before", method="POST", path=ENTRIES,
            status=400, code=-4131, msg="The counterparty's best price does not meet the limit.",
        )  # fmt: skip
        r.venue.admin(
            "POST", "/jump", {"symbol": SYMBOL, "factor": "1.02"}
        )  # every rung moves, and is refused
        cause = r.paused()
        assert "-4131" in cause
        r.mend()
        r.trades_again()


def test_a_venue_that_fails_opens_the_breaker_and_one_answered_call_closes_it(tmp_path: Path) -> None:
    table = {"type": "venue_errors", "min_calls": 5, "trip_pct": 20, "pause_s": 2}
    with rig(tmp_path, table) as r:
        r.fault(target="rest", kind="status_before", method="GET", status=502)
        cause = r.paused()
        assert "breaker OPEN" in cause
        r.mend()
        r.trades_again()


def test_a_frozen_market_feed_pauses_and_its_return_ends_it(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "stale_market", "trip_mark_s": 2, "clear_s": 1}) as r:
        r.fault(target="market", kind="freeze")
        cause = r.paused()
        assert "no mark price for 2" in cause
        r.mend()
        r.trades_again()


def test_a_clock_one_second_off_pauses_until_it_is_right(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "clock_skew"}) as r:
        r.venue.admin("POST", "/skew", {"ms": 1_000})
        cause = r.paused()
        assert "behind the venue's" in cause
        r.venue.admin("POST", "/skew", {"ms": 0})
        r.trades_again()


def test_a_used_up_budget_pauses_until_the_venues_next_minute(tmp_path: Path) -> None:
    skew = {"type": "clock_skew", "warn_ms": 100_000, "trip_ms": 100_000}
    with rig(tmp_path, {"type": "rate_budget", "clear_s": 1}, [skew]) as r:
        # Whoever shares our address uses it up; the next minute comes early.
        while int(r.venue.admin("GET", "/health")["used_weight_1m"]) < 2_290:
            r.venue.public("/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1")  # weighs 20
        cause = r.paused()
        assert "request weight used" in cause
        r.venue.admin("POST", "/skew", {"ms": 60_000})
        r.trades_again()


def test_a_market_that_is_drawn_apart_pauses_until_it_closes_up(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "spread_depth", "clear_s": 1}) as r:
        r.venue.admin("POST", "/book", {"symbol": SYMBOL, "spread_bps": "150"})
        cause = r.paused()
        assert "spread 15" in cause
        r.venue.admin("POST", "/book", {"symbol": SYMBOL})
        r.trades_again()


def test_a_user_stream_that_is_lost_pauses_until_it_is_back(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "stale_account", "clear_s": 1}) as r:
        r.fault(target="user", kind="refuse")
        r.venue.admin("POST", "/faults", {"target": "user", "kind": "cut"})
        cause = r.paused()
        assert "user stream lost" in cause
        r.mend()
        r.trades_again()


def test_a_user_stream_that_does_not_tell_of_acknowledged_orders_pauses(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "stale_account", "clear_s": 1}) as r:
        r.fault(target="user", kind="mute", event="ORDER_TRADE_UPDATE")
        r.venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "1.02"})  # every rung moves, unheard
        assert "does not tell of" in r.paused()
        r.mend()
        r.trades_again()


def test_a_slow_venue_pauses_while_its_answers_take_long(tmp_path: Path) -> None:
    table = {"type": "venue_health", "trip_latency_ms": 300, "clear_s": 1}
    with rig(tmp_path, table) as r:
        r.fault(target="rest", kind="delay", method="GET", delay_ms=600)
        cause = r.paused()
        assert "answers take" in cause


@pytest.mark.slow
def test_too_many_calls_in_ten_seconds_pause_until_they_are_over(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "call_quota", "clear_s": 1}) as r:

        def compared() -> list[str]:
            r.bot.control.ask("reconcile")  # seven calls each
            return r.causes()

        r.wait(compared, "the quota is used up")
        assert "calls in 10 s" in r.paused()
        r.trades_again()


def test_a_daemon_that_stood_still_pauses_and_goes_on(tmp_path: Path) -> None:
    with rig(tmp_path, {"type": "loop_lag", "clear_s": 1}) as r:
        r.bot.program.process.send_signal(signal.SIGSTOP)
        try:
            stood_ms = r.venue.admin("GET", "/health")["market_ms"] + 2_500 * SPEED

            def passed() -> bool:
                return bool(r.venue.admin("GET", "/health")["market_ms"] >= stood_ms)

            until(passed, "two and a half seconds", WAIT_S)
        finally:
            r.bot.program.process.send_signal(signal.SIGCONT)
        assert "loop lag 2" in r.paused()
        r.trades_again()


PEG = {"type": "depeg", "enabled": True, "usdt_symbol": SYMBOL, "usdc_symbol": SYMBOL, "every_s": 1}


@pytest.mark.slow
def test_a_lost_peg_pauses(tmp_path: Path) -> None:
    with rig(tmp_path, PEG, symbols=f"{SYMBOL},USDCUSDT") as r:
        r.venue.admin("POST", "/jump", {"symbol": "USDCUSDT", "factor": "1.006"})
        assert "from its peg" in r.paused()


@pytest.mark.slow
def test_a_lost_peg_with_exit_flattens_and_stays_so(tmp_path: Path) -> None:
    with rig(tmp_path, PEG | {"exit": True}, symbols=f"{SYMBOL},USDCUSDT") as r:
        r.venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": "0.994"})

        def quantities() -> list[Decimal]:
            return [Decimal(leg["qty"]) for leg in r.venue.truth()["legs"].values()]

        r.wait(lambda: any(quantities()), "a rung has filled")
        r.venue.admin("POST", "/jump", {"symbol": "USDCUSDT", "factor": "0.99"})

        def halted() -> bool:
            return bool(r.bot.control.ask("status")["kill_switch"]["state"] == "HALTED")

        r.wait(halted, "flat and halted")
        assert not any(quantities())
        truth = r.venue.truth()
        assert (truth["open_orders"], truth["algo_orders"]) == ([], [])
        assert "depeg" in str(r.bot.control.ask("status")["kill_switch"])

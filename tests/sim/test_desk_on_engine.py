"""The desk against the paper exchange's engine, tick by tick: its books are the exchange's, and nothing is uncovered."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd.config import Config, Grid, Pretrade
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.exchange.markets import build
from hedgegridd.exchange.rules import rules_of
from hedgegridd.exchange.types import Market
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import settings
from hedgegridd.state import DaemonState, Machines
from tests.support.desk_on_engine import DeskOnEngine
from tests.support.recorded import ABSENT, BARS
from tests.support.truth import daemon_books, differences, exchange_books, uncovered

SYMBOL = "BTCUSDT"
LIMITS = Pretrade(
    max_order_notional_usdt=Decimal(20_000),
    max_leg_notional_usdt=Decimal(20_000),
    max_gross_notional_usdt=Decimal(40_000),
)


def desk_on(market: Market, grid: Grid) -> DeskOnEngine:
    return DeskOnEngine(Config(grid=(grid,), pretrade=LIMITS), rules_of(SYMBOL), market, Decimal(100_000))


def follow(desk: DeskOnEngine, ticks: int, compare_every: int) -> None:
    """Every tick must leave all inventory covered; the books are compared now and then and at the end."""
    for number in range(1, ticks + 1):
        tick = desk.tick()
        truth = desk.engine.truth()
        assert truth["invariant"] == "ok"
        assert uncovered(truth, SYMBOL) == [], f"tick {number} at {tick.ts_ms}"
        if number % compare_every == 0 or number == ticks:
            belief = daemon_books(desk.status(), desk.orders(), SYMBOL)
            assert differences(exchange_books(truth, SYMBOL), belief) == [], f"tick {number} at {tick.ts_ms}"
            assert desk.status()["settled"] is True


@pytest.mark.parametrize("stops", ["leg", "leg+lots"])
@pytest.mark.parametrize("regime", ["demo", "crash", "gap", "spike"])
def test_every_tick_of_a_wild_market_is_covered_and_booked_to_the_cent(regime: str, stops: str) -> None:
    rules = rules_of(SYMBOL)
    (market,) = build(
        "synthetic",
        symbols=[rules],
        seed=11,
        start_ms=1_700_000_040_000,
        tick_rate=Decimal("0.2"),
        regime=regime,
    )
    desk = desk_on(market, Grid(stops=stops))  # type: ignore[arg-type]
    follow(desk, 1_500, 25)
    assert desk.trades["fills"] > 5
    if regime == "demo":
        view = desk.status()["instruments"][0]
        assert view["recentres"] >= 1
        assert min(leg["peak_lots"] for leg in view["legs"].values()) > 1


def test_two_runs_of_one_seed_are_the_same() -> None:
    def run() -> tuple[object, ...]:
        market = build(
            "synthetic", symbols=[rules_of(SYMBOL)], seed=5, start_ms=1_700_000_040_000, tick_rate=1
        )[0]
        desk = desk_on(market, Grid())
        follow(desk, 900, 300)
        return desk.said, desk.trades, desk.status(), desk.orders(), desk.engine.snapshot()

    assert run() == run()


@pytest.mark.slow
@pytest.mark.skipif(not BARS.exists(), reason=ABSENT)
def test_recorded_days_are_booked_to_the_cent() -> None:
    """The first of January to the third: fills on both sides of the settlement times, three fundings a day."""
    (market,) = build("replay", symbols=[rules_of(SYMBOL)], data=BARS)
    desk = desk_on(market, Grid())
    follow(desk, 3 * 1_440 * 12, 10 * 12)
    truth = desk.engine.truth()
    assert desk.trades["fills"] > 10
    assert Decimal(truth["funding"]) != 0


def test_the_state_of_a_lively_desk_survives_a_snapshot_at_every_tick() -> None:
    """With dropped rungs, open lots and waits in it; and what comes back goes on as if nothing had happened."""
    (market,) = build(
        "synthetic", symbols=[rules_of(SYMBOL)], seed=11, start_ms=1_700_000_040_000, tick_rate=Decimal("0.2")
    )
    desk = desk_on(market, Grid())
    config = Config(grid=(Grid(),), pretrade=LIMITS)
    dropped = 0
    for _ in range(400):
        desk.tick()
        machines = Machines(
            desk.desk,
            KillSwitch(config.kill_switch),
            Flattener({desk.id: SYMBOL}, "t1"),
            RiskMachine(settings(config), [desk.id]),
            DeadMan(config),
        )
        state = machines.snapshot()
        again = Machines(
            Desk(config, "t1"),
            KillSwitch(config.kill_switch),
            Flattener({desk.id: SYMBOL}, "t1"),
            RiskMachine(settings(config), [desk.id]),
            DeadMan(config),
        )
        again.desk.restore(msgspec.json.decode(state, type=DaemonState).desk)
        assert again.snapshot() == state
        legs = desk.desk.snapshot().grids[desk.id].legs.values()
        dropped = max(dropped, sum(len(leg.dropped) for leg in legs))
    assert dropped > 0

"""Metrics: the fifteen names, absent when unknown, right figures, and a scrape that promtool accepts."""

import shutil
import subprocess
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from hedgegridd import messages as m
from hedgegridd.actors.metric_counts import LABELS_MAX
from hedgegridd.actors.metric_families import (
    account_families,
    budget_families,
    daemon_families,
    dead_man_families,
    desk_families,
    guard_families,
    health_families,
    kpi_families,
    switch_families,
    venue_families,
)
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.config import Metrics
from hedgegridd.model import KillState, Leg
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.venue.stats import Stats
from tests.support.truth import METRICS

BTC = "BTCUSDT-PERP.BINANCE"
S = 1_000_000_000


def leg(which: Leg, *, unrealized: str | None = "1.5") -> m.LegMetrics:
    long = which is Leg.LONG
    return m.LegMetrics(
        leg=which,
        qty=Decimal("0.02"),
        inventory_usdt=Decimal(1000) if long else Decimal(600),
        realized_usdt=Decimal(-2) if long else Decimal(7),
        unrealized_usdt=None if unrealized is None else Decimal(unrealized),
        rungs_resting=6 if long else 5,
        liquidation_price=None,
    )


def desk(**changes) -> m.FiguresAnswer:
    fields = {
        "instrument": BTC,
        "long": leg(Leg.LONG),
        "short": leg(Leg.SHORT),
        "mark": Decimal(50000),
        "funding_rate": Decimal("0.0004"),
        "last_bar_ns": 1_640_995_260 * S,
        "open_orders": 14,
        "fills": 4,
        "maker_fills": 3,
    } | changes
    return m.FiguresAnswer(
        to=0,
        instruments=(m.InstrumentMetrics(**fields),),
        wallet_usdt=Decimal(990),
        unrealized_usdt=Decimal(-90),
        peak_equity_usdt=Decimal(1000),
        residual_usdt=None,
        reconciled=True,
        reconciled_ns=None,
    )


def venue(margin_balance: str | None = "1000") -> m.VenueAnswer:
    zero = Decimal(0)
    account = margin_balance and m.VenueAccount(
        wallet_usdt=zero,
        margin_balance_usdt=Decimal(margin_balance),
        maint_margin_usdt=Decimal(40),
        initial_margin_usdt=zero,
        available_usdt=zero,
        unrealized_usdt=zero,
    )
    return m.VenueAnswer(
        to=0,
        environment="paper",
        connected=True,
        account=account,
        account_age_s=None,
        user_stream_age_s=None,
        market_age_s={},
        in_flight=0,
        calls=0,
        calls_failed=0,
        used_weight_1m=240,
        clock_offset_ms=None,
    )


KILL = m.KillSwitchAnswer(to=0, state=KillState.ARMED)


def values(families) -> dict[str, float]:
    """As a scraper reads their text."""
    text = "".join(family.lines() for family in families)
    return {
        sample.name + "".join(f"/{v}" for v in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def both(view: m.FiguresAnswer, guards: m.GuardsAnswer | None = None, now_ns: int = 0) -> dict[str, float]:
    return values([*desk_families(view), *account_families(view, guards, now_ns)])


def test_the_desks_figures():
    assert both(desk()) == {
        f"hedgegrid_{name}/{BTC}": value
        for name, value in {
            "long_inventory_usdt": 1000,
            "short_inventory_usdt": 600,
            "net_inventory_usdt": 400,
            "active_rungs_long": 6,
            "active_rungs_short": 5,
            "open_orders": 14,
            "maker_ratio": 0.75,
            "funding_rate_current": 0.0004,
            "funding_cost_1h_projected_usdt": 0.02,  # 0.0004 x 400 / 8
            "realized_pnl_usdt": 5,
            "unrealized_pnl_usdt": 3,
            "total_pnl_usdt": 8,
            "last_bar_timestamp": 1_640_995_260,
        }.items()
    } | {
        "hedgegrid_equity_usdt": 900,
        "hedgegrid_cash_usdt": 990,
        "hedgegrid_market_value_usdt": -90,
        "hedgegrid_equity_peak_usdt": 1000,
        "hedgegrid_drawdown_ratio": 0.1,
        "hedgegrid_venue_exposure_usdt/BINANCE": 1600,
    }


def test_what_is_not_known_is_absent_not_zero():
    unmarked = leg(Leg.LONG, unrealized=None)
    got = both(desk(fills=0, maker_fills=0, funding_rate=None, last_bar_ns=None, long=unmarked))
    for name in (
        "maker_ratio",
        "funding_rate_current",
        "funding_cost_1h_projected_usdt",
        "last_bar_timestamp",
        "unrealized_pnl_usdt",
        "total_pnl_usdt",
    ):
        assert f"hedgegrid_{name}/{BTC}" not in got
    unread = both(msgspec.structs.replace(desk(), reconciled=False))
    market = {f"hedgegrid_{name}/{BTC}" for name in ("funding_rate_current", "last_bar_timestamp")}
    assert {name for name in unread if name.endswith(BTC)} == market, (
        "books that were never compared say nothing"
    )
    assert "hedgegrid_margin_ratio" not in values(venue_families(venue(None)))
    assert "hedgegrid_margin_ratio" not in values(venue_families(venue("0")))


def test_the_venues_and_the_daemons_figures():
    got = values(venue_families(venue()))
    assert got == {"hedgegrid_margin_ratio": 0.04}
    health = m.VenueHealth(calls=1, failed=0, weight_used=Decimal("0.1"), orders_used=Decimal("0.25"))
    assert values(budget_families(health)) == {
        "hedgegrid_rate_budget_used_ratio/weight_1m": 0.1,
        "hedgegrid_rate_budget_used_ratio/orders": 0.25,
    }
    unknown = m.VenueHealth(calls=1, failed=0, orders_used=Decimal(0))
    assert values(budget_families(unknown)) == {"hedgegrid_rate_budget_used_ratio/orders": 0}
    got = values(daemon_families(5 * S, 12 * S, 11 * S, KILL))
    assert got["hedgegrid_uptime_seconds"] == 7
    assert got["hedgegrid_heartbeat_timestamp_seconds"] == 11
    assert got["hedgegrid_kill_switch_state/ARMED"] == 1
    assert got["hedgegrid_kill_switch_state/HALTED"] == 0
    assert "hedgegrid_kill_switch_state/ARMED" not in values(daemon_families(0, 1, None, None))


def test_the_account_and_what_is_left_of_it():
    near = structs_replace(leg(Leg.LONG), liquidation_price=Decimal(40000))
    far = structs_replace(leg(Leg.SHORT), liquidation_price=Decimal(75000))
    view = structs_replace(desk(long=near, short=far), residual_usdt=Decimal("0.5"), reconciled_ns=10 * S)
    got = both(view, GUARDS, 14 * S)
    assert got[f"hedgegrid_liquidation_distance_ratio/{BTC}/LONG"] == 0.2
    assert got[f"hedgegrid_liquidation_distance_ratio/{BTC}/SHORT"] == 0.5
    assert got["hedgegrid_market_value_usdt"] == -90
    assert got["hedgegrid_equity_residual_usdt"] == 0.5
    assert got["hedgegrid_equity_buffer_usdt"] == 400  # equity 900, floor 500
    assert got["hedgegrid_reconcile_lag_seconds"] == 4
    off = structs_replace(GUARDS, verdicts=(), off=("equity_floor",))
    flat = structs_replace(near, qty=Decimal(0))
    assert "hedgegrid_equity_buffer_usdt" not in both(view, off)
    assert f"hedgegrid_liquidation_distance_ratio/{BTC}/LONG" not in both(desk(long=flat, short=far))


HEALTH = m.HealthAnswer(
    to=0, state=1, reasons=("x",), since_ns=0, transitions={"ok": 3, "degraded": 4}, trading_enabled=False
)


def test_health_switches_and_key_figures():
    assert values(health_families(HEALTH)) == {
        "hedgegrid_health_state": 1,
        "hedgegrid_trading_enabled": 0,
        "hedgegrid_health_transitions_total/ok": 3,
        "hedgegrid_health_transitions_total/degraded": 4,
    }
    unread = structs_replace(HEALTH, state=None, transitions={}, trading_enabled=None)
    assert values(health_families(unread)) == {}
    switch = m.SwitchView(name="read_only", kind="emergency", enabled=False, normal=False, effect="")
    assert values(switch_families(m.SwitchesAnswer(to=0, switches=(switch,)))) == {
        "hedgegrid_switch_enabled/read_only": 0
    }
    told = m.KpiAnswer(
        to=0, requests_per_minute=40, error_rate_pct=Decimal("2.5"), healthy_pct=Decimal(100), thresholds={}
    )
    breaker = m.GuardVerdict(guard="venue_errors", level="CRITICAL", value=Decimal(60), limit=Decimal(50))
    assert values(kpi_families(told, structs_replace(GUARDS, verdicts=(breaker,)))) == {
        "hedgegrid_kpi_requests_per_minute": 40,
        "hedgegrid_kpi_error_ratio": 0.025,
        "hedgegrid_kpi_healthy_venues_ratio": 1,
        "hedgegrid_kpi_open_breakers": 1,
    }


GUARDS = m.GuardsAnswer(
    to=0,
    verdicts=(
        m.GuardVerdict(guard="margin_ratio", level="WARN", value=Decimal("0.6"), limit=Decimal("0.8")),
        m.GuardVerdict(guard="exposure", level="OK", value=Decimal(100), limit=Decimal(400)),
        m.GuardVerdict(
            guard="exposure",
            scope=m.Scope(instrument=BTC),
            level="CRITICAL",
            value=Decimal(300),
            limit=Decimal(200),
        ),
        m.GuardVerdict(
            guard="equity_floor", level="OK", value=Decimal(1000), warn=Decimal(625), limit=Decimal(500)
        ),
        m.GuardVerdict(guard="leverage", level="BLOCK", value=None, limit=Decimal(5)),
        m.GuardVerdict(guard="spread_depth", level="CRITICAL", value=Decimal(1), limit=Decimal(0)),
    ),
    holds=(m.Hold(key=f"guard:spread_depth:{BTC}", action="pause", cause="c", since_ns=1),),
    off=("daily_loss",),
)


def test_the_guards_figures():
    got = values(guard_families(GUARDS))
    status = {name.partition("/")[2]: value for name, value in got.items() if "guard_status" in name}
    assert status == {"margin_ratio": 1, "exposure": 2, "equity_floor": 0, "leverage": 3, "spread_depth": 3}
    used = {name.partition("/")[2]: value for name, value in got.items() if "utilization" in name}
    # Limit over value for a floor; what is missing, or has no measure, is absent.
    assert used == {"margin_ratio": 0.75, "exposure": 1.5, "equity_floor": 0.5}


def test_the_peg_is_told_while_its_guard_runs():
    assert values(guard_families(GUARDS))["hedgegrid_depeg_active"] == 0
    lost = m.GuardVerdict(guard="depeg", level="CRITICAL", value=Decimal(1), limit=Decimal("0.5"))
    assert values(guard_families(structs_replace(GUARDS, verdicts=(lost,))))["hedgegrid_depeg_active"] == 1
    off = structs_replace(GUARDS, off=("depeg",))
    assert "hedgegrid_depeg_active" not in values(guard_families(off))


def countdown(name: str, until_ns: int | None, renewed_ns: int | None) -> m.CountdownView:
    return m.CountdownView(instrument=name, until_ns=until_ns, renewed_ns=renewed_ns)


DEAD_MAN = m.DeadManAnswer(
    to=0,
    enabled=True,
    state="armed",
    why=(),
    countdown_s=Decimal(60),
    renew_s=Decimal(15),
    countdowns=(countdown(BTC, 70 * S, 10 * S),),
)


def test_the_dead_man_switch_has_an_age_while_it_runs_and_says_when_it_does_not():
    got = values(dead_man_families(DEAD_MAN, 14 * S))
    assert got[f"hedgegrid_dead_man_age_seconds/{BTC}"] == 4
    assert got["hedgegrid_dead_man_armed"] == 1
    gone = structs_replace(DEAD_MAN, state="withdrawn", countdowns=(countdown(BTC, None, 10 * S),))
    assert values(dead_man_families(gone, 14 * S)) == {
        "hedgegrid_dead_man_armed": 0,
        "hedgegrid_dead_man_countdown_seconds": 60,
    }
    assert values(dead_man_families(structs_replace(gone, enabled=False), 14 * S)) == {}


ANSWERS = {
    m.GetFigures: desk(),
    m.GetVenue: venue(),
    m.GetKillSwitch: KILL,
    m.GetGuards: GUARDS,
    m.GetDeadMan: DEAD_MAN,
    m.GetHealth: HEALTH,
    m.GetSwitches: m.SwitchesAnswer(to=0, switches=()),
    m.GetKpi: m.KpiAnswer(to=0, requests_per_minute=1, error_rate_pct=None, healthy_pct=None, thresholds={}),
}


class Bench:
    """The actor on a real bus, with parts that answer."""

    def __init__(self, *, silent: tuple[type, ...] = ()):
        self.actor = MetricsActor(Metrics(port=0), Meters(Stats(), Counter()), started_ns=0)
        queries = tuple(ANSWERS)
        vocabulary = (*self.actor.events, *queries)
        self.bus = Bus(RealClock(), vocabulary + m.ANSWERS)
        self.actor.register(self.bus)
        self.silent = silent
        self.bus.register("parts", handler=self._answer, queries=queries)

    def _answer(self, env):
        if type(env.message) in self.silent:
            return [m.Refused(to=env.seq, reason="down")]
        return [structs_replace(ANSWERS[type(env.message)], to=env.seq)]

    async def __aenter__(self):
        self.bus.start(__import__("asyncio").get_running_loop())
        await self.actor.start()
        return self

    async def __aexit__(self, *_exc):
        await self.actor.stop()
        self.bus.stop()

    async def scrape(self) -> str:
        async with (
            ClientSession() as session,
            session.get(f"http://{self.actor.address}/metrics") as answer,
        ):
            assert answer.status == 200
            return await answer.text()


def structs_replace(value, **changes):
    import msgspec

    return msgspec.structs.replace(value, **changes)


def event(message) -> m.Envelope:
    return m.Envelope(seq=1, time_ns=0, mono_ns=0, cause=0, actor="t", message=message)


def fed(actor: MetricsActor) -> MetricsActor:
    fill = m.Fill(
        instrument=BTC,
        leg=Leg.LONG,
        client_order_id="x",
        venue_order_id="1",
        trade_id="1",
        side="BUY",
        price=Decimal(1),
        qty=Decimal(1),
        commission=Decimal(0),
        commission_asset="USDT",
        maker=True,
        ts_ns=1,
    )
    actor.handle(event(fill))
    actor.handle(event(structs_replace(fill, maker=False)))
    for code in (-5022, -5022, -2021):
        actor.handle(event(m.OrderRejected(instrument=BTC, client_order_id="x", code=code, reason="no")))
    actor.handle(
        event(
            m.OrderRefused(
                instrument=BTC, leg=Leg.LONG, purpose="E", level=1, client_order_id="x", reason="latched: F-1"
            )
        )
    )
    actor._meters.venue.ticks_total += 3
    actor._meters.venue.orders_submitted[BTC, "entry"] += 2
    actor._meters.venue.tick_to_order_ns.append(2_000_000)
    actor._meters.commands[("flatten", "done")] += 1
    actor._meters.venue.calls.update(
        {("GET /a", "ok"): 7, ("GET /a", "limited"): 2, ("GET /b", "limited"): 1}
    )
    actor.handle(event(m.VenueHealth(calls=1, failed=0, weight_used=Decimal("0.5"), orders_used=Decimal(0))))
    actor._meters.histograms.loop_lag.observe(0.001)
    return actor


async def test_a_scrape_has_all_fifteen_and_the_counts():
    async with Bench() as bench:
        fed(bench.actor)
        text = await bench.scrape()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert set(families) >= set(METRICS)
    samples = {(s.name, *s.labels.values()): s.value for f in families.values() for s in f.samples}
    assert samples[("hedgegrid_ticks_total",)] == 3
    assert samples[("hedgegrid_guard_status", "leverage")] == 3
    assert samples[("hedgegrid_orders_submitted_total", BTC, "entry")] == 2
    assert samples[("hedgegrid_orders_rejected_total", BTC, "-5022")] == 2
    assert samples[("hedgegrid_orders_refused_total", BTC, "latched")] == 1
    assert samples[("hedgegrid_fills_total", BTC, "maker")] == 1
    assert samples[("hedgegrid_fills_total", BTC, "taker")] == 1
    assert samples[("hedgegrid_commands_total", "flatten", "done")] == 1
    assert samples[("hedgegrid_venue_calls_total", "GET /a", "ok")] == 7
    assert samples[("hedgegrid_venue_calls_total", "GET /b", "limited")] == 1
    assert samples[("hedgegrid_venue_errors_total", "limited")] == 3
    assert ("hedgegrid_venue_errors_total", "ok") not in samples
    assert samples[("hedgegrid_rate_budget_used_ratio", "weight_1m")] == 0.5
    assert samples[("hedgegrid_loop_lag_seconds_count",)] == 1
    assert samples[("hedgegrid_tick_to_order_seconds_count",)] == 1


async def test_a_silent_part_leaves_its_families_out():
    async with Bench(silent=(m.GetFigures, m.GetVenue)) as bench:
        text = await bench.scrape()
    assert "hedgegrid_uptime_seconds" in text
    assert "hedgegrid_open_orders" not in text
    assert "hedgegrid_heartbeat" not in text, "the trading core has not answered"
    assert "hedgegrid_margin_ratio" not in text


async def test_promtool_finds_nothing_wrong():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian package prometheus) is not installed")
    async with Bench() as bench:
        fed(bench.actor)
        text = await bench.scrape()
    ours = "\n".join(line for line in text.splitlines() if "hedgegrid_" in line) + "\n"
    run = subprocess.run(
        [promtool, "check", "metrics"], input=ours, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def test_reasons_are_bounded():
    actor = MetricsActor(Metrics(port=0), Meters(Stats(), Counter()), started_ns=0)
    for code in range(100):
        actor.handle(event(m.OrderRejected(instrument=BTC, client_order_id="x", code=code, reason="no")))
    assert len(actor._counts.rejected) == LABELS_MAX + 1
    assert actor._counts.rejected[BTC, "other"] == 100 - LABELS_MAX


def test_who_was_turned_away_is_counted():
    meters = Meters(Stats(), Counter())
    meters.auth_failures = lambda: 7
    actor = MetricsActor(Metrics(port=0), meters, started_ns=0)
    assert values(actor.fed())["hedgegrid_auth_failures_total"] == 7

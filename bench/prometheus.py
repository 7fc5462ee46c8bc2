"""Asks a real Prometheus, while the daemon replays recorded minutes, for every metric and compares with the truth.

    python -m bench.prometheus --data BARS.csv.gz --minutes 240 --points 5

As `bench.replay`, with a Prometheus that scrapes every two seconds. At each point the market stands; then every metric of the
spec's list is asked for by PromQL. It must be what the exchange says (to the cent), or where that knows nothing of it what
the daemon answers on its socket, or what it can only be (counters above 0, ages below their bounds), or be absent for a
written reason. Prints one line a metric; exits 1 on any difference.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.observability import Wrong
from bench.prometheus_rig import Scraper, scraping
from bench.replay import Replay, grid_of, market_of, parser
from hedgegridd import __version__
from tests.support.observability import CONDITIONS, SPECIFIED
from tests.support.programs import Daemon, Exchange, ProgramError, daemon, end_with_programs, exchange
from tests.support.truth import LEGS, exchange_books, expected_metrics

CENT = 0.01
EXACT = 1e-9
FRESH_S = 5.0  # of the last scrape, on a loaded machine
FLOOR_USDT = 500  # the guard equity_floor's own
LIVELY_S = 90.0  # reconcile lag: the interval is 30 s

type Expected = dict[str, tuple[str, float, float]]  # promql -> where the value is from, value, tolerance


def of_exchange(truth: dict[str, Any], risk: Sequence[dict[str, Any]], symbol: str) -> Expected:
    """What the exchange knows beside the fifteen."""
    books = exchange_books(truth, symbol)
    mark = Decimal(truth["marks"][symbol])
    wallet, open_usdt = Decimal(truth["wallet"]), Decimal(truth["unrealised"])
    gross = sum((books.legs[name].qty * mark for name in LEGS), Decimal(0))
    found: dict[str, tuple[Decimal, float]] = {
        "hedgegrid_equity_usdt": (wallet + open_usdt, CENT),
        "hedgegrid_cash_usdt": (wallet, CENT),
        "hedgegrid_market_value_usdt": (open_usdt, CENT),
        "hedgegrid_equity_buffer_usdt": (wallet + open_usdt - FLOOR_USDT, CENT),
        "hedgegrid_equity_residual_usdt": (Decimal(0), CENT),
        'hedgegrid_venue_exposure_usdt{venue="BINANCE"}': (gross, CENT),
        "hedgegrid_drawdown_ratio * hedgegrid_equity_peak_usdt + hedgegrid_equity_usdt - hedgegrid_equity_peak_usdt": (
            Decimal(0),
            CENT,
        ),
        "sum(hedgegrid_reconcile_differences)": (Decimal(0), EXACT),
    }
    for row in risk:
        price = Decimal(row["liquidationPrice"])
        if Decimal(row["positionAmt"]) and price > 0:
            sign = 1 if row["positionSide"] == "LONG" else -1
            found[f'hedgegrid_liquidation_distance_ratio{{leg="{row["positionSide"]}"}}'] = (
                (mark - price) * sign / mark,
                0.002,  # the venue's price is of the last comparison
            )
    return {query: ("exchange", float(value), off) for query, (value, off) in found.items()}


def of_daemon(bot: Daemon) -> Expected:
    """What the daemon answers on its socket of itself."""
    status = bot.control.ask("status")
    found: dict[str, tuple[float, float]] = {
        f'hedgegrid_kill_switch_state{{state="{status["kill_switch"]["state"]}"}}': (1, EXACT),
        "sum(hedgegrid_kill_switch_state)": (1, EXACT),
        "hedgegrid_trading_enabled": (float(bool(status["trading_enabled"])), EXACT),
        f'hedgegrid_build_info{{version="{__version__}"}}': (1, EXACT),
    }
    levels = {"OK": 0, "WARN": 1, "CRITICAL": 2, "BLOCK": 3}
    worst: dict[str, int] = {}
    for each in bot.control.ask("guards")["guards"]:
        worst[each["guard"]] = max(worst.get(each["guard"], 0), levels[each["level"]])
    for guard, level in worst.items():
        found[f'hedgegrid_guard_status{{guard="{guard}"}}'] = (level, EXACT)
    for each in bot.control.ask("switches")["switches"]:
        found[f'hedgegrid_switch_enabled{{switch="{each["name"]}"}}'] = (float(each["enabled"]), EXACT)
    return {query: ("socket", value, off) for query, (value, off) in found.items()}


def plausible() -> dict[str, str]:
    """What can only be so: PromQL that finds a series when it is as it must be, by metric."""
    counts = [name for name in SPECIFIED if name.endswith("_total") and name not in CONDITIONS]
    timed = [
        name
        for name in SPECIFIED
        if name.rpartition("_")[2] == "seconds"
        and name not in CONDITIONS
        and not name.endswith(("uptime_seconds", "lag_seconds", "timestamp_seconds"))
    ]
    found = {name: f"{name} >= 0" for name in counts}
    found |= {name: f"{name}_count > 0 and {name}_sum / {name}_count < 5" for name in timed}
    found["hedgegrid_loop_lag_seconds"] = "hedgegrid_loop_lag_seconds_count > 0"
    return found | {
        "hedgegrid_uptime_seconds": "hedgegrid_uptime_seconds > 0",
        "hedgegrid_equity_peak_usdt": "hedgegrid_equity_peak_usdt >= hedgegrid_equity_usdt",
        "hedgegrid_heartbeat_timestamp_seconds": f"abs(time() - hedgegrid_heartbeat_timestamp_seconds) < {FRESH_S}",
        "hedgegrid_reconcile_lag_seconds": f"hedgegrid_reconcile_lag_seconds < {LIVELY_S}",
        "hedgegrid_health_state": "hedgegrid_health_state <= 1",  # a market that stands is soon told as stale
        "hedgegrid_guard_utilization_ratio": "count(hedgegrid_guard_utilization_ratio >= 0) > 15",
        "hedgegrid_rate_budget_used_ratio": "hedgegrid_rate_budget_used_ratio >= 0 <= 1",
        "hedgegrid_kpi_requests_per_minute": "hedgegrid_kpi_requests_per_minute > 0",
        "hedgegrid_kpi_error_ratio": "hedgegrid_kpi_error_ratio >= 0 <= 1",
        "hedgegrid_kpi_open_breakers": "hedgegrid_kpi_open_breakers == 0",
        "hedgegrid_kpi_healthy_venues_ratio": "hedgegrid_kpi_healthy_venues_ratio == 1",
        "hedgegrid_funding_cost_1h_projected_usdt": (
            "abs(hedgegrid_funding_rate_current * hedgegrid_net_inventory_usdt / 8"
            " - hedgegrid_funding_cost_1h_projected_usdt) < 0.0001"
        ),
    }


class Scraped(Replay):
    """A replay that asks Prometheus too; `table` has what was found of each metric at the last point."""

    def __init__(
        self, venue: Exchange, bot: Daemon, options: argparse.Namespace, prometheus: Scraper
    ) -> None:
        super().__init__(venue, bot, options)
        self._prometheus = prometheus
        self.table: dict[str, str] = {}

    def _compare(self) -> None:
        super()._compare()
        self.outcome.add(self.outcome.minutes, "prometheus", self._until_equal(self._asked))

    def _asked(self) -> list[str]:
        """Differences at this moment, every metric in turn."""
        truth = self._venue.truth()
        rate = Decimal(self._venue.premium_index(self._symbol)["lastFundingRate"])
        fifteen = expected_metrics(truth, self._symbol, rate, self._trades)
        risk = self._venue.signed("/fapi/v3/positionRisk", symbol=self._symbol)
        expected = of_exchange(truth, risk, self._symbol) | of_daemon(self._bot)
        expected |= {
            name: (
                "exchange",
                float(value),
                1.0 if name.endswith("_timestamp") else CENT if "usdt" in name else 1e-6,
            )
            for name, value in fifteen.items()
            if value is not None
        }
        fills = 'sum(hedgegrid_fills_total{liquidity="maker"}) or vector(0)'
        expected[fills] = ("exchange", float(self._trades.maker), EXACT)
        self.table.clear()
        found = [line for query, told in expected.items() for line in self._equal(query, *told)]
        for name, query in plausible().items():
            self.table.setdefault(name, "plausible")
            if not self._prometheus.api.ask(query):
                found.append(f"{name}: not {query}, but {self._prometheus.api.ask(name)}")
        for name in SPECIFIED:
            if name not in self.table:
                here = self._prometheus.api.ask(f'{{__name__=~"{name}(_count)?"}}')
                if not here and name not in CONDITIONS:
                    found.append(f"{name}: absent")
                self.table[name] = "there" if here else f"absent until {CONDITIONS.get(name)}"
        return found

    def _equal(self, query: str, source: str, value: float, off: float) -> list[str]:
        for name in SPECIFIED:
            if name in query:
                self.table[name] = source
        got = self._prometheus.api.ask(query)
        if len(got) != 1 or abs(got[0][1] - value) > off:
            return [f"{query}: {[number for _, number in got]}, {source} says {value:.8f}"]
        return []


def drive(options: argparse.Namespace, folder: Path) -> int:
    """The whole run; 0 when nothing differed."""
    grids = [grid_of(options.symbol, options.grid)]
    with (
        exchange(market_of(options), folder / "exchange.log") as venue,
        daemon(folder, venue, grids) as bot,
        scraping(folder / "prometheus", bot.config.metrics_port) as prometheus,
    ):
        replay = Scraped(venue, bot, options, prometheus)
        replay.prepare()
        began = time.monotonic()
        replay.run()
        took_s = time.monotonic() - began
        scrapes = prometheus.api.ask("count_over_time(up[1h])")
    for name in SPECIFIED:
        print(f"{name:<52} {replay.table[name]}")
    outcome = replay.outcome
    print(
        f"{outcome.minutes} minutes in {took_s:.0f} s, {scrapes[0][1]:.0f} scrapes, {outcome.points} points"
    )
    for line in outcome.findings:
        print(f"DIFFERS  {line}")
    print("FAIL" if outcome.findings_total else "PASS: every metric as the truth has it")
    return 1 if outcome.findings_total else 0


def main() -> int:
    """Exit code of a command line."""
    end_with_programs()
    line = parser()
    line.prog = "python -m bench.prometheus"
    line.set_defaults(history_bars=100)  # it trades from the first minute
    options = line.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="hedgegridd-prometheus-") as name:
            return drive(options, Path(name))
    except (ProgramError, OSError, Wrong) as error:
        sys.stderr.write(f"prometheus: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""How real the synthetic market is: its figures beside those of recorded ones, as tables and plots.

    python -m bench.realism --data-dir ../shared/data --out docs/images

Returns: one-minute log returns of the recorded BTC perpetual (whole, its calm days, its wildest day) against as many
minutes of each synthetic schedule. Book and trades: the captured `bookTicker` and `aggTrade` messages against the book
and the ticks of each regime. Prints two tables; writes the plots unless `--no-plots`. Exits 2 when a file or matplotlib is missing.
"""

import argparse
import csv
import gzip
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np

from hedgegridd.exchange.regimes import SCHEDULES
from hedgegridd.exchange.synthetic import SyntheticMarket
from hedgegridd.exchange.types import SymbolRules

BARS = "btc-perp-1m-2022-01-01..21.csv.gz"
CAPTURE = "binance-futures-ws-capture-2021-07-22.txt.gz"
LISTING = "binance-futures-exchangeinfo-capture-2021-07-21.txt.gz"
START_MS = 1_700_000_040_000
DAY_MINUTES = 1_440
MINUTE_TICKS = 12
BOOK_TICKS = 20_000
BOOK_EVERY = 20
LAGS = (1, 10, 60, 240)

type Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


class Returns(msgspec.Struct, frozen=True):
    """Figures of one-minute log returns, in bps; `clustering` is the autocorrelation of their size at `LAGS`."""

    minutes: int
    deviation: float
    median: float
    p99: float
    p999: float
    kurtosis: float
    clustering: tuple[float, ...]


class Minutes(msgspec.Struct):
    """Closes of consecutive minutes and what was traded in each, USD."""

    closes: Floats
    volumes: Floats


class Shown(msgspec.Struct):
    """What a market shows and trades: one entry for each message (real) or tick (synthetic)."""

    spread_bps: list[float] = []
    spread_ticks: list[float] = []
    touch_usdt: list[float] = []
    trade_usdt: list[float] = []
    between_s: list[float] = []


def log_returns(prices: Sequence[float] | Floats) -> Floats:
    """Log returns of consecutive prices, bps; one fewer than prices. Raises ValueError unless all are above 0."""
    values = np.asarray(prices, dtype=np.float64)
    if not (values > 0).all():
        raise ValueError("prices: all must be above 0")
    return np.diff(np.log(values)) * 1e4


def autocorrelation(values: Sequence[float] | Floats, lag: int) -> float:
    """Of `values` with themselves `lag` later, -1 to 1; 0 where they do not vary. Raises ValueError for a bad lag."""
    numbers = np.asarray(values, dtype=np.float64)
    if not 0 < lag < len(numbers):
        raise ValueError(f"lag {lag}: must be 1 to {len(numbers) - 1}")
    off = numbers - numbers.mean()
    total = float((off * off).sum())
    return float((off[:-lag] * off[lag:]).sum()) / total if total else 0.0


def kurtosis(values: Sequence[float] | Floats) -> float:
    """Fourth moment over the squared variance: 3 for a normal distribution. 0 where they do not vary."""
    off = np.asarray(values, dtype=np.float64) - np.mean(values)
    variance = float((off**2).mean())
    return float((off**4).mean()) / variance**2 if variance else 0.0


def figures(returns: Floats) -> Returns:
    """The figures of `returns` (bps). Raises ValueError for fewer than the longest lag needs."""
    size = np.abs(returns)
    return Returns(
        minutes=len(returns),
        deviation=float(returns.std()),
        median=float(np.median(size)),
        p99=float(np.quantile(size, 0.99)),
        p999=float(np.quantile(size, 0.999)),
        kurtosis=kurtosis(returns),
        clustering=tuple(autocorrelation(size, lag) for lag in LAGS),
    )


def calm_and_wild(returns: Floats) -> tuple[Floats, Floats]:
    """The calmer half of the whole days, joined, and the wildest day, by standard deviation."""
    days = [returns[at : at + DAY_MINUTES] for at in range(0, len(returns) - DAY_MINUTES + 1, DAY_MINUTES)]
    if not days:
        raise ValueError(f"returns: {len(returns)} minutes are no whole day")
    calm = sorted(range(len(days)), key=lambda day: float(days[day].std()))
    chosen = sorted(calm[: max(1, len(days) // 2)])
    return np.concatenate([days[day] for day in chosen]), days[calm[-1]]


def recorded_minutes(path: Path) -> Minutes:
    """The closes and volumes of a file of one-minute bars."""
    with gzip.open(path, "rt", newline="") as file:
        rows = [(float(row["close"]), float(row["volume"])) for row in csv.DictReader(file)]
    return Minutes(np.array([close for close, _ in rows]), np.array([volume for _, volume in rows]))


def market(schedule: str, seed: int, tick_rate: Decimal) -> SyntheticMarket:
    """A synthetic BTCUSDT as the exchange makes it, without history."""
    return SyntheticMarket(
        SymbolRules(), seed=seed, start_ms=START_MS, tick_rate=tick_rate, regime=schedule, history_bars=0
    )


def synthetic_minutes(schedule: str, seed: int, minutes: int) -> Minutes:
    """`minutes` minutes of a schedule, twelve ticks each."""
    ticks = market(schedule, seed, Decimal(MINUTE_TICKS) / 60)
    closes, volumes = np.zeros(minutes), np.zeros(minutes)
    for minute in range(minutes):
        for _ in range(MINUTE_TICKS):
            tick = ticks.next()
            closes[minute] = float(tick.last)
            volumes[minute] += float(tick.volume * tick.last)
    return Minutes(closes, volumes)


def messages(path: Path) -> Iterable[dict[str, object]]:
    """The event in each line of a capture; lines of other kinds are passed over."""
    with gzip.open(path, "rt") as file:
        next(file)
        for line in file:
            yield msgspec.json.decode(line.partition(": ")[2])["data"]


def tick_sizes(path: Path) -> dict[str, float]:
    """Each symbol's tick in a captured `exchangeInfo`. Raises ValueError when the file holds none."""
    with gzip.open(path, "rt") as file:
        for line in file:
            answer = msgspec.json.decode(line.partition(": ")[2])
            if isinstance(answer, dict) and "symbols" in answer:
                return {
                    entry["symbol"]: float(one["tickSize"])
                    for entry in answer["symbols"]
                    for one in entry["filters"]
                    if one["filterType"] == "PRICE_FILTER"
                }
    raise ValueError(f"{path}: holds no exchangeInfo answer")


def shown_in(events: Iterable[dict[str, object]], ticks: dict[str, float]) -> dict[str, Shown]:
    """What each symbol of a capture showed and traded."""
    found: dict[str, Shown] = defaultdict(Shown)
    before: dict[str, int] = {}
    for event in events:
        symbol = str(event.get("s"))
        shown = found[symbol]
        if event.get("e") == "bookTicker":
            bid, bid_qty, ask, ask_qty = (float(str(event[key])) for key in "bBaA")
            shown.spread_bps.append((ask - bid) / (ask + bid) * 2e4)
            shown.spread_ticks.append(round((ask - bid) / ticks[symbol]))
            shown.touch_usdt += [bid * bid_qty, ask * ask_qty]
        elif event.get("e") == "aggTrade":
            at_ms = int(str(event["T"]))
            shown.trade_usdt.append(float(str(event["p"])) * float(str(event["q"])))
            if symbol in before:
                shown.between_s.append((at_ms - before[symbol]) / 1e3)
            before[symbol] = at_ms
    return dict(found)


def shown_by(schedule: str, seed: int, count: int = BOOK_TICKS) -> Shown:
    """What `count` ticks of a schedule show, at the exchange's default of ten a second."""
    ticks = market(schedule, seed, Decimal(10))
    shown, before_ms, tick_size = Shown(), 0, float(SymbolRules().tick)
    for index in range(count):
        tick = ticks.next()
        if tick.volume:
            shown.trade_usdt.append(float(tick.volume * tick.last))
            if before_ms:
                shown.between_s.append((tick.ts_ms - before_ms) / 1e3)
            before_ms = tick.ts_ms
        if index % BOOK_EVERY == 0:
            (bid, bid_qty), (ask, ask_qty) = ((float(p), float(q)) for p, q in (tick.bids[0], tick.asks[0]))
            shown.spread_bps.append((ask - bid) / (ask + bid) * 2e4)
            shown.spread_ticks.append(round((ask - bid) / tick_size))
            shown.touch_usdt += [bid * bid_qty, ask * ask_qty]
    return shown


def returns_table(rows: dict[str, Returns]) -> str:
    """As Markdown."""
    head = "| 1m log returns, bps | minutes | std | median of size | p99 | p99.9 | kurtosis |"
    lines = [
        head + "".join(f" acf {lag} |" for lag in LAGS),
        "| --- |" + " ---: |" * (6 + len(LAGS)),
    ]
    for name, row in rows.items():
        cells = [f"{row.minutes:,}", *(f"{x:.1f}" for x in (row.deviation, row.median, row.p99, row.p999))]
        cells += [f"{row.kurtosis:.0f}", *(f"{x:.2f}" for x in row.clustering)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def middle(values: Sequence[float], share: float = 0.5) -> str:
    """A quantile in three figures, a dash where there is nothing."""
    if not values:
        return "-"
    value = float(np.quantile(values, share))
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shown_table(rows: dict[str, Shown]) -> str:
    """As Markdown: medians, with the 90th percentile where a tail matters."""
    lines = [
        "| book and trades | spread, bps | p90 | in ticks | touch, USDT | p90 | trade, USDT | p90 | s between | p90 |",
        "| --- |" + " ---: |" * 9,
    ]
    for name, row in rows.items():
        cells = [middle(row.spread_bps), middle(row.spread_bps, 0.9), middle(row.spread_ticks)]
        for values in (row.touch_usdt, row.trade_usdt, row.between_s):
            cells += [middle(values), middle(values, 0.9)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Compare, print, plot."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("--data-dir", type=Path, required=True, help="folder of the recorded files")
    line.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the plots")
    line.add_argument("--seed", type=int, default=1, help="of the synthetic market (default %(default)s)")
    line.add_argument("--no-plots", action="store_true", help="tables alone; needs no matplotlib")
    asked = line.parse_args()
    missing = [name for name in (BARS, CAPTURE, LISTING) if not (asked.data_dir / name).is_file()]
    if missing:
        print(f"--data-dir {asked.data_dir}: has no {', '.join(missing)}", file=sys.stderr)
        return 2
    if not asked.no_plots and find_spec("matplotlib") is None:
        print(
            "plots need matplotlib (requirements-bench.txt); --no-plots prints the tables alone",
            file=sys.stderr,
        )
        return 2
    recorded = recorded_minutes(asked.data_dir / BARS)
    real = log_returns(recorded.closes)
    calm, wild = calm_and_wild(real)
    made = {name: synthetic_minutes(name, asked.seed, len(recorded.closes)) for name in SCHEDULES}
    synthetic = {name: log_returns(minutes.closes) for name, minutes in made.items()}
    series = {"recorded": real, "recorded, calm half": calm, "recorded, wildest day": wild, **synthetic}
    print(returns_table({name: figures(returns) for name, returns in series.items()}), end="\n\n")
    captured = shown_in(messages(asked.data_dir / CAPTURE), tick_sizes(asked.data_dir / LISTING))
    shown = {name: shown_by(name, asked.seed) for name in SCHEDULES}
    print(shown_table({f"captured {name}": row for name, row in captured.items()} | shown))
    if not asked.no_plots:
        from bench import realism_plots  # noqa: PLC0415  # the tables need no matplotlib

        asked.out.mkdir(parents=True, exist_ok=True)
        for path in realism_plots.draw(series, captured, shown, asked.out):
            print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

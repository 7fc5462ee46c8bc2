"""The plots of `bench.realism`: returns, their clustering, book and trades, recorded beside synthetic."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # files only, no window
from matplotlib import pyplot as plt  # the backend comes first
from matplotlib.axes import Axes

from bench.realism import DAY_MINUTES, Floats, Shown, autocorrelation

COLOURS = {
    "recorded": "#111111",
    "recorded, calm half": "#4c72b0",
    "recorded, wildest day": "#8a8a8a",
    "range": "#2ca02c",
    "trend": "#d62728",
    "crash": "#9467bd",
    "spike": "#e377c2",
    "gap": "#bcbd22",
    "quiet": "#17becf",
    "demo": "#ff7f0e",
}
LAGS_SHOWN = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480)
DOTS = 110


def draw(
    series: Mapping[str, Floats], captured: Mapping[str, Shown], shown: Mapping[str, Shown], out: Path
) -> list[Path]:
    """Write the three plots into `out`; their paths. `series` are one-minute log returns in bps by name."""
    kinds: dict[str, Callable[[], None]] = {
        "realism-returns.png": lambda: _returns(series),
        "realism-clustering.png": lambda: _clustering(series),
        "realism-book.png": lambda: _book(captured, shown),
    }
    paths = []
    for name, plot in kinds.items():
        plot()
        paths.append(out / name)
        # No program's version in the file: the same figures give the same picture.
        plt.savefig(paths[-1], dpi=DOTS, metadata={"Software": None})
        plt.close()
    return paths


def _style(name: str) -> dict[str, Any]:
    real = name.startswith("recorded")
    return {"color": COLOURS[name], "lw": 2.0 if real else 1.2, "ls": "-" if real else "--", "label": name}


def _axes(columns: int, width: float = 12.0) -> list[Axes]:
    _figure, axes = plt.subplots(1, columns, figsize=(width, 4.6), layout="constrained")
    for one in axes:
        one.grid(alpha=0.25, which="both", lw=0.5)
    return list(axes)


def _returns(series: Mapping[str, Floats]) -> None:
    tails, scaled = _axes(2)
    for name, returns in series.items():
        size = np.sort(np.abs(returns))
        share = 1 - np.arange(len(size)) / len(size)
        tails.plot(size, share, **_style(name))
    tails.set(
        xscale="log", yscale="log", xlim=(0.5, 400), ylim=(3e-5, 1.1),
        xlabel="size of a minute's log return, bps", ylabel="share of minutes at least as large",
        title="How large a minute's move is",
    )  # fmt: skip
    tails.legend(fontsize=7)
    real = series["recorded"] / series["recorded"].std()
    shares = np.concatenate(
        [np.geomspace(1e-4, 0.1, 40), np.linspace(0.11, 0.89, 60), 1 - np.geomspace(0.1, 1e-4, 40)]
    )
    at = np.quantile(real, shares)
    for name in ("range", "trend", "crash", "quiet"):
        scaled.plot(
            at, np.quantile(series[name] / series[name].std(), shares), marker=".", ms=4, **_style(name)
        )
    scaled.axline((0, 0), slope=1, color="#111111", lw=1)
    scaled.set(
        xlabel="quantile, recorded (standard deviations)", ylabel="quantile, synthetic (standard deviations)",
        title="Shape: on the line = tails as fat as the recorded",
    )  # fmt: skip
    scaled.legend(fontsize=8)


def _clustering(series: Mapping[str, Floats]) -> None:
    faded, days = _axes(2)
    for name in ("recorded", "recorded, calm half", "range", "trend", "crash", "quiet"):
        size = np.abs(series[name])
        faded.plot(LAGS_SHOWN, [autocorrelation(size, lag) for lag in LAGS_SHOWN], **_style(name))
    faded.set(
        xscale="log", xlabel="lag, minutes", ylabel="autocorrelation of the size of returns", ylim=(-0.2, 0.6),
        title="Volatility clusters",
    )  # fmt: skip
    faded.legend(fontsize=8)
    shown = ("recorded", "recorded, calm half", "trend", "range")
    for row, name in enumerate(shown):
        # One day, another of each: under one seed the schedules share their random numbers.
        day = series[name][(9 - row) * DAY_MINUTES : (10 - row) * DAY_MINUTES]
        days.plot(np.arange(len(day)) / 60, day - 140.0 * row, color=COLOURS[name], lw=0.6)
    days.set_yticks([-140.0 * row for row in range(len(shown))], shown)
    days.set(xlabel="hours of one day", title="One day of one-minute returns (rows 140 bps apart)")


def _cumulated(axes: Axes, values: Sequence[float], style: Mapping[str, Any]) -> None:
    ordered = np.sort(np.asarray(values))
    axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), **style)


def _book(captured: Mapping[str, Shown], shown: Mapping[str, Shown]) -> None:
    fields = {
        "spread_bps": "spread, bps",
        "touch_usdt": "size at the best price, USDT",
        "trade_usdt": "size of a trade, USDT",
        "between_s": "seconds between trades (0 drawn as 0.001)",
    }
    axes = _axes(len(fields), 16.0)
    greys = ("#111111", "#4c72b0", "#8a8a8a", "#b8860b")
    for one, (field, label) in zip(axes, fields.items(), strict=True):
        for (symbol, what), colour in zip(captured.items(), greys, strict=False):
            _cumulated(
                one,
                np.maximum(getattr(what, field), 1e-3),
                {"color": colour, "lw": 2, "label": f"captured {symbol}"},
            )
        for name in ("range", "trend", "crash", "quiet"):
            _cumulated(one, np.maximum(getattr(shown[name], field), 1e-3), _style(name))
        one.set(xscale="log", xlabel=label, ylabel="share at most")
    handles, labels = axes[0].get_legend_handles_labels()
    plt.figlegend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)

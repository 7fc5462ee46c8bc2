"""Builds the markets of the paper exchange from what its command line says: one market per symbol.

Kinds: `synthetic` (never ends, seeded, a schedule of regimes) and `replay` (recorded bars, trades or quotes of one symbol).
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from hedgegridd.exchange.recorded import read
from hedgegridd.exchange.replay import ReplayMarket
from hedgegridd.exchange.synthetic import SyntheticMarket
from hedgegridd.exchange.types import Market, SymbolRules

KINDS = ("synthetic", "replay")
HISTORY_BARS_SYNTHETIC = 480
HISTORY_BARS_REPLAY = 0


def build(
    kind: str,
    *,
    symbols: Sequence[SymbolRules],
    data: Path | None = None,
    seed: int = 1,
    start_ms: int = 0,
    tick_rate: Decimal | int = 10,
    history_bars: int | None = None,
    regime: str = "demo",
    points_per_bar: int = 12,
) -> list[Market]:
    """One market per symbol, each with its own random numbers out of `seed`.

    `data` and `points_per_bar` are the replay's; `start_ms` (market time of the start), `tick_rate` (ticks per
    second of market time, which is wall time at speed 1) and `regime` the synthetic market's. `history_bars` None
    means 240 for synthetic and 0 for replay. Raises ValueError with the name of the field at fault; `DataError`,
    which is one, for a file that cannot be replayed.
    """
    if kind not in KINDS:
        raise ValueError(f"market {kind!r}: must be one of {', '.join(KINDS)}")
    names = [rules.symbol for rules in symbols]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"symbols {names}: must be at least one, each once")
    if kind == "replay":
        if data is None:
            raise ValueError("data: a replay needs the file to replay")
        if len(symbols) != 1:
            raise ValueError(f"symbols {names}: a replay is of one symbol, as its file is")
        return [
            ReplayMarket(
                symbols[0],
                read(data, symbols[0]),
                seed=seed,
                points_per_bar=points_per_bar,
                history_bars=HISTORY_BARS_REPLAY if history_bars is None else history_bars,
            )
        ]
    if data is not None:
        raise ValueError(f"data {data}: a synthetic market reads no file")
    return [
        SyntheticMarket(
            rules,
            seed=seed,
            start_ms=start_ms,
            tick_rate=Decimal(tick_rate),
            regime=regime,
            history_bars=HISTORY_BARS_SYNTHETIC if history_bars is None else history_bars,
        )
        for rules in symbols
    ]

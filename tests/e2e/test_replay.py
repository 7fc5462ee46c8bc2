"""The daemon driven through recorded minutes on the paper exchange: its books and metrics are the exchange's."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from bench.replay import main
from hedgegridd.exchange.synthetic import SyntheticMarket
from hedgegridd.exchange.types import SymbolRules
from tests.support.recorded import ABSENT, BARS


def run(data: Path, folder: Path, minutes: int, points: int, *more: str) -> tuple[int, dict[str, object]]:
    summary = folder / "summary.json"
    arguments = [
        "--data",
        str(data),
        "--minutes",
        str(minutes),
        "--points",
        str(points),
        "--json",
        str(summary),
    ]
    code = main([*arguments, "--keep", str(folder / "run"), *more])
    return code, json.loads(summary.read_text())


@pytest.mark.e2e
@pytest.mark.slow
def test_a_lively_market_is_followed_to_the_cent(tmp_path: Path) -> None:
    """Bars of the demo's market, so that both legs fill, take profit and recentre in two market hours."""
    market = SyntheticMarket(SymbolRules(), seed=3, start_ms=1_700_000_040_000, history_bars=200)
    lines = ["timestamp,open,high,low,close,volume"]
    for k in market.history():
        figures = (k.open, k.high, k.low, k.close, (k.volume * k.close).quantize(Decimal("0.01")))
        lines.append(",".join(str(figure) for figure in (k.open_ms, *figures)))
    data = tmp_path / "bars.csv"
    data.write_text("\n".join(lines) + "\n")
    code, summary = run(data, tmp_path, 120, 8, "--history-bars", "75")
    assert code == 0, summary["findings"]
    assert int(str(summary["fills"])) > 20
    assert int(str(summary["recentres"])) >= 1
    assert summary["points"] == 9


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.skipif(not BARS.exists(), reason=ABSENT)
def test_a_recorded_day_is_followed_to_the_cent(tmp_path: Path) -> None:
    code, summary = run(BARS, tmp_path, 1440, 20)
    assert code == 0, summary["findings"]
    assert summary["minutes"] == 1440
    assert int(str(summary["fills"])) > 0

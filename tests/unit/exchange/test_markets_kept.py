"""A market that is saved and restored gives the ticks that would have followed."""

from decimal import Decimal
from pathlib import Path

import pytest

from hedgegridd.exchange import markets
from hedgegridd.exchange.rules import rules_of
from hedgegridd.exchange.types import Market

START_MS = 1_700_000_000_000


def synthetic(regime: str) -> Market:
    return markets.build(
        "synthetic", symbols=[rules_of("BTCUSDT")], seed=5, start_ms=START_MS, regime=regime, history_bars=3
    )[0]


def replay(tmp_path: Path) -> Market:
    data = tmp_path / "bars.csv"
    rows = [f"2022-01-01 00:{m:02}:00,{1000 + m},{1003 + m},{998 + m},{1001 + m},50000" for m in range(30)]
    data.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return markets.build("replay", symbols=[rules_of("BTCUSDT")], data=data, seed=5, history_bars=2)[0]


@pytest.mark.parametrize("after", [0, 1, 77])
@pytest.mark.parametrize("kind", ["demo", "gap", "crash", "replay"])
def test_the_same_ticks_follow(kind: str, after: int, tmp_path: Path) -> None:
    first, second = (replay(tmp_path) if kind == "replay" else synthetic(kind) for _ in range(2))
    for _ in range(after):
        first.next()
    first.jump(Decimal("1.1"))
    second.restore(first.save())
    assert second.next_ts_ms() == first.next_ts_ms()
    assert [second.next() for _ in range(100)] == [first.next() for _ in range(100)]
    assert second.save() == first.save()


def test_a_silence_moves_a_synthetic_market_on_and_a_recording_not(tmp_path: Path) -> None:
    for market, moved in ((synthetic("demo"), 5_000), (replay(tmp_path), 0)):
        before = market.next_ts_ms()
        market.pass_over(5_000)
        assert market.next_ts_ms() == before + moved


def test_a_replay_is_not_turned_back(tmp_path: Path) -> None:
    early, late = replay(tmp_path), replay(tmp_path)
    late.next()
    with pytest.raises(ValueError, match="state"):
        late.restore(early.save())

"""The regime filter against a textbook reference in exact fractions, and each of its parameters."""

import itertools
from decimal import Decimal, localcontext
from fractions import Fraction

import msgspec
import pytest

from hedgegridd import config
from hedgegridd.core.regime import Reading, RegimeFilter, RegimeState
from hedgegridd.model import Regime

Bar = tuple[Decimal, Decimal, Decimal]


def bars(closes: list[str], half_range: str = "1") -> list[Bar]:
    half = Decimal(half_range)
    return [(Decimal(c) + half, Decimal(c) - half, Decimal(c)) for c in closes]


def trend(count: int, start: int = 1000, by: int = 10) -> list[Bar]:
    return bars([str(start + by * i) for i in range(count)])


def wavy(count: int) -> list[Bar]:
    closes = [1000 + (i * 37) % 53 - (i * i) % 29 for i in range(count)]
    return [(Decimal(c + 3 + i % 4), Decimal(c - 2 - i % 3), Decimal(c)) for i, c in enumerate(closes)]


def breathing(count: int) -> list[Bar]:
    """Ranges that widen and narrow: outside bars, and highs and lows that go equally far out."""
    closes = [1000 + (i // 3) % 7 for i in range(count)]
    halves = [(1, 4, 9, 2, 9, 3)[i % 6] for i in range(count)]
    lean = [(0, 0, 2)[i % 3] for i in range(count)]
    return [
        (Decimal(c + h + more), Decimal(c - h), Decimal(c))
        for c, h, more in zip(closes, halves, lean, strict=True)
    ]


def fed(cfg: config.Regime, data: list[Bar], to_warm: int = 1) -> RegimeFilter:
    machine = RegimeFilter(cfg, to_warm)
    for bar in data:
        machine.on_bar(*bar)
    return machine


def reference_ema(values: list[Fraction], n: int) -> Fraction | None:
    if len(values) < n:
        return None
    value = sum(values[:n], Fraction(0)) / n
    for each in values[n:]:
        value += (each - value) * Fraction(2, n + 1)
    return value


def reference_adx(data: list[Bar], n: int) -> Fraction | None:
    """Wilder's own way: running sums of TR, +DM, -DM; DI over TR; DX; first ADX the mean of n DX."""
    exact = [tuple(Fraction(x) for x in bar) for bar in data]
    ranges, plus, minus = [], [], []
    for (h0, l0, c0), (h, low, _) in itertools.pairwise(exact):
        up, down = h - h0, l0 - low
        ranges.append(max(h - low, abs(h - c0), abs(low - c0)))
        plus.append(up if up > down and up > 0 else Fraction(0))
        minus.append(down if down > up and down > 0 else Fraction(0))
    if len(ranges) < n:
        return None
    tr, pdm, mdm = sum(ranges[:n]), sum(plus[:n]), sum(minus[:n])
    dxs = []
    for i in range(n - 1, len(ranges)):
        if i >= n:
            tr, pdm, mdm = tr - tr / n + ranges[i], pdm - pdm / n + plus[i], mdm - mdm / n + minus[i]
        pdi, mdi = 100 * pdm / tr, 100 * mdm / tr
        dxs.append(100 * abs(pdi - mdi) / (pdi + mdi))
    if len(dxs) < n:
        return None
    adx = sum(dxs[:n]) / n
    for dx in dxs[n:]:
        adx = (adx * (n - 1) + dx) / n
    return adx


def reference_atr(data: list[Bar], n: int) -> Fraction:
    exact = [tuple(Fraction(x) for x in bar) for bar in data]
    ranges = [
        max(h - low, abs(h - c0), abs(low - c0)) for (_, _, c0), (h, low, _) in itertools.pairwise(exact)
    ]
    atr = sum(ranges[:n], Fraction(0)) / n
    for each in ranges[n:]:
        atr = (atr * (n - 1) + each) / n
    return atr


@pytest.mark.parametrize("data", [wavy(120), breathing(120)], ids=["wavy", "breathing"])
@pytest.mark.parametrize(
    ("adx_len", "fast", "slow", "atr_len"), [(14, 10, 30, 14), (5, 3, 8, 7), (2, 1, 2, 2)]
)
def test_values_are_the_textbooks(adx_len: int, fast: int, slow: int, atr_len: int, data: list[Bar]) -> None:
    cfg = config.Regime(adx_len=adx_len, ema_fast=fast, ema_slow=slow, atr_len=atr_len)
    reading = fed(cfg, data).reading
    closes = [Fraction(bar[2]) for bar in data]
    near = Fraction(1, 10**9)
    assert reading.adx is not None
    assert reading.ema_fast is not None
    assert reading.ema_slow is not None
    assert reading.atr is not None
    assert reading.spread_bps is not None
    adx = reference_adx(data, adx_len)
    ema_fast, ema_slow = reference_ema(closes, fast), reference_ema(closes, slow)
    assert adx is not None
    assert ema_fast is not None
    assert ema_slow is not None
    assert abs(Fraction(reading.adx) - adx) < near
    assert abs(Fraction(reading.ema_fast) - ema_fast) < near
    assert abs(Fraction(reading.ema_slow) - ema_slow) < near
    assert abs(Fraction(reading.atr) - reference_atr(data, atr_len)) < near
    assert abs(Fraction(reading.spread_bps) - (ema_fast - ema_slow) / ema_slow * 10_000) < near


@pytest.mark.parametrize(
    ("name", "first_bar"), [("ema_fast", 3), ("ema_slow", 5), ("atr", 5), ("adx", 8), ("spread_bps", 5)]
)
def test_each_value_is_none_until_its_bars_came(name: str, first_bar: int) -> None:
    cfg = config.Regime(adx_len=4, ema_fast=3, ema_slow=5, atr_len=4)
    machine = RegimeFilter(cfg, 1)
    for count, bar in enumerate(wavy(12), start=1):
        value = getattr(machine.on_bar(*bar), name)
        assert (value is not None) == (count >= first_bar), (name, count)


def small(**changes: object) -> config.Regime:
    values: dict[str, object] = {"adx_len": 3, "ema_fast": 2, "ema_slow": 4, "atr_len": 3} | changes
    return config.Regime(**values)  # type: ignore[arg-type]


def test_a_trend_is_up_and_its_mirror_down() -> None:
    assert fed(small(), trend(30)).reading.regime is Regime.UP
    assert fed(small(), trend(30, by=-10)).reading.regime is Regime.DOWN


def test_not_warm_is_sideways_until_the_wanted_bars_came() -> None:
    machine = RegimeFilter(small(), 25)
    readings = [machine.on_bar(*bar) for bar in trend(26)]
    assert [r.warm for r in readings] == [False] * 24 + [True] * 2
    assert {r.regime for r in readings[:24]} == {Regime.SIDEWAYS}
    assert readings[24].regime is Regime.UP


def test_warm_waits_for_every_value_even_when_fewer_bars_are_wanted() -> None:
    machine = RegimeFilter(small(atr_len=12), 1)
    readings = [machine.on_bar(*bar) for bar in trend(14)]
    assert [r.warm for r in readings] == [False] * 12 + [True] * 2


def test_adx_below_the_threshold_is_sideways() -> None:
    data = wavy(60)
    adx = fed(small(hysteresis_bps=Decimal(0)), data).reading.adx
    assert adx is not None
    at = small(hysteresis_bps=Decimal(0), adx_trend=adx)
    above = small(hysteresis_bps=Decimal(0), adx_trend=adx + 1)
    assert fed(at, data).reading.regime is not Regime.SIDEWAYS
    assert fed(above, data).reading.regime is Regime.SIDEWAYS


def test_inside_the_hysteresis_the_last_regime_stays() -> None:
    rise = trend(20)
    # Falling back just below the crossing of the averages: |s| is small, its sign has turned.
    turn = [*rise, *bars(["1178", "1170", "1165", "1162"])]
    spread = fed(small(adx_trend=Decimal(0)), turn).reading.spread_bps
    assert spread is not None
    assert spread < 0
    wide = small(adx_trend=Decimal(0), hysteresis_bps=abs(spread) + 1)
    narrow = small(adx_trend=Decimal(0), hysteresis_bps=abs(spread))
    assert fed(wide, turn).reading.regime is Regime.UP
    assert fed(narrow, turn).reading.regime is Regime.DOWN


def test_a_spread_of_zero_has_no_sign_and_keeps_the_regime() -> None:
    flat = bars(["1000"] * 20)
    machine = fed(small(adx_trend=Decimal(0), hysteresis_bps=Decimal(0)), flat)
    assert machine.reading.spread_bps == 0
    assert machine.reading.warm
    assert machine.reading.regime is Regime.SIDEWAYS


@pytest.mark.parametrize(
    "changes", [{"adx_len": 6}, {"ema_fast": 3}, {"ema_slow": 9}, {"atr_len": 9}], ids=lambda c: next(iter(c))
)
def test_each_length_changes_the_reading(changes: dict[str, object]) -> None:
    assert fed(small(**changes), wavy(60)).reading != fed(small(), wavy(60)).reading


def test_a_snapshot_goes_on_as_if_nothing_had_happened() -> None:
    data = wavy(80)
    whole = fed(small(), data)
    first = fed(small(), data[:33])
    packed = msgspec.json.encode(first.snapshot())
    second = RegimeFilter(small(), 1)
    second.restore(msgspec.json.decode(packed, type=RegimeState))
    assert second.reading == first.reading
    for bar in data[33:]:
        second.on_bar(*bar)
    assert second.snapshot() == whole.snapshot()


@pytest.mark.parametrize(
    "bar", [("10", "11", "10.5"), ("10", "9", "11"), ("10", "9", "8"), ("10", "0", "5"), ("10", "-1", "5")]
)
def test_an_impossible_bar_is_refused_and_changes_nothing(bar: tuple[str, str, str]) -> None:
    machine = fed(small(), wavy(20))
    before = machine.snapshot()
    with pytest.raises(ValueError, match="low <= close <= high"):
        machine.on_bar(*(Decimal(x) for x in bar))
    assert machine.snapshot() == before


@pytest.mark.parametrize("bar", [("9", "9", "9"), ("10", "9", "9"), ("10", "9", "10")])
def test_a_close_at_the_edge_of_its_bar_is_a_bar(bar: tuple[str, str, str]) -> None:
    machine = fed(small(), wavy(20))
    before = machine.snapshot()
    machine.on_bar(*(Decimal(x) for x in bar))
    assert machine.snapshot() != before


def test_values_stay_short_and_do_not_depend_on_the_ambient_context() -> None:
    plain = fed(small(), wavy(300))
    with localcontext() as context:
        context.prec = 50
        other = fed(small(), wavy(300))
    assert other.snapshot() == plain.snapshot()
    reading = plain.reading
    for value in (reading.adx, reading.ema_fast, reading.ema_slow, reading.atr, reading.spread_bps):
        assert value is not None
        assert len(value.as_tuple().digits) <= 16


def test_a_fresh_filter_knows_nothing() -> None:
    assert RegimeFilter(small(), 1).reading == Reading()

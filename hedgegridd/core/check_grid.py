"""What is wrong or without effect in one `[[grid]]` table: contradictions are errors, dead parameters warnings."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from itertools import accumulate

import msgspec

from hedgegridd import config
from hedgegridd.core.ladder import Dropped, RungTarget, build_ladder
from hedgegridd.core.precision import fit
from hedgegridd.model import BPS, LEGS, ZERO, Instrument, Leg
from hedgegridd.problems import Path, Problem

BAR_SECONDS = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "1h": 3600}
_HALF = Decimal("0.5")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One grid with what is known of its market; without instrument or price the checks that need them are left out."""

    grid: config.Grid
    path: Path
    pretrade: config.Pretrade
    instrument: Instrument | None = None
    price: Decimal | None = None

    def error(self, at: str, text: str, note: str = "", help: str = "") -> Problem:  # noqa: A002  # the Struct's word
        """A contradiction at `at`, a key or `table.key` below the grid."""
        return Problem(path=(*self.path, *at.split(".")), text=text, note=note, help=help)

    def warning(self, at: str, text: str, note: str = "", help: str = "") -> Problem:  # noqa: A002  # the Struct's word
        """Something without effect at `at`."""
        return Problem(severity="warning", path=(*self.path, *at.split(".")), text=text, note=note, help=help)

    def ladder(self, leg: Leg) -> tuple[RungTarget, ...]:
        """The full ladder around the reference price; around 1 without one (quantities are right all the same)."""
        return build_ladder(leg, self.price or Decimal(1), self.grid)

    def sizes(self, leg: Leg) -> tuple[Decimal, ...]:
        """Quantities of the full ladder, on the lot step when it is known."""
        rungs = self.ladder(leg)
        if self.instrument is None:
            return tuple(rung.qty for rung in rungs)
        return tuple(self.instrument.floor_qty(rung.qty) for rung in rungs)

    def notionals(self, leg: Leg) -> tuple[Decimal, ...]:
        """What each rung of the full ladder is worth, USDT; needs a price."""
        return tuple(rung.price * qty for rung, qty in zip(self.ladder(leg), self.sizes(leg), strict=True))


def check_grid(subject: Subject) -> Iterator[Problem]:
    """All findings of one grid."""
    yield from _contradictions(subject)
    yield from _geometry(subject)
    yield from _data(subject)
    yield from _dead(subject)
    yield from _dead_policy(subject)
    for leg in LEGS:
        yield from _quantities(subject, leg)
        if subject.price is not None:
            yield from _money(subject, leg)
        if subject.instrument is not None:
            yield from _filters(subject, leg, subject.instrument)


def levels_key(leg: Leg) -> str:
    """The key that says how many rungs a leg has."""
    return "levels_long" if leg is Leg.LONG else "levels_short"


def _contradictions(subject: Subject) -> Iterator[Problem]:
    grid = subject.grid
    if grid.tp_steps > 3 * grid.sl_steps:
        yield subject.error(
            "tp_steps",
            "take-profit is more than three times as far as the stop",
            f"at most {3 * grid.sl_steps:f} with sl_steps = {grid.sl_steps:f}",
        )
    if grid.regime.ema_fast >= grid.regime.ema_slow:
        yield subject.error(
            "regime.ema_fast",
            "ema_fast must be shorter than ema_slow",
            f"below {grid.regime.ema_slow}",
        )
    if grid.max_bar_age_s < BAR_SECONDS[grid.bar]:
        yield subject.error(
            "max_bar_age_s",
            f"every {grid.bar} bar is too old before the next one closes",
            f"at least {BAR_SECONDS[grid.bar]}",
        )
    if grid.execution.price_tolerance_bps * 2 >= grid.step_bps:
        yield subject.error(
            "execution.price_tolerance_bps",
            "price_tolerance_bps spans half a step: rungs would not follow the grid",
            f"below {grid.step_bps * _HALF:f}",
        )


def _geometry(subject: Subject) -> Iterator[Problem]:
    grid = subject.grid
    collar = subject.pretrade.price_collar_bps
    for leg in LEGS:
        key = levels_key(leg)
        levels: int = grid.levels_long if leg is Leg.LONG else grid.levels_short
        reach = levels * grid.step_bps
        if reach > collar:
            yield subject.error(
                key,
                f"the outermost {leg} rung is {reach:f} bps from the centre, outside price_collar_bps {collar:f}",
                f"at most {int(collar / grid.step_bps)}",
                "lower the levels or step_bps, or raise price_collar_bps in [pretrade]",
            )
        if reach > grid.recenter_trigger_bps:
            first = int(grid.recenter_trigger_bps / grid.step_bps) + 1
            which = f"rung {first} is" if first == levels else f"rungs {first} to {levels} are"
            yield subject.warning(
                key,
                f"{leg} {which} dead: a recentre at {grid.recenter_trigger_bps:f} bps overtakes them",
                f"{first - 1} can fill",
                f"{key} = {first - 1}, or recenter_trigger_bps above {reach:f}",
            )
    stop_bps = (grid.levels_long + grid.sl_steps + 1) * grid.step_bps
    if stop_bps >= BPS:
        yield subject.error(
            "sl_steps",
            "the LONG leg stop would be at or below zero",
            f"levels_long + sl_steps + 1 steps of {grid.step_bps:f} bps",
        )
    tp_bps = grid.tp_steps * grid.step_bps
    if tp_bps >= BPS + grid.step_bps:
        yield subject.error("tp_steps", "the SHORT take-profit would be at or below zero", f"{tp_bps:f} bps")


def _data(subject: Subject) -> Iterator[Problem]:
    grid, regime = subject.grid, subject.grid.regime
    needed = max(regime.ema_slow, 2 * regime.adx_len, regime.atr_len + 1)
    if needed > grid.bars_to_warm:
        at = "warmup_bars" if grid.warmup_bars is not None else "regime.adx_len"
        yield subject.warning(
            at,
            f"{grid.bars_to_warm} warm-up bars do not warm the regime filter: it needs {needed}",
            f"entries start {needed - grid.bars_to_warm} bars late",
            f"warmup_bars = {needed}",
        )
    elif regime.atr_len != config.Regime().atr_len:
        yield subject.warning(
            "regime.atr_len",
            "atr_len is dead: in this version nothing but the warm-up needs the ATR",
            f"{grid.bars_to_warm} warm-up bars are more than it takes",
        )


def _dead(subject: Subject) -> Iterator[Problem]:
    """Keys that were changed from their default and can have no effect beside the others."""
    grid, execution = subject.grid, subject.grid.execution
    changed = config.Execution()
    if not execution.maker_only:
        for key in ("post_only_retries", "retry_delay_ms", "max_price_deviation_bps"):
            if getattr(execution, key) != getattr(changed, key):
                yield subject.warning(
                    f"execution.{key}", f"{key} is dead: entries are not post-only (maker_only = false)"
                )
    elif execution.post_only_retries == 0:
        for key in ("retry_delay_ms", "max_price_deviation_bps"):
            if getattr(execution, key) != getattr(changed, key):
                yield subject.warning(f"execution.{key}", f"{key} is dead: post_only_retries is 0")
    elif execution.max_price_deviation_bps == ZERO:
        yield subject.warning(
            "execution.post_only_retries",
            "post_only_retries is dead: max_price_deviation_bps 0 allows no other price",
        )
    if grid.funding.window_min == 0 and grid.funding.max_cost_bps != config.Funding().max_cost_bps:
        yield subject.warning("funding.max_cost_bps", "max_cost_bps is dead: window_min is 0")
    if grid.levels_long == grid.levels_short == 1 and grid.qty_scale != config.Grid().qty_scale:
        yield subject.warning("qty_scale", "qty_scale is dead: each ladder has one rung")


def _dead_policy(subject: Subject) -> Iterator[Problem]:
    grid, policy, usual = subject.grid, subject.grid.policy, config.Policy()
    if policy.kind == "symmetric":
        for key in ("counter_levels", "counter_qty_scale"):
            if getattr(policy, key) != getattr(usual, key):
                yield subject.warning(f"policy.{key}", f"{key} is dead: kind is symmetric")
        for key in ("ema_fast", "hysteresis_bps", "adx_trend"):
            if getattr(grid.regime, key) != getattr(config.Regime(), key):
                yield subject.warning(
                    f"regime.{key}", f"{key} is dead: a symmetric policy knows no direction"
                )
        return
    if policy.counter_levels == 0:
        if policy.counter_qty_scale != usual.counter_qty_scale:
            yield subject.warning(
                "policy.counter_qty_scale", "counter_qty_scale is dead: counter_levels is 0"
            )
        if policy.kind == "core-and-scalp":
            yield subject.warning(
                "policy.counter_levels",
                "core-and-scalp with counter_levels 0 places no entry at all in a trend",
            )
    elif policy.counter_levels >= max(grid.levels_long, grid.levels_short):
        if policy.counter_qty_scale == 1:
            yield subject.warning("policy.kind", f"{policy.kind} is dead: it keeps every rung in full")
        elif policy.counter_levels != usual.counter_levels:
            yield subject.warning("policy.counter_levels", "counter_levels is dead: no ladder has more rungs")


def _quantities(subject: Subject, leg: Leg) -> Iterator[Problem]:
    """What needs no price."""
    sizes = subject.sizes(leg)
    total = sum(sizes, ZERO)
    limit = subject.grid.position.max_qty
    if total > limit:
        yield subject.error(
            "position.max_qty",
            f"{leg} ladder exceeds max_qty",
            f"its rungs need {_up(total)}",
            _remedy(leg, "max_qty", sizes, limit),
        )


def _money(subject: Subject, leg: Leg) -> Iterator[Problem]:
    grid, pretrade = subject.grid, subject.pretrade
    notionals = subject.notionals(leg)
    total = sum(notionals, ZERO)
    if total > grid.max_inventory_usdt:
        yield subject.error(
            "max_inventory_usdt",
            f"{leg} ladder exceeds max_inventory_usdt",
            f"{len(notionals)} rungs need {_up(total)}",
            _remedy(
                leg,
                "max_inventory_usdt",
                notionals,
                grid.max_inventory_usdt,
            ),
        )
    largest = max(notionals, default=ZERO)
    if pretrade.max_order_notional_usdt is not None and largest > pretrade.max_order_notional_usdt:
        yield subject.error(
            "base_qty",
            f"the largest {leg} rung exceeds max_order_notional_usdt {pretrade.max_order_notional_usdt:f} of [pretrade]",
            f"{_up(largest)} USDT",
        )
    if pretrade.max_leg_notional_usdt is not None and total > pretrade.max_leg_notional_usdt:
        yield subject.error(
            levels_key(leg),
            f"the {leg} ladder exceeds max_leg_notional_usdt {pretrade.max_leg_notional_usdt:f} of [pretrade]",
            f"{_up(total)} USDT",
        )


def _filters(subject: Subject, leg: Leg, instrument: Instrument) -> Iterator[Problem]:
    grid = subject.grid
    rungs = subject.ladder(leg)
    floored = {instrument.floor_qty(rung.qty) for rung in rungs}
    if grid.qty_scale != 1 and len(rungs) > 1 and len(floored) == 1:
        yield subject.warning(
            "qty_scale",
            f"qty_scale is dead on {leg}: the lot step {instrument.step:f} floors it away",
            f"every rung is {floored.pop():f}",
            "raise base_qty or qty_scale, or set qty_scale = 1",
        )
    if leg is Leg.LONG and instrument.floor_qty(grid.base_qty) != grid.base_qty:
        yield subject.warning(
            "base_qty",
            f"base_qty is not on the lot step {instrument.step:f}",
            f"the first rung will be {instrument.floor_qty(grid.base_qty):f}",
        )
    if subject.price is None:
        return
    unplaced = fit(rungs, instrument)[1]
    if unplaced:
        make = subject.error if len(unplaced) == len(rungs) else subject.warning
        yield make("base_qty", *_unplaceable(leg, unplaced, len(rungs), ""), "raise base_qty")
        return
    policy = grid.policy
    if policy.kind == "symmetric" or policy.counter_qty_scale == ZERO:
        return
    near = tuple(
        msgspec.structs.replace(rung, qty=rung.qty * policy.counter_qty_scale)
        for rung in rungs
        if rung.level <= policy.counter_levels
    )
    unplaced = fit(near, instrument)[1]
    if unplaced:
        told = _unplaceable(leg, unplaced, len(near), " as the counter side")
        yield subject.warning("policy.counter_qty_scale", *told, "raise counter_qty_scale or base_qty")


def _unplaceable(leg: Leg, unplaced: Dropped, of: int, when: str) -> tuple[str, str]:
    names = ", ".join(str(rung.level) for rung, _ in unplaced)
    rungs = "rung" if len(unplaced) == 1 else "rungs"
    note = "no rung is left" if len(unplaced) == of else ""
    return f"{leg} {rungs} {names} cannot be placed{when}: {unplaced[0][1]}", note


def _remedy(leg: Leg, key: str, sizes: tuple[Decimal, ...], limit: Decimal) -> str:
    """The limit that would do, or the number of rungs that fit below this one."""
    fits = sum(1 for each in accumulate(sizes) if each <= limit)
    raised = f"raise {key} to {_up(sum(sizes, ZERO))}"
    return f"{raised} or set {levels_key(leg)} = {fits}" if fits else f"{raised} or lower base_qty"


def _up(value: Decimal) -> str:
    """Rounded up to four significant digits, for people."""
    digits = max(0, 3 - value.adjusted())
    text = f"{value.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

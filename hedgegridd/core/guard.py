"""What a guard is made of: the table of its parameters, the verdict it gives, and words they share.

A guard is a file of `hedgegridd/guards/` with

- `TYPE`: its name in `[[guard]] type = "..."`;
- `INPUTS`: the events that move it (it is evaluated when one of them has come, and when it asked to look again);
- `Table`: its parameters, their defaults and bounds;
- `check(view, now, params)`: pure; one `Verdict` for every scope it watches, OK ones included;
- `history(params)`, optional: the events that it wants to look back at.

Levels: `WARN` is past the warn level; `CRITICAL` is past the trip level, people should look; `BLOCK` is past it and
holds entries, or its data is missing.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

import msgspec

from hedgegridd.config import Table, between
from hedgegridd.core.actions import Action, parse
from hedgegridd.messages import Event, Level, Scope
from hedgegridd.model import ZERO, Leg

SECOND_NS = 1_000_000_000
HUNDRED = Decimal(100)
PAUSE = Action("pause")
NOTIFY = Action("notify")


class GuardTable(Table, frozen=True, kw_only=True):
    """A `[[guard]]` table: what every guard has. A guard's own `Table` adds its levels and sets its defaults.

    A breach acts when it was seen in `confirm` samples in a row and for `confirm_s` seconds. `scope` is the
    narrowest that an action may have: "account" widens what the guard says of a leg or an instrument.
    """

    falling: ClassVar[bool] = False  # its levels fall from warn to trip (a distance, a floor)

    renews: ClassVar[bool] = False  # it measures since start, which begins anew with a rearm

    type: str
    enabled: bool = True
    action: str = "notify"
    confirm: Annotated[int, between("1", "1000")] = 1
    confirm_s: Annotated[Decimal, between("0", "3600")] = ZERO
    scope: Literal["leg", "instrument", "account"] = "leg"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(30)
    cooldown_s: Annotated[Decimal, between("0", "86400")] = ZERO
    on_missing: Literal["BLOCK", "WARN"] = "BLOCK"
    max_age_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(10)

    @property
    def act(self) -> Action:
        """`action`, read. Raises ValueError: it is none (a checked config has no such table)."""
        return parse(self.action)

    @property
    def off(self) -> bool:
        """True when it has nothing to judge by: a guard whose level has no default is off until one is given."""
        return not self.enabled


class Now(msgspec.Struct, frozen=True, gc=False):
    """The time of an evaluation: monotonic for ages, wall clock for windows over what happened."""

    mono_ns: int
    time_ns: int


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one kind that are kept for `seconds`; `every_s`: only the last of each such stretch (of market time)."""

    kind: type[Event]
    seconds: Decimal
    every_s: Decimal = ZERO


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard says of one scope now, before confirming.

    `value` None: its data is missing. `action`: instead of the table's. `held`: the condition whose time counts holds
    (`View.held_s`), by default when the level is not OK. `again_s`: look again so many seconds from now even if nothing
    moves. `once`: a trim is told once for each such text. `words` makes the message.
    """

    level: Level
    value: Decimal | None
    scope: Scope = Scope()
    warn: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    words: Callable[[], str] = str
    action: Action | None = None
    held: bool | None = None
    again_s: Decimal | None = None
    once: str = ""

    @property
    def breach(self) -> bool:
        """It acts once confirmed."""
        return self.level in ("CRITICAL", "BLOCK")

    def look_again(self, after_s: Decimal) -> "Verdict":
        """The same, to be judged again after so many seconds even if nothing moves."""
        return msgspec.structs.replace(self, again_s=after_s)


def at_or_above(
    params: GuardTable,
    value: Decimal,
    *,
    warn: Decimal,
    limit: Decimal,
    unit: str,
    what: str,
    scope: Scope = Scope(),  # noqa: B008  # frozen
) -> Verdict:
    """Judge a value that must stay below `limit`; `what` begins its message ("drawdown")."""
    return judge(
        params,
        value,
        reached=value >= limit,
        near=value >= warn,
        warn=warn,
        limit=limit,
        unit=unit,
        scope=scope,
        words=lambda: f"{what} {f'{shown(value)} {unit}'.rstrip()}, limit {shown(limit)}",
    )


def at_or_below(
    params: GuardTable,
    value: Decimal,
    *,
    warn: Decimal,
    limit: Decimal,
    unit: str,
    what: str,
    scope: Scope = Scope(),  # noqa: B008  # frozen
) -> Verdict:
    """Judge a value that must stay above `limit`."""
    return judge(
        params,
        value,
        reached=value <= limit,
        near=value <= warn,
        warn=warn,
        limit=limit,
        unit=unit,
        scope=scope,
        words=lambda: f"{what} {f'{shown(value)} {unit}'.rstrip()}, not below {shown(limit)}",
    )


def judge(
    params: GuardTable,
    value: Decimal,
    *,
    reached: bool,
    near: bool,
    warn: Decimal | None,
    limit: Decimal | None,
    unit: str,
    words: Callable[[], str],
    scope: Scope = Scope(),  # noqa: B008  # frozen
    action: Action | None = None,
) -> Verdict:
    """OK, WARN when `near`, and when `reached` the level that its action means."""
    level: Level = "OK"
    if reached:
        level = level_of(action or params.act)
    elif near:
        level = "WARN"
    return Verdict(
        level=level, value=value, scope=scope, warn=warn, limit=limit, unit=unit, words=words, action=action
    )


def level_of(action: Action) -> Level:
    """The level of a breach: BLOCK holds entries, CRITICAL is everything else."""
    return "BLOCK" if action.kind == "pause" else "CRITICAL"


def missing(
    params: GuardTable,
    what: str,
    *,
    scope: Scope = Scope(),  # noqa: B008  # frozen
    limit: Decimal | None = None,
    unit: str = "",
) -> Verdict:
    """Data that is missing or older than `max_age_s`: a breach, never zero. It holds entries, it closes nothing."""
    blocks = params.on_missing == "BLOCK"
    return Verdict(
        level=params.on_missing,
        value=None,
        scope=scope,
        limit=limit,
        unit=unit,
        words=lambda: what,
        action=PAUSE if blocks else NOTIFY,
    )


def shown(value: Decimal) -> str:
    """At most four digits behind the point, none that says nothing."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def warn_level(given: Decimal | None, limit: Decimal, part: Decimal = Decimal("0.8")) -> Decimal:
    """The warn level that is given, or `part` of the limit."""
    return limit * part if given is None else given


def short(instrument: str) -> str:
    """`BTCUSDT` of `BTCUSDT-PERP.BINANCE`, for people."""
    return instrument.partition(".")[0].removesuffix("-PERP")


def place(scope: Scope) -> str:
    """A scope in words: `account`, `BTCUSDT`, `BTCUSDT LONG`."""
    if scope.instrument is None:
        return "account" if scope.leg is None else scope.leg.value
    return short(scope.instrument) + ("" if scope.leg is None else f" {scope.leg.value}")


def leg_scope(instrument: str, leg: Leg) -> Scope:
    """The scope of one leg."""
    return Scope(instrument=instrument, leg=leg)

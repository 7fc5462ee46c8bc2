"""Guards, holds, and the figures they judge: what moves them and what follows from them."""

from decimal import Decimal
from typing import Literal

import msgspec

from hedgegridd.messages.base import Command, Event
from hedgegridd.model import KillState, Leg, Nanos

type Level = Literal["OK", "WARN", "CRITICAL", "BLOCK"]


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict, hold or trip is about: a leg, an instrument (leg None) or the account (both None)."""

    instrument: str | None = None
    leg: Leg | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold in force. `notify` only tells, `throttle` multiplies new entries by `factor`, `pause` allows none.

    `key` names it: who holds and its scope. It clears by itself; `cause` is told to people.
    """

    key: str
    action: Literal["notify", "throttle", "pause"]
    scope: Scope = Scope()
    factor: Decimal = Decimal(1)
    cause: str
    since_ns: Nanos


class HoldsChanged(Event, frozen=True, kw_only=True):
    """All holds of one `source` (guards, planned pauses, the journal) that are in force now; replaces its last set."""

    source: str
    holds: tuple[Hold, ...]


class TrimLeg(Command, frozen=True, kw_only=True):
    """Close `share` (above 0, up to 1) of a leg at market, outermost lots first; answered when that much is closed.

    A second one while the first runs asks for the larger of the two, not for both. One of an `episode` that was taken
    before does nothing: a guard that does not know, after a crash, whether it was heard asks again.
    """

    instrument: str
    leg: Leg
    share: Decimal
    reason: str
    episode: str = ""


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip of a leg or an instrument: TRIPPED while it removes, then HALTED, left by rearm alone.

    `halt`: entries of the scope are gone, exits and stops stay; `flatten`: its legs are closed. A scope with a leg and
    no instrument is that leg of every instrument. Rearm is allowed `cooldown_s` after `since_ns`.
    """

    trip_id: str
    scope: Scope
    action: Literal["halt", "flatten"]
    cause: str
    guard: str = ""
    state: KillState = KillState.TRIPPED
    since_ns: Nanos = 0
    cooldown_s: int = 0


class TripsChanged(Event, frozen=True, kw_only=True):
    """All trips of legs and instruments that are latched now; replaces the last set. The account's own is `KillStateChanged`."""

    trips: tuple[Trip, ...]


class SetLimits(Command, frozen=True, kw_only=True):
    """Replace limits of the pre-trade gate by name; `may_loosen`: an admin asks (then with a reason)."""

    values: dict[str, Decimal]
    reason: str = ""
    may_loosen: bool = False


class GuardVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a guard says of one scope: the measured value and its trip level as text with their unit, in words."""

    guard: str
    scope: Scope = Scope()
    level: Level
    value: Decimal | None  # None: missing, which counts as breach
    warn: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    message: str = ""
    since_ns: Nanos = 0
    action: str = ""  # what its breach does, as a table writes it ("throttle:0.5"); "": not known


class GuardChanged(Event, frozen=True, kw_only=True):
    """A guard's confirmed level has changed; `did` is what followed: the hold, trip or command, in words."""

    verdict: GuardVerdict
    previous: Level
    did: str = ""


class LegFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A leg as our books have it; quantities in base currency, None: not known."""

    leg: Leg
    qty: Decimal
    notional_usdt: Decimal | None
    entries_usdt: Decimal  # working entries, by their prices
    stop_resting: bool  # a leg stop of ours is at the venue
    liquidation_price: Decimal | None = None
    stop_price: Decimal | None = None  # of the leg stop that rests
    hands_off: bool = False  # mode manual, or inventory that is not ours: its stop is not ours to place


class InstrumentFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An instrument as our books have it, on the market's clock where the name says so."""

    instrument: str
    mark: Decimal | None
    legs: tuple[LegFigures, ...]
    funding_rate: Decimal | None = None
    next_funding_ns: Nanos | None = None
    market_ns: Nanos = 0


class RiskFigures(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The account in our books after whatever moved it: published by the desk on every mark, fill and comparison.

    Money in USDT, None: not known yet. Peaks are adjusted for transfers; margins are the venue's last report, of
    `margin_ns`. `instruments` are those that moved; of the others the last ones told hold.
    """

    equity_usdt: Decimal | None
    session_peak_usdt: Decimal | None
    peak_usdt: Decimal | None
    session_usdt: Decimal | None  # profit since start
    day_usdt: Decimal | None  # profit since the trading day began
    maint_margin_usdt: Decimal | None
    margin_balance_usdt: Decimal | None
    margin_ns: Nanos | None = None  # wall time of the venue's report of the margins
    instruments: tuple[InstrumentFigures, ...]
    differences: tuple[str, ...] = ()  # between the venue and our books at the last comparison
    reconciled: bool = False


class BaselineRead(Event, frozen=True, kw_only=True):
    """Equity, positions and marks are known to the guards, for the first time since start: they judge from now on."""


class PlaceStop(Command, frozen=True, kw_only=True):
    """Place a leg's stop anew, now: what was refused before is tried again, what our books believe in is checked."""

    instrument: str
    leg: Leg
    reason: str


class VenueHealth(Event, frozen=True, kw_only=True):
    """The venue as its answers show it: at most once a second, and at once after a failed call.

    Counts are of the last 60 s; `uptime_pct` of the last 15 min; ratios in [0, 1], None: not known.
    `last_ok`: whether the newest call, over since `last_call_age_ms`, was answered.
    """

    calls: int
    failed: int
    last_ok: bool | None = None
    last_call_age_ms: int | None = None
    uptime_pct: Decimal | None = None
    latency_p95_ms: Decimal | None = None
    weight_used: Decimal | None = None
    orders_used: Decimal | None = None
    clock_offset_ms: int | None = None
    clock_age_s: Decimal | None = None
    banned_until_ns: Nanos | None = None
    user_stream_age_s: Decimal | None = None


class CallsCounted(Event, frozen=True, kw_only=True):
    """Calls sent to one provider in the last 10 s, 60 s and hour; at most once a second."""

    provider: str
    burst: int
    minute: int
    hour: int


class LoopLagged(Event, frozen=True, kw_only=True):
    """The worst lag of the event loop since the last such event: once a second, and at once when it is long."""

    lag_ms: Decimal


class BookDepth(Event, frozen=True, kw_only=True):
    """Spread and the thinner side's depth within 1 % of mid, of an instrument."""

    instrument: str
    spread_bps: Decimal
    depth_usdt: Decimal


class ReferencePrice(Event, frozen=True, kw_only=True):
    """The last price of a symbol that is not traded here (peg of the quote currency)."""

    symbol: str
    price: Decimal


class ExternalSignal(Event, frozen=True, kw_only=True):
    """A signed event from outside asks for more caution: `action` as a guard's."""

    event_id: str
    source: str
    action: str
    scope: Scope = Scope()
    reason: str
    hold_s: int = 0


class DeadManChanged(Event, frozen=True, kw_only=True):
    """The venue's countdown for an instrument: armed until `until_ns` (None: disarmed), or why it could not be renewed.

    `naked`: what it would leave without a stop when it fires, in words.
    """

    instrument: str
    armed: bool
    until_ns: Nanos | None = None
    detail: str = ""
    naked: tuple[str, ...] = ()

"""What guards look at: the latest fact of each kind with its time of arrival, and what they asked to be kept.

Ages are on the monotonic clock, from arrival. A mark or a margin that is told again unchanged does not get younger: its
age counts from when the market (or the venue's report) last moved on.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Protocol, cast

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.guard import SECOND_NS, Keep, Now
from hedgegridd.model import ZERO, Leg

HISTORY_MAX = 5_000  # facts of one kind: what is older goes first


class Fact[M](msgspec.Struct, frozen=True, kw_only=True):
    """A message and when it came. `figures`: its instrument as our books had it just before."""

    message: M
    mono_ns: int  # 0: it came to a process before this one, whose clock says nothing now
    time_ns: int
    figures: m.InstrumentFigures | None = None

    def age_s(self, now: Now) -> Decimal:
        """Seconds since it came."""
        return Decimal(now.mono_ns - self.mono_ns) / SECOND_NS


class Held(Protocol):
    """Since when (monotonic) a guard has found its condition in a scope."""

    @property
    def held_mono(self) -> int | None:
        """None: it does not hold."""
        ...


class KeptFact(msgspec.Struct, frozen=True, kw_only=True):
    """A fact of the history as a snapshot has it: the message as JSON."""

    message: str
    time_ns: int
    mono_ns: int = 0  # 0: of a process before this one
    figures: m.InstrumentFigures | None = None


class KeptNow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of now, as a snapshot amid the life of a process has it: `new_session` forgets it."""

    facts: list[KeptFact]
    instruments: list[tuple[m.InstrumentFigures, int, int]]  # and when they came: monotonic, wall clock
    margin_mono: int | None


_decoder = msgspec.json.Decoder(m.Journaled)


def key_of(message: m.Message) -> str:
    """What a fact is about: facts of one kind with one key replace each other."""
    for name in ("instrument", "symbol", "channel", "provider"):
        value = getattr(message, name, None)
        if isinstance(value, str):
            return value
        if value is not None:  # InstrumentReady carries the instrument itself
            return str(value.id)
    return ""


def market_ns(message: m.Message, time_ns: int) -> int:
    """Time of the market where a message tells it, else its arrival."""
    for name in ("market_ns", "close_ns"):
        value = getattr(message, name, None)
        if isinstance(value, int) and value:
            return value
    return time_ns


class View:
    """The facts. `instruments` are those that are traded here."""

    def __init__(self, instruments: Iterable[str], keeps: Iterable[Keep] = ()) -> None:
        self.names = tuple(instruments)
        self._keeps: dict[type[m.Event], Keep] = {}
        self._history: dict[type[m.Event], deque[Fact[m.Event]]] = {}
        self.keep(keeps)
        self._last: dict[type[m.Event], dict[str, Fact[m.Event]]] = {}
        self._instruments: dict[str, Fact[m.InstrumentFigures]] = {}
        self._margin_mono: int | None = None
        self.moved_on = False  # the last figures came of a newer price, or of a newer report of the margins
        self._held: Mapping[str, Held] = {}
        self._stale: dict[Decimal, list[str]] = {}  # of one moment, by the age asked for
        self._stale_mono = -1

    def keep(self, keeps: Iterable[Keep]) -> None:
        """Remember these kinds from now on; what is remembered of them stays."""
        self._keeps = {}
        for keep in keeps:
            old = self._keeps.get(keep.kind)
            if old is not None:
                keep = Keep(  # noqa: PLW2901  # two guards want the same kind: the wider wish of both
                    kind=keep.kind,
                    seconds=max(old.seconds, keep.seconds),
                    every_s=min(old.every_s, keep.every_s),
                )
            self._keeps[keep.kind] = keep
        self._history = {kind: self._history.get(kind, deque(maxlen=HISTORY_MAX)) for kind in self._keeps}

    # -------------------------------------------------------------------------------------------------- taking in

    def take(self, env: m.Envelope) -> None:
        """A new fact."""
        message = env.message
        self._stale_mono = -1
        if not isinstance(message, m.Event):
            return
        if isinstance(message, m.RiskFigures):
            self._figures(message, env)
        key = key_of(message)
        about = self._instruments.get(key)
        fact = Fact(
            message=message,
            mono_ns=env.mono_ns,
            time_ns=env.time_ns,
            figures=None if about is None else about.message,
        )
        self._last.setdefault(type(message), {})[key] = fact
        keep = self._keeps.get(type(message))
        if keep is not None:
            self._remember(keep, fact)

    def _figures(self, figures: m.RiskFigures, env: m.Envelope) -> None:
        before = self._last.get(m.RiskFigures, {}).get("")
        old = None if before is None else cast(m.RiskFigures, before.message)
        self.moved_on = old is None or figures.margin_ns != old.margin_ns
        if self.moved_on:
            self._margin_mono = None if figures.margin_ns is None else env.mono_ns
        for each in figures.instruments:
            known = self._instruments.get(each.instrument)
            moved = known is None or each.market_ns != known.message.market_ns
            self.moved_on = self.moved_on or moved
            mono = env.mono_ns if moved or known is None else known.mono_ns
            self._instruments[each.instrument] = Fact(message=each, mono_ns=mono, time_ns=env.time_ns)

    def _remember(self, keep: Keep, fact: Fact[m.Event]) -> None:
        kept = self._history[keep.kind]
        if keep.every_s:
            stretch = int(keep.every_s * SECOND_NS)
            key = key_of(fact.message)
            at = market_ns(fact.message, fact.time_ns) // stretch
            for index in range(len(kept) - 1, max(-1, len(kept) - 1 - 64), -1):
                old = kept[index]
                if key_of(old.message) == key:
                    if market_ns(old.message, old.time_ns) // stretch == at:
                        kept[index] = fact
                        return
                    break
        kept.append(fact)
        horizon = market_ns(fact.message, fact.time_ns) - int(keep.seconds * SECOND_NS)
        while kept and market_ns(kept[0].message, kept[0].time_ns) < horizon:
            kept.popleft()

    def hold(self, scopes: Mapping[str, Held]) -> None:
        """What is remembered of the scopes (by their keys) of the guard that is asked next."""
        self._held = scopes

    # -------------------------------------------------------------------------------------------------- looking

    def last[M: m.Event](self, kind: type[M], key: str = "") -> Fact[M] | None:
        """The latest fact of a kind (about `key`: an instrument, a symbol, a channel)."""
        return cast("Fact[M] | None", self._last.get(kind, {}).get(key))

    def each[M: m.Event](self, kind: type[M]) -> dict[str, Fact[M]]:
        """The latest fact of a kind by what it is about."""
        return cast("dict[str, Fact[M]]", self._last.get(kind, {}))

    def fresh[M: m.Event](self, kind: type[M], now: Now, max_age_s: Decimal, key: str = "") -> M | None:
        """The latest fact when it is not older than `max_age_s`, else None."""
        fact = self.last(kind, key)
        return None if fact is None or fact.age_s(now) > max_age_s else fact.message

    def recent[M: m.Event](self, kind: type[M], now: Now, seconds: Decimal) -> Iterator[Fact[M]]:
        """Facts of the last `seconds` (wall clock), oldest first; the guard's `history` must have asked for them."""
        since = now.time_ns - int(seconds * SECOND_NS)
        return (cast("Fact[M]", fact) for fact in self._history[kind] if fact.time_ns > since)

    def kept[M: m.Event](self, kind: type[M]) -> Iterator[Fact[M]]:
        """All that is kept of a kind, oldest first."""
        return (cast("Fact[M]", fact) for fact in self._history[kind])

    def held_s(self, scope: m.Scope, now: Now) -> Decimal:
        """Seconds for which the guard that is asked has found its condition in this scope; 0 the first time."""
        state = self._held.get(scope_key(scope))
        since = None if state is None else state.held_mono
        return ZERO if since is None else Decimal(now.mono_ns - since) / SECOND_NS

    # ------------------------------------------------------------------------------------------ the desk's figures

    def figures(self, now: Now, max_age_s: Decimal) -> m.RiskFigures | None:
        """The account's figures; None when there are none, or a leg with inventory has no fresh mark behind it."""
        fact = self.last(m.RiskFigures)
        if fact is None or self.stale(now, max_age_s):
            return None
        return fact.message

    def stale(self, now: Now, max_age_s: Decimal) -> list[str]:
        """Instruments whose mark is missing or too old while they have inventory; their equity is a guess."""
        if self._stale_mono != now.mono_ns:
            self._stale, self._stale_mono = {}, now.mono_ns
        found = self._stale.get(max_age_s)
        if found is None:  # asked for by several guards in a row
            found = self._stale[max_age_s] = [
                name
                for name in self.names
                if self.instrument(name, now, max_age_s) is None
                and (
                    (fact := self._instruments.get(name)) is None or any(leg.qty for leg in fact.message.legs)
                )
            ]
        return found

    def instrument(self, name: str, now: Now, max_age_s: Decimal) -> m.InstrumentFigures | None:
        """An instrument's figures when its mark is known and not older than `max_age_s`."""
        fact = self._instruments.get(name)
        if fact is None or fact.message.mark is None or fact.age_s(now) > max_age_s:
            return None
        return fact.message

    def books(self, name: str) -> m.InstrumentFigures | None:
        """An instrument's figures however old its mark is: for what does not depend on a price."""
        fact = self._instruments.get(name)
        return None if fact is None else fact.message

    def margin_age_s(self, now: Now) -> Decimal | None:
        """Seconds since the venue last reported margins; None: never."""
        return None if self._margin_mono is None else Decimal(now.mono_ns - self._margin_mono) / SECOND_NS

    @property
    def baseline(self) -> str:
        """What is still unread of equity, positions and marks, in words; empty when all is known."""
        fact = self.last(m.RiskFigures)
        if fact is None or not fact.message.reconciled:
            return "positions not compared with the venue yet"
        unknown = [name for name in self.names if (books := self.books(name)) is None or books.mark is None]
        if unknown:
            return f"no mark price of {', '.join(unknown)} yet"
        return "equity not known yet" if fact.message.equity_usdt is None else ""

    # ---------------------------------------------------------------------------------------------- persistence

    def snapshot(self) -> list[KeptFact]:
        """The history, oldest first within a kind."""
        return [_kept(fact) for kept in self._history.values() for fact in kept]

    def now(self) -> KeptNow:
        """The latest facts, with their ages."""
        return KeptNow(
            facts=[_kept(fact) for facts in self._last.values() for fact in facts.values()],
            instruments=[(fact.message, fact.mono_ns, fact.time_ns) for fact in self._instruments.values()],
            margin_mono=self._margin_mono,
        )

    def go_on(self, now: KeptNow) -> None:
        """Take up what was known: records of the same process follow."""
        for kept in now.facts:
            fact = _fact(kept)
            self._last.setdefault(type(fact.message), {})[key_of(fact.message)] = fact
        for figures, mono_ns, time_ns in now.instruments:
            self._instruments[figures.instrument] = Fact(message=figures, mono_ns=mono_ns, time_ns=time_ns)
        self._margin_mono = now.margin_mono

    def restore(self, facts: Iterable[KeptFact]) -> None:
        """Take up a kept history: windows over the past go on; what is known of now must come anew."""
        self.forget()
        for remembered in self._history.values():
            remembered.clear()
        for kept in facts:
            fact = _fact(kept)
            if type(fact.message) in self._history:
                self._history[type(fact.message)].append(fact)

    def new_process(self) -> None:
        """Nothing is known of now, and how long ago by our clock something came says nothing any more."""
        self.forget()
        for remembered in self._history.values():
            for at, fact in enumerate(remembered):
                remembered[at] = msgspec.structs.replace(fact, mono_ns=0)

    def forget(self) -> None:
        """Nothing is known of now."""
        self._last.clear()
        self._instruments.clear()
        self._margin_mono = None
        self._held = {}


def _kept(fact: Fact[m.Event]) -> KeptFact:
    return KeptFact(
        message=msgspec.json.encode(fact.message).decode(),
        time_ns=fact.time_ns,
        mono_ns=fact.mono_ns,
        figures=fact.figures,
    )


def _fact(kept: KeptFact) -> Fact[m.Event]:
    message = cast(m.Event, _decoder.decode(kept.message))
    return Fact(message=message, mono_ns=kept.mono_ns, time_ns=kept.time_ns, figures=kept.figures)


def scope_key(scope: m.Scope) -> str:
    """A scope as text, such as `BTCUSDT-PERP.BINANCE:LONG`; the account is empty."""
    if scope.instrument is None and scope.leg is None:
        return ""
    return f"{scope.instrument or ''}{'' if scope.leg is None else f':{scope.leg.value}'}"


def leg_of(figures: m.InstrumentFigures, leg: Leg) -> m.LegFigures:
    """One leg of an instrument."""
    return next(each for each in figures.legs if each.leg is leg)


def gross_usdt(view: View, name: str) -> Decimal:
    """Notional of both legs of an instrument at its last mark; 0 when it is not known (`View.stale` tells)."""
    books = view.books(name)
    return ZERO if books is None else sum((leg.notional_usdt or ZERO for leg in books.legs), ZERO)

"""The checks of a rearm, apart from the comparison with the venue: what a person must not overrule."""

from collections.abc import Iterable

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.scopes import BASELINE_KEY, GUARDS
from hedgegridd.core.trips import SECOND_NS, overlap
from hedgegridd.model import Nanos

_MILD = frozenset({"notify", "throttle", "trim"})  # a breach that does no more than that lets trading go on


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A trip that is to be left: the account's own or a scoped one."""

    trip_id: str
    scope: m.Scope
    since_ns: Nanos
    cooldown_s: int

    @property
    def from_ns(self) -> Nanos:
        """Wall time from which it may be left."""
        return self.since_ns + self.cooldown_s * SECOND_NS


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A rearm under way: who asked and why, and what it leaves."""

    asker: int
    reason: str
    account: bool
    latches: tuple[Latch, ...]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What was heard of feeds and guards, as a snapshot has it; see `Watch`."""

    silent: tuple[str, ...]
    feeds_down: dict[str, str]
    unread: str
    guards: dict[str, m.GuardVerdict]


class Watch:
    """What the kill switch hears of feeds and guards. `sources`: who must have spoken in this process (holds)."""

    def __init__(self, sources: tuple[str, ...]) -> None:
        self._sources = sources
        self._silent = set(sources)
        self._feeds_down: dict[str, str] = {}  # channel -> why
        self._unread = ""  # what the guards still lack to judge by at all
        self._guards: dict[str, m.GuardVerdict] = {}  # those that are not OK, by guard and scope

    def forget(self) -> None:
        """A new process: what is down and what a guard says will be told."""
        self._silent = set(self._sources)
        self._feeds_down.clear()
        self._guards.clear()
        self._unread = ""

    def snapshot(self) -> Heard | None:
        """What was heard; None: nothing yet."""
        heard = Heard(
            silent=tuple(source for source in self._sources if source in self._silent),
            feeds_down=dict(self._feeds_down),
            unread=self._unread,
            guards=dict(self._guards),
        )
        nothing = Heard(silent=self._sources, feeds_down={}, unread="", guards={})
        return None if heard == nothing else heard

    def restore(self, heard: Heard | None) -> None:
        """Go on with what was heard."""
        self.forget()
        if heard is not None:
            self._silent = set(heard.silent)
            self._feeds_down.update(heard.feeds_down)
            self._unread = heard.unread
            self._guards.update(heard.guards)

    def hear(self, message: m.FeedChanged | m.GuardChanged | m.HoldsChanged) -> None:
        """Keep what counts."""
        match message:
            case m.FeedChanged(up=True):
                self._feeds_down.pop(message.channel, None)
            case m.FeedChanged():
                self._feeds_down[message.channel] = message.detail
            case m.HoldsChanged():
                self._silent.discard(message.source)
                if message.source == GUARDS:
                    causes = (hold.cause for hold in message.holds if hold.key == BASELINE_KEY)
                    self._unread = next(causes, "")
            case m.GuardChanged():
                verdict = message.verdict
                key = f"{verdict.guard} {verdict.scope.instrument} {verdict.scope.leg}"
                if verdict.level == "BLOCK" or (verdict.level == "CRITICAL" and _kind(verdict) not in _MILD):
                    self._guards[key] = verdict
                else:
                    self._guards.pop(key, None)

    def guards(self, scopes: Iterable[m.Scope]) -> tuple[str, ...]:
        """Guards whose breach holds or trips something of the scopes, in words.

        A WARN keeps nobody away, nor does a breach that only throttles, trims or tells.
        """
        wanted = tuple(scopes)
        return tuple(
            f"{verdict.guard} is {verdict.level}: {verdict.message}".removesuffix(": ")
            for verdict in self._guards.values()
            if any(overlap(verdict.scope, scope) for scope in wanted)
        )

    def why_not(self, latches: tuple[Latch, ...], now_ns: Nanos) -> str:
        """Why these may not be left now, in words; empty when they may."""
        wait_ns = max(latch.from_ns for latch in latches) - now_ns
        if wait_ns > 0:
            return f"cooling down, rearm from {-(-wait_ns // SECOND_NS)} s from now"
        if self._feeds_down:
            return f"feeds are down: {', '.join(sorted(self._feeds_down))}"
        if self._silent:
            return f"{', '.join(sorted(self._silent))} have not said yet what they hold"
        if self._unread:
            return f"nothing has been judged yet: {self._unread}"
        bad = self.guards(latch.scope for latch in latches)
        return f"guards are not OK: {'; '.join(bad)}" if bad else ""


def _kind(verdict: m.GuardVerdict) -> str:
    return verdict.action.partition(":")[0]

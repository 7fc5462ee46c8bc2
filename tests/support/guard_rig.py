"""A guard by itself: facts in, its verdicts out; and one guard in the risk machine, with its timers."""

from decimal import Decimal
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.facts import View
from hedgegridd.core.guard import Now, Verdict
from hedgegridd.guards import GUARDS
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import Setting
from tests.support.envelopes import Feeder

IID = "BTCUSDT-PERP.BINANCE"
S = 1_000_000_000
START_NS = 1_700_000_000 * S


def setting(kind: str, **table: Any) -> Setting:
    """A guard with a table as the config file would have it."""
    guard = GUARDS[kind]
    return Setting(guard, msgspec.convert({"type": kind, **table}, guard.table))


class Eyes:
    """`check` of one guard, on a clock that a test moves."""

    def __init__(self, kind: str, *, names: tuple[str, ...] = (IID,), **table: Any) -> None:
        self.setting = setting(kind, **table)
        params = self.setting.params
        self.view = View(names, self.setting.guard.history(params))
        self.now_ns = 1_000 * S
        self._seq = 0

    def wait(self, seconds: float | Decimal) -> "Eyes":
        self.now_ns += int(Decimal(str(seconds)) * S)
        return self

    def take(self, *events: m.Event) -> "Eyes":
        for event in events:
            self._seq += 1
            self.view.take(
                m.Envelope(
                    seq=self._seq,
                    time_ns=START_NS + self.now_ns,
                    mono_ns=self.now_ns,
                    cause=0,
                    actor="test",
                    message=event,
                )
            )
        return self

    def look(self) -> tuple[Verdict, ...]:
        now = Now(self.now_ns, START_NS + self.now_ns)
        return self.setting.guard.check(self.view, now, self.setting.params)

    def one(self) -> Verdict:
        (verdict,) = self.look()
        return verdict

    def level(self) -> str:
        return self.one().level

    def missing(self) -> bool:
        """Its data is missing, and it says so."""
        verdict = self.one()
        return verdict.value is None and verdict.level == "BLOCK" and bool(verdict.words())


class Held:
    """One guard in the risk machine: which of its holds are in force, by the machine's own word."""

    def __init__(self, kind: str, **table: Any) -> None:
        self.kind = kind
        self.machine = RiskMachine((setting(kind, **table),), (IID,))
        self.feed = Feeder(self.machine)

    def take(self, *events: m.Event) -> "Held":
        for event in events:
            self.feed(event)
        return self

    def wait(self, seconds: float) -> "Held":
        self.feed.advance(seconds)
        return self

    @property
    def holds(self) -> list[m.Hold]:
        told = [each for each in self.feed.log if isinstance(each, m.HoldsChanged)]
        return [hold for hold in told[-1].holds if hold.key.startswith(f"guard:{self.kind}")] if told else []

    @property
    def paused(self) -> bool:
        return any(hold.action == "pause" for hold in self.holds)

    @property
    def trips(self) -> list[m.Kill]:
        return [each for each in self.feed.log if isinstance(each, m.Kill)]

"""Watches the daemon's health: looks once a second, and at once when something moves that health depends on."""

import asyncio
import time
from collections.abc import Sequence

from hedgegridd import messages as m
from hedgegridd.control.gather import gather
from hedgegridd.control.health import health_of
from hedgegridd.control.operation import Caller, Context, Role, Services
from hedgegridd.control.verdict import judge, trading_enabled
from hedgegridd.core.health import DEGRADED, HALTED, NAMES, Health
from hedgegridd.core.scopes import stops_entries
from hedgegridd.model import KillState
from hedgegridd.runtime.actor import Actor

LOOK_S = 1.0
APART_S = 0.2  # between two looks, however much moves


def bad_news(message: m.Message) -> tuple[int, str] | None:
    """The state that an event alone proves, and why: what is over before the next look must not be missed."""
    match message:
        case m.KillStateChanged(state=KillState.TRIPPED | KillState.HALTED) as e:
            return HALTED, f"kill switch {e.state.value}: {e.cause or 'no cause given'}"
        case m.FeedChanged(up=False) as e:
            return DEGRADED, f"{e.channel} feed is down: {e.detail}".rstrip(": ")
        case m.HoldsChanged() as e:
            causes = [f"held by {hold.key}: {hold.cause}" for hold in e.holds if stops_entries(hold)]
            return (DEGRADED, "; ".join(causes)) if causes else None
        case m.Reconciled(ok=False, differences=differences) if differences:
            return DEGRADED, f"books differ from the venue: {differences[0]}"
        case _:
            return None


class HealthActor(Actor):
    """Answers `GetHealth` and tells `HealthChanged`; its loss does not stop trading."""

    name = "health"
    queries = (m.GetHealth,)
    events = (
        m.KillStateChanged,
        m.TripsChanged,
        m.HoldsChanged,
        m.FeedChanged,
        m.Reconciled,
        m.StageChanged,
        m.GuardChanged,
        m.DeadManChanged,
        m.LegFlat,
        m.Stopping,
    )

    def __init__(self, services: Services) -> None:
        self._services = services
        self._health = Health()
        self._since_wall_ns = 0
        self._trading: bool | None = None
        self._moved = asyncio.Event()

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Answer, or look anew."""
        if isinstance(envelope.message, m.GetHealth):
            return [self._answer(envelope.seq)]
        self._moved.set()
        told = bad_news(envelope.message)
        return [] if told is None else self._observe(told[0], (told[1],))

    async def start(self) -> None:
        """Begin to look."""
        self.spawn(self._look_forever)

    async def _look_forever(self) -> None:
        while True:
            self._moved.clear()  # what moves while we look is looked at again
            await self.look()
            began = time.monotonic()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._moved.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, began + APART_S - time.monotonic()))

    async def look(self) -> None:
        """Ask every part once and judge."""
        facts = await gather(Context(self._services, Caller(self.name, Role.VIEWER, self.name)))
        self._trading = trading_enabled(facts)
        state, reasons = health_of(facts, judge(facts))
        for event in self._observe(state, reasons):
            self.bus.publish(event, actor=self.name)

    def _observe(self, state: int, reasons: tuple[str, ...]) -> list[m.Message]:
        before = self._health.state
        change = self._health.observe(state, reasons, self.bus.clock.mono_ns())
        if self._health.state != before:
            self._since_wall_ns = self.bus.clock.wall_ns()
        if change is None:
            return []
        return [
            m.HealthChanged(
                state=change.state, previous=change.previous, reasons=change.reasons, flaps=change.flaps
            )
        ]

    def _answer(self, to: int) -> m.HealthAnswer:
        health = self._health
        return m.HealthAnswer(
            to=to,
            state=health.state,
            reasons=health.reasons,
            since_ns=self._since_wall_ns,
            transitions={NAMES[state].lower(): count for state, count in sorted(health.transitions.items())},
            trading_enabled=self._trading,
        )

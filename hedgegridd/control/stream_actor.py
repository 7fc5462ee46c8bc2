"""Fills the live stream from the bus, and makes its beat by asking the trading actors through their mailboxes."""

import asyncio
import time
from collections.abc import Sequence

from hedgegridd import messages as m
from hedgegridd.control.stream import Hub
from hedgegridd.control.views import age_s
from hedgegridd.errors import HedgegridError
from hedgegridd.runtime.actor import Actor

BEAT_S = 1.0
ASK_S = 0.9  # a trading actor that needs longer is told as silent

MARKET = (m.BookDepth, m.ReferencePrice)
"""Raw market data beside what travels in the data lane (marks, bars): it would drown all else."""


def streamed() -> tuple[type[m.Message], ...]:
    """Every event of the bus but raw market data; timers and the journal's own records are not on the bus."""
    left_out = (*MARKET, m.Woke, m.SessionBegan, m.StateKept)
    return tuple(event for event in m.EVENTS if event.lane == "control" and event not in left_out)


class StreamActor(Actor):
    """Puts events into the hub and beats while somebody reads; its loss does not stop trading."""

    name = "stream"

    def __init__(self, hub: Hub, *, beat_s: float = BEAT_S, ask_s: float = ASK_S) -> None:
        self.hub = hub
        self._beat_s = beat_s
        self._ask_s = ask_s

    def wanted(self) -> tuple[type[m.Message], ...]:
        """All that is streamed."""
        return streamed()

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Into the ring; it is encoded when somebody reads it."""
        self.hub.put(envelope)
        return ()

    async def start(self) -> None:
        """Wake readers and beat, as long as the actor lives."""
        self.hub.reopen()
        self.spawn(self.hub.pump)
        self.spawn(self._beats)

    async def stop(self) -> None:
        """End every stream, so that HTTP and the socket close without waiting for them."""
        self.hub.close()

    async def _beats(self) -> None:
        while True:
            await self.hub.occupied.wait()
            began = time.monotonic()
            await self._beat()
            await asyncio.sleep(max(0.0, began + self._beat_s - time.monotonic()))

    async def _beat(self) -> None:
        """Desk and kill switch answer from their mailboxes: a beat. One of them does not: `silent`, with its name."""
        began_ns = time.monotonic_ns()
        desk, switch = await asyncio.gather(self._asked(m.GetStatus()), self._asked(m.GetKillSwitch()))
        now_ns = self.bus.clock.wall_ns()
        facts: dict[str, object] = {
            "time_ns": now_ns,
            "took_ms": round((time.monotonic_ns() - began_ns) / 1e6, 3),
        }
        silent = {
            name: said for name, said in (("desk", desk), ("kill_switch", switch)) if isinstance(said, str)
        }
        if isinstance(desk, m.StatusAnswer):
            facts["instruments"] = [
                {
                    "instrument": view.instrument,
                    "mark": view.mark,
                    "mark_age_s": age_s(view.mark_ns, now_ns),
                    "mid_price": view.mid,
                    "open_orders": view.open_orders,
                }
                for view in desk.view.instruments
            ]
        if isinstance(switch, m.KillSwitchAnswer):
            facts["kill_switch"] = switch.state.value
        if silent:
            facts["silent"] = silent
        self.hub.tell_beat("silent" if silent else "beat", facts)

    async def _asked(self, query: m.Query) -> m.Answer | str:
        """The answer, or why there is none."""
        try:
            return await self.bus.ask(query, self._ask_s, actor=self.name)
        except HedgegridError as error:
            return str(error)

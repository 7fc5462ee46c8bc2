"""The stages of an orderly stop, each with its deadline; what each of them has confirmed decides the exit code.

entries     cancelled, and the venue has confirmed that none rests
inventory   kept with its exits at the venue, or flattened (`[daemon] on_stop`)
dead man    the venue's countdown is disarmed, so that it does not strip the exits that stay; entries that may
            still rest keep it: it is what takes them away
books       compared with the venue once more

Then the actors go down in reverse order and the journal is closed. All deadlines together stay under
`TIMEOUT_STOP_S`: what systemd waits (TimeoutStopSec) before it kills.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio
import structlog

from hedgegridd import messages as m
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.core.boot import STOP_STAGES
from hedgegridd.errors import HedgegridError
from hedgegridd.model import LEGS
from hedgegridd.runtime.actor import Actor
from hedgegridd.runtime.bus import Bus

TIMEOUT_STOP_S = 240.0
JOURNAL_CLOSE_S = 10.0  # its own deadline, and the last snapshot
ENTRIES_S = 15.0
FLATTEN_S = 30.0
EXITS_S = 10.0
EXITS_LOOK_S = 0.1
DEAD_MAN_S = 10.0  # a renewal whose answer was lost is waited for
BOOKS_S = 5.0
COMPARISONS = 3  # at most, within BOOKS_S
_log = structlog.get_logger("hedgegridd")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `run` says whether the venue confirmed the `fact` it promises; past `deadline_s` it did not."""

    name: str
    fact: str
    deadline_s: float
    run: Callable[[], Awaitable[bool]]


class OrderlyStop:
    """Runs the stages one after another; none but the dead man's is left out because one before it failed.

    `disarm` is the dead-man switch's: it returns True when the venue has confirmed that no countdown runs.
    """

    def __init__(
        self,
        bus: Bus,
        waiter: WaiterActor,
        *,
        flatten: bool,
        disarm: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._bus = bus
        self._waiter = waiter
        self._reason = ""
        stages = [Stage("entries", "entries_gone", ENTRIES_S, self._entries)]
        if flatten:
            stages.append(Stage("inventory", "flat", FLATTEN_S + 1, self._flatten))
        else:
            stages.append(Stage("inventory", "exits_at_venue", EXITS_S, self._exits))
        if disarm is not None:
            stages.append(Stage("dead man", "dead_man_disarmed", DEAD_MAN_S, disarm))
        stages.append(Stage("books", "books_agree_with_venue", BOOKS_S, self._books))
        self.stages = tuple(stages)
        assert all(stage.name in STOP_STAGES for stage in stages), "every stage has its place in `status`"

    async def run(self, reason: str) -> dict[str, bool]:
        """Which facts the venue has confirmed."""
        self._reason = reason
        confirmed: dict[str, bool] = {}
        for stage in self.stages:
            done = False
            if stage.name == "dead man" and not confirmed["entries_gone"]:
                _log.error(
                    "dead_man_not_disarmed", effect="its countdown removes the entries that may still rest"
                )
                confirmed[stage.fact] = False
                continue
            with anyio.move_on_after(stage.deadline_s):
                try:
                    done = await self._one(stage)
                except HedgegridError as error:
                    _log.error("stop_stage_failed", stage=stage.name, error=str(error))
            confirmed[stage.fact] = done
        return confirmed

    async def _one(self, stage: Stage) -> bool:
        # The first stage tells everybody that we are stopping; only from then on there are stages to be shown.
        if stage is self.stages[0]:
            return await stage.run()
        waits_for = f"{stage.name}, at most {stage.deadline_s:g} s"
        self._bus.publish(m.StageReached(stage=stage.name, waits_for=waits_for), actor="app")
        return await stage.run()

    async def _entries(self) -> bool:
        gone = self._waiter.expect(lambda x: isinstance(x, m.EntriesGone) and x.cause == "stopping")
        self._bus.publish(m.Stopping(reason=self._reason), actor="app")
        return await gone.within(ENTRIES_S)

    async def _flatten(self) -> bool:
        command = m.Flatten(legs=LEGS, reason=f"stop: {self._reason}", deadline_s=FLATTEN_S)
        answer = await self._bus.ask(command, FLATTEN_S + 1, actor="app")
        return isinstance(answer, m.FlattenAnswer) and answer.verified

    async def _exits(self) -> bool:
        """Whether inventory that stays has its stop and its take-profits at the venue: one may have been lost on the way."""
        while True:
            answer = await self._bus.ask(m.GetStatus(), EXITS_S, actor="app")
            if not isinstance(answer, m.StatusAnswer):
                return False
            if not answer.view.unsettled:
                return True
            _log.info("stop_waits", stage="inventory", unsettled=list(answer.view.unsettled))
            await anyio.sleep(EXITS_LOOK_S)

    async def _books(self) -> bool:
        """Whether the venue's last word is what our books say.

        A comparison takes over what it finds different; what is still different at the next one is a disagreement.
        """
        ours = "stopping"
        agreed = self._waiter.expect(lambda x: isinstance(x, m.Reconciled) and x.cause == ours and x.ok)
        with anyio.move_on_after(BOOKS_S):
            for _ in range(COMPARISONS):
                compared = self._waiter.expect(lambda x: isinstance(x, m.Reconciled) and x.cause == ours)
                self._bus.tell(m.Reconcile(cause=ours), actor="app")
                await compared.within(BOOKS_S)
                if agreed.came:
                    break
        return agreed.came


def longest_s(stages: Sequence[Stage], actors: Sequence[Actor]) -> float:
    """How long a stop can take: every deadline passed, one after another."""
    return (
        sum(stage.deadline_s for stage in stages)
        + sum(actor.stop_deadline_s for actor in actors)
        + JOURNAL_CLOSE_S
    )

"""The actor of the dead-man switch: feeds its machine, and asks the desk whenever it is woken whether it still answers."""

from collections.abc import Sequence

from hedgegridd import messages as m
from hedgegridd.actors.machines import MachineActor
from hedgegridd.core.dead_man import DeadMan
from hedgegridd.core.left_naked import left_naked
from hedgegridd.errors import HedgegridError

ASK_S = 4.0


class DeadManActor(MachineActor):
    """A desk that does not answer through its mailbox leaves the machine without `DeskAnswered`, which it notices."""

    name = "dead_man"
    commands = (m.DisarmDeadMan,)
    queries = (m.GetDeadMan,)
    events = (
        m.VenueUp,
        m.Reconciled,
        m.FeedChanged,
        m.KillStateChanged,
        m.DeskAnswered,
        m.VenueDone,
        m.VenueFailed,
    )

    def __init__(self, machine: DeadMan) -> None:
        super().__init__(machine)
        self._asking = False

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Pass it on."""
        if isinstance(envelope.message, m.Woke | m.Reconciled) and not self._asking:
            self._asking = True
            self.spawn(self._ask_desk)
        return super().handle(envelope)

    async def _ask_desk(self) -> None:
        try:
            answer = await self.bus.ask(m.GetStatus(), ASK_S, actor=self.name)
        except HedgegridError:
            return  # no event is the finding
        finally:
            self._asking = False
        if isinstance(answer, m.StatusAnswer):
            naked = {item.instrument: left_naked(item) for item in answer.view.instruments}
            self.bus.publish(m.DeskAnswered(naked=naked), actor=self.name)

"""What the bus tells the journal: who was handed what, what came of it, and how commands were answered."""

from collections.abc import Sequence

from hedgegridd.journal.record import ASKER
from hedgegridd.journal.writer import Journal
from hedgegridd.messages import Answer, Done, Envelope, FlattenAnswer, Message, Refused

_OF_COMMANDS = (Done, Refused, FlattenAnswer)  # questions are not in the journal, nor are their answers


class Recorder:
    """Give `handed` and `returned` to the bus."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.handed = journal.append

    def returned(self, actor: str, envelope: Envelope, outputs: Sequence[Message]) -> None:
        """Keep the digest of what `actor` returned on the record just appended, and every answer of it in full."""
        self._journal.returned(outputs)
        for output in outputs:
            if isinstance(output, Answer) and isinstance(output, _OF_COMMANDS) and output.to:
                said = Envelope(
                    seq=0,  # an answer is not on the bus: the command that it answers names it
                    time_ns=envelope.time_ns,
                    mono_ns=envelope.mono_ns,
                    cause=output.to,
                    actor=actor,
                    message=output,
                )
                self._journal.append(ASKER, said)

"""A bounded mailbox with two lanes: control overtakes data, data keeps the latest value per key."""

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from hedgegridd.errors import MailboxFull
from hedgegridd.messages import Envelope, Message

Handler = Callable[[Envelope], Sequence[Message]]

CONTROL_MAX = 65_536
DATA_MAX = 4_096


class Mailbox:
    """What waits for one actor; the scheduler takes out, the bus puts in.

    `control` holds envelopes in the order they were posted. `data` holds one envelope per key: a
    newer value takes the place of the older one, so a slow reader gets fewer values, never old ones.
    Order holds within a lane only: a control message must not assume it has seen the latest tick.
    """

    __slots__ = (
        "conflated",
        "control",
        "control_max",
        "control_queued",
        "data",
        "data_max",
        "data_queued",
        "essential",
        "handler",
        "name",
        "recorded",
        "slow",
    )

    def __init__(
        self,
        name: str,
        handler: Handler,
        *,
        essential: bool = False,
        recorded: frozenset[type[Message]] = frozenset(),
        control_max: int = CONTROL_MAX,
        data_max: int = DATA_MAX,
    ) -> None:
        """Make an empty box; `recorded` are the types told to the recorder before they are handled."""
        if control_max < 1 or data_max < 1:
            raise ValueError(f"mailbox {name}: bounds must be at least 1, got {control_max}, {data_max}")
        self.name = name
        self.handler = handler
        self.essential = essential
        self.recorded = recorded
        self.control: deque[Envelope] = deque()
        self.control_max = control_max
        self.data: OrderedDict[object, Envelope] = OrderedDict()
        self.data_max = data_max
        # True while the box stands in the scheduler's ready queue of that lane, or is paused.
        self.control_queued = False
        self.data_queued = False
        self.conflated = 0
        self.slow = 0

    def __len__(self) -> int:
        """Messages waiting, both lanes."""
        return len(self.control) + len(self.data)

    def put_control(self, envelope: Envelope) -> None:
        """Append to the control lane.

        Raises:
            MailboxFull: at the bound; nothing is stored.
        """
        if len(self.control) >= self.control_max:
            raise self.control_full(envelope)
        self.control.append(envelope)

    def ping(self, envelope: Envelope, pong: Callable[[str], None]) -> None:
        """Call `pong` with our name when this envelope's turn comes; the handler does not see it.

        It may stand one beyond the bound: a full mailbox is another's fault to tell.
        """
        handler = self.handler

        def until_then(next_one: Envelope) -> Sequence[Message]:
            # In the handler's place only while a ping waits: no check per message otherwise.
            if next_one is not envelope:
                return handler(next_one)
            self.handler = handler
            pong(self.name)
            return ()

        self.handler = until_then
        self.control.append(envelope)

    def control_full(self, envelope: Envelope) -> MailboxFull:
        """The error for a control lane at its bound."""
        return MailboxFull(
            f"mailbox {self.name}: control lane holds its {self.control_max} messages, "
            f"cannot take {type(envelope.message).__name__}"
        )

    def put_data(self, envelope: Envelope, key: str | None) -> None:
        """Store in the data lane; a key that waits already keeps its place and gets the new value.

        Raises:
            MailboxFull: at the bound with a key that does not wait yet (None never does).
        """
        data = self.data
        # Latest per instrument *and kind*: two kinds may use the same instrument as their key.
        slot: object = envelope.seq if key is None else (type(envelope.message), key)
        if slot in data:
            self.conflated += 1
        elif len(data) >= self.data_max:
            raise MailboxFull(
                f"mailbox {self.name}: data lane holds its {self.data_max} messages, "
                f"cannot take {type(envelope.message).__name__}"
            )
        data[slot] = envelope

    def clear(self) -> list[Envelope]:
        """Empty both lanes and return what was in them, control first."""
        left = [*self.control, *self.data.values()]
        self.control.clear()
        self.data.clear()
        return left

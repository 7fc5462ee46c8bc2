"""Who handles and who hears which message type, checked as a whole before anything runs."""

from collections.abc import Iterable, Sequence
from enum import Enum

from hedgegridd.errors import WiringError
from hedgegridd.messages import Answer, Command, Event, Message, Query, WakeAt, Woke
from hedgegridd.runtime.mailbox import CONTROL_MAX, DATA_MAX, Handler, Mailbox


class Kind(Enum):
    """What a message type is, by its base."""

    COMMAND = Command
    QUERY = Query
    EVENT = Event
    ANSWER = Answer
    WAKE = WakeAt


def kind_of(message_type: type[Message]) -> Kind:
    """The kind of a message type.

    Raises:
        WiringError: it has none of the bases.
    """
    for kind in Kind:
        if issubclass(message_type, kind.value):
            return kind
    raise WiringError(f"{message_type.__name__} is neither command, query, event, answer nor WakeAt")


class Wiring:
    """The registrations of all actors over one vocabulary.

    After `close`, `handler` and `listeners` are what posting looks up: every command and query has its
    one mailbox there, every event those that hear it in their control lane; `data_listeners` hear it in
    their data lane. Before, all are empty.
    """

    def __init__(self, vocabulary: Iterable[type[Message]]) -> None:
        """Nobody is registered; `vocabulary` holds every message type there is."""
        self.kinds = {message_type: kind_of(message_type) for message_type in vocabulary}
        self.boxes: dict[str, Mailbox] = {}
        self.handler: dict[type[Message], Mailbox] = {}
        self.listeners: dict[type[Message], tuple[Mailbox, ...]] = {}
        self.data_listeners: dict[type[Message], tuple[Mailbox, ...]] = {}
        self.closed = False
        self.retired: set[str] = set()
        self._handlers: dict[type[Message], list[Mailbox]] = {}
        self._subscribed: dict[type[Message], list[Mailbox]] = {}

    def register(
        self,
        name: str,
        *,
        handler: Handler,
        commands: Sequence[type[Message]],
        queries: Sequence[type[Message]],
        events: Sequence[type[Message]],
        journaled: bool,
        essential: bool,
        control_max: int = CONTROL_MAX,
        data_max: int = DATA_MAX,
    ) -> None:
        """See `Bus.register`."""
        if self.closed:
            raise WiringError(f"{name} registers after the bus has started")
        if not name or name in self.boxes:
            raise WiringError(f"there is an actor {name!r} already" if name else "an actor needs a name")
        for kind, types in ((Kind.COMMAND, commands), (Kind.QUERY, queries), (Kind.EVENT, events)):
            for message_type in types:
                if self.kinds.get(message_type) is not kind:
                    raise WiringError(
                        f"{name} registers {message_type.__name__} as {kind.name.lower()}, "
                        f"which the vocabulary does not have"
                    )
        recorded = set(commands)
        if journaled:
            recorded.update(event for event in events if getattr(event, "journaled", True))
            recorded.add(Woke)
        box = Mailbox(
            name,
            handler,
            essential=essential,
            recorded=frozenset(recorded),
            control_max=control_max,
            data_max=data_max,
        )
        self.boxes[name] = box
        for message_type in (*commands, *queries):
            self._handlers.setdefault(message_type, []).append(box)
        for message_type in dict.fromkeys(events):
            self._subscribed.setdefault(message_type, []).append(box)

    def close(self) -> None:
        """Check that everything has its place and open it for posting.

        Raises:
            WiringError: naming every command and query with no handler or with several.
        """
        if self.closed:
            raise WiringError("the bus has started already")
        wrong = []
        for message_type, kind in self.kinds.items():
            if kind in (Kind.COMMAND, Kind.QUERY):
                names = [box.name for box in self._handlers.get(message_type, [])]
                if len(names) != 1:
                    wrong.append(f"{message_type.__name__} ({' and '.join(names) or 'no handler'})")
        if wrong:
            raise WiringError(
                "every command and query needs exactly one handler: " + ", ".join(sorted(wrong))
            )
        self.closed = True
        self.handler.update({message_type: boxes[0] for message_type, boxes in self._handlers.items()})
        for message_type, kind in self.kinds.items():
            if kind is Kind.EVENT:
                boxes = tuple(self._subscribed.get(message_type, ()))
                is_data = getattr(message_type, "lane", "control") == "data"
                self.listeners[message_type] = () if is_data else boxes
                self.data_listeners[message_type] = boxes if is_data else ()

    def retire(self, box: Mailbox) -> None:
        """Take a mailbox out of every look-up."""
        self.retired.add(box.name)
        for message_type in [kind for kind, owner in self.handler.items() if owner is box]:
            del self.handler[message_type]
        for listeners in (self.listeners, self.data_listeners):
            for message_type, boxes in listeners.items():
                listeners[message_type] = tuple(listener for listener in boxes if listener is not box)

    def former_owner(self, message_type: type[Message]) -> str | None:
        """Who handled this type until he was retired; None when nobody did."""
        if message_type in self.handler or message_type not in self._handlers:
            return None
        return self._handlers[message_type][0].name

"""Every exception this program raises on purpose: one tree, so that a caller knows what to catch.

A refusal in the domain (an order turned down, a command in the wrong state) is a value, not an
exception; what is here are mistakes of wiring and configuration, broken promises and lost parts.
"""


class HedgegridError(Exception):
    """The root: whatever is not below it is a bug, not a message to the operator."""


class ConfigError(HedgegridError):
    """The configuration is wrong; the text names file, table and field, `problems` are its mistakes one by one."""

    def __init__(self, text: str, problems: tuple[object, ...] = ()) -> None:
        super().__init__(text)
        self.problems = problems


class WiringError(HedgegridError):
    """The parts do not fit: a command without a handler, two handlers, a type nobody declared."""


class BusError(HedgegridError):
    """A message could not be carried."""


class MailboxFull(BusError):  # noqa: N818  # reads as the event it is
    """A mailbox reached its bound with a message that may not be lost or conflated."""


class AskTimeout(BusError):  # noqa: N818  # reads as the event it is
    """An ask got no answer before its deadline; the work it asked for may still go on."""


class ActorDown(BusError):  # noqa: N818  # reads as the event it is
    """The actor that should answer has been taken out of service."""


class ActorFault(HedgegridError):  # noqa: N818  # reads as the event it is
    """A handler or a background task of an actor raised; the cause is chained."""


class TooManyTasks(HedgegridError):  # noqa: N818  # reads as the event it is
    """An actor asked for more background tasks than its bound."""


class JournalError(HedgegridError):
    """The journal cannot do what was asked."""


class JournalBroken(JournalError):  # noqa: N818  # reads as the event it is
    """A record is damaged or its hash does not follow from the one before."""


class JournalFailed(JournalError):  # noqa: N818  # reads as the event it is
    """The disk refused: what was appended since is not durable and is not said to be."""


class DurableTimeout(JournalError):  # noqa: N818  # reads as the event it is
    """A record was not on disk by the deadline; it may still get there."""


class StateOfAnother(HedgegridError):  # noqa: N818  # reads as the state it is
    """The state folder holds the books of another venue or environment."""


class StateLocked(HedgegridError):  # noqa: N818  # reads as the event it is
    """Another process holds the state folder; the text says which."""


class SnapshotError(HedgegridError):
    """A snapshot cannot be read: it is damaged or of an unknown version."""


class VenueError(HedgegridError):
    """The venue refused, failed or did not answer."""


class HistoryError(HedgegridError):
    """The history's file cannot be made, written or read; it can be made again from the journal."""


class BackupError(HedgegridError):
    """A backup could not be made or verified, or an archive cannot be restored; the text says why."""

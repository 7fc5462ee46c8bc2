"""What the rules find: something to tell, or that something told before is over."""

import msgspec

from hedgegridd.messages import Severity


class Raise(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell; the same `key` again within the window is counted.

    `lasting`: it holds until a `Clear` of its key, and stays open till then; otherwise it is over as soon as it is told
    (a CRITICAL stays open until it is acknowledged). `changed`: tell it although its key was told just now.
    """

    kind: str
    key: str
    severity: Severity
    title: str
    what: str = ""
    did: str = ""
    do: str = ""
    section: str = ""
    lasting: bool = False
    changed: bool = False


class Clear(msgspec.Struct, frozen=True, kw_only=True):
    """What was raised under `key` is over; told when it had been told. `keys` beginning with it too when `prefix`."""

    key: str
    title: str
    what: str = ""
    prefix: bool = False


type Finding = Raise | Clear

"""What `hedgegridctl doctor` looks at: the host, the daemon, the venue, and who watches the daemon."""

from typing import Literal, NamedTuple

type Level = Literal["ok", "WARN", "FAIL", "skip"]


class Finding(NamedTuple):
    """One line: what was looked at, how it stands, and the remedy where it does not stand as it must."""

    level: Level
    name: str
    text: str
    fix: str = ""

"""The command `hedgegridctl`: panic goes its own way at once, since all that the others import takes time it has not."""

import contextlib
import os
import sys
import time
from collections.abc import Sequence

PRIORITY = -10  # nice value
_BEGAN_MONO_NS = time.monotonic_ns()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    rest, general = list(arguments), []
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option == "--socket":
            del rest[:1]  # panic goes past the daemon and its socket
        elif not option.startswith("--socket="):
            general.append(option)
    if rest[:1] == ["panic"]:
        if argv is None:  # the process is ours
            _hurry()
        from hedgegridd.ctl import panic  # noqa: PLC0415  # each command imports only what it needs

        return panic.main([*rest[1:], *general], _BEGAN_MONO_NS)
    from hedgegridd.ctl import main as others  # noqa: PLC0415  # see above

    return others.main(arguments)


def _hurry() -> None:
    """Go before the daemon that floods its core, where we may (root may)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


if __name__ == "__main__":
    sys.exit(main())

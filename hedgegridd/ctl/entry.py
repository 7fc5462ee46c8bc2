"""The command `hedgegridctl`: panic goes its own way at once, since all that the others import takes time it has not."""

import sys
import time
from collections.abc import Sequence

_BEGAN_MONO_NS = time.monotonic_ns()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["panic"]:
        from hedgegridd.ctl import panic  # noqa: PLC0415  # each command imports only what it needs

        return panic.main(arguments[1:], _BEGAN_MONO_NS)
    from hedgegridd.ctl import main as others  # noqa: PLC0415  # see above

    return others.main(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""`hedgegridctl`: client of the control socket; exit codes 0 done, 1 refused, 2 usage, 3 no daemon, 4 late, 5 unverified.

It never imports nautilus_trader or a web server, so that it starts at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from hedgegridd.control.operation import Operation
from hedgegridd.ctl import arguments
from hedgegridd.ctl.client import Client, NoAnswer, NoDaemon, Reply, absence
from hedgegridd.ctl.confirm import confirmed
from hedgegridd.ctl.tables import render
from hedgegridd.ctl.text import Paint
from hedgegridd.operations import REGISTRY

DONE, REFUSED, USAGE, NO_DAEMON, LATE, UNVERIFIED = 0, 1, 2, 3, 4, 5
MARGIN_S = 2.0  # over the daemon's own deadline


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = sys.argv[1:] if argv is None else argv
    parsed = arguments.build(REGISTRY, given).parse_args(given)
    path = parsed.socket or os.environ.get("HEDGEGRIDD_SOCKET") or arguments.DEFAULT_SOCKET
    if parsed.command == "key":
        from hedgegridd.ctl import keys  # noqa: PLC0415  # hashes are slow to import

        return keys.new(parsed.name, parsed.role, as_json=parsed.json)
    if parsed.command in ("completion", "man"):
        return _made_page(parsed)
    assert parsed.command != "panic", "it starts by `entry`, which does not come here for it"
    client = Client(path)
    try:
        if parsed.command == "journal":
            from hedgegridd.ctl import journal  # noqa: PLC0415  # reading config and journal is slow to import

            return journal.run(parsed, path)
        if parsed.command == "restore":
            from hedgegridd.ctl import restore  # noqa: PLC0415  # as above

            return restore.run(parsed)
        if parsed.command == "top":
            from hedgegridd.ctl.top import top  # noqa: PLC0415  # rich and asyncio are slow to import

            return top(path, parsed.interval)
        if parsed.command == "ops":
            from hedgegridd.ctl import ops  # noqa: PLC0415  # dates and CSV are slow to import

            return ops.status(client, REGISTRY, parsed.csv, as_json=parsed.json)
        if parsed.command == "doctor":
            from hedgegridd.ctl import doctor  # noqa: PLC0415  # it reads config and journal, and asks the venue

            return doctor.run(client, parsed)
        return _operation(client, parsed)
    except NoDaemon as error:
        return _no_daemon(client.path, error, as_json=parsed.json)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return UNVERIFIED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nothing more to tell
        return REFUSED
    finally:
        client.close()


def _made_page(parsed: argparse.Namespace) -> int:
    """What is made from the commands: a completion script or the manual page."""
    if parsed.command == "man":
        from hedgegridd.ctl import manual  # noqa: PLC0415  # each command imports only what it needs

        name, text = "hedgegridctl.1", manual.page(REGISTRY)
    else:
        from hedgegridd.ctl import completion  # noqa: PLC0415  # as above

        name, text = parsed.shell, completion.completion(parsed.shell, REGISTRY)
    print(msgspec.json.encode({"name": name, "text": text}).decode() if parsed.json else text.rstrip("\n"))
    return DONE


def _operation(client: Client, parsed: argparse.Namespace) -> int:
    kind: type[Operation] = parsed.operation
    fields = arguments.fields_of(kind, parsed)
    if getattr(parsed, "drill", False):
        from hedgegridd.ctl.drill import drill  # noqa: PLC0415  # it brings an HTTP client

        return drill(client, fields, latency_ms=parsed.latency_ms, as_json=parsed.json)
    try:
        operation = msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        from hedgegridd.control.wording import plain  # noqa: PLC0415  # its patterns take a tenth of the time to start

        print(f"hedgegridctl {kind.verb}: {plain(str(error))[1]}", file=sys.stderr)
        return USAGE
    if kind.streams:
        from hedgegridd.ctl.stream import follow  # noqa: PLC0415  # only this command needs it

        return follow(client, kind.verb, fields, as_json=parsed.json)
    if operation.asks() and not parsed.yes and not confirmed(client, kind.verb, fields):
        print("not confirmed; nothing was sent", file=sys.stderr)
        return REFUSED
    try:
        reply = client.call(kind.verb, fields, operation.limit_s() + MARGIN_S)
    except NoAnswer as error:
        return _no_answer(kind, error, as_json=parsed.json)
    return _show(kind.verb, reply, as_json=parsed.json)


def _show(verb: str, reply: Reply, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(reply.result if reply.ok else reply.problem).decode())
    elif reply.ok:
        print("\n".join(render(verb, reply.result, Paint())))
    else:
        _refused(reply.problem)
    if not reply.ok or reply.status >= 400:
        return REFUSED
    return LATE if reply.status == 202 else DONE


def _refused(problem: dict[str, Any]) -> None:
    word = "refused" if problem.get("status") in (403, 409) else problem.get("title", "failed")
    print(f"{word}: {problem.get('detail', '')}".rstrip(": "), file=sys.stderr)
    if problem.get("accepted"):
        print(f"accepted now: {', '.join(problem['accepted'])}", file=sys.stderr)


def _no_answer(kind: type[Operation], error: NoAnswer, *, as_json: bool) -> int:
    """It was sent: a question just failed, a command may be carried out."""
    if kind.method == "GET":
        text, code = f"no answer to {kind.verb}: {error}", REFUSED
        if error.timed_out:
            text += "; where the process or its disk hangs, `hedgegridctl panic` needs neither"
    elif error.timed_out:
        text, code = f"{kind.verb}: {error}; it was sent and may still be carried out", LATE
    else:
        text = f"{kind.verb} ENDED WITHOUT VERIFICATION: {error}; look at `hedgegridctl status` or the venue"
        code = UNVERIFIED
    if as_json:
        print(msgspec.json.encode({"title": "no answer", "detail": text}).decode())
    else:
        print(text, file=sys.stderr)
    return code


def _no_daemon(path: str, error: NoDaemon, *, as_json: bool) -> int:
    text = absence(path, error)
    if as_json:
        print(msgspec.json.encode({"title": "no daemon", "detail": text}).decode())
    else:
        print(text, file=sys.stderr)
        print(
            "start    hedgegridd run -c FILE (README: Install on a host)    why  what it wrote last",
            file=sys.stderr,
        )
        print("get out  hedgegridctl panic", file=sys.stderr)
    return NO_DAEMON


if __name__ == "__main__":
    sys.exit(main())

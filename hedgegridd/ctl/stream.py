"""`hedgegridctl stream`: each event a line, until Ctrl-C or until the daemon ends it."""

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from hedgegridd.ctl.client import Client, NoAnswer, Reply

DONE, REFUSED = 0, 1
SILENCE_S = 10.0  # a beat comes every second: so long without one means that the daemon hangs


def follow(client: Client, verb: str, fields: dict[str, Any], *, as_json: bool) -> int:
    """Print what comes; the exit code. `as_json`: everything, as it came; else what has words.

    Raises:
        NoDaemon: nobody answers on the socket.
    """
    try:
        for each in client.follow(verb, fields, SILENCE_S):
            if isinstance(each, Reply):
                return _ended(each, as_json=as_json)
            if as_json:
                print(msgspec.json.encode(each).decode(), flush=True)
            elif text := line(each):
                print(text, flush=True)
    except KeyboardInterrupt:
        return DONE
    except NoAnswer as error:
        print(f"{verb}: {error}", file=sys.stderr)
        return REFUSED
    return DONE


def line(event: dict[str, Any]) -> str:
    """One event for people; "" for what has no words: a beat, figures."""
    kind, data = event["event"], event["data"]
    if kind == "beat":
        return ""
    if kind == "missed":
        least = "" if data["exact"] else "at least "
        return f"-- missed {least}{data['missed']} events; hedgegridctl records has them"
    if kind == "silent":
        names = "; ".join(f"{name}: {said}" for name, said in data["silent"].items())
        return f"{_clock(data['time_ns'])} NO BEAT: {names}"
    if not data["words"]:
        return ""
    return f"{_clock(data['time_ns'])} #{data['seq']} {kind}: {data['words']}"


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def _ended(reply: Reply, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(reply.result if reply.ok else reply.problem).decode())
        return DONE if reply.ok else REFUSED
    if reply.ok:
        print("the daemon has ended the stream")
        return DONE
    print(
        f"{reply.problem.get('title', 'failed')}: {reply.problem.get('detail', '')}".rstrip(": "),
        file=sys.stderr,
    )
    return REFUSED

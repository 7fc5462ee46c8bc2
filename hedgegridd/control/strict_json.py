"""What msgspec lets pass in a request: a field that stands twice, of which it would take the last."""

import json
from typing import NoReturn

from hedgegridd.control.operation import Problem


def refuse_twice(raw: bytes) -> None:
    """Look for a field that stands twice in an object of a JSON text that has been read before (at most 64 KiB).

    Raises:
        Problem: 400, naming the field.
    """
    try:
        # Numbers stay text: Python reads no integer of thousands of digits, and their value is not asked for.
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "malformed", f"the body is no JSON object: {error}") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                _twice(name)
            seen.add(name)
    return fields


def _twice(name: str) -> NoReturn:
    raise Problem(400, "malformed", f"`{name[:64]}` stands twice", field=name[:64])

"""Who caused what: resolves an id, walks the causes back and the effects forward.

Ids as people have them: `T-17` a trip, `F-17` a flatten, `#17` or `17` a sequence, `@17` a position in the journal, a
client order id, the key of a hold.
"""

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hedgegridd.errors import JournalError
from hedgegridd.journal.scan import Line, scan

ANCESTORS_MAX = 32
EFFECTS_MAX = 20_000
NEAR = (
    10_000  # records within which all consumers of a message have it, and a decision stands beside its trip
)
DECISIONS = ("GuardChanged", "HoldsChanged", "ExternalSignal", "RegimeChanged", "Recentred")
_SEQUENCE = re.compile(r"^(?:[A-Za-z]-|#)?(\d+)$")
_BEGINS = ("Kill", "Flatten")  # a trip or a flatten that nothing has named before the end
_TEXT = re.compile(r"^[ -~]{1,80}$")


@dataclass(slots=True)
class Incident:
    """What an id stands for: its own records, those that led to them (oldest first) and those that followed.

    `beside` are decisions with the same cause (the guard's verdict beside its trip). Each has one line per consumer.
    `cut` is true when there are more effects than `EFFECTS_MAX`.
    """

    name: str
    own: list[Line] = field(default_factory=list)
    because: list[Line] = field(default_factory=list)
    beside: list[Line] = field(default_factory=list)
    effects: list[Line] = field(default_factory=list)
    cut: bool = False


def find(folder: Path, name: str) -> list[Line]:
    """The records that an id names, one for each consumer.

    Raises:
        JournalError: there is none, or the id is of no known form.
    """
    if not _TEXT.match(name) or '"' in name:
        raise JournalError(
            f"{name!r} is no id: T-17, F-17, #17 (sequence), @17 (position) or a client order id"
        )
    if name.startswith("@") and name[1:].isdecimal():
        wanted = int(name[1:])
        found = [line for line in _until(scan(folder, max(1, wanted)), wanted) if line.position == wanted]
    elif (match := _SEQUENCE.match(name)) is not None:
        wanted = int(match[1])
        found = _of_sequence(folder, wanted)
        if name[0].isalpha() and found and found[0].kind not in _BEGINS and not _is_named(folder, name):
            raise JournalError(f"the journal has no {name}: #{wanted} is {found[0].kind}")
    else:
        found = _naming(folder, name)
    if not found:
        raise JournalError(f"the journal has no record of {name}")
    return found


def _of_sequence(folder: Path, wanted: int) -> list[Line]:
    found: list[Line] = []
    for line in scan(folder):
        if line.seq == wanted:
            found.append(line)
        elif found and line.position > found[0].position + NEAR:
            break
    return found


def _is_named(folder: Path, name: str) -> bool:
    text = f'"{name}"'.encode()
    return any(text in line.raw for line in scan(folder))


def _until(lines: Iterable[Line], position: int) -> Iterable[Line]:
    for line in lines:
        if line.position > position:
            return
        yield line


def _naming(folder: Path, name: str) -> list[Line]:
    """What an order or a hold began with: the intent, or the first record that names it."""
    text = f'"{name}"'.encode()
    naming = [
        line for line in scan(folder) if text in line.raw and line.kind not in ("SessionBegan", "StateKept")
    ]
    intents = [line for line in naming if line.kind in ("PlaceOrder", "CloseRaw")]
    first = (intents or naming)[:1]
    return [line for line in naming if first and line.seq == first[0].seq]


def explain(folder: Path, name: str) -> Incident:
    """Everything that an id stands for, what led to it and what it caused, as far as the journal reaches.

    Raises:
        JournalError: see `find`.
    """
    own = find(folder, name)
    root = own[0]
    found = Incident(name=name, own=own)
    seen = {root.seq}
    tokens = _tokens(name, root)
    for line in scan(folder, max(1, root.position - NEAR)):
        if line.seq == root.seq and line.seq:
            continue
        if root.cause and line.cause == root.cause and line.kind in DECISIONS:
            found.beside.append(line)
        if line.kind in ("SessionBegan", "StateKept"):
            continue  # they hold every id there is
        caused = line.cause in seen and line.cause
        if caused or line.seq in seen or (tokens and any(token in line.raw for token in tokens)):
            if len(found.effects) >= EFFECTS_MAX:
                found.cut = True
                break
            if line.seq:
                seen.add(line.seq)
            if line.kind == "Flatten":
                tokens += _tokens(f"F-{line.seq}", line)
            found.effects.append(line)
    found.because = _ancestors(folder, root)
    ours = {id(line) for line in found.effects}
    found.beside = [line for line in found.beside if id(line) not in ours]
    return found


def _tokens(name: str, root: Line) -> list[bytes]:
    """By what later records name it besides their cause: after a restart the chain of causes begins anew."""
    if root.kind == "Kill":
        return [f'"T-{root.seq}"'.encode()]
    if root.kind == "Flatten":
        return [f'"F-{root.seq}"'.encode(), f'"F-{root.seq}|'.encode()]
    if root.kind in ("PlaceOrder", "CloseRaw"):
        return [f'"{root.message()["client_order_id"]}"'.encode()]
    return [] if _SEQUENCE.match(name) or name.startswith("@") else [f'"{name}"'.encode()]


def _ancestors(folder: Path, root: Line) -> list[Line]:
    """The chain of causes, oldest first; it ends where a cause is not in the journal (any more)."""
    wanted = root.cause
    if not wanted:
        return []
    seqs, causes, positions = array("Q"), array("Q"), array("Q")  # the whole journal may be before it
    for line in scan(folder):
        if line.position >= root.position:
            break
        seqs.append(line.seq)
        causes.append(line.cause)
        positions.append(line.position)
    chain: list[int] = []
    for at in range(len(seqs) - 1, -1, -1):
        if seqs[at] == wanted:
            chain.append(positions[at])
            wanted = causes[at]
            if not wanted or len(chain) == ANCESTORS_MAX:
                break
    if not chain:
        return []
    among = set(chain)
    return [line for line in _until(scan(folder, chain[-1]), chain[0]) if line.position in among]

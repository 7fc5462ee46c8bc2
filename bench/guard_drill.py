"""Trips every guard on the real process through the paper exchange; prints a table of outcomes.

    python -m bench.guard_drill                          all: about twenty minutes
    python -m bench.guard_drill --only stale_market --only clock_skew
    python -m bench.guard_drill --out guards.jsonl --docs docs/chaos.md   resumable; writes the page's table

Each guard runs with a limit that the breach passes; all others as they are by default. Judged at the exchange: is its action
there in time (entries gone, leg flat, entries smaller, stop back), do exits and stops stay, does a hold stay while the breach
stays and end by itself afterwards, does a trip stay until rearm, and does `status` say who holds and why.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from bench.chaos_rig import SYMBOL, Rig, naked, rig
from bench.guards_rows import DRILLS, Drill
from tests.support.programs import ProgramError, end_with_programs, until
from tests.support.truth import ENTRY_SIDE, exchange_books, uncovered

BEGINS, ENDS = "<!-- table: python -m bench.guard_drill -->", "<!-- end of guards -->"
STAYS_S = 3.0  # a hold is watched for so long while its breach stays, a trip after it
COVER_S = 3.0
RESTOP_S = 2.0  # the guard acts from then on
SLACK = Decimal("0.15")  # quantities are cut to whole lots


class Found(msgspec.Struct):
    """The outcome of one drill; seconds from the breach to the action at the exchange, from its end to trading again."""

    guard: str
    what: str
    effect: str
    outcome: str = "PASS"
    findings: list[str] = []
    acted_s: float | None = None
    cleared_s: float | None = None
    said: str = ""

    def find(self, line: str) -> None:
        """Something is not as it must be."""
        self.findings.append(line)
        self.outcome = "FAIL"


class Before(msgspec.Struct):
    """What the exchange had before the breach: entries' quantities by leg, inventory by leg."""

    entries: dict[str, list[Decimal]]
    held: dict[str, Decimal]


def entry_quantities(where: Rig, legs: Sequence[str]) -> dict[str, list[Decimal]]:
    """Quantities of the entries that rest, by leg."""
    orders = exchange_books(where.exchange.truth(), SYMBOL).orders.values()
    return {leg: [o.qty for o in orders if o.leg == leg and o.side == ENTRY_SIDE[leg]] for leg in legs}


def effect_is_there(where: Rig, drill: Drill, before: Before) -> bool:
    """Whether the exchange shows what the guard must do."""
    match drill.effect:
        case "pause" | "halt":
            return not any(entry_quantities(where, drill.legs).values())
        case "flatten":
            books = exchange_books(where.exchange.truth(), SYMBOL)
            return not any(books.legs[leg].qty for leg in drill.legs) and not any(
                order.leg in drill.legs for order in books.orders.values()
            )
        case "throttle":
            now = [qty for quantities in entry_quantities(where, drill.legs).values() for qty in quantities]
            most = max(max(quantities, default=Decimal(0)) for quantities in before.entries.values())
            return bool(now) and max(now) <= most * (Decimal(drill.factor) + SLACK)
        case "trim":
            left = (1 - Decimal(drill.factor)) + SLACK
            return all(where.quantity(leg) <= before.held[leg] * left for leg in drill.legs)
        case "restop":
            return not naked(where.exchange.truth())


def trades(where: Rig, drill: Drill) -> bool:
    """Whether entries rest again on a leg of it; the other may hold something on every rung."""
    return any(entry_quantities(where, drill.legs).values())


def says(where: Rig, drill: Drill) -> str:
    """What `status` says of the guard; empty when it says nothing."""
    status = where.ask("status")
    texts = [*map(str, status["wrong"]), *(str(hold) for hold in status["holds"] or [])]
    texts += [str(status["kill_switch"].get("cause")), *(str(line["text"]) for line in status["recent"])]
    return next((text for text in texts if drill.guard in text), "")


def run(where: Rig, drill: Drill) -> Found:
    """One breach from a trading daemon to one that trades again, or may not."""
    found = Found(guard=drill.guard, what=drill.what, effect=drill.effect)
    where.prepare()
    drill.prepare(where)
    where.wait(lambda: not uncovered(where.exchange.truth(), SYMBOL), "covered", COVER_S * 3)
    before = Before(entry_quantities(where, drill.legs), {leg: where.quantity(leg) for leg in drill.legs})
    began_s = time.monotonic()
    drill.make(where)
    try:
        where.wait(
            lambda: effect_is_there(where, drill, before), f"{drill.effect} at the exchange", drill.acts_s
        )
    except ProgramError as error:
        found.find(str(error).partition("\n")[0])
        found.said = says(where, drill)[:200]
        return found
    found.acted_s = round(time.monotonic() - began_s, 1)
    if drill.effect == "restop" and found.acted_s < RESTOP_S:
        found.said = "placed anew by the desk, before the guard had to"
        return found
    try:  # a lost feed may have taken the entries away before the guard of its figure acts
        found.said = str(where.wait(lambda: says(where, drill), "said", drill.acts_s))[:200]
    except ProgramError:
        found.find("status says nothing of it")
    _exits_stay(where, drill, found)
    if drill.effect in ("halt", "flatten"):
        _trip_stays(where, drill, found)
    else:
        _hold_ends(where, drill, found)
    return found


def _exits_stay(where: Rig, drill: Drill, found: Found) -> None:
    """Inventory keeps its exits and stops, but for legs that are closed."""
    legs = [leg for leg in ("LONG", "SHORT") if drill.effect != "flatten" or leg not in drill.legs]
    try:
        until(lambda: not _uncovered(where, legs), "exits stay", COVER_S)
    except ProgramError:
        for line in _uncovered(where, legs):
            found.find(line)


def _uncovered(where: Rig, legs: Sequence[str]) -> list[str]:
    return [line for line in uncovered(where.exchange.truth(), SYMBOL) if line.partition(" ")[0] in legs]


def _hold_ends(where: Rig, drill: Drill, found: Found) -> None:
    """It holds while the breach stays, and ends by itself."""
    if drill.effect == "pause" and not drill.brief:
        ends_s = time.monotonic() + STAYS_S
        while time.monotonic() < ends_s:
            if any(entry_quantities(where, drill.legs).values()):
                found.find("entries came back while the breach stayed")
                break
            time.sleep(0.1)
    ended_s = time.monotonic()
    drill.end(where)
    if drill.effect in ("trim", "restop"):
        return
    try:
        where.wait(lambda: _as_before(where, drill), "trading again", drill.clears_s)
        found.cleared_s = round(time.monotonic() - ended_s, 1)
    except ProgramError as error:
        found.find(f"{str(error).partition(chr(10))[0]}; {where.why_no_entries()}")


def _as_before(where: Rig, drill: Drill) -> bool:
    if drill.effect != "throttle":
        return trades(where, drill)
    holds = [str(hold) for hold in where.ask("status")["holds"] or []]
    return not any(drill.guard in hold for hold in holds)


def _trip_stays(where: Rig, drill: Drill, found: Found) -> None:
    """It latches, also over a restart, and only rearm leaves it."""
    drill.end(where)
    where.kill()
    where.start()
    where.wait(lambda: where.ask("status")["reconciled"], "reconciled", 60)
    time.sleep(STAYS_S)
    if any(entry_quantities(where, drill.legs).values()):
        found.find("the latch is gone after a restart")
    ended_s = time.monotonic()
    refusals: list[str] = []

    def rearmed() -> bool:
        try:
            where.ask("rearm", reason="drill")
        except ProgramError as error:
            refusals.append(str(error)[:300])
            return False
        return True

    try:
        where.wait(rearmed, "rearm", drill.clears_s if drill.rearm else STAYS_S)
    except ProgramError:
        if drill.rearm:
            found.find(f"rearm is refused: {refusals[-1]}")
        return
    if not drill.rearm:
        found.find("rearm was taken although the figure stays in breach")
        return
    try:
        where.wait(lambda: trades(where, drill), "trading after rearm", 30)
        found.cleared_s = round(time.monotonic() - ended_s, 1)
    except ProgramError:
        found.find(f"no entries after rearm: {where.why_no_entries()}")


def table(found: Sequence[Found]) -> str:
    """Markdown."""
    lines = ["| guard | breach | action | outcome | at the exchange after s | trading again after s |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for each in found:
        acted = "-" if each.acted_s is None else f"{each.acted_s:.1f}"
        cleared = "-" if each.cleared_s is None else f"{each.cleared_s:.1f}"
        lines.append(
            f"| `{each.guard}` | {each.what} | {each.effect} | {each.outcome} | {acted} | {cleared} |"
        )
    return "\n".join(lines)


def write_docs(page: Path, found: Sequence[Found]) -> None:
    """The page's table becomes this one."""
    head, begins, rest = page.read_text().partition(BEGINS)
    _, ends, tail = rest.partition(ENDS)
    if not begins or not ends:
        raise SystemExit(f"{page}: has no {BEGINS} ... {ENDS}")
    page.write_text(f"{head}{BEGINS}\n{table(found)}\n{ENDS}{tail}")


def one(drill: Drill, keep: Path | None, number: int) -> Found:
    """One drill on programs of its own; whatever they do, an outcome comes of it."""
    setup = msgspec.structs.replace(
        drill.setup,
        guards=(*drill.setup.guards, *([{"type": drill.guard, **drill.table}] if drill.table else [])),
    )
    with tempfile.TemporaryDirectory(prefix="guards-") as name:
        folder = Path(name) if keep is None else keep / f"{number}-{drill.guard}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with rig(folder, 1, setup) as where:
                return run(where, drill)
        except (ProgramError, AssertionError, OSError) as error:
            found = Found(guard=drill.guard, what=drill.what, effect=drill.effect)
            found.find(str(error)[:1500])
            return found


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.guard_drill", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument(
        "--only", action="append", default=[], choices=sorted({drill.guard for drill in DRILLS})
    )
    line.add_argument("--out", type=Path, help="JSON lines, one a drill; those there are not run again")
    line.add_argument("--docs", type=Path, help="write the table into this page")
    line.add_argument("--keep", type=Path, help="folder for logs and state (default: temporary ones)")
    options = line.parse_args(argv)
    end_with_programs()
    done: list[Found] = []
    if options.out and options.out.exists():
        done = [msgspec.json.decode(row, type=Found) for row in options.out.read_bytes().splitlines()]
    known = {(each.guard, each.what) for each in done}
    for number, drill in enumerate(DRILLS):
        if (options.only and drill.guard not in options.only) or (drill.guard, drill.what) in known:
            continue
        found = one(drill, options.keep, number)
        done.append(found)
        sys.stderr.write(f"{found}\n")
        if options.out:
            with options.out.open("ab") as out:
                out.write(msgspec.json.encode(found) + b"\n")
    print(table(done))
    if options.docs:
        write_docs(options.docs, done)
    return 1 if any(each.outcome == "FAIL" for each in done) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

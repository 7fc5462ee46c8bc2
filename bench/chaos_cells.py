"""One cell of the chaos table: a fault in a phase of the daemon's life, and what must hold, judged by the exchange's truth.

phase        the fault comes                           and then
-----------  ----------------------------------------  ------------------------------------------------------------
trading      while an entry fills and all are replaced  entries, exits, ledger and stops are right again by themselves
flattening   as `flatten both` is asked                 the exchange has nothing left, no entry until `resume`
stopping     with SIGTERM                               gone in its deadlines, its exit code true; the next start is right
starting     before a start after `kill -9` and a fill  no entry before the books were compared; READY, all right

In every cell: no rung twice at the exchange, no inventory without its stop beyond the bound, no new entry while blind.
"""

import http.client
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import msgspec

from bench.chaos_rig import BACK_S, READY_S, SYMBOL, Rig, naked
from bench.chaos_rows import Row
from tests.support.programs import JsonHttp, ProgramError
from tests.support.truth import LEGS, exchange_books, uncovered

NAKED_S = 2.0  # spec: a missing leg stop is placed again within
FLAT_S = 45.0  # after the fault is over
ASKED_S = 6.0  # deadline of the flatten's asker
EXIT_S = 75.0  # the deadlines of a stop, summed
BY_ITSELF_S = 20.0  # for the journal to be written again, before the drill starts the daemon anew
BEFORE_S = 0.15  # between the word to a process and the deed on it
PHASES = ("trading", "flattening", "stopping", "starting")


class Cell(msgspec.Struct):
    """The outcome. Seconds: `detected` from the fault to the daemon's word, `safe` until flat, exited or READY,
    `recovered` from the fault's end until all was right."""

    row: str
    phase: str
    outcome: str = "PASS"
    findings: list[str] = []
    detected_s: float | None = None
    safe_s: float | None = None
    recovered_s: float | None = None
    note: str = ""

    def find(self, *lines: str) -> None:
        """Something is not as it must be."""
        self.findings += lines
        if lines:
            self.outcome = "FAIL"


def begin(rig: Rig, row: Row) -> None:
    """The fault is there from now on."""
    for rule in (*row.rules, *row.acts):
        rig.admin("/faults", dict(rule))
    row.begin(rig)


def end(rig: Rig, row: Row) -> None:
    """It is over; what of ours has died is started again."""
    row.end(rig)
    rig.clear_faults()
    if row.absent and not rig.alive:
        rig.start()


def hold(rig: Rig, row: Row, began_s: float, cell: Cell) -> None:
    """The fault stands; note when the daemon says that something is wrong, and tempt it once it should hold."""
    tempted = not row.blind or row.says_s is None
    while (now_s := time.monotonic() - began_s) < row.hold_s:
        if not row.absent and rig.alive:
            if cell.detected_s is None and rig.complaint():
                cell.detected_s = round(time.monotonic() - began_s, 1)
            if not tempted and row.says_s is not None and now_s > row.says_s:
                tempted = True
                _tempt(rig)
        time.sleep(0.1)


def _tempt(rig: Rig) -> None:
    """All entries are wanted in another quantity: placed now, they would be placed blindly."""
    try:
        rig.ask("throttle", throttle=0.75)
    except ProgramError:
        return  # refused, as with a full disk: then it does nothing, which is what must hold


def judge(rig: Rig, row: Row, cell: Cell, began_s: float, ended_s: float) -> None:
    """What must hold in every cell."""
    now_s = time.monotonic()
    seconds, leg = rig.watch.naked.longest(began_s, now_s)
    allowed_s = NAKED_S + (ended_s - began_s if row.deaf else 0.0)
    if seconds > allowed_s:
        cell.find(f"{leg} without its stop for {seconds:.1f} s")
    seconds, rung = rig.watch.twice.longest(began_s, now_s)
    if seconds:
        cell.find(f"{rung}, for {seconds:.2f} s")
    if row.says_s is not None and cell.phase == "trading":
        if cell.detected_s is None:
            cell.find(f"said nothing of it in {row.hold_s:g} s")
        elif cell.detected_s > row.says_s:
            cell.find(f"said so after {cell.detected_s} s, {row.says_s:g} were allowed")
    if row.blind and row.says_s is not None:
        fresh = rig.watch.new_entries(began_s + row.says_s, ended_s)
        if fresh:
            cell.find(f"{len(fresh)} entries placed while blind, {fresh[0]} first")


def back(rig: Rig, row: Row, cell: Cell, ended_s: float) -> None:
    """All must get right by itself; a latch is left by `resume` alone."""
    if row.latches and cell.phase in ("trading", "starting"):
        cell.find(*rig.recovered(entries=False))
        if latch := rig.latch():
            cell.note = "latched until rearm"
            if any(rig.entries().values()):
                cell.find(f"trades on although it is latched: {latch}")
        elif row.latches == "always":
            cell.find("trades on although the venue has acted on the leg")
        rig.release()
    cell.find(*rig.recovered(entries=not row.ends))
    cell.recovered_s = round(time.monotonic() - ended_s, 1)
    if row.ends and any(rig.entries().values()):
        cell.find("entries on a symbol that is gone")


def restarted(rig: Rig, cell: Cell) -> None:
    """Some faults may need a start: a journal that stays unwritten must not end in exit 0."""
    with suppress(ProgramError):
        rig.wait(lambda: not rig.journal_trouble(), "written again without a start", BY_ITSELF_S)
        cell.note = "by itself"
        return
    code = rig.bot.program.stop(EXIT_S)
    cell.note = f"exit {code}"
    if code == 0:
        cell.find("exit 0 although the journal was lost")
    rig.start()


def trading(rig: Rig, row: Row, cell: Cell) -> None:
    """The fault comes among fills and replaced orders."""
    rig.prepare()
    if row.stir_first:
        rig.stir()
    began_s = time.monotonic()
    begin(rig, row)
    if not row.stir_first:
        rig.stir()
    hold(rig, row, began_s, cell)
    end(rig, row)
    ended_s = time.monotonic()
    if row.restart:
        restarted(rig, cell)
    rig.still()
    back(rig, row, cell, ended_s)
    judge(rig, row, cell, began_s, ended_s)


class Asked(threading.Thread):
    """A flatten asked on a connection of its own; its answer, and what the exchange had when it came."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self._socket = rig.second_socket(ASKED_S + 30)
        self._admin_url = rig.exchange.admin_url
        self.answer: dict[str, Any] = {}
        self.error = ""
        self.left: list[str] = []

    def run(self) -> None:
        """The thread."""
        try:
            self.answer = self._socket.ask("flatten", side="both", reason="chaos", deadline_s=ASKED_S)
            if self.answer.get("verified"):
                with closing(JsonHttp(self._admin_url, timeout_s=5)) as admin:
                    books = exchange_books(admin.ask("GET", "/truth"), SYMBOL)
                self.left = [f"{name} {leg.qty}" for name, leg in books.legs.items() if leg.qty]
                self.left += sorted(books.orders)
        except (ProgramError, OSError, http.client.HTTPException, ValueError) as error:
            self.error = str(error).partition("\n")[0][:200]
        finally:
            self._socket.close()


def flattening(rig: Rig, row: Row, cell: Cell) -> None:
    """Flat and verified, whatever stands in the way; no entry before somebody says so."""
    rig.prepare()
    asked_s = began_s = time.monotonic()
    asked = Asked(rig)
    if not row.stir_first:
        begin(rig, row)
    asked.start()
    if row.stir_first:
        time.sleep(BEFORE_S)
        begin(rig, row)
    hold(rig, row, began_s, cell)
    end(rig, row)
    ended_s = time.monotonic()
    try:
        rig.wait(rig.is_flat, "flat at the exchange", FLAT_S)
        cell.safe_s = round((rig.watch.flat_since(asked_s) or time.monotonic()) - asked_s, 1)
    except ProgramError as error:
        cell.find(str(error).partition("\n")[0], *map(str, rig.exchange.truth()["legs"].items()))
    asked.join(ASKED_S + 40)
    cell.note = "verified" if asked.answer.get("verified") else "went on past the answer"
    if asked.error:
        cell.note = "asker cut off" if row.absent else f"asker: {asked.error}"
    if asked.left:
        cell.find(f"answered verified with {asked.left[:3]} at the exchange")
    if row.restart:
        restarted(rig, cell)
    rig.wait(rig.is_ready, "ready", READY_S)
    rig.wait(lambda: not any(f["state"] != "flat" for f in rig.ask("status")["flattens"]), "verified", FLAT_S)
    resumed_s = time.monotonic()
    if not row.absent and (fresh := rig.watch.new_entries(asked_s + 1, resumed_s)):
        cell.find(f"entries after the flatten: {fresh[:3]}")
    rig.release()
    back(rig, row, cell, ended_s)
    judge(rig, row, cell, began_s, ended_s)


def stopping(rig: Rig, row: Row, cell: Cell) -> None:
    """It ends in its deadlines and its exit code says what the exchange has."""
    rig.prepare()
    if row.stir_first:
        rig.stir()
    process = rig.bot.program.process
    began_s = time.monotonic()
    if not row.absent:
        begin(rig, row)
        if not row.stir_first:
            rig.stir()
    told_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    if row.absent:
        time.sleep(BEFORE_S)
        if process.poll() is None:
            row.begin(rig)
    gone = False
    while time.monotonic() - began_s < row.hold_s and not gone:
        gone = _gone(process, 0.1)
    row.end(rig)
    rig.clear_faults()
    ended_s = time.monotonic()
    if not gone and not _gone(process, EXIT_S):
        cell.find(f"still there {EXIT_S:g} s after SIGTERM")
        rig.kill()
    cell.safe_s = round(time.monotonic() - told_s, 1)
    cell.note = f"exit {process.returncode}"
    _judge_exit(rig, row, cell, process.returncode)
    rig.start()
    rig.wait(lambda: rig.ask("status")["reconciled"], "reconciled", READY_S)
    if row.latches:
        rig.release()
    rig.wait(rig.is_ready, "ready", READY_S)
    rig.still()
    back(rig, row, cell, ended_s)
    judge(rig, row, cell, began_s, ended_s)


def _gone(process: subprocess.Popen[bytes], within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _judge_exit(rig: Rig, row: Row, cell: Cell, code: int) -> None:
    truth = rig.exchange.truth()
    left = sum(len(ids) for ids in rig.entries().values())
    if code == 0:
        if left:
            cell.find(f"exit 0 with {left} entries at the exchange")
        cell.find(*[f"exit 0 and {line}" for line in uncovered(truth, SYMBOL)])
    else:
        cell.note += f", {left} entries left"
        mild = not (row.deaf or row.blind or row.absent or row.restart or row.says_s or row.ends)
        if mild:
            cell.find(f"exit {code}, though nothing kept it from asking the venue")
    if not row.deaf:
        cell.find(*[f"nobody runs, and {line} has no stop" for line in naked(truth)])


def starting(rig: Rig, row: Row, cell: Cell) -> None:
    """Nothing is traded before the books were compared; then all is right."""
    rig.prepare()
    rig.kill()
    rig.through_entry(LEGS[0])
    began_s = time.monotonic()
    if row.absent:
        rig.start()
        time.sleep(BEFORE_S * 4)
        begin(rig, row)
    else:
        begin(rig, row)
        if not _starts(rig, row, cell):
            rig.start()
    born_s = time.monotonic()
    hold(rig, row, began_s, cell)
    end(rig, row)
    ended_s = time.monotonic()
    if row.restart and rig.alive and rig.journal_trouble():
        restarted(rig, cell)
    rig.wait(lambda: rig.compared_s() is not None, "compared", READY_S + BACK_S)
    compared_s = rig.compared_s() or born_s
    _when(rig, rig.is_ready, "ready")
    cell.safe_s = round(time.monotonic() - (ended_s if row.deaf or row.blind else born_s), 1)
    if fresh := rig.watch.new_entries(began_s, compared_s):
        cell.find(f"entries before the books were compared: {fresh[:3]}")
    back(rig, row, cell, ended_s)
    judge(rig, row, cell, born_s, ended_s)


def _starts(rig: Rig, row: Row, cell: Cell) -> bool:
    """Start it amid the fault; False when it refuses to, which only a full disk may make it do, in a sentence."""
    try:
        rig.start()
    except ProgramError as error:
        if not row.restart:
            raise
        text = str(error)
        cell.note = next((line for line in text.splitlines() if "cannot start" in line), "")[:120]
        if "Traceback" in text or not cell.note:
            cell.find(f"a start on a full disk says: {text[:300]}")
        row.end(rig)
        return False
    return True


def _when(rig: Rig, look: Callable[[], bool], what: str) -> float:
    rig.wait(look, what, READY_S + BACK_S)
    return time.monotonic()


RUN: dict[str, Callable[[Rig, Row, Cell], None]] = {
    "trading": trading,
    "flattening": flattening,
    "stopping": stopping,
    "starting": starting,
}

"""The judgement of the chaos drill fails a cell for each thing that must not be: it is no check that cannot fail."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.chaos import chosen, table
from bench.chaos_cells import PHASES, Cell, judge
from bench.chaos_rig import Spells, Watcher, naked, twice
from bench.chaos_rows import ROWS, Row
from hedgegridd.model import Leg, OrderTag, Purpose, client_order_id

BLIND = Row(name="x", fault="x", says_s=5, blind=True, hold_s=12)


def truth(*, qty: str = "0", stops: int = 0, entries: tuple[int, ...] = ()) -> dict[str, Any]:
    """`GET /truth` of LONG with so much inventory, so many stops, and entries of these rungs."""
    leg = {"positionSide": "LONG", "symbol": "BTCUSDT"}
    tags = [OrderTag("BTCUSDT", Leg.LONG, level, Purpose.ENTRY, "k", n) for n, level in enumerate(entries)]
    plain = {**leg, "side": "BUY", "price": "1", "origQty": "1", "executedQty": "0"}
    stop = {**leg, "side": "SELL", "triggerPrice": "1", "closePosition": True, "quantity": "0"}
    return {
        "wallet": "0",
        "legs": {"BTCUSDT:LONG": {"qty": qty, "entry": "1"}, "BTCUSDT:SHORT": {"qty": "0", "entry": "0"}},
        "open_orders": [{**plain, "clientOrderId": client_order_id(tag)} for tag in tags],
        "algo_orders": [{**stop, "clientAlgoId": f"stop-{n}"} for n in range(stops)],
    }


def rig(*, naked_s: float = 0.0, twice_s: float = 0.0, entry_at: float | None = None) -> Any:
    """A rig whose watcher has seen that, seconds after 100."""
    watch = Watcher(SimpleNamespace())  # type: ignore[arg-type]  # it is not started
    for spells, seconds in ((watch.naked, naked_s), (watch.twice, twice_s)):
        if seconds:
            spells.see(["LONG"], 100.0)
            spells.see([], 100.0 + seconds)
    if entry_at is not None:
        watch.first_seen["new"] = 100.0 + entry_at
    return SimpleNamespace(watch=watch)


@pytest.mark.parametrize(
    ("row", "seen", "detected_s", "word"),
    [
        (BLIND, {}, 2.0, ""),
        (BLIND, {"entry_at": 3}, 2.0, ""),
        (BLIND, {"entry_at": 7}, 2.0, "while blind"),
        (BLIND, {}, None, "said nothing"),
        (BLIND, {}, 6.0, "said so after"),
        (ROWS["user-cut"], {"naked_s": 1.5}, None, ""),
        (ROWS["user-cut"], {"naked_s": 2.5}, None, "without its stop"),
        (ROWS["submit-hangs"], {"naked_s": 10.0}, None, ""),
        (ROWS["submit-hangs"], {"naked_s": 15.0}, None, "without its stop"),
        (ROWS["user-cut"], {"twice_s": 0.1}, None, "for 0.10 s"),
    ],
)
def test_what_must_hold_in_every_cell(
    row: Row, seen: dict[str, float], detected_s: float | None, word: str
) -> None:
    cell = Cell(row=row.name, phase="trading", detected_s=detected_s)
    judge(rig(**seen), row, cell, 100.0, 112.0)
    assert cell.outcome == ("FAIL" if word else "PASS")
    assert word in "".join(cell.findings)


def test_the_watcher_sees_what_is_naked_or_twice() -> None:
    assert naked(truth(qty="1", stops=1)) == []
    assert naked(truth(qty="1")) == ["LONG"]
    assert twice(truth(entries=(1, 2))) == []
    assert twice(truth(entries=(1, 1, 2))) == ["LONG rung 1 has 2 entries"]


def test_a_spell_lasts_from_the_first_look_to_the_last() -> None:
    spells = Spells()
    for names, at in ((["a"], 1.0), (["a", "b"], 2.0), (["b"], 4.0), (["b"], 9.0)):
        spells.see(names, at)
    assert spells.longest(0, 9.0) == (7.0, "b")
    assert spells.longest(0, 3.0) == (3.0, "a")


def test_cells_are_named_by_row_phase_or_both() -> None:
    assert len(chosen([])) == sum(len(row.phases) for row in ROWS.values())
    assert {row.name for row, _ in chosen(["outage"])} == {"outage"}
    first, *rest = [(row.name, phase) for row, phase in chosen(["outage/trading", "outage"])]
    assert first == ("outage", "trading")
    assert first not in rest
    assert {phase for _, phase in chosen(["/starting"])} == {"starting"}
    with pytest.raises(SystemExit, match="no such cell"):
        chosen(["outage/sleeping"])


def test_the_table_has_a_line_a_row_and_a_column_a_phase() -> None:
    cells = [Cell(row="outage", phase=phase, detected_s=1.0) for phase in PHASES[:2]]
    lines = table(cells).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| full outage (`outage`) | PASS 1.0 / - / - | PASS 1.0 / - / - |  |  |"

"""An incident reads as a story: what breached, what was cancelled, what closed at what price, when it was verified."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.errors import JournalError
from hedgegridd.journal.causes import explain, find
from hedgegridd.journal.scan import scan
from hedgegridd.journal.story import after, as_json, as_text, tell
from hedgegridd.journal.words import words
from hedgegridd.journal.writer import Journal
from hedgegridd.model import LEGS, KillState, Leg, OrderKind, Purpose, Side

from .helpers import journal

BTC = "BTCUSDT-PERP.BINANCE"
D = Decimal
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
PLACED = "BTCUSDT-L001E-k3f9a-1"
CLOSED = "BTCUSDT-L900C-k3f9a-2"


class Writer:
    """Appends records; `say` returns the sequence."""

    def __init__(self, folder: Path) -> None:
        self.book: Journal = journal(folder)
        self.book.open()
        self.seq = 0

    def say(
        self, message: m.Message, *, cause: int = 0, ms: int = 0, actor: str = "", to: str = "desk"
    ) -> int:
        self.seq += to != "asker"
        seq = 0 if to == "asker" else self.seq
        at_ns = START_NS + ms * MS
        envelope = m.Envelope(
            seq=seq, time_ns=at_ns, mono_ns=at_ns, cause=cause, actor=actor, message=message
        )
        for one in to.split():
            self.book.append(one, envelope)
        return seq


def mark(price: str) -> m.MarkPrice:
    return m.MarkPrice(instrument=BTC, market_ns=START_NS, mark=D(price))


def incident(folder: Path, *, restart: bool = False, finished: bool = True) -> int:
    """A guard trips on a mark; the legs are closed, in the middle of it the process may die."""
    w = Writer(folder)
    w.say(
        m.PlaceOrder(
            instrument=BTC, leg=Leg.LONG, purpose=Purpose.ENTRY, level=1, client_order_id=PLACED, side=Side.BUY,
            kind=OrderKind.LIMIT, qty=D("0.01"), price=D(60000),
        ),
        ms=-500, actor="desk", to="venue",
    )  # fmt: skip
    seen = w.say(mark("40000.5"), actor="venue", ms=-2)
    figures = w.say(
        m.RiskFigures(
            equity_usdt=D("9000"), session_peak_usdt=D("10000"), peak_usdt=D("10000"), session_usdt=D("-1000"),
            day_usdt=None, maint_margin_usdt=None, margin_balance_usdt=None, instruments=(),
        ),
        cause=seen, ms=-1, actor="desk", to="risk",
    )  # fmt: skip
    verdict = m.GuardVerdict(
        guard="session_drawdown",
        level="CRITICAL",
        value=D("10"),
        limit=D(5),
        unit="%",
        message="equity 9000, peak 10000",
    )
    w.say(
        m.GuardChanged(verdict=verdict, previous="OK", did="flatten"),
        cause=figures,
        actor="risk",
        to="journal",
    )
    kill = w.say(m.Kill(reason="session_drawdown 10 % > 5 %"), cause=figures, actor="risk", to="kill_switch")
    trip = f"T-{kill}"
    w.say(
        m.KillStateChanged(state=KillState.TRIPPED, previous=KillState.ARMED, trip_id=trip, cause="session_drawdown"),
        cause=kill, ms=1, actor="kill_switch", to="desk boot",
    )  # fmt: skip
    flatten = w.say(
        m.Flatten(legs=LEGS, reason="x", origin=trip), cause=kill, ms=1, actor="kill_switch", to="flatten"
    )
    name = f"F-{flatten}"
    w.say(
        m.LegsLatched(instrument=BTC, legs=LEGS, flatten_id=name, origin=trip),
        cause=flatten,
        ms=2,
        actor="flatten",
    )
    cause = flatten
    if restart:
        w.say(
            m.SessionBegan(version="0", pid=2, epoch="k", config=_raw(), state=_raw(trip)),
            to="session",
            ms=3_000,
        )
        up = w.say(m.VenueUp(), ms=4_000, actor="venue", to="flatten kill_switch")
        cause = w.say(
            m.LegsLatched(instrument=BTC, legs=LEGS, flatten_id=name, origin=trip), cause=up, ms=4_001
        )
    for n in range(3):
        w.say(m.CancelOrder(instrument=BTC, client_order_id=f"c{n}"), cause=cause, ms=5_000 + n, to="venue")
    close = m.CloseRaw(
        token=f"{name}|{BTC}|C1", instrument=BTC, leg=Leg.LONG, qty=D("0.01"), client_order_id=CLOSED
    )
    closed = w.say(close, cause=cause, ms=5_010, actor="flatten", to="venue")
    w.say(mark("1"), actor="venue", ms=5_011)
    w.say(
        m.Fill(
            instrument=BTC, leg=Leg.LONG, client_order_id=CLOSED, venue_order_id="1", trade_id="7", side=Side.SELL,
            price=D("39990.1"), qty=D("0.01"), commission=D("0.16"), commission_asset="USDT", maker=False,
            ts_ns=START_NS,
        ),
        cause=closed, ms=5_050, actor="venue", to="desk flatten",
    )  # fmt: skip
    if finished:
        proof = ("03:12:47.900 query LONG 0, orders 0",)
        w.say(m.LegFlat(flatten_id=name, instrument=BTC, leg=Leg.LONG, proof=proof), cause=closed, ms=5_600)
        done = w.say(
            m.FlattenFinished(flatten_id=name, origin=trip, after_s=D("5.6")), cause=closed, ms=5_600,
            actor="flatten", to="kill_switch",
        )  # fmt: skip
        w.say(
            m.KillStateChanged(state=KillState.HALTED, previous=KillState.TRIPPED, trip_id=trip),
            cause=done,
            ms=5_601,
        )
        w.say(
            m.Done(to=kill, detail={"verified": True}), cause=kill, ms=5_601, actor="kill_switch", to="asker"
        )
    w.say(mark("2"), actor="venue", ms=9_000)
    assert w.book.close()
    return kill


def _raw(text: str = "x") -> msgspec.Raw:
    return msgspec.Raw(b'{"names":"%b"}' % text.encode())


@pytest.mark.parametrize("restart", [False, True])
def test_a_trip_is_told_from_its_cause_to_its_proof(tmp_path: Path, restart: bool) -> None:
    kill = incident(tmp_path, restart=restart)
    story = tell(explain(tmp_path, f"T-{kill}"))
    text = as_text(story)
    whole = "\n".join(text)
    assert text[0].startswith(
        f"T-{kill}  kill: session_drawdown 10 % > 5 %  by risk  2023-11-14 22:13:20.000 UTC"
    )
    because = [step.text for step in story.because]
    assert because[0] == "mark of BTCUSDT 40000.5"
    assert because[1].startswith("equity 9000, peak of the session 10000")
    assert because[2] == (
        "session_drawdown of the account OK -> CRITICAL, 10 %, limit 5 %: equity 9000, peak 10000; flatten"
    )
    assert "cancel 3 orders" in whole
    assert "LONG sold 0.01 @39990.1 (taker, fee 0.16 USDT)" in whole
    assert "+5.05 s" in whole
    assert text[-2] == "proof    BTCUSDT LONG: 03:12:47.900 query LONG 0, orders 0"
    assert text[-1] == "FLAT, VERIFIED  5.6 s; the kill switch is HALTED"
    assert "mark of BTCUSDT 1" not in whole, "what it did not cause is not in it"
    assert whole.count("entries of LONG and SHORT of BTCUSDT refused") == 1 + restart
    assert as_json(story)["end"] == text[-1]


def test_a_trip_that_has_no_end_yet_is_told_so(tmp_path: Path) -> None:
    kill = incident(tmp_path, finished=False)
    assert as_text(tell(explain(tmp_path, f"T-{kill}")))[-1] == "NOT VERIFIED as far as the journal reaches"


def test_steps_are_bounded_and_the_rest_is_counted(tmp_path: Path) -> None:
    kill = incident(tmp_path)
    whole = tell(explain(tmp_path, f"T-{kill}"))
    story = tell(explain(tmp_path, f"T-{kill}"), limit=2)
    assert len(story.steps) == 2
    assert story.left_out == len(whole.steps) - 2
    assert f"… {story.left_out} more steps" in "\n".join(as_text(story))


def test_ids_of_every_form_are_found(tmp_path: Path) -> None:
    kill = incident(tmp_path)
    for name in (f"T-{kill}", f"#{kill}", str(kill)):
        assert [line.kind for line in find(tmp_path, name)] == ["Kill"]
    first = next(iter(scan(tmp_path)))
    assert [line.raw for line in find(tmp_path, "@1")] == [first.raw]
    assert [line.kind for line in find(tmp_path, PLACED)] == ["PlaceOrder"]
    assert [line.kind for line in find(tmp_path, CLOSED)] == ["CloseRaw"]
    (state,) = {line.kind for line in find(tmp_path, f"F-{kill + 2}")}
    assert state == "Flatten"
    assert [line.to for line in find(tmp_path, f"#{kill + 1}")] == ["desk", "boot"], (
        "one record for each consumer"
    )


@pytest.mark.parametrize(
    "name", ["T-999", "T-1", "F-1", "@999", "BTCUSDT-L009E-k3f9a-1", "", 'a"b', "x" * 100, "\n"]
)
def test_what_is_no_id_or_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    incident(tmp_path)
    with pytest.raises(JournalError, match=r"no record of|is no id|has no [TF]-1: #1 is "):
        find(tmp_path, name)


def test_an_order_is_told_from_its_intent_to_its_fill(tmp_path: Path) -> None:
    incident(tmp_path)
    story = tell(explain(tmp_path, CLOSED))
    assert story.title == f"close LONG 0.01 at market  {CLOSED}"
    assert any("sold 0.01 @39990.1" in step.text for step in story.steps)


def test_every_event_and_command_has_words() -> None:
    """A sentence of its own, or field by field: never an exception, whatever a field holds."""
    for kind in (*m.COMMANDS, *m.EVENTS):
        assert words(kind.__name__, {"type": kind.__name__})
        assert words(kind.__name__, {"type": kind.__name__, "legs": 3, "reason": None})
    assert words("Unheard", {"type": "Unheard", "a": 1, "b": None}) == "Unheard, a 1"


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "+0 ms"), (-2 * MS, "-2 ms"), (1_030 * MS, "+1.03 s"), (252_000 * MS, "+4 min 12 s")]
)
def test_times_after_the_beginning(ns: int, text: str) -> None:
    assert after(ns) == text

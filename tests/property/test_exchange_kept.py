"""Whatever was done to the exchange, what its file holds is what it remembers: commit by commit, and after forgetting."""

import sqlite3
import tempfile
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgegridd.exchange import account, desk, markets
from hedgegridd.exchange.clock import MarketClock, WallClock
from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.keeper import Keeper, Setup, begun, open_store, restore
from hedgegridd.exchange.klines import KlineBook
from hedgegridd.exchange.state import State
from hedgegridd.exchange.store import Batch, Store
from hedgegridd.exchange.venue import Venue
from tests.property.test_exchange_engine import RULES, D, Run
from tests.property.test_exchange_invariants import steps

SETUP = Setup(market="synthetic", symbols=("BTCUSDT",), seed=1, regime="demo", tick_rate=D(10), data="")


def around(engine: Engine) -> Venue:
    built = markets.build("synthetic", symbols=[RULES], start_ms=1_700_000_000_000, history_bars=0)
    clock = MarketClock(1_700_000_000_000, Fraction(1), paused=True)
    return Venue(engine, built, WallClock(), clock, klines=KlineBook([]), rate_limits=False)


def remembered(engine: Engine) -> State:
    """The state, to be compared: the order of orders counts, that of the kinds of income does not."""
    state = msgspec.msgpack.decode(engine.snapshot(), type=State)
    assert list(state.orders) == sorted(state.orders)
    return state


def kept(store: Store) -> State:
    fresh = Engine([RULES], deposit=D(1))
    restore(store, around(fresh))
    return remembered(fresh)


class Forgetful(Run):
    """A run whose history is cut: trades that are forgotten cannot be added up."""

    def check(self) -> None:
        assert self.engine.truth()["invariant"] == "ok"


class Ladders(Run):
    """A run that knows the ladders, shifts and drops of the invariants' steps."""

    def do_ladder(self, rungs: list[tuple[str, bool, str, int, str]]) -> None:
        for leg, entry, qty, ticks_away, tif in rungs:
            side = "BUY" if (leg == "LONG") == entry else "SELL"
            offset = -ticks_away if side == "BUY" else ticks_away
            self.play(("new", side, leg, qty, offset, tif, f"n{self.engine.state.next_order_id}"))

    def do_shift(self, index: int, qty: str, ticks_away: int) -> None:
        resting = self.engine.resting()
        if resting:
            order = resting[index % len(resting)]
            self.play(("amend", order.client_id, qty, -ticks_away if order.side == "BUY" else ticks_away))

    def do_drop(self, index: int) -> None:
        resting = self.engine.resting()
        if resting:
            self.play(("cancel", resting[index % len(resting)].client_id))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, cut=st.integers(0, 30))
def test_the_file_holds_what_the_engine_remembers(steps: list[tuple[Any, ...]], cut: int) -> None:
    run = Ladders(partial_fills=True)
    venue = around(run.engine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        with closing(open_store(path, SETUP)) as store:
            assert not begun(store)
            keeper = Keeper(store, venue)
            for number, step in enumerate(steps):
                run.play(step)
                if number >= cut:  # the first commit holds many changes, the later ones few
                    keeper.save()
            keeper.save()
        with closing(open_store(path, SETUP)) as store:
            assert kept(store) == remembered(run.engine)


def test_a_queue_that_shrinks_and_a_stop_that_fires_are_in_the_file(tmp_path: Path) -> None:
    run = Run(partial_fills=True)
    queues = []
    with closing(open_store(tmp_path / "state.db", SETUP)) as store:
        keeper = Keeper(store, around(run.engine))
        for step in (
            ("new", "BUY", "LONG", "0.100", -3, "GTC", "id1"),
            ("tick", 0, 3, 0, 400, 5, 1),  # touches the order, trades a part of what stands before it
            ("new", "BUY", "LONG", "0.100", 0, "", "id2"),
            ("algo", "SELL", "LONG", None, -20, "STOP_MARKET", "id3"),
            ("tick", -40, 0, 0, 0, 5, 1),
        ):
            run.play(step)
            keeper.save()
            assert kept(store) == remembered(run.engine), step
            queues.append([order.queue for order in run.engine.resting()])
        assert queues[0] > queues[1] > [D(0)]
        assert [algo.status for algo in run.engine.state.algos.values()] == ["FINISHED"]


def test_what_memory_forgets_the_file_forgets(tmp_path: Path, monkeypatch: Any) -> None:
    for module in (account, desk):
        monkeypatch.setattr(module, "HISTORY_MAX", 20)
        monkeypatch.setattr(module, "_FORGET", 8)
    run = Forgetful(partial_fills=True)
    venue = around(run.engine)
    with closing(open_store(tmp_path / "state.db", SETUP)) as store:
        keeper = Keeper(store, venue)
        for number in range(60):
            run.play(("tick", 0, 0, 0, 1_000, 5, 1))
            run.play(("new", "BUY" if number % 2 == 0 else "SELL", "LONG", "0.010", 0, "", f"n{number}"))
            keeper.save()
        state = run.engine.state
        counts = {kind: len(list(store.rows(kind))) for kind in ("order", "trade")}
        assert counts == {"order": len(state.orders), "trade": len(state.trades)}
        assert max(counts.values()) <= 20
        assert state.forgotten_trades > 0
        assert len(list(store.rows("income"))) == sum(len(rows) for rows in state.income.values())
        assert kept(store) == remembered(run.engine)


def test_a_batch_that_cannot_be_written_whole_is_not_written_at_all(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "s.db")) as store:
        store._db.execute(
            "CREATE TRIGGER no BEFORE INSERT ON row WHEN NEW.id = 2 BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        batch = Batch()
        batch.parts["account"] = b"new"
        batch.put("order", 1, b"1")
        batch.put("order", 2, b"2")
        with pytest.raises(sqlite3.IntegrityError, match="no"):
            store.write(batch)
        assert store.part("account") is None
        assert list(store.rows("order")) == []

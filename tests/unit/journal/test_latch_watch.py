"""Who looks for panic's latch: no entry leaves unless somebody has looked a moment ago and found none."""

import asyncio
from pathlib import Path

from hedgegridd.journal.latch_watch import FRESH_NS, LatchWatch
from hedgegridd.journal.panic_latch import NAME, PanicLatch, write

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
WITHIN_S = 5.0


class Hands:
    mono_ns = 1_000_000_000

    def now(self) -> int:
        return self.mono_ns


def watching(folder: Path) -> tuple[LatchWatch, Hands]:
    hands = Hands()
    return LatchWatch(folder, hands.now), hands


def test_before_the_first_look_nothing_leaves(tmp_path: Path) -> None:
    watch, _ = watching(tmp_path)
    assert "nobody has looked" in watch.why(BTC)


def test_a_look_that_found_none_lets_entries_go_for_a_moment_only(tmp_path: Path) -> None:
    watch, hands = watching(tmp_path)
    watch._once()
    assert watch.why(BTC) == ""
    hands.mono_ns += FRESH_NS
    assert watch.why(BTC) == ""
    hands.mono_ns += 1
    assert "nobody has looked for a panic latch for 0.3 s" in watch.why(BTC)


def test_a_latch_holds_its_instruments_until_it_has_been_taken_in(tmp_path: Path) -> None:
    watch, _ = watching(tmp_path)
    write(tmp_path, PanicLatch(by="ann", instruments=(BTC,)))
    found = watch._once()
    assert found is not None
    assert found.stamp is not None
    assert watch.why(BTC) == "panic by ann"
    assert watch.why(ETH) == ""
    watch.taken(found.stamp)
    assert watch.why(BTC) == "", "the kill switch holds it now"
    write(tmp_path, PanicLatch(by="bob"))
    watch._once()
    assert watch.why(BTC) == watch.why(ETH) == "panic by bob"


def test_a_disk_that_does_not_tell_holds_entries_once_the_last_look_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    watch, hands = watching(folder)
    watch._once()
    folder.rmdir()
    folder.write_text("a file in its place")
    hands.mono_ns += FRESH_NS + 1
    assert watch._once() is None
    assert "Not a directory" in watch.why(BTC)


async def test_the_thread_tells_each_latch_once_and_wakes_who_waits(tmp_path: Path) -> None:
    watch, _ = watching(tmp_path)
    found: asyncio.Queue[PanicLatch] = asyncio.Queue()
    watch.start(lambda _stamp, latch: found.put_nowait(latch))
    await watch.looked(BTC, WITHIN_S)
    assert watch.why(BTC) == ""
    for name in ("ann", "bob"):
        write(tmp_path, PanicLatch(by=name))
        async with asyncio.timeout(WITHIN_S):
            assert (await found.get()).by == name
        assert watch.why(BTC) == f"panic by {name}"
    assert found.empty()
    watch.stop()


async def test_who_waits_is_not_held_up_by_a_latch_and_not_for_ever_by_a_disk(tmp_path: Path) -> None:
    watch, _ = watching(tmp_path)
    (tmp_path / NAME).touch()
    watch._once()
    await watch.looked(BTC, WITHIN_S)
    never, _ = watching(tmp_path)
    await never.looked(BTC, 0.01)
    assert never.why(BTC)

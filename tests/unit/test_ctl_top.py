"""The live screen of hedgegridctl: what stands where, on 80 x 24; its keys; a lost socket; a real terminal."""

import asyncio
import io
import os
import pty
from typing import Any

import pytest
from rich.console import Console

from hedgegridd.control.operation import Caller, Role
from hedgegridd.ctl import terminal
from hedgegridd.ctl.client import NoDaemon
from hedgegridd.ctl.top import Top
from hedgegridd.ctl.top_screen import Seen, screen
from hedgegridd.operations import REGISTRY
from tests.unit.control_fakes import FakeBus, dispatcher

Body = dict[str, Any]
FLAT = {
    "verified": True, "cancelled_orders": 1, "closed": {}, "stages": [], "after_s": "1.0", "flatten_id": "F-1", "proof": [],
}  # fmt: skip


async def bodies() -> dict[str, Body]:
    made, caller = dispatcher(FakeBus()), Caller("test", Role.ADMIN, "test")
    found = {
        verb: (await made.run_mapping(REGISTRY.verbs[verb], {}, caller)).body
        for verb in ("status", "ladders", "guards")
    }
    found["status"]["recent"] = [
        {"time_ns": 1_700_000_000_000_000_000 + n * 10**9, "seq": n, "text": f"event {n} " + "x" * 200}
        for n in range(30)
    ]
    return found


class Desk:
    """Polls and commands of a screen; `broken` makes every poll fail."""

    def __init__(self, found: dict[str, Body]) -> None:
        self.found = found
        self.broken = False
        self.commands: list[tuple[str, Body]] = []
        self.gate: asyncio.Event | None = None
        self.fails: Exception | None = None
        self.now_s = 10.0
        self.top = Top(self.poll, self.command, now_s=lambda: self.now_s)

    async def poll(self, verb: str) -> Body:
        if self.broken:
            raise NoDaemon("gone")
        return self.found[verb]

    async def command(self, verb: str, fields: Body) -> Body:
        self.commands.append((verb, fields))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return FLAT if verb == "flatten" else {"outcome": "done", "entries": 0}

    async def type(self, text: str) -> None:
        for key in text:
            self.top.key(key)
        for _ in range(5):
            await asyncio.sleep(0)

    def shown(self, width: int = 80, height: int = 24) -> list[str]:
        return drawn(self.top.seen, width, height)


def drawn(seen: Seen, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, color_system=None)
    console.print(screen(seen, width, height))
    return console.export_text().rstrip("\n").splitlines()


async def desk() -> Desk:
    made = Desk(await bodies())
    await made.top.refresh()
    return made


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50), (60, 15)])
async def test_it_fits_the_screen(width: int, height: int) -> None:
    lines = (await desk()).shown(width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


async def test_what_stands_where() -> None:
    text = "\n".join((await desk()).shown())
    lines = text.splitlines()
    assert lines[0].startswith("● TRADING  acct1 · Binance PAPER")
    assert [line.split()[0] for line in lines[1:5]] == ["safe", "doing", "wrong", "do"]
    rungs = [line[:34].strip() for line in lines[5:-1] if line[:34].strip()]
    assert rungs[0].startswith("BTCUSDT centre 65,000.0")
    assert [rung.split()[0][:3].rstrip("▲▼○●·") for rung in rungs[1:]] == ["S2", "S1", "━━━", "L1", "L2"]
    assert "65,050.0  mark, 0.4 s" in text
    for part in (
        "LONG ▲ 0.034 @64,980 +2.38 stop 62,700.0",
        "SHORT▼ flat, 5 entries rest",
        "today +4.02  total +4.02 USDT",
    ):
        assert part in text
    assert "event 29" in text, "the newest event"
    assert "p pause  F flatten" in lines[-1]


async def test_guards_are_bars_towards_their_limit_the_worst_first() -> None:
    text = (await desk()).shown()
    (spread,) = [line for line in text if "spread_depth" in line]
    assert "██████ " in spread
    assert "132/100" in spread
    assert spread.rstrip().endswith("BLOCK")
    (margin,) = [line for line in text if "margin_ratio" in line]
    assert "█░░░░░" in margin
    assert "0.21/0.8" in margin
    (leverage,) = [line for line in text if "leverage" in line]
    assert "▒▒▒▒▒▒ " in leverage
    assert "NO DATA" in leverage
    assert text.index(spread) < text.index(leverage) < text.index(margin)


async def test_a_lost_socket_is_said_and_the_figures_stay() -> None:
    made = await desk()
    made.broken, made.now_s = True, 27.0
    await made.top.refresh()
    text = made.shown()
    assert text[0].startswith("⊘ NO CONTACT for 17 s, figures are from 22:13:20 UTC; it may still be trading")
    assert any("65,050.0  mark" in line for line in text)
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=True, record=True)
    console.print(screen(made.top.seen, 80, 24))
    (mark,) = [line for line in console.export_text(styles=True).splitlines() if "mark, " in line]
    assert "2m" in mark.split("mark, ")[0].replace(";", "m"), "dimmed"
    made.broken = False
    await made.top.refresh()
    assert made.shown()[0].startswith("● TRADING")


async def test_nothing_was_ever_heard() -> None:
    made = Desk(await bodies())
    made.broken = True
    await made.top.refresh()
    assert made.shown()[0].startswith("⊘ NO CONTACT  gone")


async def test_pause_is_one_key() -> None:
    made = await desk()
    await made.type("p")
    assert made.commands == [("pause", {})]
    assert made.shown()[-1].startswith("pause: done")


async def test_flatten_is_typed() -> None:
    made = await desk()
    await made.type("F")
    text = "\n".join(made.shown())
    assert "Type BTCUSDT to flatten both legs" in text
    assert "BTCUSDT: LONG 0.034 (2,211.70 USDT)" in text
    await made.type("btcusdx\x7ft")
    assert made.commands == []
    await made.type("\n")
    assert [verb for verb, _ in made.commands] == ["flatten"]
    assert made.commands[0][1]["side"] == "both"
    assert made.commands[0][1]["instrument"] == "BTCUSDT-PERP.BINANCE"
    assert "FLAT, VERIFIED" in made.shown()[-1]


@pytest.mark.parametrize(
    "typed", ["F\n", "Fbtc\n", "FBTCUSDT\x1b", "f", "FALL\n", "FBTCUSDT\x7f\n", "k", "r", "R"]
)
async def test_nothing_else_closes_a_position(typed: str) -> None:
    made = await desk()
    await made.type(typed)
    assert made.commands == []
    if typed[0] == "F":
        assert made.shown()[-1].startswith("not confirmed; nothing was sent")


async def test_keys_that_are_letters_of_the_name_do_nothing_while_it_is_typed() -> None:
    made = await desk()
    await made.type("Fpq?x")
    assert made.commands == []
    assert made.top.seen.typed == "pq?x"
    assert not made.top._stop.is_set()


async def test_one_command_at_a_time_and_what_was_refused() -> None:
    made = await desk()
    made.gate = asyncio.Event()
    await made.type("p")
    await made.type("p")
    assert made.commands == [("pause", {})]
    assert made.shown()[-1].startswith("a command is running")
    made.fails = RuntimeError("needs operator")
    made.gate.set()
    await made.type("")
    assert made.shown()[-1].startswith("pause refused: needs operator")


async def test_explain_help_and_the_next_instrument() -> None:
    made = await desk()
    made.found["status"]["trips"] = [{"trip_id": "T-17", "cause": "drawdown"}]
    await made.type("x")
    assert any("hedgegridctl journal explain T-17" in line for line in made.shown(100, 40))
    await made.type("?")
    assert any("No key resumes or rearms" in line for line in made.shown(100, 40))
    other = {**made.found["status"]["instruments"][0], "instrument": "ETHUSDT-PERP.BINANCE"}
    made.found["status"]["instruments"].append(other)
    await made.type("\t")
    assert any("ETHUSDT centre" in line for line in made.shown())
    assert any("(2 of 2)" in line for line in made.shown())
    await made.type("q")
    assert made.top._stop.is_set()


def test_cursor_keys_are_no_keys() -> None:
    assert terminal.split("\x1b[A") == []
    assert terminal.split("\x1b") == ["\x1b"]
    assert terminal.split("F\n") == ["F", "\n"]


async def test_a_real_terminal_gives_single_keys_and_is_put_back() -> None:
    import termios

    ours, theirs = pty.openpty()
    heard: list[str] = []
    got = asyncio.Event()
    try:
        before = termios.tcgetattr(theirs)

        def hear(key: str) -> None:
            heard.append(key)
            got.set()

        with terminal.keys(theirs, hear):
            os.write(ours, b"p")
            async with asyncio.timeout(5):
                await got.wait()
        assert heard == ["p"]
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)

"""The live terminal view: state, four answers, ladder around the mark, legs, profit and what happened last.

On a terminal a screen that is redrawn; elsewhere one plain line every few seconds. Figures come from the same JSON that
`status`, `ladders` and `orders` answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hedgegridd.control.figures import counted
from hedgegridd.ctl.text import MARKS, age, average, money, percent, price, quantity, short

Body = dict[str, Any]
Poll = Callable[[str], Awaitable[Body]]

STATE_STYLES = {"HELD": "bold yellow", "TRIPPED": "bold red", "HALTED": "bold red"}
SAFE_STYLES = {"no": "bold red", "not yet": "bold yellow", "unknown": "bold yellow"}
LEG_STYLES = {"LONG": "#2EA3FF", "SHORT": "#E8CFF0"}
RUNG_MARKS = {"resting": "○", "pending": "◌", "filled": "●", "dropped": "·", "off": "·"}
RUNGS_MIN, RUNGS_MAX = 2, 8  # per side, the nearest; as many as the screen's height has room for
EVENTS_MIN, EVENTS_MAX = 3, 8
OTHER_LINES, LEG_LINES = 14, 6  # what stands around the ladder; the legs, where they do not stand beside it
PLAIN_EVERY_S = 5.0
STALE_S = 5.0
SMALL_COLUMNS, SMALL_ROWS = 60, 24  # up to these the header would take the place of the figures
WIDE = 120  # columns from which ladder and legs stand side by side


class LiveView:
    """Polls and draws until stopped or cancelled; the terminal is left as it was.

    `poll(verb)` answers an operation's JSON; when it raises or answers nothing, the last figures stay, dimmed, with their age.
    `header` are lines that stand on top where the screen has room for them (addresses).
    """

    def __init__(
        self,
        poll: Poll,
        *,
        header: tuple[str, ...] = (),
        console: Console | None = None,
        interval_s: float = 0.5,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poll = poll
        self._header = header
        self._console = console or Console()
        self._interval_s = interval_s
        self._now_s = now_s
        self._status: Body | None = None
        self._ladders: Body | None = None
        self._seen_s: float | None = None
        self._lost = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Draw until `stop` is set or the task is cancelled."""
        if not self._console.is_terminal:
            await self._plain(stop)
            return
        with Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live:
            while not stop.is_set():
                await self.refresh()
                live.update(self.render(), refresh=True)
                await _wait(stop, self._interval_s)

    async def refresh(self) -> None:
        """Take new figures; when that fails keep the old ones and say so."""
        try:
            async with asyncio.timeout(STALE_S):
                status, ladders = await self._ask("status"), await self._ask("ladders")
                self._status, self._ladders = status, ladders
        except Exception as error:  # noqa: BLE001  # whatever the way to the daemon raises: shown, and tried again
            self._lost = str(error) or type(error).__name__
        else:
            self._lost = ""
            self._seen_s = self._now_s()

    async def _ask(self, verb: str) -> Body:
        body = await self._poll(verb)
        if not body:
            raise ConnectionError("no answer")
        return body

    async def _plain(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.refresh()
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)
            await _wait(stop, max(self._interval_s, PLAIN_EVERY_S))

    def line(self) -> str:
        """All of it in one line."""
        body = self._status
        if body is None:
            return f"NO CONTACT {self._lost}"
        parts = [
            f"{(body['time'] or '')[11:19]} UTC {body['state']}",
            f"safe {body['safe']} ({body['safe_reason']})",
            body["doing"],
        ]
        for item in body["instruments"] or []:
            parts += [
                f"{leg['leg']} {quantity(leg['quantity'], item['step'])}" for leg in item["legs"].values()
            ]
            parts.append(counted(item["fills"], "fill", "fills"))
        if body["pnl"] is not None:
            parts.append(f"total {money(body['pnl']['total_usdt'], sign=True)} USDT")
        if body["wrong"]:
            parts.append(f"wrong: {body['wrong'][0]}")
        if self._lost:
            parts.insert(0, f"NO CONTACT for {self._silent_s()}")
        return " · ".join(parts)

    def _silent_s(self) -> str:
        return age(None if self._seen_s is None else self._now_s() - self._seen_s)

    @property
    def _top(self) -> tuple[str, ...]:
        """The header, or nothing on a small screen."""
        small = self._console.width <= SMALL_COLUMNS or self._console.height <= SMALL_ROWS
        return () if small else self._header

    def _rungs(self, instruments: int, *, wide: bool) -> int:
        """How many rungs per side fit on the screen."""
        around = len(self._top) + OTHER_LINES + (0 if wide else LEG_LINES)
        room = (self._console.height - around) // max(1, instruments) // 2
        return min(max(room, RUNGS_MIN), RUNGS_MAX)

    def render(self) -> RenderableType:
        """The whole screen."""
        parts: list[RenderableType] = [Text(line, style="dim") for line in self._top]
        body = self._status
        if body is None:
            return Group(*parts, Text(f"⊘ NO CONTACT  {self._lost}", style="bold"))
        if self._lost:
            parts.append(
                Text(
                    f"⊘ NO CONTACT for {self._silent_s()} ({self._lost}). It may still be trading.",
                    style="bold reverse",
                )
            )
        parts += [_state(body), _answers(body), Text()]
        ladders = {item["instrument"]: item for item in (self._ladders or {}).get("ladders", [])}
        for item in body["instruments"] or []:
            wide = self._console.width >= WIDE
            rungs = self._rungs(len(body["instruments"]), wide=wide)
            parts += [*_instrument(item, ladders.get(item["instrument"]), rungs, wide=wide), Text()]
        parts += [_pnl(body), Text(), _events(body, EVENTS_MAX if self._console.height > 45 else EVENTS_MIN)]
        if self._lost:
            for part in parts[len(self._top) + 1 :]:
                if isinstance(part, Text):
                    part.stylize("dim")
        return Group(*parts)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _state(body: Body) -> Text:
    state = body["state"]
    text = Text(f"{MARKS.get(state, '')} {state}", style=STATE_STYLES.get(state, "bold"))
    where = f"  {body['account']} · Binance {body['environment'].upper()} · {(body['time'] or '')[11:19]} UTC"
    return text.append(where, style="not bold default")


def _answers(body: Body) -> Table:
    table = Table.grid(padding=(0, 2))
    safe = Text(body["safe"], style=SAFE_STYLES.get(body["safe"], "")).append(
        f": {body['safe_reason']}", style="default"
    )
    table.add_row("safe", safe)
    table.add_row("doing", Text(body["doing"]))
    wrong = body["wrong"]
    table.add_row("wrong", Text("; ".join(wrong), style="yellow") if wrong else Text("nothing"))
    table.add_row("do", Text(" · ".join(body["do"]) or "nothing"))
    return table


def _instrument(item: Body, ladder: Body | None, rungs: int, *, wide: bool) -> list[RenderableType]:
    """Ladder left and legs right; on a narrow screen the legs first."""
    if not wide:
        return [_legs(item), _ladder(item, ladder, rungs)]
    both = Table.grid(padding=(0, 6))
    both.add_row(_ladder(item, ladder, rungs), _legs(item))
    return [both]


def _ladder(item: Body, ladder: Body | None, rungs: int) -> Table:
    table = Table(
        title=f"{short(item['instrument'])}  centre {price(item['centre'], item['tick'])}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name, justify in (("rung", "left"), ("", "left"), ("price", "right"), ("qty", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich's literal
    if ladder is not None:
        shorts = sorted(ladder["short_ladder"], key=lambda rung: float(rung["price"]))[:rungs]
        for rung in reversed(shorts):
            _rung(table, "SHORT", "▼", rung, item)
    mark = f"{price(item['mark_price'], item['tick'])} ({age(item['feed_age_s'])})"
    table.add_row(Text("mark", style="bold"), "━", Text(mark, style="bold"), "", "")
    if ladder is not None:
        longs = sorted(ladder["long_ladder"], key=lambda rung: -float(rung["price"]))[:rungs]
        for rung in longs:
            _rung(table, "LONG", "▲", rung, item)
    return table


def _rung(table: Table, leg: str, shape: str, rung: Body, item: Body) -> None:
    style = LEG_STYLES[leg] if rung["state"] in ("resting", "pending", "filled") else "dim"
    why = f" {rung['reason']}" if rung["reason"] else ""
    table.add_row(
        Text(f"{leg[0]}{rung['level']} {shape}", style=style),
        RUNG_MARKS.get(rung["state"], "?"),
        price(rung["price"], item["tick"]),
        quantity(rung["qty"], item["step"]),
        Text(f"{rung['state']}{why}", style="dim"),
    )


def _legs(item: Body) -> Table:
    table = Table(title="legs", title_justify="left", box=None, pad_edge=False)
    for name in ("leg", "qty", "USDT", "entry", "unrealised", "lots", "stop"):
        table.add_column(name, justify="left" if name in ("leg", "stop") else "right")
    for leg in item["legs"].values():
        holds = float(leg["quantity"]) != 0
        stop = Text(price(leg["stop_price"], item["tick"]) + " rests" if leg["stop_resting"] else "—")
        if holds and not leg["stop_resting"]:
            stop = Text("NO STOP", style="bold red")
        table.add_row(
            Text(f"{leg['leg']} {'▲' if leg['leg'] == 'LONG' else '▼'}", style=LEG_STYLES[leg["leg"]]),
            quantity(leg["quantity"], item["step"]),
            money(leg["inventory_usdt"]),
            average(leg["average_entry"]),
            money(leg["unrealized_usdt"], sign=True),
            str(leg["lots"]),
            stop,
        )
    notes = (
        f"{counted(item['open_orders'], 'order', 'orders')} · {counted(item['fills'], 'fill', 'fills')}, "
        f"maker {percent(item['maker_ratio'])} · {counted(item['recentres'], 'recentre', 'recentres')} · {item['regime']} · throttle {item['throttle']:g}"
    )
    table.caption = notes
    table.caption_justify = "left"
    return table


def _pnl(body: Body) -> Text:
    pnl, balances = body["pnl"], body["balances"]
    if pnl is None:
        return Text("profit  not known")
    text = (
        f"total {money(pnl['total_usdt'], sign=True)} USDT = realised {money(pnl['realized_usdt'], sign=True)} "
        f"(fees {money(pnl['fees_usdt'], sign=True)}, funding {money(pnl['funding_usdt'], sign=True)} inside) "
        f"+ unrealised {money(pnl['unrealized_usdt'], sign=True)}"
    )
    if balances is not None:
        text += f"   wallet {money(balances['wallet_usdt'])}, margin ratio {percent(body['margin_ratio'])}"
    return Text(text)


def _clock(line: Body) -> str:
    return f"{datetime.fromtimestamp(line['time_ns'] // 1_000_000_000, UTC):%H:%M:%S}"


def _events(body: Body, count: int) -> Text:
    lines = body["recent"][-count:]
    if not lines:
        return Text("nothing has happened yet", style="dim")
    return Text("\n".join(f"{_clock(line)}  {line['text']}" for line in reversed(lines)))

"""What `hedgegridctl top` shows: ladder left; legs, profit, guards as bars and last events right; 80 x 24 is enough."""

import textwrap
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hedgegridd.ctl.live import LEG_STYLES, RUNG_MARKS, SAFE_STYLES, STATE_STYLES
from hedgegridd.ctl.text import DASH, MARKS, age, average, measure, money, price, quantity, short

type Body = dict[str, Any]

LEFT = 34  # columns of the ladder
HEAD = 5  # state and the four answers
BAR, BAR_SMALL = 10, 6  # cells
WIDE_RIGHT = 54  # columns of the right half from which bars are long
FIGURES = 11
GUARDS_MIN, EVENTS_MIN = 4, 3
LEVEL_STYLES = {"WARN": "yellow", "CRITICAL": "bold red", "BLOCK": "bold red"}
KEYS = "p pause  F flatten  x explain  Tab instrument  ? help  q quit"
HELP = (
    "p    pause all: no new entries, exits and stops stay; no question",
    "F    flatten both legs of this instrument: asks for its name",
    "x    explain what holds, latches or trips it",
    "Tab  the next instrument",
    "Esc  close this, or do not flatten",
    "q    quit; the daemon goes on",
    "No key resumes or rearms: hedgegridctl resume, rearm.",
)


@dataclass
class Seen:
    """What is to be shown: last answers, how old they are, and what the operator is at."""

    status: Body | None = None
    ladders: Body | None = None
    guards: Body | None = None
    lost: str = ""
    silent_s: float | None = None
    selected: int = 0
    typed: str | None = None  # of the name that a flatten asks for
    note: tuple[str, ...] = field(default=())  # stands where the events do, until a key
    said: str = ""  # the last word on a command

    def instrument(self) -> Body | None:
        """The instrument that is looked at."""
        found = (self.status or {}).get("instruments") or []
        return found[self.selected % len(found)] if found else None


def screen(seen: Seen, width: int, height: int) -> RenderableType:
    """The whole screen, never higher than it is."""
    if seen.status is None:
        return Group(_cut(Text(f"⊘ NO CONTACT  {seen.lost}", style="bold"), width), _keys(seen, width))
    head = _head(seen, seen.status, width)
    rows = max(1, height - len(head) - 1)
    left, right = _left(seen, rows), _right(seen, rows, width - LEFT - 2)
    body = Table.grid(padding=(0, 2, 0, 0))
    body.add_column(width=LEFT, no_wrap=True)
    body.add_column(width=max(10, width - LEFT - 2), no_wrap=True)
    for at in range(rows):
        cells = [lines[at] if at < len(lines) else Text() for lines in (left, right)]
        if seen.lost:
            for cell in cells:
                cell.stylize("dim")
        body.add_row(
            *(_cut(cell, space) for cell, space in zip(cells, (LEFT, max(10, width - LEFT - 2)), strict=True))
        )
    return Group(*head, body, _keys(seen, width))


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _head(seen: Seen, body: Body, width: int) -> list[Text]:
    """State and the four answers, a line each; a lost socket stands before all."""
    state = body["state"]
    clock = (body["time"] or "")[11:19]
    top = Text(f"{MARKS.get(state, '')} {state}", style=STATE_STYLES.get(state, "bold"))
    top.append(
        f"  {body['account']} · Binance {body['environment'].upper()} · {clock} UTC", style="not bold default"
    )
    if seen.lost:
        silent = age(seen.silent_s)
        top = Text(
            f"⊘ NO CONTACT for {silent}, figures are from {clock} UTC; it may still be trading",
            style="bold reverse",
        )
    wrong = body["wrong"]
    lines = [
        top,
        _answer("safe", f"{body['safe']}: {body['safe_reason']}", SAFE_STYLES.get(body["safe"], "")),
        _answer("doing", body["doing"], ""),
        _answer("wrong", "; ".join(wrong) or "nothing", "yellow" if wrong else ""),
        _answer("do", " · ".join(body["do"]) or "nothing", ""),
    ]
    for line in lines[1:] if seen.lost else ():
        line.stylize("dim")
    return [_cut(line, width) for line in lines]


def _answer(name: str, text: str, style: str) -> Text:
    return Text(f"{name:6} ").append(text, style=style or None)


# ---------------------------------------------------------------------------------------------------------------- left


def _left(seen: Seen, rows: int) -> list[Text]:
    """The ladder around the mark, as many rungs of each side as there is room for."""
    item = seen.instrument()
    if item is None:
        return [Text("no instrument is known yet", style="dim")]
    named = f"{short(item['instrument'])} centre {price(item['centre'], item['tick'])}"
    total = len((seen.status or {})["instruments"])
    title = Text(named + (f" ({seen.selected % total + 1} of {total})" if total > 1 else ""), style="bold")
    room = max(2, rows - 2)
    ladder: Body = next(
        (
            each
            for each in (seen.ladders or {}).get("ladders", [])
            if each["instrument"] == item["instrument"]
        ),
        {"short_ladder": [], "long_ladder": []},
    )
    shorts = sorted(ladder["short_ladder"], key=lambda rung: float(rung["price"]))
    longs = sorted(ladder["long_ladder"], key=lambda rung: -float(rung["price"]))
    above = min(len(shorts), max(room // 2, room - len(longs)))
    below = min(len(longs), room - above)
    mark = f"━━━━━ {price(item['mark_price'], item['tick']):>11}  mark, {age(item['feed_age_s'])}"
    return [
        title,
        *(_rung("SHORT", rung, item) for rung in reversed(shorts[:above])),
        Text(mark, style="bold"),
        *(_rung("LONG", rung, item) for rung in longs[:below]),
    ]


def _rung(leg: str, rung: Body, item: Body) -> Text:
    shape = "▲" if leg == "LONG" else "▼"
    live = rung["state"] in ("resting", "pending", "filled")
    line = Text(
        f"{leg[0]}{rung['level']:<2}{shape}{RUNG_MARKS.get(rung['state'], '?')}",
        style=LEG_STYLES[leg] if live else "dim",
    )
    why = rung["reason"] or rung["state"]
    figures = f" {price(rung['price'], item['tick']):>11} {quantity(rung['qty'], item['step']):>8} "
    return line.append(figures, style="default" if live else "dim").append(why, style="dim")


# --------------------------------------------------------------------------------------------------------------- right


def _right(seen: Seen, rows: int, width: int) -> list[Text]:
    """Legs and profit, then guards, then a note or the events: the last two share what is left."""
    status = seen.status or {}
    item = seen.instrument()
    lines = [] if item is None else [_leg(item, leg) for leg in item["legs"].values()]
    lines += [*_pnl(status), Text()]
    left = rows - len(lines)
    note = [Text(line) for text in seen.note for line in textwrap.wrap(text, width, subsequent_indent="  ")]
    below = note or _events(status)
    wanted = len(below) + 1 if seen.note else EVENTS_MIN + 1
    guards = _guards(seen.guards, max(GUARDS_MIN, left - wanted), width)
    return [*lines, *guards, Text(), *below][: max(rows, 0)]


def _leg(item: Body, leg: Body) -> Text:
    name = Text(f"{leg['leg']:5}{'▲' if leg['leg'] == 'LONG' else '▼'}", style=LEG_STYLES[leg["leg"]])
    if float(leg["quantity"]) == 0:
        return name.append(f" flat, {item['rungs_resting'][leg['leg']]} entries rest", style="default")
    name.append(
        f" {quantity(leg['quantity'], item['step'])} @{average(leg['average_entry'])} "
        f"{money(leg['unrealized_usdt'], sign=True)} ",
        style="default",
    )
    if not leg["stop_resting"]:
        return name.append("NO STOP", style="bold red")
    return name.append(f"stop {price(leg['stop_price'], item['tick'])}", style="default")


def _pnl(status: Body) -> list[Text]:
    pnl = status.get("pnl")
    if pnl is None:
        return [Text(f"today {DASH}")]
    return [
        Text(f"today {money(pnl['day_usdt'], sign=True)}  total {money(pnl['total_usdt'], sign=True)} USDT"),
        Text(
            f"real. {money(pnl['realized_usdt'], sign=True)} + unreal. {money(pnl['unrealized_usdt'], sign=True)}",
            style="dim",
        ),
    ]


def _guards(guards: Body | None, count: int, width: int) -> list[Text]:
    """The worst first, then those nearest to their limit; bars are full at the limit."""
    if guards is None:
        return [Text("guards not read", style="dim")]
    ranks = {"BLOCK": 0, "CRITICAL": 1, "WARN": 2}
    found = sorted(guards["guards"], key=lambda each: (ranks.get(each["level"], 3), -(each["used"] or 0.0)))
    lines = [guard_bar(each, width) for each in found[: count - 1]]
    rest = len(found) - len(lines)
    off = f", {len(guards['off'])} off" if guards["off"] else ""
    return [*lines, Text(f"{rest} more guards{off}: hedgegridctl guards", style="dim")]


def guard_bar(item: Body, width: int) -> Text:
    """`margin_ratio ██▌░░░░░░░ 0.21/0.8 OK`; hatched where there is no data."""
    style = LEVEL_STYLES.get(item["level"], "")
    room = BAR if width >= WIDE_RIGHT else BAR_SMALL
    if item["value"] is None:
        bar, figures = "▒" * room, "NO DATA"
    else:
        cells = (
            0 if item["used"] is None else int(max(0.0, min(1.0, item["used"])) * room)
        )  # full is at the limit
        bar, figures = (
            "█" * cells + "░" * (room - cells),
            f"{_brief(item['value'])}/{_brief(item['limit'])}",
        )
    space = max(8, width - room - FIGURES - 8)
    of = " ".join(each for each in (short(item["instrument"] or ""), item["leg"]) if each)
    line = Text(f"{f'{item["guard"]} {of}'[:space]:{space}} ")
    line.append(bar, style=style or None).append(f" {figures[:FIGURES]:>{FIGURES}} ")
    return line.append(item["level"], style=style or None)


def _brief(value: str | None) -> str:
    """A figure of five characters or so: no decimals from a hundred on."""
    return measure(value if value is None or abs(float(value)) < 100 else f"{float(value):.0f}")


def _events(status: Body) -> list[Text]:
    lines = list(reversed(status.get("recent") or []))
    if not lines:
        return [Text("nothing has happened yet", style="dim")]
    return [
        Text(f"{datetime.fromtimestamp(line['time_ns'] // 1_000_000_000, UTC):%H:%M:%S} {line['text']}")
        for line in lines
    ]


def _keys(seen: Seen, width: int) -> Text:
    """The last line: what is asked for, else the last word, else the keys."""
    if seen.typed is not None:
        item = seen.instrument()
        name = "" if item is None else short(item["instrument"])
        text = Text(f"Type {name} to flatten both legs (Esc: no): {seen.typed}▏", style="bold reverse")
    elif seen.said:
        text = Text(seen.said, style="bold")
    else:
        text = Text(KEYS, style="dim")
    return _cut(text, width)


def explanation(status: Body) -> tuple[str, ...]:
    """What keeps entries away, and what to read about it."""
    lines = [
        f"{cause['instrument'].partition('.')[0]}: {cause['cause']}"
        for cause in status.get("why_no_entries") or []
    ]
    for trip in status.get("trips") or []:
        lines.append(f"trip {trip['trip_id']}: {trip['cause']}")
        lines.append(f"  hedgegridctl journal explain {trip['trip_id']}")
    kill = status.get("kill_switch") or {}
    if kill.get("trip_id"):
        lines += [
            f"{kill['state']} by {kill['trip_id']}: {kill['cause']}",
            f"  hedgegridctl journal explain {kill['trip_id']}",
        ]
    return tuple(lines) or ("nothing holds, latches or trips it",)

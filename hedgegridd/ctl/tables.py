"""What the operations answered, as people read it: four answers first, figures with their age, the verdict last."""

from collections.abc import Callable
from typing import Any

import msgspec

from hedgegridd.control.figures import counted
from hedgegridd.ctl.text import (
    DASH,
    LEVEL_COLOURS,
    MARKS,
    SAFE_COLOURS,
    STATE_COLOURS,
    Paint,
    age,
    average,
    columns,
    liquidation,
    measure,
    money,
    percent,
    price,
    quantity,
    short,
)

Body = dict[str, Any]


def status(body: Body, paint: Paint) -> list[str]:
    """The state line, the four answers, legs, money, limits."""
    state = body["state"]
    names = ", ".join(short(item["instrument"]) for item in body["instruments"] or [])
    clock = (body["time"] or "")[11:19]
    head = f"{MARKS.get(state, '')} {paint(state, STATE_COLOURS.get(state))}"
    venue = f"Binance {body['environment'].upper()}"
    lines = [
        f"{head}  {' · '.join(item for item in (body['account'], venue, names, f'{clock} UTC') if item)}"
    ]
    lines += answers(body, paint)
    for item in body["instruments"] or []:
        lines += [leg_line(item, leg, paint, compared=body["reconciled"]) for leg in item["legs"].values()]
    lines += _money_lines(body)
    kill = body["kill_switch"]
    if kill is not None and kill["state"] not in ("ARMED", "STARTING"):
        since = f"since {(kill['since'] or DASH)[11:19]} by {kill['trip_id'] or DASH}"
        lines.append(
            f"kill   {paint(kill['state'], STATE_COLOURS['HALTED'])} {since}: {kill['cause'] or DASH}"
        )
    if body.get("guards") is not None:
        lines.append(_guards_line(body["guards"]))
    for limit in body.get("limits") or []:
        was = limit["configured"] or "not set"
        lines.append(
            f"limit  {limit['name']} {limit['value']} (config: {was}) {limit['reason'] or ''}".rstrip()
        )
    return lines


def _guards_line(guards: Body) -> str:
    text = f"guards {guards['ok']} OK, {guards['off']} off"
    text += "".join(f", {name} {level}" for name, level in guards["not_ok"].items())
    nearest = guards["nearest"]
    if nearest is None:
        return text
    unit = f" {nearest['unit']}" if nearest["unit"] else ""
    return f"{text}; nearest {nearest['guard']} {measure(nearest['value'])}/{measure(nearest['limit'])}{unit}"


def answers(body: Body, paint: Paint) -> list[str]:
    """Safe, doing, wrong, do."""
    safe = paint(body["safe"], SAFE_COLOURS.get(body["safe"]))
    wrong = body["wrong"] or ["nothing"]
    return [
        f"safe   {safe}: {body['safe_reason']}",
        f"doing  {body['doing']}",
        *[("wrong  " if at == 0 else "       ") + text for at, text in enumerate(wrong)],
        f"do     {' · '.join(body['do']) or 'nothing'}",
    ]


def leg_line(item: Body, leg: Body, paint: Paint, *, compared: bool) -> str:
    """One leg in one line; a missing stop is told in red, and in words; so is that the venue was not read yet."""
    name = f"{leg['leg']:5}{'▲' if leg['leg'] == 'LONG' else '▼'}"
    if float(leg["quantity"]) == 0:
        text = f"{name} {short(item['instrument'])} flat, {_entries(item, leg)}"
    else:
        stop = f"stop {price(leg['stop_price'], item['tick'])}"
        if not leg["stop_resting"]:
            stop = paint("NO STOP AT THE VENUE", STATE_COLOURS["TRIPPED"])
        text = (
            f"{name} {short(item['instrument'])} {quantity(leg['quantity'], item['step'])}  {money(leg['inventory_usdt'])} USDT "
            f"@{average(leg['average_entry'])}  {money(leg['unrealized_usdt'], sign=True)}  {stop}  "
            f"liq {liquidation(leg['liquidation_price'], item['mark_price'], item['tick'])}"
        )
    notes = [leg["mode"]] if leg["mode"] != "normal" else []
    latch = leg.get("trip_id") or ""
    until = (
        "resume" if not latch else f"{latch} is over" if latch.startswith("pause:") else f"rearm ({latch})"
    )
    notes += [f"latched: no entries until {until}"] if leg["latched"] else []
    notes += [] if compared else ["by our books alone: not compared with the venue yet"]
    return text + (f"  [{', '.join(notes)}]" if notes else "")


def _entries(item: Body, leg: Body) -> str:
    """How many entries of a leg rest, how many are on their way, and why there is none."""
    said = f"{counted(item['rungs_resting'][leg['leg']], 'entry', 'entries')} at the venue"
    if leg["entries_under_way"]:
        said += f", {leg['entries_under_way']} under way"
    return said + (f": {'; '.join(leg['no_rungs'])}" if leg["no_rungs"] else "")


def _money_lines(body: Body) -> list[str]:
    pnl, balances, feeds = body["pnl"], body["balances"], body["feeds"]
    lines = []
    if pnl is not None:
        lines.append(
            f"today  {money(pnl['day_usdt'], sign=True)} USDT   total {money(pnl['total_usdt'], sign=True)} = realised "
            f"{money(pnl['realized_usdt'], sign=True)} (fees {money(pnl['fees_usdt'], sign=True)}, funding "
            f"{money(pnl['funding_usdt'], sign=True)} inside) + unrealised {money(pnl['unrealized_usdt'], sign=True)}"
        )
    if balances is not None:
        lines.append(
            f"wallet {money(balances['wallet_usdt'])} USDT, available {money(balances['available_usdt'])}, "
            f"margin ratio {percent(body['margin_ratio'])}, read {age(balances['age_s'])} ago"
        )
    if feeds is not None:
        down = ", ".join(feeds["down"] or [])
        link = (
            f"LOST: {down}"
            if down
            else f"LIMITS US for {feeds['limited_s']:.0f} s more"
            if feeds["limited_s"]
            else "DOES NOT ANSWER"
            if feeds["failed_in_a_row"]
            else "connected"
            if feeds["connected"]
            else "NOT CONNECTED"
        )
        lines.append(
            f"venue  {link}, user stream "
            f"{age(feeds['user_stream_age_s'])} ago, calls {feeds['calls']} ({feeds['calls_failed']} failed), "
            f"{feeds['in_flight']} in flight"
        )
    return lines + _dead_man_lines(body.get("dead_man"))


def _dead_man_lines(dead_man: Body | None) -> list[str]:
    """Whether the venue would clear our orders if we fell silent, and what that would take from inventory."""
    if dead_man is None:
        return []
    if not dead_man["enabled"]:
        return ["dead-man switch off: entries stay at the venue when this host falls silent"]
    left = "" if dead_man["left_s"] is None else f", {dead_man['left_s']:.0f} s left"
    why = "".join(f"; {reason}" for reason in dead_man["why"])
    naked = [
        f"  if it fires: {short(item['instrument'])} {line}"
        for item in dead_man["instruments"]
        for line in item["naked"] or []
    ]
    return [f"dead-man {dead_man['state']}{left}{why}", *naked]


def ladders(body: Body, _paint: Paint) -> list[str]:
    """Rungs from the highest price to the lowest, with the mid between."""
    lines: list[str] = []
    for item in body["ladders"]:
        lines.append(
            f"{short(item['instrument'])}  centre {price(item['centre'], item['tick'])}  mid {price(item['mid_price'])}"
        )
        shorts = sorted(item["short_ladder"], key=lambda rung: -float(rung["price"]))
        longs = sorted(item["long_ladder"], key=lambda rung: -float(rung["price"]))
        rows = [_rung("SHORT▼", rung, item) for rung in shorts]
        rows.append(["mid", "", "", price(item["mid_price"]), "", "", ""])
        rows += [_rung("LONG ▲", rung, item) for rung in longs]
        lines += columns(("leg", "rung", "side", "price", "qty", "state", "why"), rows)
    return lines or ["No ladders: no instrument has been started."]


def _rung(leg: str, rung: Body, item: Body) -> list[str]:
    return [
        leg,
        str(rung["level"]),
        rung["side"],
        price(rung["price"], item["tick"]),
        quantity(rung["qty"], item["step"]),
        rung["state"],
        rung["reason"] or "",
    ]


def orders(body: Body, _paint: Paint) -> list[str]:
    """All open orders."""
    rows = [
        [
            item["client_order_id"],
            item["leg"],
            item["purpose"],
            item["side"],
            price(item["price"] or item["stop_price"]),
            quantity(item["quantity"]) if item["quantity"] is not None else "whole leg",
            quantity(item["filled"]),
            item["status"],
            age(item["age_s"]),
        ]
        for item in body["orders"]
    ]
    head = ("order", "leg", "purpose", "side", "price", "qty", "filled", "status", "age")
    return [*columns(head, rows), counted(body["count"], "order", "orders")] if rows else ["No open orders."]


def guards(body: Body, paint: Paint) -> list[str]:
    """Each guard with value, limit and verdict, the worst first; last how many are OK, and which are off."""
    rows = [
        [
            item["guard"],
            f"{short(item['instrument'] or '') or 'account'} {item['leg'] or ''}".rstrip(),
            measure(item["value"]),
            measure(item["limit"]),
            item["unit"],
            item["level"],
            age(item["age_s"]),
            item["message"],
        ]
        for item in body["guards"]
    ]
    head = ("guard", "of", "value", "limit", "unit", "verdict", "since", "why")
    calm = sum(1 for item in body["guards"] if item["level"] == "OK")
    title, *table = columns(head, rows) if rows else [""]
    levels = [item["level"] for item in body["guards"]]
    lines = [title, *(paint(text, LEVEL_COLOURS.get(at)) for text, at in zip(table, levels, strict=True))]
    lines += [f"holds  {item['key']}: {item['action']}, {item['cause']}" for item in body["holds"]]
    return [*lines, f"{calm} of {len(rows)} OK; off: {', '.join(body['off']) or 'none'}"]


def kpi(body: Body, paint: Paint) -> list[str]:
    """Each figure with its thresholds and verdict."""
    rows = [
        [
            item["name"],
            f"{measure(item['value'])} {item['unit']}".rstrip(),
            measure(item["warn"]),
            measure(item["critical"]),
            item["status"],
            item["message"],
        ]
        for item in body["kpis"]
    ]
    title, *table = columns(("figure", "value", "warn", "critical", "verdict", ""), rows)
    levels = [item["status"] for item in body["kpis"]]
    return [title, *(paint(text, LEVEL_COLOURS.get(at)) for text, at in zip(table, levels, strict=True))]


def positions(body: Body, _paint: Paint) -> list[str]:
    """Legs and their lots."""
    lines: list[str] = []
    for item in body["positions"]:
        stop = f"stop {price(item['stop_price'], item['tick'])}" if item["stop_resting"] else "no stop rests"
        lines.append(
            f"{item['leg']:5} {short(item['instrument'])}  {quantity(item['quantity'], item['step'])}  "
            f"{money(item['inventory_usdt'])} USDT @{average(item['average_entry'])}  "
            f"{money(item['unrealized_usdt'], sign=True)}  {stop}"
        )
        rows = [
            [
                lot["lot_id"],
                str(lot["level"]),
                quantity(lot["quantity"], item["step"]),
                price(lot["price"], item["tick"]),
                price(lot["take_profit"], item["tick"]),
                price(lot["stop"], item["tick"]),
                age(lot["age_s"]),
            ]
            for lot in item["lots"]
        ]
        if rows:
            lines += [
                "  " + line for line in columns(("lot", "rung", "qty", "price", "tp", "stop", "age"), rows)
            ]
    return lines or ["No positions: no instrument is traded."]


def flatten(body: Body, paint: Paint) -> list[str]:
    """What was cancelled and closed, and FLAT, VERIFIED with the proof; or what is left."""
    lines = []
    if "cancelled_orders" in body:
        lines += body["stages"]
        lines.append(f"cancelled {counted(body['cancelled_orders'], 'order', 'orders')}")
        lines += [f"{_leg(name)} closed {what}" for name, what in body["closed"].items()]
    if body["verified"]:
        lines.append(f"FLAT, VERIFIED  {body['after_s']} s  {body['flatten_id']}")
        lines += [f"  {line}" for line in body["proof"]]
    else:
        left = [f"{_leg(name)} {qty}" for name, qty in (body.get("residuals") or {}).items()]
        if body.get("residual_orders"):
            left.append(counted(body["residual_orders"], "order", "orders"))
        after = f" after {body['after_s']} s" if "after_s" in body else ""
        verdict = paint("NOT VERIFIED", STATE_COLOURS["TRIPPED"])
        lines.append(f"{verdict}{after}: {', '.join(left) or 'what is left is not known'}. Still working.")
    return lines + _journal(body)


def _leg(name: str) -> str:
    """`LONG BTCUSDT` of a position id such as `BTCUSDT-PERP.BINANCE-LONG`."""
    instrument, _, leg = name.rpartition("-")
    return f"{leg} {short(instrument)}".rstrip()


def throttle(body: Body, _paint: Paint) -> list[str]:
    """Old and new of each instrument."""
    lines = [
        f"{short(name)}  throttle {_plain(item['old'])} → {_plain(item['new'])}"
        for name, item in body.get("instruments", {}).items()
    ]
    return lines + _ending(body)


def health(body: Body, _paint: Paint) -> list[str]:
    """One word and the reasons."""
    return [f"{body['health']}", *[f"  {reason}" for reason in body["reasons"]]]


def ready(body: Body, _paint: Paint) -> list[str]:
    """The stage and what it waits for."""
    lines = [f"{'READY' if body['ready'] else 'NOT READY'}  stage {body['stage'] or DASH}"]
    return lines + [f"  {reason}" for reason in body["reasons"]]


def resume(body: Body, _paint: Paint) -> list[str]:
    """What may enter again."""
    lines = ["the pause is over"] if body.get("old") is True else []
    latched = [name.replace(".BINANCE", "").replace("-PERP", "") for name in body.get("unlatched") or []]
    if latched:
        lines.append(f"may enter again: {', '.join(latched)}")
    if not lines and body.get("outcome") == "done":
        lines.append("nothing was paused or latched")
    return lines + _ending(body)


def facts(body: Body, _paint: Paint) -> list[str]:
    """Any other answer: its facts line by line, the outcome last."""
    hidden = ("outcome", "journal_late", "detail")
    lines = [
        f"{name.replace('_', ' ')}  {_plain(value)}" for name, value in body.items() if name not in hidden
    ]
    return lines + _ending(body)


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _ending(body: Body) -> list[str]:
    late = f"NOT CONFIRMED: {body.get('detail', '')}" if body.get("outcome") == "working" else "done"
    return [*_journal(body), late]


def _journal(body: Body) -> list[str]:
    return ["the journal is late: this is not on disk yet"] if body.get("journal_late") else []


TABLES: dict[str, Callable[[Body, Paint], list[str]]] = {
    "status": status,
    "ladders": ladders,
    "orders": orders,
    "guards": guards,
    "kpi": kpi,
    "positions": positions,
    "flatten": flatten,
    "throttle": throttle,
    "resume": resume,
    "health": health,
    "ready": ready,
}


HISTORY = ("fills", "equity", "records", "backup")


def render(verb: str, body: Body, paint: Paint) -> list[str]:
    """The lines of an operation's answer."""
    if verb in HISTORY:
        from hedgegridd.ctl import tables_history  # noqa: PLC0415  # no other answer needs the journal's words

        return tables_history.TABLES[verb](body, paint)
    return TABLES.get(verb, facts)(body, paint)

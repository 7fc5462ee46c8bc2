"""Tables of what has been: fills, equity, records of the journal, a backup."""

from collections.abc import Callable
from typing import Any

from hedgegridd.ctl.text import DASH, Paint, columns, short
from hedgegridd.journal.words import clock, day

Body = dict[str, Any]


def fills(body: Body, _paint: Paint) -> list[str]:
    """One line a trade, newest first."""
    if not body["fills"]:
        return ["no fills in the history"]
    head = ("time", "instrument", "leg", "side", "qty", "price", "fee", "", "order")
    rows = [
        (
            _when(row),
            short(row["instrument"]),
            row["leg"],
            row["side"].lower(),
            row["qty"],
            row["price"],
            f"{row['commission']} {row['commission_asset']}",
            "maker" if row["maker"] else "taker",
            row["client_order_id"],
        )
        for row in body["fills"]
    ]
    return [*columns(head, rows), *_more(body)]


def equity(body: Body, _paint: Paint) -> list[str]:
    """One line a point, newest first."""
    if not body["equity"]:
        return ["no equity in the history"]
    head = ("time", "wallet USDT", "equity USDT", "unrealized", "maint. margin")
    names = ("wallet_usdt", "equity_usdt", "unrealized_usdt", "maint_margin_usdt")
    return [
        *columns(head, [(_when(row), *(row[name] for name in names)) for row in body["equity"]]),
        *_more(body),
    ]


def records(body: Body, _paint: Paint) -> list[str]:
    """One line a record, oldest first."""
    return [record_line(item) for item in body["records"]] or ["the journal has no records"]


def record_line(item: Body) -> str:
    """When, its sequence and cause, from whom to whom, in words."""
    number = f"#{item['seq']}" if item["seq"] else ""
    cause = f"<#{item['cause']}" if item["cause"] else ""
    who = f"{item['actor'] or '-'} > {item['to']}"
    return f"{clock(item['time_ns'])}  {number:>9} {cause:<10} {who:<24} {item['words']}"


def backup(body: Body, _paint: Paint) -> list[str]:
    """Where it is and what it holds; the verdict last."""
    lines = [
        f"archive   {body['path']}  {body['bytes']} bytes",
        f"holds     records to @{body['last_position']}, state as of @{body['snapshot_position']}",
        f"blake2b   {body['blake2b']}",
    ]
    hook = body.get("hook")
    if hook is not None:
        lines.append(
            f"hook      {'done' if hook['ok'] else 'FAILED'}{': ' + hook['said'] if hook['said'] else ''}"
        )
    took = f" in {body['took_s']} s" if "took_s" in body else ""
    return [
        *lines,
        f"VERIFIED{took}" if hook is None or hook["ok"] else f"VERIFIED{took}, BUT THE HOOK FAILED",
    ]


def _when(row: Body) -> str:
    return f"{day(row['time_ns'])} {clock(row['time_ns'])}"


def _more(body: Body) -> list[str]:
    return [f"{DASH} more with --before {body['next']}"] if body["next"] else []


TABLES: dict[str, Callable[[Body, Paint], list[str]]] = {
    "fills": fills,
    "equity": equity,
    "records": records,
    "backup": backup,
}

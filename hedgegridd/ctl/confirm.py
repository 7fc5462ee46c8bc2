"""The second step before something severe: tell what will happen, and have the instrument's name typed."""

import sys
from typing import Any

from hedgegridd.control.figures import counted
from hedgegridd.ctl.client import Client, NoAnswer
from hedgegridd.ctl.text import age, money, quantity, short

LOOK_S = 5.0


def confirmed(client: Client, verb: str, fields: dict[str, Any]) -> bool:
    """True when the operator has typed the name that is asked for (any case); end of input is a no.

    A daemon that does not tell its figures in time can still be asked: then `ALL` has to be typed.

    Raises:
        NoDaemon: nobody answers on the socket.
    """
    try:
        reply = client.call("status", {}, LOOK_S)
        body = reply.result if reply.ok else {}
    except NoAnswer:
        body = {}
    wanted = fields.get("instrument")
    found = [
        item
        for item in body.get("instruments") or []
        if wanted is None or short(item["instrument"]) == short(wanted.upper())
    ]
    for line in facts(verb, fields, body, found):
        print(line)
    if wanted is not None:
        name = short(wanted.upper())
    else:
        name = short(found[0]["instrument"]) if len(found) == 1 else "ALL"
    try:
        typed = input(f"Type {name}: ")
    except EOFError:
        print(file=sys.stderr)
        return False
    return typed.strip().upper() == name


def facts(verb: str, fields: dict[str, Any], body: dict[str, Any], found: list[dict[str, Any]]) -> list[str]:
    """What the command will do, from the daemon's figures and their age."""
    side = fields.get("side", "both")
    balances = body.get("balances") or {}
    where = f"{body.get('account', '')} · Binance {str(body.get('environment', '')).upper()}"
    lines = [
        f"{verb} {side if verb == 'flatten' else ''}".strip()
        + f" · {where} · venue figures {age(balances.get('age_s'))} old"
    ]
    for item in found:
        closing = [
            f"{leg['leg']} {quantity(leg['quantity'], item['step'])} ({money(leg['inventory_usdt'])} USDT)"
            for leg in item["legs"].values()
            if side in ("both", leg["leg"].lower())
        ]
        lines.append(
            f"{short(item['instrument'])}: {', '.join(closing)}; {counted(item['open_orders'], 'order', 'orders')} open"
        )
    if not found:
        lines.append("what is open is not known")
    if verb == "flatten":
        lines.append(
            "Closes at market, cancels its orders, stops last. Afterwards: no entries until you resume."
        )
    elif verb == "limits":
        given = ", ".join(
            f"{name} {value}" for name, value in fields.items() if name not in ("loosen", "reason")
        )
        lines.append(f"Loosens the pre-trade gate: {given}. Kept over restarts.")
    else:
        lines.append(
            "Trips the kill switch (as configured: flatten or halt). Latched over restarts until you rearm."
        )
    return lines

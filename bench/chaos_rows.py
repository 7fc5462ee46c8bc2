"""What chaos does: each fault of the table in the venue's description, each kind of the admin port, and the host's own.

A row is data: rules and acts of the admin port (docs/exchange.md), or a named deed on the processes, and what the daemon
owes while it lasts.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import msgspec

from bench.chaos_rig import SYMBOL, Rig
from tests.support.programs import ProgramError

type Rule = dict[str, Any]

ORDER: Rule = {"target": "rest", "method": "POST", "path": "/fapi/v1/order"}
# The venue's own words: a text that speaks of an unknown error would be read as one.
SAID = {
    -1003: "Way too many requests; IP banned.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection. Please try again.",
    -1015: "Too many new orders.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -2022: "ReduceOnly Order is rejected.",
    -4045: "Reach max stop order limit.",
    -4061: "Order's position side does not match user's setting.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
}


def said(rule: Rule) -> Rule:
    """The rule with the venue's words for its code."""
    return {**rule, "msg": SAID[int(rule["code"])]}


REFUSED: Rule = {**ORDER, "kind": "status_before", "status": 400, "count": 3}
LISTEN_KEY: Rule = {
    "target": "rest", "kind": "status_before", "method": "POST", "path": "/fapi/v1/listenKey", "status": 503,
}  # fmt: skip
CUT_USER: Rule = {"target": "user", "kind": "cut"}
CUT_MARKET: Rule = {"target": "market", "kind": "cut"}
ALL_DOWN: Rule = {"target": "rest", "kind": "drop_before"}


MARGIN_CALL: Rule = {
    "e": "MARGIN_CALL", "E": 1, "cw": "3.16",
    "p": [{"s": SYMBOL, "ps": "LONG", "pa": "0.004", "mt": "CROSSED", "iw": "0", "mp": "1", "up": "-1", "mm": "1.6"}],
}  # fmt: skip


def _nothing(_: Rig) -> None:
    """No deed."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One fault.

    `rules` stand for `hold_s` seconds (wall), `acts` are done once after them; `begin` and `end` are what no rule can do.
    `says_s`: the daemon must say that something is wrong within so long. `blind`: it cannot see the market or its orders:
    from `says_s` on it may place no entry. `deaf`: the venue takes no orders meanwhile, so that a stop may be late by as
    long. `stir_first`: order traffic begins before the fault. `absent`: it leaves nobody of ours to ask. `restart`: only a
    start ends it. `latches`: the venue has acted, so the instrument is halted until `rearm` ("may": when the daemon hears of it);
    `ends`: for ever.
    """

    name: str
    fault: str
    rules: tuple[Rule, ...] = ()
    acts: tuple[Rule, ...] = ()
    begin: Callable[[Rig], None] = _nothing
    end: Callable[[Rig], None] = _nothing
    hold_s: float = 5.0
    says_s: float | None = None
    blind: bool = False
    deaf: bool = False
    stir_first: bool = False
    absent: bool = False
    restart: bool = False
    latches: Literal["", "may", "always"] = ""
    ends: bool = False
    small_disk: bool = False
    phases: tuple[str, ...] = ("trading", "flattening", "starting", "stopping")


# ------------------------------------------------------------------------------------------- deeds on the admin port


def _leg_with_inventory(rig: Rig) -> str:
    return max(("LONG", "SHORT"), key=rig.quantity)


def _expire_unheard(rig: Rig) -> None:
    """The venue takes an entry off and says nothing: its cancel is answered -2011."""
    rig.admin("/faults", {"target": "user", "kind": "mute", "event": "ORDER_TRADE_UPDATE", "count": 1})
    _expire(rig)


def _expire(rig: Rig) -> None:
    for order in rig.exchange.truth()["open_orders"]:
        if order["positionSide"] == "LONG" and order["side"] == "BUY":
            rig.admin("/expire", {"symbol": SYMBOL, "order_id": order["orderId"]})
            return


def _deleverage(rig: Rig) -> None:
    rig.admin("/deleverage", {"symbol": SYMBOL, "leg": _leg_with_inventory(rig), "qty": "0.001"})


def _liquidate(rig: Rig) -> None:
    rig.admin("/liquidate", {"symbol": SYMBOL, "leg": _leg_with_inventory(rig)})


def _settle(rig: Rig) -> None:
    rig.admin("/settle", {"symbol": SYMBOL})


def _break(rig: Rig) -> None:
    rig.admin("/status", {"symbol": SYMBOL, "status": "TRADING_HALT"})


def _trade_again(rig: Rig) -> None:
    rig.admin("/status", {"symbol": SYMBOL, "status": "TRADING"})


def _manual(rig: Rig) -> None:
    order = {"symbol": SYMBOL, "side": "BUY", "positionSide": "LONG", "type": "MARKET", "quantity": "0.002"}
    rig.admin("/manual", dict(order))


def _sell_manual(rig: Rig) -> None:
    """The hand takes its inventory back; where the leg is flat already, the venue refuses it."""
    order = {"symbol": SYMBOL, "side": "SELL", "positionSide": "LONG", "type": "MARKET", "quantity": "0.002"}
    with suppress(ProgramError):
        rig.admin("/manual", dict(order))


def _jump(rig: Rig) -> None:
    rig.admin("/jump", {"symbol": SYMBOL, "factor": "0.985"})


def _funding(rig: Rig) -> None:
    rig.admin("/funding", {"symbol": SYMBOL, "rate": "0.003"})


def _no_funding(rig: Rig) -> None:
    rig.admin("/funding", {"symbol": SYMBOL, "rate": "0.0001"})


def _transfer(rig: Rig) -> None:
    rig.admin("/transfer", {"amount": "-2500"})


def _filters(rig: Rig) -> None:
    rig.admin("/filters", {"symbol": SYMBOL, "min_notional": "150", "maker_fee": "0.0004"})


def _skewed(rig: Rig) -> None:
    rig.admin("/skew", {"ms": 90_000})


def _true_time(rig: Rig) -> None:
    rig.admin("/skew", {"ms": 0})


def _event(body: Rule) -> Callable[[Rig], None]:
    def send(rig: Rig) -> None:
        rig.admin("/event", body)

    return send


# ------------------------------------------------------------------------------------------- deeds on the processes


def _kill_exchange(rig: Rig) -> None:
    rig.venue.kill()


def _start_exchange(rig: Rig) -> None:
    rig.venue.start()


TABLE: tuple[Row, ...] = (
    Row(name="user-cut", fault="user stream drops", acts=(CUT_USER,)),
    Row(
        name="user-cut-key-fails",
        fault="it drops and one POST listenKey fails",
        rules=({**LISTEN_KEY, "count": 1},),
        acts=(CUT_USER,),
        hold_s=8,
        says_s=6,
    ),
    Row(name="market-cut", fault="market stream drops", acts=(CUT_MARKET,)),
    Row(
        name="market-frozen",
        fault="silence on an open market socket",
        rules=({"target": "market", "kind": "freeze"},),
        hold_s=12,
        says_s=8,
        blind=True,
    ),
    Row(
        name="user-frozen",
        fault="silence on an open user socket",
        rules=({"target": "user", "kind": "freeze"},),
        hold_s=14,
        says_s=10,
        blind=True,
    ),
    Row(
        name="submit-429",
        fault="429 on submit",
        rules=(said({**REFUSED, "status": 429, "code": -1015, "retry_after_s": 2}),),
    ),
    Row(
        name="submit-418",
        fault="418 on submit",
        rules=(said({**REFUSED, "count": 1, "status": 418, "code": -1003, "retry_after_s": 4}),),
        hold_s=8,
        deaf=True,
    ),
    Row(
        name="submit-overload", fault="503 -1008 on submit", rules=(said({**REFUSED, "status": 503, "code": -1008}),)
    ),
    Row(name="submit-1021", fault="-1021 on submit", rules=(said({**REFUSED, "code": -1021}),)),
    Row(name="submit-2022", fault="-2022 on submit", rules=(said({**REFUSED, "code": -2022}),)),
    Row(name="submit-4061", fault="-4061 on submit", rules=(said({**REFUSED, "code": -4061}),)),
    Row(name="clock-skew", fault="the clocks are 90 s apart", begin=_skewed, end=_true_time, hold_s=8, deaf=True),
    Row(
        name="unknown-processed",
        fault="503 Unknown error, but processed",
        rules=({**ORDER, "kind": "status_after", "code": -1000},),
    ),
    Row(
        name="timeout-processed",
        fault="-1007, but processed",
        rules=(said({**ORDER, "kind": "status_after", "code": -1007}),),
    ),
    Row(name="answer-lost", fault="answer lost", rules=({**ORDER, "kind": "drop_after"},)),
    Row(name="answer-late", fault="answer late", rules=({**ORDER, "kind": "delay_after", "delay_ms": 3000},)),
    Row(
        name="never-arrived",
        fault="request never arrived",
        rules=({**ORDER, "kind": "drop_before"},),
        deaf=True,
    ),
    Row(name="submit-hangs", fault="request hangs", rules=({**ORDER, "kind": "hang"},), hold_s=12, deaf=True),
    Row(
        name="rest-down",
        fault="REST down while a cancel is pending",
        rules=({**ALL_DOWN, "path": "/fapi/*"},),
        hold_s=12,
        says_s=10,
        deaf=True,
    ),
    Row(name="cancel-gone", fault="-2011 on cancel (already gone)", begin=_expire_unheard),
    Row(
        name="connect-503",
        fault="one 503 during connect",
        rules=(
            {"target": "rest", "kind": "status_before", "path": "/fapi/v1/exchangeInfo", "count": 1},
            {**LISTEN_KEY, "count": 1},
        ),
        acts=(CUT_USER, CUT_MARKET),
        hold_s=8,
    ),
    Row(name="margin-call", fault="MARGIN_CALL", begin=_event(MARGIN_CALL), latches="may"),
    Row(
        name="trigger-reject",
        fault="CONDITIONAL_ORDER_TRIGGER_REJECT",
        begin=_event(
            {
                "e": "CONDITIONAL_ORDER_TRIGGER_REJECT", "E": 1, "T": 1,
                "or": {"s": SYMBOL, "i": 1, "r": "-2019"},
            }
        ),
    ),
    Row(
        name="outage",
        fault="full outage",
        rules=(ALL_DOWN, {"target": "user", "kind": "refuse"}, {"target": "market", "kind": "refuse"}),
        acts=(CUT_USER, CUT_MARKET),
        hold_s=14,
        says_s=10,
        blind=True,
        deaf=True,
    ),
)  # fmt: skip

PORT: tuple[Row, ...] = (
    Row(
        name="market-refused",
        fault="market sockets cut and refused",
        rules=({"target": "market", "kind": "refuse"},),
        acts=(CUT_MARKET,),
        hold_s=12,
        says_s=8,
        blind=True,
    ),
    Row(
        name="user-refused",
        fault="user sockets cut and refused",
        rules=({"target": "user", "kind": "refuse"},),
        acts=(CUT_USER,),
        hold_s=12,
        says_s=8,
        blind=True,
    ),
    Row(
        name="user-muted",
        fault="order events left out",
        rules=({"target": "user", "kind": "mute", "event": "ORDER_TRADE_UPDATE"},),
        hold_s=8,
    ),
    Row(name="user-twice", fault="every user event twice", rules=({"target": "user", "kind": "duplicate"},)),
    Row(name="user-swapped", fault="user events out of order", rules=({"target": "user", "kind": "swap"},)),
    Row(name="listen-key-ends", fault="the listenKey expires", acts=({"target": "user", "kind": "expire"},)),
    Row(
        name="rest-slow",
        fault="every call 1.5 s late",
        rules=({"target": "rest", "kind": "delay", "path": "/fapi/*", "delay_ms": 1500},),
        hold_s=8,
        deaf=True,
    ),
    Row(
        name="rest-hangs",
        fault="every call hangs",
        rules=({"target": "rest", "kind": "hang", "path": "/fapi/*"},),
        hold_s=16,
        says_s=15,
        deaf=True,
    ),
    Row(
        name="reads-503",
        fault="every question answered 503",
        rules=({"target": "rest", "kind": "status_before", "method": "GET", "path": "/fapi/*"},),
        hold_s=10,
        says_s=8,
    ),
    Row(
        name="cancel-lost",
        fault="answers to cancels lost",
        rules=({"target": "rest", "kind": "drop_after", "method": "DELETE"},),
    ),
    Row(
        name="stop-unknown",
        fault="503 to a stop, but processed",
        rules=({"target": "rest", "kind": "status_after", "method": "POST", "path": "/fapi/v1/algoOrder"},),
    ),
    Row(
        name="stop-refused",
        fault="stops refused",
        rules=(
            said(
                {
                    "target": "rest", "kind": "status_before", "method": "POST", "path": "/fapi/v1/algoOrder",
                    "status": 400, "code": -4045,
                }
            ),
        ),
        deaf=True,
    ),
    Row(name="venue-expires", fault="the venue expires an entry", begin=_expire),
    Row(name="price-jump", fault="price falls 1.5 % at once", begin=_jump),
    Row(name="funding", fault="funding becomes 0.3 %", begin=_funding, end=_no_funding),
    Row(name="transfer", fault="2,500 USDT leave the account", begin=_transfer),
    Row(name="filters", fault="minimum notional and fee change", begin=_filters, latches="may"),
    Row(name="manual-order", fault="somebody buys by hand", begin=_manual, end=_sell_manual, says_s=6),
    Row(name="trading-halt", fault="the symbol stops trading for a while", begin=_break, end=_trade_again, latches="may"),
    Row(name="adl", fault="the venue deleverages a leg", begin=_deleverage, says_s=5, latches="always"),
    Row(name="liquidation", fault="the venue liquidates a leg", begin=_liquidate, says_s=5, latches="always"),
    Row(name="delisting", fault="the venue delists the symbol", begin=_settle, ends=True),
)  # fmt: skip

HOST: tuple[Row, ...] = (
    Row(name="sigkill", fault="SIGKILL", begin=Rig.kill, stir_first=True, absent=True, hold_s=2),
    Row(
        name="sigstop",
        fault="SIGSTOP, 8 s later SIGCONT",
        begin=Rig.suspend,
        end=Rig.resume_process,
        stir_first=True,
        absent=True,
        hold_s=8,
    ),
    Row(
        name="disk-full",
        fault="the state folder's disk is full",
        begin=Rig.fill_disk,
        end=Rig.free_disk,
        stir_first=True,
        says_s=8,
        blind=True,
        hold_s=12,
        restart=True,
        small_disk=True,
    ),
    Row(
        name="exchange-killed",
        fault="the exchange is killed, and back 6 s later",
        begin=_kill_exchange,
        end=_start_exchange,
        stir_first=True,
        hold_s=6,
        deaf=True,
    ),
)

ROWS: dict[str, Row] = {row.name: row for row in (*TABLE, *PORT, *HOST)}

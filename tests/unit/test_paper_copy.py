"""What a drill copies: legs and orders as the daemon tells them, each instrument on one that the paper exchange lists."""

from decimal import Decimal
from typing import Any

import pytest

from hedgegridd.ctl.paper_copy import CopyError, Held, accounts
from hedgegridd.model import Leg, Purpose, Side


def view(symbol: str, long: str = "0.5", mark: str | None = "100") -> dict[str, Any]:
    return {
        "instrument": f"{symbol}-PERP.BINANCE",
        "mark_price": mark,
        "legs": {"LONG": {"quantity": long}, "SHORT": {"quantity": "0.000"}},
    }


def row(symbol: str, **fields: object) -> dict[str, Any]:
    return {
        "instrument": f"{symbol}-PERP.BINANCE", "client_order_id": "c", "leg": "LONG", "purpose": "take_profit",
        "level": 2, "side": "SELL", "price": "110", "stop_price": None, "quantity": "0.5", "filled": "0.2",
        "algo": False, **fields,
    }  # fmt: skip


def status(*views: dict[str, Any]) -> dict[str, Any]:
    return {"instruments": list(views)}


def test_legs_with_inventory_and_what_orders_have_left() -> None:
    stop = row("BTCUSDT", algo=True, purpose="stop", price=None, stop_price="90", quantity=None)
    orders = {"orders": [row("BTCUSDT"), stop, row("ETHUSDT")]}
    (account,) = accounts(status(view("BTCUSDT")), orders, None)
    assert (account.symbol, account.paper, account.mark) == ("BTCUSDT", "BTCUSDT", Decimal(100))
    assert account.legs == (Held(Leg.LONG, Decimal("0.5")),)
    profit, leg_stop = account.orders
    assert (profit.purpose, profit.side, profit.price, profit.qty) == (
        Purpose.TAKE_PROFIT, Side.SELL, Decimal(110), Decimal("0.3"),
    )  # fmt: skip
    assert (leg_stop.algo, leg_stop.price, leg_stop.qty) == (True, Decimal(90), None)


def test_an_instrument_that_is_not_listed_on_paper_has_a_stand_in_of_its_own() -> None:
    found = accounts(status(view("DOGEUSDT"), view("BTCUSDT"), view("PEPEUSDT")), {"orders": []}, None)
    assert [account.symbol for account in found] == ["DOGEUSDT", "BTCUSDT", "PEPEUSDT"]
    assert [account.paper for account in found] == ["ETHUSDT", "BTCUSDT", "SOLUSDT"]


def test_one_instrument_by_its_name() -> None:
    both = status(view("BTCUSDT"), view("ETHUSDT"))
    (account,) = accounts(both, {"orders": []}, "ethusdt-perp")
    assert account.symbol == "ETHUSDT"
    with pytest.raises(CopyError, match="no instrument SOLUSDT"):
        accounts(both, {"orders": []}, "SOLUSDT")


def test_what_cannot_be_copied_is_said() -> None:
    with pytest.raises(CopyError, match=r"no instrument$"):
        accounts({"instruments": None}, {"orders": []}, None)
    with pytest.raises(CopyError, match="BTCUSDT: the daemon knows no mark price yet"):
        accounts(status(view("BTCUSDT", mark=None)), {"orders": []}, None)
    with pytest.raises(CopyError, match="4 instruments at most"):
        accounts(status(*(view(f"X{n}USDT") for n in range(5))), {"orders": []}, None)

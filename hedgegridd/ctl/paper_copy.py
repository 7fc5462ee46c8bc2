"""A paper copy of the account: what the daemon knows of legs and orders, put into a paper exchange of its own.

Prices keep their distance from mark, quantities their notional. The exchange is a process on loopback with keys of its
own; the daemon is only asked what it knows, and neither the venue nor its keys are touched.
"""

import contextlib
import http.client
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import Instrument, Leg, OrderKind, Purpose, Side
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import VenueCallError

LISTED = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")  # by the paper exchange
START_S = 20.0
STOP_S = 5.0
ADMIN_S = 10.0
ORDERS_TO_FILL = 50  # market orders for one leg: each takes what is on the book then
DEPOSIT = "1000000000"


class CopyError(Exception):
    """The copy could not be made; the text says why."""


class Held(msgspec.Struct, frozen=True):
    """A leg with inventory, base quantity."""

    leg: Leg
    qty: Decimal


class Resting(msgspec.Struct, frozen=True):
    """An order; `price` is the trigger of a stop, `qty` None for one that closes the whole leg."""

    client_order_id: str
    leg: Leg
    purpose: Purpose
    level: int
    side: Side
    price: Decimal
    qty: Decimal | None
    algo: bool


class Account(msgspec.Struct, frozen=True):
    """One instrument as the daemon knows it, and the symbol that stands for it on paper."""

    symbol: str
    paper: str
    mark: Decimal
    legs: tuple[Held, ...]
    orders: tuple[Resting, ...]


def accounts(status: Mapping[str, Any], orders: Mapping[str, Any], instrument: str | None) -> list[Account]:
    """What is to be copied, from the answers to `status` and `orders`.

    Raises:
        CopyError: an instrument is not known, has no mark, or there are too many.
    """
    found = []
    views = [view for view in status["instruments"] or () if _wanted(view["instrument"], instrument)]
    if not views:
        raise CopyError(f"the daemon shows no instrument {instrument or ''}".rstrip())
    symbols = [_symbol(view["instrument"]) for view in views]
    free = [name for name in LISTED if name not in symbols]
    for view, symbol in zip(views, symbols, strict=True):
        if view["mark_price"] is None:
            raise CopyError(f"{symbol}: the daemon knows no mark price yet")
        if symbol not in LISTED and not free:
            raise CopyError(f"a copy has {len(LISTED)} instruments at most; name one")
        found.append(
            Account(
                symbol=symbol,
                paper=symbol if symbol in LISTED else free.pop(0),
                mark=Decimal(view["mark_price"]),
                legs=tuple(
                    Held(Leg(name), Decimal(leg["quantity"]))
                    for name, leg in view["legs"].items()
                    if Decimal(leg["quantity"])
                ),
                orders=tuple(
                    _resting(row) for row in orders["orders"] if row["instrument"] == view["instrument"]
                ),
            )
        )
    return found


def _symbol(instrument: str) -> str:
    return instrument.partition("-")[0]


def _wanted(instrument: str, asked: str | None) -> bool:
    return asked is None or _symbol(instrument) == _symbol(asked.upper())


def _resting(row: Mapping[str, Any]) -> Resting:
    price = row["stop_price"] if row["algo"] else row["price"]
    return Resting(
        client_order_id=row["client_order_id"],
        leg=Leg(row["leg"]),
        purpose=Purpose[row["purpose"].upper()],
        level=row["level"],
        side=Side(row["side"]),
        price=Decimal(price),
        qty=None if row["quantity"] is None else Decimal(row["quantity"]) - Decimal(row["filled"]),
        algo=row["algo"],
    )


# ------------------------------------------------------------------------------------------------------- the exchange


class Paper:
    """A paper exchange under way: what it printed."""

    def __init__(self, printed: Mapping[str, str]) -> None:
        self.rest = printed["rest"]
        self.key = printed["api key"]
        self.secret = printed["api secret"]
        self._admin = urlsplit(printed["admin"]).netloc

    def admin(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The answer of the admin port. Raises CopyError."""
        connection = http.client.HTTPConnection(self._admin, timeout=ADMIN_S)
        try:
            data = None if body is None else msgspec.json.encode(body)
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise CopyError(f"the paper exchange does not answer: {error}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise CopyError(f"{path}: {text[:300].decode(errors='replace')}")
        return msgspec.json.decode(text)


@contextlib.contextmanager
def paper_exchange(symbols: tuple[str, ...], latency_ms: int) -> Iterator[Paper]:
    """Start one of its own and end it. Raises CopyError when it does not start."""
    command = [
        sys.executable, "-m", "hedgegridd", "exchange", "--regime", "quiet", "--history-bars", "10",
        "--symbols", ",".join(symbols), "--deposit", DEPOSIT, "--no-rate-limits", "--latency-ms", str(latency_ms),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603  # our own program
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ)
        )
        try:
            yield Paper(_printed(process))
        except CopyError as error:
            log.seek(0)
            said = log.read()[-1_000:].decode(errors="replace").strip()
            raise CopyError(f"{error}{': ' if said else ''}{said}") from error
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S)


def _printed(process: subprocess.Popen[bytes]) -> dict[str, str]:
    """Its addresses and keys by name, once it is READY."""
    assert process.stdout is not None, "made with a pipe"
    until, text = time.monotonic() + START_S, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while b"READY\n" not in text:
            if not selector.select(max(0.0, until - time.monotonic())):
                raise CopyError(f"the paper exchange was not up within {START_S:.0f} s")
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                raise CopyError("the paper exchange has ended")
            text += piece
    lines = text.decode().split("READY\n")[0].splitlines()
    return {name.strip(): value for name, _, value in (line.rpartition(" ") for line in lines)}


# ------------------------------------------------------------------------------------------------------------ copying


async def copy(paper: Paper, calls: VenueCalls, account: Account, rules: Instrument) -> list[str]:
    """Put the account there; what could not be copied, in words.

    Raises:
        CopyError: the exchange does not answer.
        VenueCallError: it does not tell its mark price.
    """
    mark = await calls.mark(account.paper)
    scale = mark / account.mark
    lots = Decimal(1) if account.paper == account.symbol else 1 / scale
    missing = []
    for held in account.legs:
        wanted = rules.floor_qty(held.qty * lots)
        left = _fill(paper, account.paper, held.leg, wanted)
        if left:
            missing.append(f"{account.symbol} {held.leg} has {wanted - left} of {wanted}")
    for order in account.orders:
        try:
            await _place(paper, calls, account.paper, order, scale=scale, lots=lots, rules=rules)
        except (CopyError, VenueCallError) as error:
            missing.append(f"{account.symbol} order {order.client_order_id}: {error}")
    return missing


def _fill(paper: Paper, symbol: str, leg: Leg, qty: Decimal) -> Decimal:
    """Buy or sell until the leg has so much; what is still missing."""
    left = qty
    for _ in range(ORDERS_TO_FILL):
        if not left:
            break
        order = {"symbol": symbol, "side": leg.entry_side.value, "positionSide": leg.value, "type": "MARKET"}
        paper.admin("POST", "/manual", {**order, "quantity": format(left, "f")})
        left = qty - Decimal(paper.admin("GET", "/truth")["legs"][f"{symbol}:{leg.value}"]["qty"])
    return left


async def _place(
    paper: Paper,
    calls: VenueCalls,
    symbol: str,
    order: Resting,
    *,
    scale: Decimal,
    lots: Decimal,
    rules: Instrument,
) -> None:
    price = rules.floor_price(order.price * scale)
    qty = None if order.qty is None else rules.floor_qty(order.qty * lots)
    if not order.algo:
        body = {
            "symbol": symbol, "side": order.side.value, "positionSide": order.leg.value, "type": "LIMIT",
            "timeInForce": "GTX", "newClientOrderId": order.client_order_id,
            "quantity": format(qty or 0, "f"), "price": format(price, "f"),
        }  # fmt: skip
        paper.admin("POST", "/manual", body)
        return
    placed = m.PlaceOrder(
        instrument=rules.id,
        leg=order.leg,
        purpose=order.purpose,
        level=order.level,
        client_order_id=order.client_order_id,
        side=order.side,
        kind=OrderKind.STOP_MARKET,
        qty=qty,
        stop_price=price,
        close_position=qty is None,
    )
    await calls.place(symbol, placed)

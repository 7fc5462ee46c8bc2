"""A market and a user for the engine's tests: ticks in one line, orders in one line."""

from decimal import Decimal
from typing import Any

from hedgegridd.exchange.engine import Engine
from hedgegridd.exchange.types import SymbolRules, Tick, VenueError

RULES = SymbolRules(symbol="BTCUSDT")
D = Decimal
HOUR_MS = 3_600_000


def tick(
    last: str,
    *,
    ts_ms: int = 1,
    low: str = "",
    high: str = "",
    volume: str = "100",
    mark: str = "",
    index: str = "",
    size: str = "5",
    levels: int = 5,
) -> Tick:
    """A tick whose best bid is one tick below `last` and best ask at `last`; `size` on each displayed level."""
    price = D(last)
    step = RULES.tick
    return Tick(
        symbol="BTCUSDT",
        ts_ms=ts_ms,
        last=price,
        low=D(low or last),
        high=D(high or last),
        volume=D(volume),
        mark=D(mark or last),
        index=D(index or mark or last),
        bids=tuple((price - step * (i + 1), D(size)) for i in range(levels)),
        asks=tuple((price + step * i, D(size)) for i in range(levels)),
    )


def engine(last: str = "50000", **options: Any) -> Engine:
    """An engine with 10,000 USDT whose market stands at `last`; its first events are taken."""
    made = Engine([RULES], **options)
    made.on_tick(tick(last), 1_000)
    made.take_events()
    return made


def order(side: str, leg: str, qty: str, price: str | None = None, **more: str) -> dict[str, str]:
    """Parameters of an ordinary order: LIMIT GTC when `price` is given, else MARKET."""
    base = {"symbol": "BTCUSDT", "side": side, "positionSide": leg, "quantity": qty}
    kind = {"type": "MARKET"} if price is None else {"type": "LIMIT", "timeInForce": "GTC", "price": price}
    return {**base, **kind, **more}


def stop(side: str, leg: str, trigger: str, **more: str) -> dict[str, str]:
    """Parameters of a closePosition stop on mark price; a `quantity` replaces closePosition."""
    base = {
        "symbol": "BTCUSDT",
        "algoType": "CONDITIONAL",
        "type": "STOP_MARKET",
        "side": side,
        "positionSide": leg,
        "triggerPrice": trigger,
        "workingType": "MARK_PRICE",
    }
    close = {} if "quantity" in more else {"closePosition": "true"}
    return {**base, **close, **more}


def code_of(call: Any, *args: Any) -> int:
    """The venue code a call is refused with; 0 when it was accepted."""
    try:
        call(*args)
    except VenueError as refusal:
        return refusal.code
    return 0


def leg_of(made: Engine, side: str) -> tuple[Decimal, Decimal]:
    """(quantity, average entry) of a leg."""
    leg = made.truth()["legs"][f"BTCUSDT:{side}"]
    return D(leg["qty"]), D(leg["entry"])


def kinds(made: Engine) -> list[tuple[str, str]]:
    """(event kind, order status or update reason) of the events since the last look."""
    out = []
    for event in made.take_events():
        body = event.body
        out.append((body["e"], body["o"]["X"] if "o" in body else body.get("a", {}).get("m", "")))
    return out

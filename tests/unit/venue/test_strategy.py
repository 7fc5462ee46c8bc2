"""What the strategy inside NautilusTrader makes of the data it hears."""

from typing import Any

import pytest
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from hedgegridd.venue.nautilus_strategy import GridStrategy, Subscription

IID = "BTCUSDT-PERP.BINANCE"
WALL_NS = 1_800_000_000_123_456_789
MARKET_MS = 1_640_995_200_000


class Quotes:
    """A listener that keeps the market times of quotes."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def on_quote(self, _instrument: str, _bid: int, _ask: int, market_ns: int) -> None:
        self.times.append(market_ns)


@pytest.mark.parametrize(
    ("ts_event", "told"),
    [
        (MARKET_MS * 1_000_000 + 64, MARKET_MS * 1_000_000),
        (WALL_NS, 0),  # the adapter's stand-in for a time that the venue did not give
    ],
)
def test_a_quote_without_the_venues_time_has_no_market_time(ts_event: int, told: int) -> None:
    quotes: Any = Quotes()
    strategy = GridStrategy([Subscription(IID, "1m")], quotes, lambda _error: None)
    quote = QuoteTick(
        instrument_id=InstrumentId.from_str(IID),
        bid_price=Price.from_str("64999.9"), ask_price=Price.from_str("65000.1"),
        bid_size=Quantity.from_str("1"), ask_size=Quantity.from_str("1"),
        ts_event=ts_event, ts_init=WALL_NS,
    )  # fmt: skip
    strategy.on_quote_tick(quote)
    assert quotes.times == [told]

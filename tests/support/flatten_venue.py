"""A small venue for flatten: legs, orders and stops that answer calls, with lies to order."""

from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.model import Leg, Side

ACCOUNT = m.VenueAccount(
    wallet_usdt=Decimal(1000),
    margin_balance_usdt=Decimal(1000),
    maint_margin_usdt=Decimal(0),
    initial_margin_usdt=Decimal(0),
    available_usdt=Decimal(1000),
    unrealized_usdt=Decimal(0),
)
SYMBOLS = {"BTCUSDT-PERP.BINANCE": "BTCUSDT", "ETHUSDT-PERP.BINANCE": "ETHUSDT"}


class FlattenVenue:
    """Answers the calls of a flatten from its own books; `lie(message)` may replace an answer."""

    def __init__(self, feed, *, stream=True):
        self.feed = feed
        self.stream = stream
        self.legs = {(i, leg): Decimal(0) for i in SYMBOLS for leg in Leg}
        self.orders: dict[str, m.VenueOrder] = {}
        self.in_flight: tuple[str, ...] = ()
        self.closes: list[m.CloseRaw] = []
        self.seen_ids: set[str] = set()
        self.calls: list[m.Message] = []
        self.trades = 0
        self.flying: dict[tuple[str, Leg], str] = {}

    def order(self, instrument, leg, ident, *, algo=False):
        self.orders[ident] = m.VenueOrder(
            instrument=instrument,
            client_order_id=ident,
            venue_order_id=ident,
            leg=leg,
            side=leg.exit_side,
            kind="STOP_MARKET" if algo else "LIMIT",
            qty=Decimal(1),
            filled_qty=Decimal(0),
            algo=algo,
            close_position=algo,
        )

    def answer(self, call: m.Message, lie=None) -> list[m.Message]:
        """What the venue says to one call: events in the order they arrive. `lie`: lost, unsent, refused."""
        self.calls.append(call)
        events = [] if lie in ("unsent", "refused", "limited") else self._process(call)
        if lie in ("lost", "unsent"):
            fails = m.VenueFailed(token=call.token, ambiguous=True, code=0, reason="no answer")
            return [*[e for e in events if isinstance(e, m.Fill)], fails]
        if lie == "refused":
            return [m.VenueFailed(token=call.token, ambiguous=False, code=-2022, reason="refused")]
        if lie == "limited":
            return [
                m.VenueFailed(token=call.token, ambiguous=False, code=429, reason="slow", retry_after_s=3)
            ]
        return events

    def _process(self, call):
        match call:
            case m.ReadTruth():
                return [self._truth(call)]
            case m.CancelRaw():
                return [self._cancel(call)]
            case m.CloseRaw():
                return self._close(call)
            case m.AskOrder():
                known = call.client_order_id in self.seen_ids
                if known:
                    return [m.VenueDone(token=call.token, status="FILLED", filled_qty=Decimal(1))]
                return [m.VenueFailed(token=call.token, ambiguous=False, code=-2013, reason="unknown order")]

    def _truth(self, call):
        now = self.feed.mono_ns
        return m.VenueTruth(
            token=call.token,
            instruments=call.instruments,
            account=ACCOUNT,
            legs=tuple(
                m.VenueLeg(
                    instrument=i,
                    leg=leg,
                    qty=qty,
                    entry_price=Decimal(100),
                    mark=Decimal(100),
                    unrealized_usdt=Decimal(0),
                )
                for (i, leg), qty in self.legs.items()
                if i in call.instruments
            ),
            orders=tuple(o for o in self.orders.values() if o.instrument in call.instruments),
            in_flight=self.in_flight,
            asked_ns=now,
            asked_mono_ns=now,
            answered_ns=now,
        )

    def _cancel(self, call):
        for ident, order in list(self.orders.items()):
            mine = order.instrument == call.instrument and order.algo == call.algo
            if mine and (call.all_orders or ident in call.client_order_ids):
                del self.orders[ident]
        return m.VenueDone(token=call.token)

    def _close(self, call):
        assert call.client_order_id not in self.seen_ids, "sent twice"
        self.seen_ids.add(call.client_order_id)
        key = (call.instrument, call.leg)
        assert call.qty <= self.legs[key], "a close larger than the leg"
        self.legs[key] -= call.qty
        self.closes.append(call)
        self.trades += 1
        fill = m.Fill(
            instrument=call.instrument,
            leg=call.leg,
            client_order_id=call.client_order_id,
            venue_order_id="1",
            trade_id=str(self.trades),
            side=Side.SELL if call.leg is Leg.LONG else Side.BUY,
            price=Decimal(100),
            qty=call.qty,
            commission=Decimal(0),
            commission_asset="USDT",
            maker=False,
            ts_ns=1,
        )
        done = m.VenueDone(token=call.token, status="FILLED", filled_qty=call.qty, average_price=Decimal(100))
        return [fill, done] if self.stream else [done]

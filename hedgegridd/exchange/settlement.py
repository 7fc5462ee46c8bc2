"""What the venue does to a position by itself: funding, margin calls, liquidation, auto-deleveraging."""

from decimal import ROUND_HALF_EVEN, Decimal

from hedgegridd.exchange.desk import Desk
from hedgegridd.exchange.numbers import CENT8, money
from hedgegridd.exchange.state import LEGS, ZERO, Leg, Market, Order, Settled
from hedgegridd.exchange.types import Tick, VenueError

HOUR_MS = 3_600_000
USUAL_HOURS = 8  # between settlements: at 00, 08 and 16 h UTC of the market's clock
FUNDING_HOURS = (1, 2, 4, USUAL_HOURS)  # the venue settles some symbols more often
FUNDING_MS = USUAL_HOURS * HOUR_MS
INTEREST = Decimal("0.0001")  # per 8 h, the venue's fixed interest component
INTEREST_CLAMP = Decimal("0.0005")
RATE_CAP = Decimal("0.02")
SETTLEMENTS_MAX = 1000  # settlements a symbol keeps for fundingRate
MARGIN_CALL_RATIO = Decimal("0.8")  # maintenance over margin balance at which MARGIN_CALL is sent


def funding_rate(market: Market) -> Decimal:
    """The rate that the next settlement would use now: the override, or from the mean premium.

    Formula of the venue: rate = premium + clamp(interest - premium, -0.05 %, 0.05 %), of 8 hours; its share of them, capped.
    """
    if market.rate_override is not None:
        return market.rate_override
    share = Decimal(market.funding_hours) / USUAL_HOURS
    if not market.premium_count:
        return (INTEREST * share).quantize(CENT8, ROUND_HALF_EVEN)
    premium = market.premium_sum / market.premium_count
    rate = (premium + min(max(INTEREST - premium, -INTEREST_CLAMP), INTEREST_CLAMP)) * share
    return min(max(rate, -RATE_CAP), RATE_CAP).quantize(CENT8, ROUND_HALF_EVEN)


def next_settlement_ms(market: Market, now_ms: int) -> int:
    """The first settlement after `now_ms` (market time): at whole multiples of the interval in UTC."""
    interval_ms = market.funding_hours * HOUR_MS
    return (now_ms // interval_ms + 1) * interval_ms


class Settlement:
    """Applies funding and enforces margin over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def fund(self, tick: Tick, now_ms: int) -> None:
        """Settles every funding time passed at the tick's mark, and notes its premium for the next one."""
        market = self._desk.state.markets[tick.symbol]
        if not market.next_funding_ms:
            market.next_funding_ms = next_settlement_ms(market, tick.ts_ms)
        while tick.ts_ms >= market.next_funding_ms:
            self._settle(market, now_ms)
        if tick.index > 0:
            market.premium_sum += ((tick.mark - tick.index) / tick.index).quantize(CENT8, ROUND_HALF_EVEN)
            market.premium_count += 1

    def _settle(self, market: Market, now_ms: int) -> None:
        """One funding settlement of a symbol: a positive rate is paid by LONG and received by SHORT."""
        desk = self._desk
        rate = funding_rate(market)
        market.settlements.append(Settled(time_ms=market.next_funding_ms, rate=rate, mark=market.mark))
        del market.settlements[:-SETTLEMENTS_MAX]
        total = ZERO
        for side in LEGS:
            leg = desk.state.leg(market.symbol, side)
            amount = money(leg.qty * market.mark * rate)
            if amount:
                amount = -amount if side == "LONG" else amount
                desk.account.pay_funding(market.symbol, amount, market.next_funding_ms)
                total += amount
        if total:
            desk.outbox.account("FUNDING_FEE", now_ms, change=total)
        market.next_funding_ms = next_settlement_ms(market, market.next_funding_ms)
        market.premium_sum, market.premium_count, market.rate_override = ZERO, 0, None

    def enforce(self, now_ms: int) -> None:
        """Margin call above the ratio; below maintenance cancels all orders and liquidates the worst legs."""
        account, state = self._desk.account, self._desk.state
        if not account.open_legs():
            state.margin_called = False
            return
        balance, needed = account.margin_balance(), account.maintenance_margin()
        if needed < balance * MARGIN_CALL_RATIO:
            state.margin_called = False
            return
        if not state.margin_called:
            state.margin_called = True
            self._desk.outbox.margin_call(now_ms)
        if needed <= balance:
            return
        for order in self._desk.account.live_orders():
            self._desk.end(order, "CANCELED", now_ms)
        while account.open_legs() and account.margin_balance() < account.maintenance_margin():
            worst = min(account.open_legs(), key=lambda leg: leg.unrealised(account.mark(leg.symbol)))
            self.close_leg(worst, worst.qty, now_ms, prefix="autoclose-", kind="LIQUIDATION")
        if not account.open_legs() and account.cover_bankruptcy(now_ms):
            self._desk.outbox.account("INSURANCE_CLEAR", now_ms)

    def close_leg(
        self,
        leg: Leg,
        qty: Decimal,
        now_ms: int,
        *,
        prefix: str,
        kind: str,
        execution: str = "CALCULATED",
    ) -> None:
        """The venue closes `qty` of a leg at mark with an order of its own (`kind` LIQUIDATION, ADL or MARKET)."""
        desk = self._desk
        rules = desk.rules_of(leg.symbol)
        mark = desk.account.mark(leg.symbol)
        price = (mark / rules.tick).quantize(Decimal(1), ROUND_HALF_EVEN) * rules.tick
        order_id = desk.next_order_id()
        order = Order(
            id=order_id,
            client_id=f"{prefix}{now_ms}{order_id}"[:36],
            symbol=leg.symbol,
            side="SELL" if leg.side == "LONG" else "BUY",
            leg=leg.side,
            type=kind,
            tif="IOC",
            price=price,
            qty=qty,
            time_ms=now_ms,
            update_ms=now_ms,
            working_type="CONTRACT_PRICE",
        )
        desk.open_order(order)
        desk.fill(order, price, qty, now_ms, maker=False, execution=execution)

    def liquidate(self, symbol: str, side: str, now_ms: int) -> None:
        """Closes a whole leg by force at mark, whatever the margin (a drill); VenueError -4003 when it is flat."""
        leg = self._desk.state.leg(self._desk.rules_of(symbol).symbol, side)
        if not leg.qty:
            raise VenueError(-4003, f"the {side} leg of {symbol} is flat.")
        self.close_leg(leg, leg.qty, now_ms, prefix="autoclose-", kind="LIQUIDATION")

    def settle(self, symbol: str, now_ms: int) -> None:
        """Delists a symbol: its orders expire, its legs are closed at mark, nothing opens any more (a drill)."""
        desk = self._desk
        desk.state.markets[desk.rules_of(symbol).symbol].status = "SETTLING"
        for order in desk.state_open(symbol):
            desk.end(order, "EXPIRED", now_ms)
        for side in LEGS:
            leg = desk.state.leg(symbol, side)
            if leg.qty:
                self.close_leg(
                    leg, leg.qty, now_ms, prefix="settlement_autoclose-", kind="MARKET", execution="TRADE"
                )

    def deleverage(self, symbol: str, side: str, qty: Decimal, now_ms: int) -> None:
        """Auto-deleverages `qty` of a leg at mark (a drill); raises VenueError -4003 outside the leg."""
        self._desk.rules_of(symbol)
        leg = self._desk.state.leg(symbol, side)
        if not qty.is_finite() or not 0 < qty <= leg.qty or qty % self._desk.rules[symbol].step:
            raise VenueError(-4003, f"qty must be whole steps, above zero and at most {leg.qty}.")
        self.close_leg(leg, qty, now_ms, prefix="adl_autoclose", kind="ADL")

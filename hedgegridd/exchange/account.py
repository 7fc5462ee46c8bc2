"""The money of the paper account: cross margin in hedge mode, both legs charged, exact to eight decimals.

wallet = deposits + realised - fees + funding + insurance, always (see invariants.py). Realised profit and fees are
rounded to eight decimals when they are booked, so these sums are exact.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from hedgegridd.exchange.brackets import Bracket, brackets_of, maintenance, max_notional
from hedgegridd.exchange.matching import Book
from hedgegridd.exchange.numbers import money
from hedgegridd.exchange.state import ZERO, Income, Leg, Order, State
from hedgegridd.exchange.types import SymbolRules, VenueError

HISTORY_MAX = (
    200_000  # rows of trades, of each income kind and of orders that are kept; older ones are forgotten
)
_FORGET = 20_000  # rows dropped at once, so that forgetting is rare


class Account:
    """Legs, wallet and margins of `state`; the only code that changes money."""

    def __init__(self, rules: Mapping[str, SymbolRules], state: State, books: Mapping[str, Book]) -> None:
        """`books` hold the resting orders, whose entries hold margin."""
        self._rules = rules
        self._state = state
        self._books = books
        self.brackets: dict[str, tuple[Bracket, ...]] = {s: brackets_of(r) for s, r in rules.items()}

    def mark(self, symbol: str) -> Decimal:
        """The mark price, zero before the first tick."""
        return self._state.markets[symbol].mark

    def fee(self, symbol: str, price: Decimal, qty: Decimal, *, maker: bool) -> Decimal:
        """Commission in USDT of a fill."""
        rules = self._rules[symbol]
        return money(price * qty * (rules.maker_fee if maker else rules.taker_fee))

    def apply_fill(
        self, order: Order, price: Decimal, qty: Decimal, commission: Decimal, now_ms: int
    ) -> Decimal:
        """Books a fill on its leg and the wallet; returns the profit it realised (zero when it opens).

        An add moves the average entry to the quantity-weighted mean, a reduction leaves it unchanged.
        """
        leg = self._state.leg(order.symbol, order.leg)
        realised = ZERO
        if order.closes:
            if qty > leg.qty:
                raise AssertionError(f"close of {qty} above the leg of {leg.qty} (order {order.id})")
            move = price - leg.entry if leg.side == "LONG" else leg.entry - price
            realised = money(move * qty)
            leg.qty -= qty
            leg.realised += realised
            if not leg.qty:
                leg.entry = ZERO
        else:
            leg.entry = (leg.entry * leg.qty + price * qty) / (leg.qty + qty)
            leg.qty += qty
        leg.update_ms = now_ms
        self._state.realised += realised
        self._state.fees += commission
        self._state.wallet += realised - commission
        self._state.update_ms = now_ms
        return realised

    def book_income(
        self, kind: str, symbol: str, amount: Decimal, time_ms: int, *, trade_id: int = 0
    ) -> Income:
        """Writes a row of the income history (it moves no money itself)."""
        row = Income(
            tran_id=self._state.next_tran_id,
            kind=kind,
            symbol=symbol,
            amount=amount,
            time_ms=time_ms,
            trade_id=trade_id,
        )
        self._state.next_tran_id += 1
        rows = self._state.income.setdefault(kind, [])
        rows.append(row)
        if len(rows) > HISTORY_MAX:
            del rows[:_FORGET]
        return row

    def pay_funding(self, symbol: str, amount: Decimal, market_ms: int) -> None:
        """Books one leg's funding (positive: received), dated by the market's clock."""
        self._state.wallet += amount
        self._state.funding += amount
        self.book_income("FUNDING_FEE", symbol, amount, market_ms)

    def transfer(self, amount: Decimal, now_ms: int) -> None:
        """Deposits (positive) or withdraws (negative) USDT.

        Raises VenueError -9000 when the amount is zero or a withdrawal is larger than `withdrawable`.
        """
        amount = money(amount) if amount.is_finite() else ZERO
        if not amount or (amount < 0 and -amount > self.withdrawable()):
            raise VenueError(-9000, "user have no available amount")
        self._state.wallet += amount
        self._state.deposits += amount
        self._state.update_ms = now_ms
        self.book_income("TRANSFER", "", amount, now_ms)

    def cover_bankruptcy(self, now_ms: int) -> Decimal:
        """Lets the insurance fund lift a negative wallet to zero; returns what it paid."""
        paid = -self._state.wallet if self._state.wallet < 0 else ZERO
        if paid:
            self._state.wallet += paid
            self._state.insurance += paid
            self.book_income("INSURANCE_CLEAR", "", paid, now_ms)
        return paid

    def unrealised(self) -> Decimal:
        """Unrealised profit of all legs at mark."""
        return sum((leg.unrealised(self.mark(leg.symbol)) for leg in self.open_legs()), ZERO)

    def open_legs(self) -> list[Leg]:
        """The legs that hold something."""
        return [leg for leg in self._state.legs.values() if leg.qty]

    def margin_balance(self) -> Decimal:
        """Wallet plus unrealised profit."""
        return self._state.wallet + self.unrealised()

    def notional(self, leg: Leg) -> Decimal:
        """Absolute notional of a leg at mark."""
        return leg.qty * self.mark(leg.symbol)

    def leg_maintenance(self, leg: Leg) -> Decimal:
        """Maintenance margin of one leg."""
        return maintenance(self.brackets[leg.symbol], self.notional(leg)) if leg.qty else ZERO

    def maintenance_margin(self) -> Decimal:
        """Maintenance margin of all legs."""
        return sum((self.leg_maintenance(leg) for leg in self.open_legs()), ZERO)

    def leg_initial(self, leg: Leg) -> Decimal:
        """Initial margin of one leg at mark; both legs of a symbol are charged."""
        return self.notional(leg) / self._state.markets[leg.symbol].leverage

    def position_initial(self) -> Decimal:
        """Initial margin of all legs."""
        return sum((self.leg_initial(leg) for leg in self.open_legs()), ZERO)

    def orders_initial(self, orders: Iterable[Order]) -> Decimal:
        """Initial margin that working entries hold; closes hold none."""
        total = ZERO
        for order in orders:
            if not order.closes:
                total += order.price * order.remaining / self._state.markets[order.symbol].leverage
        return total

    def live_orders(self) -> list[Order]:
        """All resting orders, by symbol."""
        return [order for book in self._books.values() for order in book.orders.values()]

    def available(self) -> Decimal:
        """What new entries may use, never negative."""
        held = self.position_initial() + self.orders_initial(self.live_orders())
        return max(ZERO, self.margin_balance() - held)

    def withdrawable(self) -> Decimal:
        """What may be transferred out: unrealised profit does not count, unrealised loss does."""
        return min(self.available(), max(ZERO, self._state.wallet))

    def max_notional(self, symbol: str) -> Decimal:
        """The largest notional of a leg at the leverage in force."""
        return max_notional(self.brackets[symbol], self._state.markets[symbol].leverage)

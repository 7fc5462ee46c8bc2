"""The account in our own books (spec/2-strategy.md, Ledger): legs, fees, funding, transfers, wallet, peak, periods.

Wallet = opening wallet (read once from the venue, when the state folder is new) + gross realised - fees + funding +
transfers. A commission in another asset than USDT is kept by asset and reported as a difference, never guessed at.

Equity is the worse of our books and the account as the venue reports it: what the account lacks against our books (an
instrument traded by hand, say) is `outside`, and moves with each comparison. What it has more is not ours to count.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.state import LedgerState, LegAccount
from hedgegridd.model import LEGS, ZERO, Leg

INCOMES_KEPT = 8192
GAP_USDT = Decimal(1)  # a difference that is no reason to doubt the books
GAP_NS = 10_000_000_000  # between two looks at a wallet that lacks money: bookings may be late
_NS = 1_000_000_000
_TRADES = frozenset({"COMMISSION", "REALIZED_PNL"})  # the fills have told these already
_COSTS = frozenset({"INSURANCE_CLEAR", "LIQUIDATION_FEE"})


class Periods(msgspec.Struct, frozen=True, kw_only=True):
    """What the guards judge, in USDT; None: not known yet."""

    equity: Decimal | None
    peak: Decimal | None
    session_peak: Decimal | None
    session: Decimal | None
    day: Decimal | None


class Ledger:
    """Books fills and income; all figures are USDT unless said otherwise."""

    def __init__(self, state: LedgerState, instruments: Iterable[str], zone: tzinfo = UTC) -> None:
        """`zone` is where the trading day begins at midnight."""
        self._s = state
        self._zone = zone
        for name in instruments:
            state.legs.setdefault(name, {leg: LegAccount() for leg in LEGS})

    def leg(self, instrument: str, leg: Leg) -> LegAccount:
        """A leg's account."""
        return self._s.legs[instrument][leg]

    # ------------------------------------------------------------------------------------------------- booking

    def fill(self, event: m.Fill, mono: int) -> Decimal:
        """Book a trade; returns the part in which a close and its entry reached us the wrong way round, else 0.

        Of a close: what our books had no inventory for. Of an entry: what such a close had closed before it came.
        """
        account = self.leg(event.instrument, event.leg)
        self._s.money_mono = max(self._s.money_mono, mono)
        if event.side is event.leg.entry_side:
            turned = min(event.qty, account.early_qty)
            if turned:
                quote = account.early_quote * turned / account.early_qty
                account.gross += (quote - event.price * turned) * event.leg.sign
                account.early_qty -= turned
                account.early_quote -= quote
            qty = account.qty + event.qty - turned
            if qty:
                worth = account.average * account.qty + event.price * (event.qty - turned)
                account.average = worth / qty
            account.qty = qty
        else:
            closed = min(event.qty, account.qty)
            turned = event.qty - closed
            account.early_qty += turned
            account.early_quote += turned * event.price
            account.gross += (event.price - account.average) * closed * event.leg.sign
            account.qty -= closed
            if account.qty == ZERO:
                account.average = ZERO
        if event.commission_asset == "USDT":
            account.fees += event.commission
        elif event.commission:
            self._other(event.commission_asset, -event.commission)
        return turned

    def income(self, event: m.IncomeBooked, mono: int) -> bool:
        """Book a wallet movement that is no trade, once per id; False when it was booked before."""
        incomes = self._s.incomes
        if event.income_id in incomes:
            return False
        incomes[event.income_id] = True
        while len(incomes) > INCOMES_KEPT:
            del incomes[next(iter(incomes))]
        if event.kind in _TRADES:
            return True
        self._s.money_mono = max(self._s.money_mono, mono)
        if event.asset == "USDT" and self._s.gap < ZERO:  # the venue's wallet lacked it already
            self._s.gap = min(ZERO, self._s.gap - min(ZERO, event.amount))
        if event.asset != "USDT":
            self._other(event.asset, event.amount)
        elif event.kind == "FUNDING_FEE" and event.instrument in self._s.legs:
            self._funding(event.instrument, event.amount)
        elif event.kind in _COSTS and event.instrument in self._s.legs:
            self.leg(event.instrument, Leg.LONG).fees -= event.amount
        else:  # transfers, and rare bookings (rebates, bonuses) that are no result of trading
            self._s.transfers += event.amount
            if self._s.peak is not None:
                self._s.peak += event.amount
            if self._s.session_peak is not None:
                self._s.session_peak += event.amount
        return True

    def _other(self, asset: str, amount: Decimal) -> None:
        self._s.other_assets[asset] = self._s.other_assets.get(asset, ZERO) + amount

    def _funding(self, instrument: str, amount: Decimal) -> None:
        """The venue books both legs in one sum: LONG pays rate x notional, SHORT gets it, so each has its share."""
        long, short = self.leg(instrument, Leg.LONG), self.leg(instrument, Leg.SHORT)
        net = short.qty - long.qty
        if net == ZERO:
            long.funding += amount
            return
        share = amount * short.qty / net
        short.funding += share
        long.funding += amount - share

    def set_leg(self, instrument: str, leg: Leg, qty: Decimal, average: Decimal) -> None:
        """Take a leg's quantity and average entry from the venue's report."""
        account = self.leg(instrument, leg)
        account.qty = qty
        account.average = average if qty else ZERO

    def all_told(self, instrument: str, leg: Leg) -> None:
        """Every trade up to a comparison has been booked: a close without its entry closed what was never ours."""
        account = self.leg(instrument, leg)
        account.early_qty = account.early_quote = ZERO

    def set_average(self, instrument: str, leg: Leg, average: Decimal) -> None:
        """Take the venue's average entry where trades reached us in another order than they happened.

        All trades being booked, what the average gains is what the closes that were booked too early have lost: the
        wallet follows.
        """
        account = self.leg(instrument, leg)
        account.gross += (average - account.average) * account.qty * leg.sign
        account.average = average

    def open_wallet(self, wallet_usdt: Decimal) -> None:
        """The venue's wallet as it is with all that has been booked; sets the opening wallet once."""
        if self._s.opening is None:
            self._s.opening = wallet_usdt - self.realized - self._s.transfers
        self._s.residual = self._wallet() - wallet_usdt

    def compare(self, wallet_usdt: Decimal) -> Decimal:
        """Our wallet minus the venue's, kept for people."""
        self._s.residual = self._wallet() - wallet_usdt
        return self._s.residual

    def look_outside(self, elsewhere_usdt: Decimal, mono: int) -> bool:
        """After `compare` or `open_wallet`: what the account has lost beside our books; True: look again in `GAP_NS`.

        `elsewhere_usdt` is the unrealised result of positions that are not traded here. More money counts at once, less
        when it is missing at two looks: what a transfer took may not be told yet.
        """
        state = self._s
        state.elsewhere = elsewhere_usdt
        gap = -(state.residual or ZERO)
        first = state.session_outside is None  # what a process finds is where it begins, not its loss
        if first or gap > state.gap - GAP_USDT:
            state.gap, state.gap_seen = gap if first else max(gap, state.gap), None
        elif state.gap_seen is None:
            state.gap_seen, state.gap_mono = gap, mono
        elif mono - state.gap_mono >= GAP_NS:
            state.gap = max(gap, state.gap_seen)
            state.gap_seen, state.gap_mono = (gap, mono) if gap <= state.gap - GAP_USDT else (None, 0)
        if first:
            state.session_outside, state.session_peak = self.outside, None
        if state.day_outside is None:
            state.day_outside = self.outside
        return state.gap_seen is not None

    @property
    def outside(self) -> Decimal:
        """What the account lacks against our books, never above 0."""
        lost = self._s.gap + self._s.elsewhere
        return lost if lost <= -GAP_USDT else ZERO

    def mark(self, instrument: str, mark: Decimal) -> None:
        """The latest mark price."""
        self._s.marks[instrument] = mark

    def tick(self, market_ns: int) -> None:
        """Move peak and periods on; the trading day follows the market's clock."""
        total = self.total
        if total is None:
            return
        equity = self.equity
        if equity is not None and (self._s.peak is None or equity > self._s.peak):
            self._s.peak = equity
        if equity is not None and (self._s.session_peak is None or equity > self._s.session_peak):
            self._s.session_peak = equity
        if self._s.inception_base is None:
            self._s.inception_base = total
        if self._s.session_base is None:
            self._s.session_base = total
        day = datetime.fromtimestamp(market_ns // _NS, self._zone).date().isoformat()
        if day > self._s.day:
            self._s.day = day
            self._s.day_base = total
            self._s.day_outside = self.outside

    def new_session(self) -> None:
        """Since start begins now."""
        self._s.session_base = self._s.session_peak = self._s.session_outside = None
        self._s.gap_seen, self._s.gap_mono = None, 0

    def restart_session(self) -> None:
        """What is measured since start begins anew with what is known now (a human rearms after a trip)."""
        self._s.session_base, self._s.session_peak = self.total, self.equity
        self._s.session_outside = self.outside

    # ------------------------------------------------------------------------------------------------- reading

    @property
    def opened(self) -> bool:
        """True when the venue's wallet has been read once."""
        return self._s.opening is not None

    @property
    def money_mono(self) -> int:
        """When money was last booked."""
        return self._s.money_mono

    @property
    def other_assets(self) -> dict[str, Decimal]:
        """Movements in other assets, which the USDT figures do not contain."""
        return self._s.other_assets

    def _sum(self, field: str) -> Decimal:
        return sum((getattr(leg, field) for legs in self._s.legs.values() for leg in legs.values()), ZERO)

    @property
    def realized(self) -> Decimal:
        """Net of fees and funding."""
        return sum(
            (leg.gross - leg.fees + leg.funding for legs in self._s.legs.values() for leg in legs.values()),
            ZERO,
        )

    def _wallet(self) -> Decimal:
        return (self._s.opening or ZERO) + self.realized + self._s.transfers

    @property
    def wallet(self) -> Decimal | None:
        """None until the venue has been read once."""
        return self._wallet() if self._s.opening is not None else None

    def unrealized_of(self, instrument: str, leg: Leg) -> Decimal | None:
        """At mark; None when there is inventory and no mark."""
        account = self.leg(instrument, leg)
        if account.qty == ZERO:
            return ZERO
        mark = self._s.marks.get(instrument)
        return None if mark is None else (mark - account.average) * account.qty * leg.sign

    @property
    def unrealized(self) -> Decimal | None:
        """Of all legs at mark; None when one cannot be told."""
        total = ZERO
        for instrument in self._s.legs:
            for leg in LEGS:
                part = self.unrealized_of(instrument, leg)
                if part is None:
                    return None
                total += part
        return total

    @property
    def equity(self) -> Decimal | None:
        """Wallet plus unrealised, less what was lost outside our books."""
        wallet, unrealized = self.wallet, self.unrealized
        return None if wallet is None or unrealized is None else wallet + unrealized + self.outside

    @property
    def total(self) -> Decimal | None:
        """Realised plus unrealised."""
        unrealized = self.unrealized
        return None if unrealized is None else self.realized + unrealized

    def periods(self) -> Periods:
        """Equity, its peaks, and what was won since start and since the day began, outside our books included."""
        unrealized, realized = self.unrealized, self.realized
        total = None if unrealized is None else realized + unrealized
        equity = None
        if self._s.opening is not None and total is not None:
            equity = self._s.opening + total + self._s.transfers + self.outside
        base, day = self._s.session_base, self._s.day_base
        return Periods(
            equity=equity,
            peak=self._s.peak,
            session_peak=self._s.session_peak,
            session=self._since(total, base, self._s.session_outside),
            day=self._since(total, day, self._s.day_outside),
        )

    def _since(
        self, total: Decimal | None, base: Decimal | None, outside_base: Decimal | None
    ) -> Decimal | None:
        """What was won since `total` and `outside` were so much; what is outside counts once it was looked at."""
        if total is None or base is None:
            return None
        return total - base + (ZERO if outside_base is None else self.outside - outside_base)

    def notional(self, instrument: str, price: Decimal) -> Decimal:
        """Gross notional of both legs at a price."""
        return sum((self.leg(instrument, leg).qty for leg in LEGS), ZERO) * price

    def view(self) -> m.LedgerView:
        """All figures for people; fees are negative when paid."""
        total = self.total

        def since(base: Decimal | None) -> Decimal | None:
            return None if total is None or base is None else total - base

        return m.LedgerView(
            wallet_usdt=self.wallet,
            equity_usdt=self.equity,
            peak_equity_usdt=self._s.peak,
            realized_usdt=self.realized,
            gross_realized_usdt=self._sum("gross"),
            fees_usdt=-self._sum("fees"),
            funding_usdt=self._sum("funding"),
            transfers_usdt=self._s.transfers,
            unrealized_usdt=self.unrealized,
            total_usdt=total,
            day_usdt=since(self._s.day_base),
            session_usdt=since(self._s.session_base),
            inception_usdt=since(self._s.inception_base),
            residual_usdt=self._s.residual,
        )

"""What the views say that no event does: a flatten that is not verified in time, a large loss, dear funding."""

from collections.abc import Iterator
from decimal import Decimal

from hedgegridd import messages as m
from hedgegridd.alerts.found import Clear, Finding, Raise
from hedgegridd.alerts.words import plain
from hedgegridd.model import BPS, LEGS, ZERO, Nanos

NOT_FLAT_S = 10
CALM = Decimal("0.8")  # of the funding limit: below it the rate is calm again
FLAT = "flat"
_NS_PER_S = 1_000_000_000


class Watch:
    """`large_loss_usdt`: each further such loss of the day is told; `funding_bps`: of one settlement, either way."""

    def __init__(self, *, large_loss_usdt: Decimal, funding_bps: Decimal) -> None:
        self._large_loss_usdt = large_loss_usdt
        self._funding_bps = funding_bps
        self._steps = 0
        self._dear: set[str] = set()

    def look(
        self, desk: m.DeskView | None, flattens: m.FlattensAnswer | None, now_ns: Nanos
    ) -> list[Finding]:
        """What the newest views mean; None: that part did not answer, which the health tells."""
        found: list[Finding] = []
        if flattens is not None:
            found += self._not_flat(flattens, desk, now_ns)
        if desk is not None:
            found += self._loss(desk.ledger)
            found += self._funding(desk)
        return found

    @staticmethod
    def _not_flat(answer: m.FlattensAnswer, desk: m.DeskView | None, now_ns: Nanos) -> Iterator[Finding]:
        marks = {} if desk is None else {item.instrument: item.mark for item in desk.instruments}
        for item in answer.flattens:
            if item.state == FLAT or now_ns - item.since_ns < NOT_FLAT_S * _NS_PER_S:
                continue
            mark = marks.get(item.instrument)
            name = plain(item.instrument)
            left = "quantity not known"
            if item.residual_qty is not None:
                worth = "" if mark is None else f" ({item.residual_qty * mark:,.0f} USDT)"
                left = f"{item.residual_qty:f}{worth}"
            orders = "orders not known" if item.residual_orders is None else f"{item.residual_orders} orders"
            yield Raise(
                kind="not_flat",
                key=f"notflat:{item.instrument}:{item.leg.value}",
                severity="CRITICAL",
                title=f"NOT FLAT {item.leg.value} {name}",
                what=f"{left}, {orders} left after more than {NOT_FLAT_S} s, attempt {item.attempts}",
                did="it goes on until the venue reports nothing; acknowledging does not stop it",
                do=f"hedgegridctl panic --yes, or close {item.leg.value} at the venue",
                section="kill-switch",
                lasting=True,
                changed=True,
            )

    def _loss(self, ledger: m.LedgerView) -> Iterator[Finding]:
        if ledger.day_usdt is None:
            return
        steps = max(0, int(-ledger.day_usdt / self._large_loss_usdt))
        if steps > self._steps:
            self._steps = steps
            total = "" if ledger.total_usdt is None else f"; total {ledger.total_usdt:+,.2f} USDT"
            yield Raise(
                kind="large_loss",
                key="large_loss",
                severity="WARNING",
                title="LARGE LOSS",
                what=f"{ledger.day_usdt:+,.2f} USDT today, told at every further {self._large_loss_usdt:f}{total}",
                did="nothing by itself: daily_loss, session_loss and the draw-down guards act at their limits",
                do="hedgegridctl guards; decide whether the grid fits this market",
                section="money-guards",
                lasting=True,
                changed=True,
            )
        elif self._steps and -ledger.day_usdt < self._large_loss_usdt / 2:
            self._steps = 0
            yield Clear(key="large_loss", title="LOSS MADE GOOD", what=f"{ledger.day_usdt:+,.2f} USDT today")

    def _funding(self, desk: m.DeskView) -> Iterator[Finding]:
        for item in desk.instruments:
            if item.funding_rate is None:
                continue
            bps = item.funding_rate * BPS
            name = plain(item.instrument)
            if abs(bps) >= self._funding_bps and item.instrument not in self._dear:
                self._dear.add(item.instrument)
                yield Raise(
                    kind="funding",
                    key=f"funding:{item.instrument}",
                    severity="WARNING",
                    title=f"FUNDING {name}",
                    what=f"{bps:+.2f} bps at the next settlement (told from {self._funding_bps:f}); "
                    f"{_cost(item)} at today's inventory",
                    did="entries of the paying side shrink as configured; funding_cost acts at its limit",
                    do="nothing, or flatten the paying leg",
                    section="money-guards",
                    lasting=True,
                )
            elif abs(bps) < self._funding_bps * CALM and item.instrument in self._dear:
                self._dear.discard(item.instrument)
                yield Clear(
                    key=f"funding:{item.instrument}", title=f"FUNDING CALM {name}", what=f"{bps:+.2f} bps"
                )


def _cost(item: m.InstrumentView) -> str:
    """What the settlement would take or bring, in words."""
    assert item.funding_rate is not None, "looked at before"
    net = sum((leg.leg.sign * leg.inventory_usdt for leg in item.legs if leg.leg in LEGS), ZERO)
    cost = item.funding_rate * net
    return f"we pay {cost:,.2f} USDT" if cost >= 0 else f"we get {-cost:,.2f} USDT"

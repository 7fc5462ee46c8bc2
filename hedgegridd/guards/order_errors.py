"""Orders and cancels that were refused, by the venue or on the way to it, without the refusals a grid lives with."""

from decimal import Decimal
from typing import Annotated

from hedgegridd.config import above, between
from hedgegridd.core.facts import Fact, View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict, judge, shown, warn_level
from hedgegridd.messages import CancelRejected, OrderRejected
from hedgegridd.model import NOT_TRADING_CODES

TYPE = "order_errors"
INPUTS = (OrderRejected, CancelRejected)
EXPECTED = (-5022, -2011, -2013, -2022)  # would cross, nothing to cancel, unknown, more than the leg

type Refused = Fact[OrderRejected] | Fact[CancelRejected]


class Table(GuardTable, frozen=True, kw_only=True):
    """`trip_count` refusals in `window_s` seconds whose codes are not in `expected_codes`."""

    trip_count: Annotated[int, between("1", "5000")] = 10
    warn_count: Annotated[int, between("1", "5000")] | None = None
    window_s: Annotated[Decimal, above("0", "3600")] = Decimal(60)
    expected_codes: tuple[int, ...] = EXPECTED
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(0)
    cooldown_s: Annotated[Decimal, between("0", "86400")] = Decimal(300)


def history(params: Table) -> tuple[Keep, ...]:
    """The window."""
    return (
        Keep(kind=OrderRejected, seconds=params.window_s),
        Keep(kind=CancelRejected, seconds=params.window_s),
    )


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account. Silence is good news here: there is no data that could be missing."""
    refused: list[Refused] = [
        *view.recent(OrderRejected, now, params.window_s),
        *view.recent(CancelRejected, now, params.window_s),
    ]
    errors = _once_an_instrument(
        [fact for fact in refused if fact.message.code not in params.expected_codes and not _unsent(fact)]
    )
    count, limit = Decimal(len(errors)), Decimal(params.trip_count)
    warn = warn_level(None if params.warn_count is None else Decimal(params.warn_count), limit)
    words = f"{count} orders and cancels refused in {shown(params.window_s)} s, limit {limit}"
    if errors:
        last = max(reversed(errors), key=lambda fact: fact.time_ns).message
        words = f"{words}, the last {last.code} {last.reason}"
    return (
        judge(
            params,
            count,
            reached=count >= limit,
            near=count >= warn,
            warn=warn,
            limit=limit,
            unit="orders",
            words=lambda: words,
        ),
    )


def _unsent(fact: Refused) -> bool:
    """A cancel without a code had no answer, or no effect, and is sent again: nobody has refused it."""
    return isinstance(fact.message, CancelRejected) and not fact.message.code


def _once_an_instrument(errors: list[Refused]) -> list[Refused]:
    """Of what says that an instrument does not trade only the newest: one fact, which `venue_action` judges."""
    newest = {
        (fact.message.instrument, fact.message.code): fact
        for fact in errors
        if fact.message.code in NOT_TRADING_CODES
    }
    return [*(fact for fact in errors if fact.message.code not in NOT_TRADING_CODES), *newest.values()]

"""Whether USDT still is a dollar: the larger deviation from 1 of USDC/USDT and of BTC in USDT over BTC in USDC."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from hedgegridd.config import above, between
from hedgegridd.core.actions import Action
from hedgegridd.core.facts import View
from hedgegridd.core.guard import SECOND_NS, GuardTable, Keep, Now, Verdict, judge, missing, shown, warn_level
from hedgegridd.messages import ReferencePrice

TYPE = "depeg"
INPUTS = (ReferencePrice,)
FLATTEN = Action("flatten")
HUNDRED = Decimal(100)


class Table(GuardTable, frozen=True, kw_only=True):
    """Off until `enabled = true`. `trip_pct` in `samples` samples `every_s` apart; `exit = true` flattens.

    The prices of `peg_symbol`, `usdt_symbol` and `usdc_symbol` are read from the venue every 10 s.
    """

    enabled: bool = False
    peg_symbol: str = "USDCUSDT"
    usdt_symbol: str = "BTCUSDT"
    usdc_symbol: str = "BTCUSDC"
    trip_pct: Annotated[Decimal, above("0", "100")] = Decimal("0.5")
    warn_pct: Annotated[Decimal, above("0", "100")] | None = None
    samples: Annotated[int, between("1", "100")] = 3
    every_s: Annotated[Decimal, above("0", "3600")] = Decimal(60)
    exit: bool = False
    action: str = "pause"
    clear_s: Annotated[Decimal, between("0", "86400")] = Decimal(300)
    max_age_s: Annotated[Decimal, between("0.1", "86400")] = Decimal(35)

    @property
    def act(self) -> Action:
        """`exit` closes everything, whatever `action` says."""
        return FLATTEN if self.exit else super().act

    @property
    def references(self) -> tuple[str, ...]:
        """The symbols whose prices must be told."""
        return (self.peg_symbol, self.usdt_symbol, self.usdc_symbol)


def history(params: Table) -> tuple[Keep, ...]:
    """As far back as the first of the samples, and the prices that held then."""
    return (Keep(kind=ReferencePrice, seconds=params.every_s * (params.samples - 1) + params.max_age_s),)


def check(view: View, now: Now, params: Table) -> tuple[Verdict, ...]:
    """One verdict for the account; a look when the next sample is due."""
    prices = [view.fresh(ReferencePrice, now, params.max_age_s, symbol) for symbol in params.references]
    known = [each.price for each in prices if each is not None]
    if len(known) < len(prices) or any(price <= 0 for price in known):
        return (missing(params, "a reference price is not known", limit=params.trip_pct, unit="%"),)
    course = [_deviation_pct(view, now, params, number) for number in range(params.samples)]
    apart = _larger_pct(known)
    far = [each is not None and each >= params.trip_pct for each in course]
    warn = warn_level(params.warn_pct, params.trip_pct)
    seen = far.index(False) if False in far else len(far)
    words = (
        f"USDT is {shown(apart)} % from its peg, limit {shown(params.trip_pct)} %, "
        f"seen {seen} of {params.samples} times"
    )
    verdict = judge(
        params,
        apart,
        reached=all(far),
        near=apart >= warn,
        warn=warn,
        limit=params.trip_pct,
        unit="%",
        words=lambda: words,
    )
    return (msgspec.structs.replace(verdict, again_s=params.every_s if far[0] and not all(far) else None),)


def _deviation_pct(view: View, now: Now, params: Table, number: int) -> Decimal | None:
    """The deviation as it was known `number` samples ago; None: not known then."""
    at_ns = now.time_ns - int(params.every_s * SECOND_NS) * number
    oldest_ns = at_ns - int(params.max_age_s * SECOND_NS)
    found: dict[str, Decimal] = {}
    for fact in view.kept(ReferencePrice):
        if oldest_ns <= fact.time_ns <= at_ns and fact.message.price > 0:
            found[fact.message.symbol] = fact.message.price
    prices = [found[symbol] for symbol in params.references if symbol in found]
    return _larger_pct(prices) if len(prices) == len(params.references) else None


def _larger_pct(prices: Sequence[Decimal]) -> Decimal:
    """Of USDC/USDT and BTCUSDT / BTCUSDC the larger distance from 1, in percent."""
    peg, in_usdt, in_usdc = prices
    return max(abs(peg - 1), abs(in_usdt / in_usdc - 1)) * HUNDRED

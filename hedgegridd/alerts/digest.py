"""The figures of a day (or of six hours): what was earned, traded and paid, which guards are nearest, what went wrong."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from hedgegridd import messages as m
from hedgegridd.alerts.found import Raise
from hedgegridd.alerts.text import stamp
from hedgegridd.core.utilization import utilization
from hedgegridd.model import ZERO, Nanos

NEAREST = 3
_NS_PER_S = 1_000_000_000


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """Where a digest counts from: the books' running figures at `time_ns`, in USDT."""

    time_ns: Nanos
    total_usdt: Decimal | None
    realized_usdt: Decimal
    fees_usdt: Decimal
    funding_usdt: Decimal
    fills: int
    maker_fills: int


def base_of(view: m.DeskView, time_ns: Nanos) -> Base:
    """The running figures of now."""
    ledger = view.ledger
    return Base(
        time_ns=time_ns,
        total_usdt=ledger.total_usdt,
        realized_usdt=ledger.realized_usdt,
        fees_usdt=ledger.fees_usdt,
        funding_usdt=ledger.funding_usdt,
        fills=sum(item.fills for item in view.instruments),
        maker_fills=sum(item.maker_fills for item in view.instruments),
    )


def next_due_ns(now_ns: Nanos, hours: int, zone: ZoneInfo) -> Nanos:
    """When the next one is due: at 0 o'clock of the trading day's zone and every `hours` after it."""
    now = datetime.fromtimestamp(now_ns // _NS_PER_S, zone)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    due = next(at for step in range(24 // hours + 1) if (at := _later(day, hours * step)) > now)
    return int(due.astimezone(UTC).timestamp()) * _NS_PER_S


def _later(day: datetime, hours: int) -> datetime:
    """Wall-clock hours: a day that is an hour shorter or longer ends at 0 o'clock all the same."""
    return day + timedelta(days=hours // 24, hours=hours % 24)


def digest(
    base: Base,
    view: m.DeskView,
    guards: m.GuardsAnswer | None,
    incidents: Mapping[str, int],
    time_ns: Nanos,
) -> Raise:
    """What happened between `base` and now."""
    now = base_of(view, time_ns)
    if now.total_usdt is not None and base.total_usdt is not None:
        earned = f"{now.total_usdt - base.total_usdt:+,.2f} USDT"
    else:
        earned = f"{now.realized_usdt - base.realized_usdt:+,.2f} USDT realised"
    fills, makers = now.fills - base.fills, now.maker_fills - base.maker_fills
    maker = f", maker {Decimal(makers) / fills:.0%}" if fills > 0 else ""
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(incidents.items())) or "none"
    lines = [
        (
            f"{earned} (fees {now.fees_usdt - base.fees_usdt:+,.2f}, funding {now.funding_usdt - base.funding_usdt:+,.2f}), "
            f"{fills} fills{maker}, since {stamp(base.time_ns)}"
        ),
        f"nearest: {_nearest(guards)}",
        f"incidents: {counted}",
    ]
    return Raise(
        kind="digest",
        key="digest",
        severity="INFO",
        title="DIGEST",
        what="; ".join(lines),
        section="runbook",
        changed=True,
    )


def _nearest(guards: m.GuardsAnswer | None) -> str:
    """The guards nearest to their limit, in words."""
    if guards is None:
        return "the guards do not answer"
    used: dict[str, Decimal] = {}
    for verdict in guards.verdicts:
        share = utilization(verdict)
        if share is not None:
            used[verdict.guard] = max(share, used.get(verdict.guard, ZERO))
    nearest = Counter(used).most_common(NEAREST)
    return ", ".join(f"{name} {share:.0%}" for name, share in nearest) or "no guard has a figure"

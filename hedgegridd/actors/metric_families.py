"""Views of the daemon as Prometheus families: every name, unit and label of spec/5-observability.md in one place.

A figure that is not known makes no sample: absent, never zero. Nothing here keeps state.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hedgegridd import __version__
from hedgegridd import messages as m
from hedgegridd.core.utilization import utilization
from hedgegridd.model import ZERO, KillState, Leg

BILLION = 1_000_000_000
HOURS_PER_FUNDING = 8


def gauge(name: str, text: str, samples: Iterable[tuple[Mapping[str, str], object]]) -> Iterator[Metric]:
    """One gauge family from (labels, value) pairs; pairs without a value, and families without pairs, are left out."""
    known = [(labels, float(str(value))) for labels, value in samples if value is not None]
    if not known:
        return
    family = GaugeMetricFamily(f"hedgegrid_{name}", text, labels=list(known[0][0]))
    for labels, value in known:
        family.add_metric(list(labels.values()), value)
    yield family


def counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Iterator[Metric]:
    """One counter family from label value to count; `_total` is added by the exposition."""
    if not values:
        return
    family = CounterMetricFamily(f"hedgegrid_{name}", text, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], float(count))
    yield family


def leg_of(view: m.InstrumentView, leg: Leg) -> m.LegView:
    """The leg's view."""
    return next(item for item in view.legs if item.leg is leg)


def desk_families(view: m.DeskView) -> Iterator[Metric]:
    """What the desk's books say: inventories, rungs, orders, PnL, funding."""

    def each(value: Callable[[m.InstrumentView], object]) -> list[tuple[Mapping[str, str], object]]:
        return [({"instrument": item.instrument}, value(item)) for item in view.instruments]

    def books(value: Callable[[m.InstrumentView], object]) -> list[tuple[Mapping[str, str], object]]:
        # Until they have been compared with the venue once, books that say 0 know nothing.
        return each(value) if view.reconciled else []

    yield from gauge(
        "long_inventory_usdt",
        "LONG leg at mark price.",
        books(lambda i: leg_of(i, Leg.LONG).inventory_usdt),
    )
    yield from gauge(
        "short_inventory_usdt",
        "SHORT leg at mark price.",
        books(lambda i: leg_of(i, Leg.SHORT).inventory_usdt),
    )
    yield from gauge(
        "net_inventory_usdt",
        "LONG minus SHORT at mark price.",
        books(lambda i: leg_of(i, Leg.LONG).inventory_usdt - leg_of(i, Leg.SHORT).inventory_usdt),
    )
    yield from gauge(
        "active_rungs_long", "LONG entries resting at the venue.", books(lambda i: i.rungs_resting_long)
    )
    yield from gauge(
        "active_rungs_short", "SHORT entries resting at the venue.", books(lambda i: i.rungs_resting_short)
    )
    yield from gauge("open_orders", "Live orders, exits and stops included.", books(lambda i: i.open_orders))
    yield from gauge("maker_ratio", "Maker fills over all fills.", books(maker_ratio))
    yield from gauge(
        "funding_rate_current", "Funding rate of the next settlement.", each(lambda i: i.funding_rate)
    )
    yield from gauge(
        "funding_cost_1h_projected_usdt",
        "Funding per hour at today's rate and inventory, positive when we pay.",
        books(funding_cost_1h),
    )
    yield from gauge("realized_pnl_usdt", "Realised PnL, net of fees and funding.", books(realized))
    yield from gauge("unrealized_pnl_usdt", "Unrealised PnL at mark.", books(unrealized))
    yield from gauge("total_pnl_usdt", "Realised plus unrealised PnL.", books(total))
    yield from gauge(
        "last_bar_timestamp",
        "Close of the last bar, seconds of the market's clock.",
        each(lambda i: None if i.last_bar_ns is None else Decimal(i.last_bar_ns) / BILLION),
    )
    ledger = view.ledger
    yield from gauge("equity_usdt", "Wallet plus unrealised PnL.", [({}, ledger.equity_usdt)])
    yield from gauge("cash_usdt", "Wallet.", [({}, ledger.wallet_usdt)])
    yield from gauge(
        "equity_peak_usdt", "Highest equity, without transfers.", [({}, ledger.peak_equity_usdt)]
    )
    yield from gauge("drawdown_ratio", "Fall from the peak, over the peak.", [({}, drawdown(ledger))])
    yield from gauge("equity_residual_usdt", "Our wallet minus the venue's.", [({}, ledger.residual_usdt)])


def maker_ratio(view: m.InstrumentView) -> Decimal | None:
    """Maker fills over fills; None before the first."""
    return Decimal(view.maker_fills) / view.fills if view.fills else None


def funding_cost_1h(view: m.InstrumentView) -> Decimal | None:
    """USDT an hour, positive when we pay; None without a rate."""
    if view.funding_rate is None:
        return None
    net = leg_of(view, Leg.LONG).inventory_usdt - leg_of(view, Leg.SHORT).inventory_usdt
    return view.funding_rate * net / HOURS_PER_FUNDING


def realized(view: m.InstrumentView) -> Decimal:
    """Both legs' realised PnL in USDT, net of fees and funding."""
    return sum((leg.realized_usdt for leg in view.legs), ZERO)


def unrealized(view: m.InstrumentView) -> Decimal | None:
    """Both legs' unrealised PnL in USDT; None when a leg's is not known."""
    values = [leg.unrealized_usdt for leg in view.legs]
    return None if None in values else sum((value for value in values if value is not None), ZERO)


def total(view: m.InstrumentView) -> Decimal | None:
    """Realised plus unrealised, in USDT."""
    open_usdt = unrealized(view)
    return None if open_usdt is None else realized(view) + open_usdt


def drawdown(ledger: m.LedgerView) -> Decimal | None:
    """(peak - equity) / peak; None until both are known."""
    if ledger.equity_usdt is None or not ledger.peak_equity_usdt:
        return None
    return (ledger.peak_equity_usdt - ledger.equity_usdt) / ledger.peak_equity_usdt


def venue_families(venue: m.VenueAnswer) -> Iterator[Metric]:
    """What the venue says of the account and of our use of it."""
    account = venue.account
    if account is not None:
        ratio = (
            account.maint_margin_usdt / account.margin_balance_usdt
            if account.margin_balance_usdt > 0
            else None
        )
        yield from gauge(
            "margin_ratio", "Maintenance margin over margin balance, the venue's figures.", [({}, ratio)]
        )


def budget_families(health: m.VenueHealth) -> Iterator[Metric]:
    """How much of the venue's limits is used, as guards see it."""
    used = {"weight_1m": health.weight_used, "orders": health.orders_used}
    yield from gauge(
        "rate_budget_used_ratio",
        "Used part of the venue's request weight, and of its count of orders.",
        [({"budget": name}, value) for name, value in used.items()],
    )


def call_families(calls: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    """Calls of the venue by endpoint and outcome, and those that were not answered well by the kind of failure."""
    if not calls:
        return
    family = CounterMetricFamily(
        "hedgegrid_venue_calls",
        "Calls of the venue; held ones were not sent.",
        labels=["endpoint", "outcome"],
    )
    errors: Counter[str] = Counter()
    for (endpoint, outcome), count in sorted(calls.items()):
        family.add_metric([endpoint, outcome], float(count))
        if outcome != "ok":
            errors[outcome] += count
    yield family
    yield from counter("venue_errors", "Calls of the venue that failed, by kind.", "kind", errors)


def dead_man_families(answer: m.DeadManAnswer, now_ns: int) -> Iterator[Metric]:
    """How old the venue's last confirmation of each countdown is; no sample where none runs."""
    yield from gauge(
        "dead_man_age_seconds",
        "Since the venue last confirmed the countdown of the dead-man switch.",
        [
            ({"instrument": item.instrument}, Decimal(now_ns - item.renewed_ns) / BILLION)
            for item in answer.countdowns
            if item.until_ns is not None and item.renewed_ns is not None
        ],
    )
    if answer.enabled:
        yield from gauge(
            "dead_man_armed", "1 when every countdown runs.", [({}, int(answer.state == "armed"))]
        )


GUARD_STATUS = {"OK": 0, "WARN": 1, "CRITICAL": 2, "BLOCK": 3}


def guard_families(answer: m.GuardsAnswer) -> Iterator[Metric]:
    """The worst that each guard says, and how much of its limit is used up; guards that are off are absent."""
    blocking = {hold.key.split(":")[1] for hold in answer.holds if hold.action == "pause"}
    status: dict[str, int] = {}
    used: dict[str, Decimal] = {}
    for verdict in answer.verdicts:
        name = verdict.guard
        rank = GUARD_STATUS["BLOCK"] if name in blocking else GUARD_STATUS[verdict.level]
        status[name] = max(status.get(name, 0), rank)
        share = utilization(verdict)
        if share is not None:
            used[name] = max(used.get(name, share), share)
    yield from gauge(
        "guard_status",
        "0 OK, 1 WARN, 2 CRITICAL, 3 BLOCK (it holds entries).",
        [({"guard": name}, value) for name, value in status.items()],
    )
    yield from gauge(
        "guard_utilization_ratio",
        "Value over limit; limit over value where the limit is a floor.",
        [({"guard": name}, value) for name, value in used.items()],
    )


def daemon_families(
    started_ns: int, now_ns: int, kill: m.KillSwitchAnswer | None, boot: m.BootAnswer | None
) -> Iterator[Metric]:
    """What the daemon says of itself."""
    yield from gauge("build_info", "Version that runs.", [({"version": __version__}, 1)])
    yield from gauge("uptime_seconds", "Since start.", [({}, Decimal(now_ns - started_ns) / BILLION)])
    yield from gauge(
        "heartbeat_timestamp_seconds", "When this was answered.", [({}, Decimal(now_ns) / BILLION)]
    )
    if kill is not None:
        yield from gauge(
            "kill_switch_state",
            "1 at the state that holds.",
            [({"state": state.value}, int(state is kill.state)) for state in KillState],
        )
    if kill is not None and boot is not None:
        enabled = kill.state is KillState.ARMED and boot.ready
        yield from gauge("trading_enabled", "1 when entries may be placed.", [({}, int(enabled))])

"""Views of the daemon as Prometheus families: every name, unit and label of spec/5-observability.md in one place.

A figure that is not known makes no sample: absent, never zero. Nothing here keeps state.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from hedgegridd import __version__
from hedgegridd import messages as m
from hedgegridd.actors.exposition import Family, Row, counter, gauge, labels, single
from hedgegridd.core.kpi import open_breakers
from hedgegridd.core.utilization import utilization
from hedgegridd.model import ZERO, KillState

BILLION = 1_000_000_000
HOURS_PER_FUNDING = 8


def desk_families(view: m.FiguresAnswer) -> Iterator[Family]:
    """What the desk's books say: inventories, rungs, orders, PnL, funding."""
    named = [(item, labels({"instrument": item.instrument})) for item in view.instruments]

    def each(name: str, text: str, value: Callable[[m.InstrumentMetrics], object]) -> Iterator[Family]:
        rows = [Row("", of, known) for item, of in named if (known := value(item)) is not None]
        if rows:
            yield Family(f"hedgegrid_{name}", "gauge", text, rows)

    def books(name: str, text: str, value: Callable[[m.InstrumentMetrics], object]) -> Iterator[Family]:
        # Until they have been compared with the venue once, books that say 0 know nothing.
        if view.reconciled:
            yield from each(name, text, value)

    yield from books("long_inventory_usdt", "LONG leg at mark price.", lambda i: i.long.inventory_usdt)
    yield from books("short_inventory_usdt", "SHORT leg at mark price.", lambda i: i.short.inventory_usdt)
    yield from books("net_inventory_usdt", "LONG minus SHORT at mark price.", net)
    yield from books(
        "active_rungs_long", "LONG entries resting at the venue.", lambda i: i.long.rungs_resting
    )
    yield from books(
        "active_rungs_short", "SHORT entries resting at the venue.", lambda i: i.short.rungs_resting
    )
    yield from books("open_orders", "Live orders, exits and stops included.", lambda i: i.open_orders)
    yield from books("maker_ratio", "Maker fills over all fills.", maker_ratio)
    yield from each("funding_rate_current", "Funding rate of the next settlement.", lambda i: i.funding_rate)
    yield from books(
        "funding_cost_1h_projected_usdt",
        "Funding per hour at today's rate and inventory, positive when we pay.",
        funding_cost_1h,
    )
    yield from books("realized_pnl_usdt", "Realised PnL, net of fees and funding.", realized)
    yield from books("unrealized_pnl_usdt", "Unrealised PnL at mark.", unrealized)
    yield from books("total_pnl_usdt", "Realised plus unrealised PnL.", total)
    yield from each(
        "last_bar_timestamp",
        "Close of the last bar, seconds of the market's clock.",
        lambda i: seconds(i.last_bar_ns),
    )
    if view.reconciled:
        yield from _legs(view)


def _legs(view: m.FiguresAnswer) -> Iterator[Family]:
    """What the account has at the venue, from books that were compared."""
    exposed: dict[str, Decimal] = {}
    distances: list[tuple[Mapping[str, str], object]] = []
    for item in view.instruments:
        for leg in (item.long, item.short):
            venue = item.instrument.rpartition(".")[2]
            exposed[venue] = exposed.get(venue, ZERO) + leg.inventory_usdt
            distance = liquidation_distance(item, leg)
            distances.append(({"instrument": item.instrument, "leg": leg.leg.value}, distance))
    yield from gauge(
        "venue_exposure_usdt",
        "Inventory of both legs at mark price, by venue.",
        [({"venue": venue}, value) for venue, value in exposed.items()],
    )
    yield from gauge(
        "liquidation_distance_ratio", "From mark to the leg's liquidation price, over mark.", distances
    )


def account_families(view: m.FiguresAnswer, guards: m.GuardsAnswer | None, now_ns: int) -> Iterator[Family]:
    """The account in our books."""
    now_usdt = equity(view)
    yield from single("equity_usdt", "Wallet plus unrealised PnL.", now_usdt)
    yield from single("cash_usdt", "Wallet.", view.wallet_usdt)
    worth = view.unrealized_usdt if view.reconciled else None
    yield from single(
        "market_value_usdt", "What the open legs are worth: their unrealised PnL, equity minus cash.", worth
    )
    yield from single("equity_peak_usdt", "Highest equity, without transfers.", view.peak_equity_usdt)
    yield from single("drawdown_ratio", "Fall from the peak, over the peak.", drawdown(view))
    yield from single("equity_residual_usdt", "Our wallet minus the venue's.", view.residual_usdt)
    floor = None if guards is None else floor_of(guards)
    if floor is not None and now_usdt is not None:
        yield from single(
            "equity_buffer_usdt", "Equity minus the floor of the guard equity_floor.", now_usdt - floor
        )
    agreed = view.reconciled_ns
    yield from single(
        "reconcile_lag_seconds",
        "Since our books and the venue's last agreed.",
        None if agreed is None else seconds(max(0, now_ns - agreed)),
    )


def seconds(nanoseconds: int | None) -> Decimal | None:
    """Nanoseconds in seconds, exactly."""
    return None if nanoseconds is None else Decimal(nanoseconds) / BILLION


def floor_of(guards: m.GuardsAnswer) -> Decimal | None:
    """The equity at which the guard `equity_floor` acts; None when it is off."""
    return next((each.limit for each in guards.verdicts if each.guard == "equity_floor"), None)


def liquidation_distance(view: m.InstrumentMetrics, leg: m.LegMetrics) -> Decimal | None:
    """How far mark is from where the leg is liquidated, over mark; None: no inventory, or the venue names no price."""
    if not leg.qty or not view.mark or not leg.liquidation_price:
        return None
    return (view.mark - leg.liquidation_price) * leg.leg.sign / view.mark


def net(view: m.InstrumentMetrics) -> Decimal:
    """LONG minus SHORT at mark price, in USDT."""
    return view.long.inventory_usdt - view.short.inventory_usdt


def maker_ratio(view: m.InstrumentMetrics) -> Decimal | None:
    """Maker fills over fills; None before the first."""
    return Decimal(view.maker_fills) / view.fills if view.fills else None


def funding_cost_1h(view: m.InstrumentMetrics) -> Decimal | None:
    """USDT an hour, positive when we pay; None without a rate."""
    if view.funding_rate is None:
        return None
    return view.funding_rate * net(view) / HOURS_PER_FUNDING


def realized(view: m.InstrumentMetrics) -> Decimal:
    """Both legs' realised PnL in USDT, net of fees and funding."""
    return view.long.realized_usdt + view.short.realized_usdt


def unrealized(view: m.InstrumentMetrics) -> Decimal | None:
    """Both legs' unrealised PnL in USDT; None when a leg's is not known."""
    long, short = view.long.unrealized_usdt, view.short.unrealized_usdt
    return None if long is None or short is None else long + short


def total(view: m.InstrumentMetrics) -> Decimal | None:
    """Realised plus unrealised, in USDT."""
    open_usdt = unrealized(view)
    return None if open_usdt is None else realized(view) + open_usdt


def equity(view: m.FiguresAnswer) -> Decimal | None:
    """Wallet plus unrealised, in USDT; None until both are known."""
    wallet, open_usdt = view.wallet_usdt, view.unrealized_usdt
    return None if wallet is None or open_usdt is None else wallet + open_usdt


def drawdown(view: m.FiguresAnswer) -> Decimal | None:
    """(peak - equity) / peak; None until both are known."""
    now_usdt, peak = equity(view), view.peak_equity_usdt
    return None if now_usdt is None or not peak else (peak - now_usdt) / peak


def venue_families(venue: m.VenueAnswer) -> Iterator[Family]:
    """What the venue says of the account and of our use of it."""
    account = venue.account
    if account is not None:
        ratio = (
            account.maint_margin_usdt / account.margin_balance_usdt
            if account.margin_balance_usdt > 0
            else None
        )
        yield from single(
            "margin_ratio", "Maintenance margin over margin balance, the venue's figures.", ratio
        )
    yield from gauge(
        "feed_age_seconds",
        "Since the last market data of an instrument.",
        [({"instrument": name}, age) for name, age in venue.market_age_s.items()],
    )
    yield from single(
        "user_stream_age_seconds", "Since the user stream was last heard of.", venue.user_stream_age_s
    )


def budget_families(health: m.VenueHealth) -> Iterator[Family]:
    """How much of the venue's limits is used, as guards see it."""
    used = {"weight_1m": health.weight_used, "orders": health.orders_used}
    yield from gauge(
        "rate_budget_used_ratio",
        "Used part of the venue's request weight, and of its count of orders.",
        [({"budget": name}, value) for name, value in used.items()],
    )


def call_families(calls: Mapping[tuple[str, str], int]) -> Iterator[Family]:
    """Calls of the venue by endpoint and outcome, and those that were not answered well by the kind of failure."""
    yield from counter(
        "venue_calls", "Calls of the venue; held ones were not sent.", ("endpoint", "outcome"), calls
    )
    errors: Counter[tuple[str, ...]] = Counter()
    for (_, outcome), number in calls.items():
        if outcome != "ok":
            errors[outcome,] += number
    yield from counter("venue_errors", "Calls of the venue that failed, by kind.", ("kind",), errors)


def dead_man_families(answer: m.DeadManAnswer, now_ns: int) -> Iterator[Family]:
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
        yield from single(
            "dead_man_countdown_seconds", "Silence after which the venue cancels.", answer.countdown_s
        )
        yield from single("dead_man_armed", "1 when every countdown runs.", int(answer.state == "armed"))


DEPEG = "depeg"
GUARD_STATUS = {"OK": 0, "WARN": 1, "CRITICAL": 2, "BLOCK": 3}


def guard_families(answer: m.GuardsAnswer) -> Iterator[Family]:
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
    if DEPEG not in answer.off:
        depegged = DEPEG in blocking or status.get(DEPEG, 0) >= GUARD_STATUS["CRITICAL"]
        yield from single("depeg_active", "1 while the guard depeg acts.", int(depegged))


def daemon_families(
    started_ns: int, now_ns: int, heartbeat_ns: int | None, kill: m.KillSwitchAnswer | None
) -> Iterator[Family]:
    """What the daemon says of itself."""
    yield from gauge("build_info", "Version that runs.", [({"version": __version__}, 1)])
    yield from single("uptime_seconds", "Since start.", seconds(now_ns - started_ns))
    yield from single(
        "heartbeat_timestamp_seconds", "When the trading core last answered.", seconds(heartbeat_ns)
    )
    if kill is not None:
        yield from gauge(
            "kill_switch_state",
            "1 at the state that holds.",
            [({"state": state.value}, int(state is kill.state)) for state in KillState],
        )


def health_families(answer: m.HealthAnswer) -> Iterator[Family]:
    """Health in force, and how often which state was reached."""
    yield from single(
        "health_state", "0 OK, 1 DEGRADED, 2 HALTED; better counts after ten seconds of it.", answer.state
    )
    if answer.trading_enabled is not None:
        yield from single("trading_enabled", "1 when entries may be placed.", int(answer.trading_enabled))
    yield from counter(
        "health_transitions",
        "Changes of health by the state reached, short ones too.",
        ("to",),
        {(name,): number for name, number in answer.transitions.items()},
    )


def switch_families(answer: m.SwitchesAnswer) -> Iterator[Family]:
    """Where each switch stands."""
    yield from gauge(
        "switch_enabled",
        "1 when the switch is on.",
        [({"switch": item.name}, int(item.enabled)) for item in answer.switches],
    )


def kpi_families(answer: m.KpiAnswer, guards: m.GuardsAnswer | None) -> Iterator[Family]:
    """Key figures of operations over rolling windows."""
    requests = answer.requests_per_minute
    yield from single("kpi_requests_per_minute", "Calls of the venue in 60 s.", requests)
    yield from single("kpi_error_ratio", "Failed calls over all, 300 s.", _ratio(answer.error_rate_pct))
    yield from single(
        "kpi_healthy_venues_ratio", "Venues whose newest call was answered.", _ratio(answer.healthy_pct)
    )
    if guards is not None:
        yield from single("kpi_open_breakers", "Breakers that are open.", open_breakers(guards))


def _ratio(percent: Decimal | None) -> Decimal | None:
    return None if percent is None else percent / 100

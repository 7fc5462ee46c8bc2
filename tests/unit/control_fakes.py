"""A bus that answers from a table, and views of a desk with one instrument, for tests of the control plane."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal as D  # noqa: N817  # many literals
from pathlib import Path
from typing import Any

from hedgegridd import messages as m
from hedgegridd.config import Kpi
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.once import Once
from hedgegridd.control.operation import Feed, FeedItem, Services
from hedgegridd.core.kpi import thresholds
from hedgegridd.core.switches import Switches
from hedgegridd.errors import AskTimeout
from hedgegridd.model import KillState, Leg, LegMode, OrderKind, OrderStatus, Purpose, Regime, Side
from hedgegridd.operations import REGISTRY

BTC = "BTCUSDT-PERP.BINANCE"
NOW_NS = 1_700_000_000_000_000_000
ALERT = m.Alert(
    alert_id="A-7",
    kind="trip",
    key="kill",
    severity="CRITICAL",
    title="TRIPPED",
    what="strange fills",
    did="entries are refused",
    do="wait for FLAT",
    section="kill-switch",
    lasting=True,
    time_ns=NOW_NS,
    since_ns=NOW_NS,
)


def leg(which: Leg, qty: str = "0", **over: Any) -> m.LegView:
    amount = D(qty)
    facts: dict[str, Any] = {
        "leg": which,
        "mode": LegMode.NORMAL,
        "latched": False,
        "qty": amount,
        "average_entry": D("64980.0") if amount else None,
        "inventory_usdt": amount * D(65050),
        "realized_usdt": D("1.50"),
        "unrealized_usdt": amount * D(70),
        "fees_usdt": D("-0.19"),
        "funding_usdt": D("0.33"),
        "take_profit_qty": amount,
        "stop_price": D(62700) if amount else None,
        "stop_resting": bool(amount),
        "liquidation_price": D(48900) if amount else None,
        "lots": (
            m.LotView(
                lot_id="L1",
                level=1,
                qty=amount,
                price=D("64980.0"),
                take_profit=D(65900),
                stop=D(63300),
                opened_ns=NOW_NS - 60_000_000_000,
            ),
        )
        if amount
        else (),
        "peak_lots": 1,
    }
    return m.LegView(**(facts | over))


def instrument(**over: Any) -> m.InstrumentView:
    facts: dict[str, Any] = {
        "instrument": BTC,
        "trading": True,
        "paused": False,
        "throttle": D(1),
        "why_no_entries": (),
        "regime": Regime.SIDEWAYS,
        "warm": True,
        "centre": D(65000),
        "mid": D("65049.9"),
        "mark": D("65050.0"),
        "legs": (leg(Leg.LONG, "0.034"), leg(Leg.SHORT)),
        "open_orders": 16,
        "rungs_resting_long": 6,
        "rungs_resting_short": 5,
        "exits_resting": 5,
        "funding_rate": D("0.0001"),
        "next_funding_ns": NOW_NS + 3_600_000_000_000,
        "last_bar_ns": NOW_NS - 30_000_000_000,
        "mark_ns": NOW_NS - 400_000_000,
        "recentres": 1,
        "fills": 4,
        "maker_fills": 3,
        "entries_dropped": 0,
        "tick": D("0.1"),
        "step": D("0.001"),
    }
    return m.InstrumentView(**(facts | over))


def desk(*instruments: m.InstrumentView, **over: Any) -> m.DeskView:
    ledger = m.LedgerView(
        wallet_usdt=D("10001.64"),
        equity_usdt=D("10004.02"),
        peak_equity_usdt=D(10010),
        realized_usdt=D("1.64"),
        gross_realized_usdt=D("1.50"),
        fees_usdt=D("-0.19"),
        funding_usdt=D("0.33"),
        transfers_usdt=D(0),
        unrealized_usdt=D("2.38"),
        total_usdt=D("4.02"),
        day_usdt=D("4.02"),
        session_usdt=D("4.02"),
        inception_usdt=D("4.02"),
        residual_usdt=D(0),
    )
    facts: dict[str, Any] = {
        "instruments": instruments or (instrument(),),
        "ledger": ledger,
        "reconciled": True,
        "reconciled_ns": NOW_NS - 12_000_000_000,
        "unsettled": (),
        "stopping": False,
    }
    return m.DeskView(**(facts | over))


def venue(**over: Any) -> m.VenueAnswer:
    facts: dict[str, Any] = {
        "to": 0,
        "environment": "paper",
        "connected": True,
        "account": m.VenueAccount(
            wallet_usdt=D("10001.64"),
            margin_balance_usdt=D("10004.02"),
            maint_margin_usdt=D("8.85"),
            initial_margin_usdt=D("442.34"),
            available_usdt=D(9500),
            unrealized_usdt=D("2.38"),
        ),
        "account_age_s": 1.0,
        "user_stream_age_s": 0.5,
        "market_age_s": {BTC: 0.4},
        "in_flight": 0,
        "calls": 100,
        "calls_failed": 0,
        "used_weight_1m": 40,
        "clock_offset_ms": 3,
    }
    return m.VenueAnswer(**(facts | over))


def rung(which: Leg, level: int, state: str = "resting") -> m.Rung:
    sign = D(-which.sign)
    return m.Rung(
        leg=which,
        level=level,
        side=which.entry_side,
        price=D(65000) + sign * level * D(325),
        qty=D("0.01"),
        state=state,
        client_order_id=f"BTCUSDT-{which.value[0]}{level:03d}E-k-1",
    )


ORDER = m.OrderView(
    instrument=BTC,
    client_order_id="BTCUSDT-L001T-k-1",
    leg=Leg.LONG,
    purpose=Purpose.TAKE_PROFIT,
    level=1,
    side=Side.SELL,
    kind=OrderKind.LIMIT,
    price=D(65900),
    stop_price=None,
    qty=D("0.034"),
    filled_qty=D(0),
    status=OrderStatus.WORKING,
    algo=False,
    created_ns=NOW_NS - 5_000_000_000,
)

FLAT = m.FlattenAnswer(
    to=0,
    flatten_id="C-8812",
    verified=True,
    after_s=D("1.03"),
    cancelled_orders=16,
    closed={f"{BTC}-LONG": "0.034"},
    residuals={},
    residual_orders=0,
    proof=("03:12:41.902 user stream LONG 0 SHORT 0", "03:12:42.410 query LONG 0 SHORT 0 orders 0 algo 0"),
)


GUARDS = m.GuardsAnswer(
    to=0,
    verdicts=(
        m.GuardVerdict(
            guard="margin_ratio",
            level="OK",
            value=D("0.21"),
            warn=D("0.6"),
            limit=D("0.8"),
            since_ns=NOW_NS - 60_000_000_000,
        ),
        m.GuardVerdict(
            guard="spread_depth",
            scope=m.Scope(instrument=BTC),
            level="BLOCK",
            value=D(132),
            limit=D(100),
            unit="bps",
            message="spread 132 bps, limit 100",
            since_ns=NOW_NS - 4_000_000_000,
        ),
        m.GuardVerdict(guard="leverage", level="WARN", value=None, limit=D(5), message="equity is not known"),
    ),
    holds=(
        m.Hold(
            key=f"guard:spread_depth:{BTC}",
            action="pause",
            scope=m.Scope(instrument=BTC),
            cause="spread_depth: spread 132 bps, limit 100",
            since_ns=NOW_NS - 4_000_000_000,
        ),
    ),
    off=("daily_loss",),
)


class FakeBus:
    """Answers by type of message; an exception in the table is raised; `asked` keeps all, `commands` the commands."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []
        self.actors: list[str] = []
        self.gate: asyncio.Event | None = None  # commands wait for it when set
        self.commanded = asyncio.Event()
        self.throttle = D(1)
        ladder = m.LadderView(
            instrument=BTC,
            mid_price=D("65049.9"),
            centre=D(65000),
            long_ladder=(rung(Leg.LONG, 1, "filled"), rung(Leg.LONG, 2)),
            short_ladder=(rung(Leg.SHORT, 1), rung(Leg.SHORT, 2, "dropped")),
        )
        self.table: dict[type[m.Message], m.Answer | Exception] = {
            m.GetVenue: venue(),
            m.GetKillSwitch: m.KillSwitchAnswer(to=0, state=KillState.ARMED, accepted=("kill",)),
            m.GetFlattens: m.FlattensAnswer(to=0, flattens=()),
            m.GetBoot: m.BootAnswer(
                to=0,
                ready=True,
                stage="ready",
                number=8,
                of=8,
                waits_for="",
                since_ns=NOW_NS - 10**9,
                stopping=False,
            ),
            m.GetDeadMan: m.DeadManAnswer(
                to=0,
                enabled=True,
                state="armed",
                why=(),
                countdown_s=D(60),
                renew_s=D(15),
                countdowns=(
                    m.CountdownView(
                        instrument=BTC, until_ns=NOW_NS + 54 * 10**9, renewed_ns=NOW_NS - 6 * 10**9
                    ),
                ),
            ),
            m.GetLadders: m.LaddersAnswer(to=0, ladders=(ladder,)),
            m.GetOrders: m.OrdersAnswer(to=0, orders=(ORDER,)),
            m.Flatten: FLAT,
            m.GetGuards: GUARDS,
            m.GetKpi: m.KpiAnswer(
                to=0,
                requests_per_minute=120,
                error_rate_pct=D("1.25"),
                healthy_pct=D(100),
                thresholds=thresholds(Kpi()),
            ),
            m.GetAlerts: m.AlertsAnswer(
                to=0,
                open=(m.OpenAlert(alert=ALERT, count=2, since_ns=NOW_NS),),
                recent=(ALERT,),
                channels=(
                    m.ChannelView(
                        name="desk",
                        type="slack",
                        min_severity="INFO",
                        escalation=False,
                        waiting=1,
                        accepted=4,
                        failed=1,
                        folded=0,
                        last_accepted_age_s=2.5,
                        trouble="HTTP 500",
                    ),
                ),
            ),
            m.GetSwitches: m.SwitchesAnswer(to=0, switches=Switches("binance_usdm", (BTC,)).views()),
        }
        self.published: list[tuple[m.Event, str]] = []

    @property
    def commands(self) -> list[m.Message]:
        return [item for item in self.asked if isinstance(item, m.Command)]

    def publish(self, event: m.Event, actor: str) -> None:
        self.published.append((event, actor))

    async def ask(self, message: m.Message, deadline_s: float, *, actor: str = "") -> m.Answer:
        self.asked.append(message)
        self.actors.append(actor)
        if isinstance(message, m.Command):
            self.commanded.set()
        if self.gate is not None and isinstance(message, m.Command):
            try:
                async with asyncio.timeout(deadline_s):
                    await self.gate.wait()
            except TimeoutError as error:
                raise AskTimeout("late") from error
        if isinstance(message, m.SetThrottle) and m.SetThrottle not in self.table:
            old, self.throttle = self.throttle, message.throttle
            facts = {"old": str(old), "new": str(self.throttle), "instruments": {BTC: str(old)}}
            return m.Done(to=0, detail=facts)
        answer = self.table.get(type(message))
        if answer is None and isinstance(message, m.GetStatus | m.GetPositions):
            return m.StatusAnswer(to=0, view=desk(instrument(throttle=self.throttle)))
        if isinstance(answer, Exception):
            raise answer
        return answer or m.Done(to=0, detail={})


class FakeArchive:
    """A history of one row a table, and backups that are made at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.fails: Exception | None = None
        self.hook: dict[str, object] | None = None

    def _tell(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails

    async def page(
        self, table: str, limit: int, before: int | None, instrument: str | None
    ) -> list[dict[str, object]]:
        self._tell("page", table, limit, before, instrument)
        row: dict[str, object] = {
            "seq": 7, "time_ns": NOW_NS, "instrument": BTC, "leg": "LONG", "side": "BUY", "qty": "0.010",
            "price": "65000.0", "commission": "0.13", "commission_asset": "USDT", "maker": 1, "client_order_id": "id",
            "wallet_usdt": "1", "equity_usdt": "2", "unrealized_usdt": "1", "maint_margin_usdt": "0",
        }  # fmt: skip
        return [row | {"seq": 7 - n} for n in range(min(limit, 3))]

    async def records(self, limit: int) -> list[dict[str, object]]:
        self._tell("records", limit)
        return [
            {
                "position": 1, "time_ns": NOW_NS, "seq": 2, "cause": 1, "actor": "a", "to": "desk", "type": "Rearm",
                "words": "rearm: why",
            }
        ]  # fmt: skip

    async def backup(self, target: str) -> dict[str, object]:
        self._tell("backup", target)
        return {
            "path": f"{target}/b.tar.gz", "bytes": 1, "blake2b": "00", "last_position": 9, "snapshot_position": 8,
            "records": 9, "took_s": 0.1, "hook": self.hook,
        }  # fmt: skip


class EndedFeed:
    """A stream that has ended before it begins."""

    async def next(self) -> Sequence[FeedItem]:
        return ()

    def close(self) -> None:
        """Nothing is held."""


async def on_disk(timeout_s: float) -> None:
    """A journal that has everything at once."""


def dispatcher(
    bus: FakeBus,
    durable: Callable[[float], Awaitable[None]] = on_disk,
    recent: Callable[[], list[dict[str, object]]] = list,
    archive: FakeArchive | None = None,
    *,
    stream: Callable[[int | None], Feed] | None = lambda _after: EndedFeed(),
    once: Once | None = None,
    **over: Any,
) -> Dispatcher:
    services = Services(
        bus=bus,
        instruments=(BTC,),
        time_ns=lambda: NOW_NS,
        durable=durable,
        recent=recent,
        environment="paper",
        account="acct1",
        archive=archive or FakeArchive(),
        stream=stream,
        publish=bus.publish,
        **{"reload": lambda _: {"applied": [], "needs_restart": []}} | over,
    )
    return Dispatcher(REGISTRY, services, once)


async def line_call(path: Path | str, line: bytes) -> bytes:
    """One line over a unix socket, its answer."""
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 22)
    try:
        writer.write(line)
        async with asyncio.timeout(5):
            return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()

"""A view with figures as the desk tells them, and ways to ask one guard about it."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec

from hedgegridd import messages as m
from hedgegridd.core.facts import View
from hedgegridd.core.guard import Now, Verdict
from hedgegridd.guards import GUARDS
from hedgegridd.model import LEGS, Leg, OrderTag, Purpose, client_order_id

D = Decimal
BTC = "BTCUSDT-PERP.BINANCE"
ETH = "ETHUSDT-PERP.BINANCE"
START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
MARK = D(50_000)


def leg_figures(leg: Leg, qty: Any = 0, *, mark: Decimal | None = MARK, **more: Any) -> m.LegFigures:
    fields: dict[str, Any] = {"entries_usdt": D(0), "stop_resting": True, **more}
    qty = D(qty)
    return m.LegFigures(leg=leg, qty=qty, notional_usdt=None if mark is None else qty * mark, **fields)


def instrument_figures(
    name: str = BTC, long: Any = 0, short: Any = 0, *, mark: Decimal | None = MARK, market_ns: int = 1,
    legs: dict[Leg, dict[str, Any]] | None = None, **more: Any,
) -> m.InstrumentFigures:  # fmt: skip
    more_legs = legs or {}
    return m.InstrumentFigures(
        instrument=name,
        mark=mark,
        market_ns=market_ns,
        legs=tuple(
            leg_figures(leg, qty, mark=mark, **more_legs.get(leg, {}))
            for leg, qty in ((Leg.LONG, long), (Leg.SHORT, short))
        ),
        **{"funding_rate": D(0), "next_funding_ns": START_NS, **more},
    )


def figures(*instruments: m.InstrumentFigures, **fields: Any) -> m.RiskFigures:
    return m.RiskFigures(
        **{
            "equity_usdt": D(10_000),
            "session_peak_usdt": D(10_000),
            "peak_usdt": D(10_000),
            "session_usdt": D(0),
            "day_usdt": D(0),
            "maint_margin_usdt": D(0),
            "margin_balance_usdt": D(10_000),
            "margin_ns": START_NS,
            "reconciled": True,
            **fields,
        },
        instruments=instruments or (instrument_figures(),),
    )


class Bench:
    """One guard with its parameters, a view, and a clock that moves when told."""

    def __init__(self, guard: str, names: tuple[str, ...] = (BTC,), **params: Any) -> None:
        self.guard = GUARDS[guard]
        self.params = msgspec.convert({"type": guard, **params}, self.guard.table)
        self.view = View(names, self.guard.history(self.params))
        self.mono_ns = 0
        self.seq = 0
        self.held: dict[str, Any] = {}

    @property
    def now(self) -> Now:
        return Now(self.mono_ns, START_NS + self.mono_ns)

    def __call__(self, *messages: m.Message, after_s: Any = 0) -> "Bench":
        """Take messages in, each after so many seconds."""
        for message in messages:
            self.mono_ns += int(D(after_s) * SECOND_NS)
            self.seq += 1
            self.view.take(
                m.Envelope(
                    seq=self.seq,
                    time_ns=self.now.time_ns,
                    mono_ns=self.mono_ns,
                    cause=0,
                    actor="t",
                    message=message,
                )
            )
        return self

    def wait(self, seconds: Any) -> "Bench":
        self.mono_ns += int(D(seconds) * SECOND_NS)
        return self

    def holds_since(self, scope: str, seconds: Any) -> "Bench":
        """The guard's condition has held for so long in this scope."""
        self.held[scope] = SimpleNamespace(held_mono=self.mono_ns - int(D(seconds) * SECOND_NS))
        return self

    def verdicts(self) -> tuple[Verdict, ...]:
        self.view.hold(self.held)
        return self.guard.check(self.view, self.now, self.params)

    def only(self) -> Verdict:
        (verdict,) = self.verdicts()
        return verdict

    def of(self, instrument: str | None = None, leg: Leg | None = None) -> Verdict:
        wanted = m.Scope(instrument=instrument, leg=leg)
        (verdict,) = [each for each in self.verdicts() if each.scope == wanted]
        return verdict


def fill(
    leg: Leg, purpose: Purpose, price: Any, *, level: int = 1, qty: Any = 1, seq: int = 1, name: str = BTC
) -> m.Fill:
    """A trade of an order of ours."""
    tag = OrderTag(name.partition("-")[0], leg, level, purpose, "t1", seq)
    return m.Fill(
        instrument=name,
        leg=leg,
        client_order_id=client_order_id(tag),
        venue_order_id=str(seq),
        trade_id=f"{seq}",
        side=leg.exit_side if purpose.reduces else leg.entry_side,
        price=D(price),
        qty=D(qty),
        commission=D(0),
        commission_asset="USDT",
        maker=False,
        ts_ns=START_NS,
    )


def bar(name: str, close_ns: int, close: Any) -> m.BarClosed:
    close = D(close)
    return m.BarClosed(
        instrument=name, open_ns=close_ns - 60 * SECOND_NS, close_ns=close_ns,
        open=close, high=close, low=close, close=close, volume=D(1),
    )  # fmt: skip


__all__ = ["BTC", "ETH", "LEGS", "Bench", "bar", "figures", "fill", "instrument_figures"]

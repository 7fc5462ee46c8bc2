"""The breach of each guard on the paper exchange: its table, what makes the breach, what must be seen at the exchange.

Limits are set so that a small, quick move breaches them; what is compared with them is the real figure. Times that only
make a drill long (`clear_s`, `cooldown_s`, windows) are short.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from bench.chaos_rig import GRID, SPEED, SYMBOL, Rig, Setup
from bench.chaos_rows import CUT_USER, LISTEN_KEY, ORDER, said
from bench.outages import LIMITS
from tests.support.programs import ProgramError

SMALL = ("--deposit", "5000")
LEFT = 4_400  # USDT that leave the account in the drills of margin
ALGO = {"target": "rest", "method": "POST", "path": "/fapi/v1/algoOrder"}
QUICK = {"clear_s": 2}
OTHER = "XRPUSDT"
BAR_S = 60 / SPEED  # of one bar, wall
MARK_FOLLOWS_S = 0.7
NEAR = Decimal("0.0008")

type Deed = Callable[[Rig], None]
type Effect = Literal["pause", "throttle", "trim", "halt", "flatten", "restop"]


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """One breach. `legs`: those that the action is about. `acts_s`, `clears_s`: bounds in wall seconds.

    `brief`: the breach is over as soon as it is made. `rearm` False: by the guard's nature its figure stays in breach, so
    rearm must be refused.
    """

    guard: str
    what: str
    effect: Effect
    make: Deed
    end: Deed
    table: dict[str, object] = {}
    factor: str = "1"  # of a throttle: what is left of the entries; of a trim: what is taken of the leg
    legs: tuple[str, ...] = ("LONG", "SHORT")
    setup: Setup = Setup()
    prepare: Deed = lambda _: None
    acts_s: float = 10.0
    clears_s: float = 45.0
    rearm: bool = True
    brief: bool = False


def jump(*factors: str, pause_s: float = 1.0) -> Deed:
    """Price jumps, one after the other."""

    def run(rig: Rig) -> None:
        for factor in factors:
            rig.admin("/jump", {"symbol": SYMBOL, "factor": factor})
            time.sleep(pause_s)

    return run


def transfer(amount: int) -> Deed:
    """USDT in or out."""

    def run(rig: Rig) -> None:
        rig.admin("/transfer", {"amount": str(amount)})

    return run


def most_of_it(rig: Rig) -> None:
    """What may be withdrawn, but for a little; 600 USDT stay, so that no floor is reached."""
    truth = rig.exchange.truth()
    may_go = min(Decimal(truth["available"]), Decimal(truth["wallet"]) - 600)
    rig.admin("/transfer", {"amount": str(-int(may_go * Decimal("0.97")))})


def faults(*rules: dict[str, Any]) -> Deed:
    """Rules of the admin port, and something for them to hit."""

    def run(rig: Rig) -> None:
        for rule in rules:
            rig.admin("/faults", dict(rule))

    return run


def post(path: str, **body: object) -> Deed:
    """A POST to the admin port."""

    def run(rig: Rig) -> None:
        rig.admin(path, body)

    return run


def both(*deeds: Deed) -> Deed:
    """One after the other."""

    def run(rig: Rig) -> None:
        for deed in deeds:
            deed(rig)

    return run


def nothing(_: Rig) -> None:
    """No deed."""


def clear(rig: Rig) -> None:
    """No rule stands."""
    rig.clear_faults()


def throttle(value: float) -> Deed:
    """All entries are replaced."""

    def run(rig: Rig) -> None:
        rig.ask("throttle", throttle=value)

    return run


def replaced_until_refused(rig: Rig) -> None:
    """Entries replaced again and again, so that refusals add up."""
    for value in (0.9, 0.8, 0.7):
        rig.ask("throttle", throttle=value)
        time.sleep(0.7)


def reconcile(rig: Rig) -> None:
    """A comparison now; its answer may be late."""
    try:
        rig.ask("reconcile")
    except ProgramError:
        return


def unheard_expiry(rig: Rig) -> None:
    """The venue takes an entry off and says nothing; a comparison finds it."""
    rig.admin("/faults", {"target": "user", "kind": "mute", "event": "*"})
    order = next(o for o in rig.exchange.truth()["open_orders"] if o["side"] == "BUY")
    rig.admin("/expire", {"symbol": SYMBOL, "order_id": order["orderId"]})
    time.sleep(0.5)
    reconcile(rig)


def suspended(seconds: float) -> Deed:
    """The process stands still."""

    def run(rig: Rig) -> None:
        rig.suspend()
        time.sleep(seconds)
        rig.resume_process()

    return run


def weight_used(rig: Rig) -> None:
    """Somebody else uses the address's request weight: 40 for each list of all open orders."""
    while time.time() % 60 > 20:  # the venue's minute ends it: leave the daemon time to see it
        time.sleep(0.2)
    while rig.exchange.admin("GET", "/health")["used_weight_1m"] < 2_320:
        rig.exchange.signed("/fapi/v1/openOrders")


def many_questions(rig: Rig) -> None:
    """More calls in ten seconds than the quota has."""
    for _ in range(8):
        reconcile(rig)


def stops_cancelled(rig: Rig) -> None:
    """Somebody takes the stops off by hand."""
    rig.exchange.signed("/fapi/v1/algoOpenOrders", method="DELETE", symbol=SYMBOL)


def deleveraged(rig: Rig) -> None:
    """ADL of a part of LONG."""
    rig.admin("/deleverage", {"symbol": SYMBOL, "leg": "LONG", "qty": "0.001"})


def more_long(rig: Rig) -> None:
    """Two further LONG rungs fill."""
    for _ in range(2):
        before = rig.quantity("LONG")
        for _ in range(20):  # mark lags behind the last jump, so one may fall short
            if not rig.through_entry("LONG"):
                return  # the guard has acted already
            time.sleep(0.7)
            if rig.quantity("LONG") > before:
                break


def moved(rig: Rig, symbol: str, price: Decimal) -> None:
    """The market goes there, and its mark price with it: that one follows a jump a little later."""
    for _ in range(10):
        time.sleep(MARK_FOLLOWS_S)
        factor = price / Decimal(rig.exchange.truth()["marks"][symbol])
        if abs(factor - 1) < NEAR:
            return
        rig.admin("/jump", {"symbol": symbol, "factor": f"{factor:.6f}"})


def filled(rig: Rig) -> Decimal:
    """Price goes just through the LONG entry; what the leg holds then."""
    rig.through_entry("LONG")
    time.sleep(MARK_FOLLOWS_S)
    return rig.quantity("LONG")


def stopped_out(times: int) -> Deed:
    """The LONG rung fills, is stopped out, and the market comes back, so often."""

    def run(rig: Rig) -> None:
        for _ in range(times):
            rig.wait(lambda: rig.quantity("LONG") or filled(rig), "LONG filled", 20)
            entry = Decimal(rig.exchange.truth()["legs"][f"{SYMBOL}:LONG"]["entry"])
            moved(rig, SYMBOL, entry * Decimal("0.994"))
            rig.wait(lambda: not rig.quantity("LONG"), "LONG stopped out", 10)
            moved(rig, SYMBOL, entry * Decimal("1.002"))

    return run


def other_has_more(rig: Rig) -> None:
    """LONG of the second instrument fills, for more money than the first one has in it."""
    rig.admin("/jump", {"symbol": OTHER, "factor": "0.996"})
    rig.wait(
        lambda: Decimal(rig.exchange.truth()["legs"][f"{OTHER}:LONG"]["qty"]), "inventory of the other", 20
    )


def together(times: int, *, against: bool = False) -> Deed:
    """Both markets move by 0.6 % up and back, a bar apart; `against`: the one up and the other down."""

    def run(rig: Rig) -> None:
        for number in range(times):
            up = Decimal("1.006") if number % 2 == 0 else 1 / Decimal("1.006")
            rig.admin("/jump", {"symbol": SYMBOL, "factor": f"{up:.6f}"})
            rig.admin("/jump", {"symbol": OTHER, "factor": f"{1 / up if against else up:.6f}"})
            time.sleep(BAR_S)

    return run


STOPPED_RUNG = {
    "levels_long": 1,
    "levels_short": 1,
    "sl_steps": 2,
    "tp_steps": 3,
    "recenter_trigger_bps": 2_000,
}

DRILLS: tuple[Drill, ...] = (
    Drill(
        guard="session_drawdown", what="price falls 3 %", effect="flatten", make=jump("0.97"), end=nothing,
        table={"trip_pct": 0.2}, setup=Setup(venue=SMALL),
    ),
    Drill(
        guard="peak_drawdown", what="price falls 3 %", effect="flatten", make=jump("0.97"), end=nothing,
        table={"trip_pct": 0.2}, setup=Setup(venue=SMALL), rearm=False,
    ),
    Drill(
        guard="daily_loss", what="price falls 3 %, and rises again", effect="pause", make=jump("0.97"),
        end=jump("1.0310"), table={"trip_usdt": 10, **QUICK}, setup=Setup(venue=SMALL, grid={"recenter_trigger_bps": 2_000}),
    ),
    Drill(
        guard="session_loss", what="price falls 3 %", effect="flatten", make=jump("0.97"), end=nothing,
        table={"trip_usdt": 10}, setup=Setup(venue=SMALL),
    ),
    Drill(
        guard="equity_floor", what="money leaves the account, and comes back", effect="flatten",
        make=transfer(-1_000), end=transfer(1_000), table={"trip_usdt": 4_500, "cooldown_s": 2}, setup=Setup(venue=SMALL),
    ),
    Drill(
        guard="margin_ratio", what="margin leaves the account", effect="flatten", make=transfer(-LEFT),
        end=transfer(LEFT), table={"trip_ratio": 0.003}, setup=Setup(venue=SMALL),
    ),
    Drill(
        guard="liquidation_distance", what="margin leaves the account", effect="flatten",
        prepare=both(more_long, more_long), make=most_of_it, end=transfer(4_000),
        table={"trip_pct": 98, "pause_pct": 99, "warn_pct": 100}, setup=Setup(venue=SMALL, grid={"base_qty": Decimal("0.008"), "levels_short": 1}),
    ),
    Drill(
        guard="leverage", what="margin leaves the account, and comes back", effect="pause", make=transfer(-LEFT),
        end=transfer(LEFT), table={"trip_ratio": 0.5, **QUICK}, setup=Setup(venue=SMALL),
    ),
    Drill(
        guard="position_notional", what="a leg grows, and takes its profits", effect="pause", make=more_long,
        end=jump("1.022"), table={"trip_leg_usdt": 600, **QUICK}, legs=("LONG",),
        setup=Setup(grid={"levels_short": 1, "recenter_trigger_bps": 2_000}),
    ),
    Drill(
        guard="exposure", what="inventory grows, and takes its profits", effect="pause", make=more_long,
        end=jump("1.022"), table={"trip_usdt": 900, **QUICK},
        setup=Setup(grid={"levels_short": 1, "recenter_trigger_bps": 2_000}),
    ),
    Drill(
        guard="funding_cost", what="funding becomes 1 %", effect="trim", prepare=more_long,
        make=post("/funding", symbol=SYMBOL, rate="0.01"), end=post("/funding", symbol=SYMBOL, rate="0.0001"),
        factor="0.3", legs=("LONG",),
    ),
    Drill(
        guard="order_errors", what="a burst of refused orders", effect="pause",
        make=both(
            faults(said({**ORDER, "kind": "status_before", "status": 400, "code": -4131, "params": {"type": "LIMIT"}})),
            replaced_until_refused,
        ),
        end=clear, table={"trip_count": 6, "window_s": 8, "cooldown_s": 2}, clears_s=25,
    ),
    Drill(
        guard="venue_errors", what="every question is answered 503", effect="pause",
        make=faults({"target": "rest", "kind": "status_before", "method": "GET", "path": "/fapi/*"}),
        end=clear, table={"trip_pct": 10, "min_calls": 10, "pause_s": 5}, acts_s=20, clears_s=90,
    ),
    Drill(
        guard="venue_health", what="answers take 0.8 s", effect="pause",
        make=faults({"target": "rest", "kind": "delay", "path": "/fapi/v3/account", "delay_ms": 800}),
        end=clear, table={"trip_latency_ms": 500, **QUICK}, acts_s=30, clears_s=90,
    ),
    Drill(
        guard="stale_market", what="market data freezes", effect="pause",
        make=faults({"target": "market", "kind": "freeze"}), end=clear, clears_s=20,
    ),
    Drill(
        guard="stale_account", what="the user stream is dead", effect="pause",
        make=faults({**LISTEN_KEY}, CUT_USER), end=clear, clears_s=30,
    ),
    Drill(
        guard="reconcile_mismatch", brief=True, what="an order is gone and nobody said so", effect="pause",
        make=unheard_expiry, end=both(clear, reconcile), table={"trip_s": 2}, acts_s=20, clears_s=60,
    ),
    Drill(
        guard="loop_lag", brief=True, what="the process stands still for 4 s", effect="pause", make=suspended(4), end=nothing,
        table={"clear_s": 6}, clears_s=25,
    ),
    Drill(
        guard="clock_skew", what="the venue's clock is 2 s off", effect="pause", make=post("/skew", ms=2_000),
        end=post("/skew", ms=0), acts_s=45, clears_s=60,
    ),
    Drill(
        guard="rate_budget", brief=True, what="the request weight is used up", effect="pause", make=weight_used, end=nothing,
        setup=Setup(venue=(LIMITS,)),
        acts_s=90, clears_s=150,
    ),
    Drill(
        guard="call_quota", brief=True, what="many calls in ten seconds", effect="pause", make=many_questions, end=nothing,
        table={"per_10s": 60, "clear_s": 2}, acts_s=15, clears_s=45,
    ),
    Drill(
        guard="repeated_execution", what="a rung is stopped out twice", effect="halt", legs=("LONG",),
        make=stopped_out(2), end=nothing,
        table={"trip_count": 2, "window_s": 40}, setup=Setup(grid=STOPPED_RUNG), acts_s=25, clears_s=60,
    ),
    Drill(
        guard="slippage", what="a leg stop fills 3 % behind its price", effect="throttle", factor="0.5",
        make=jump("0.87"), end=nothing, table={"window_s": 12, "cooldown_s": 2}, acts_s=20, clears_s=40,
    ),
    Drill(
        guard="spread_depth", what="the spread widens to 1.5 %", effect="pause",
        make=post("/book", symbol=SYMBOL, spread_bps="150"), end=post("/book", symbol=SYMBOL), table=QUICK, acts_s=20,
    ),
    Drill(
        guard="spread_depth", what="the book is nearly empty", effect="pause",
        make=post("/book", symbol=SYMBOL, size_pct=0), end=post("/book", symbol=SYMBOL), table=QUICK, acts_s=40, clears_s=60,
    ),
    Drill(
        guard="correlation", what="two markets move as one", effect="pause", legs=("LONG",), prepare=other_has_more,
        make=together(8), end=together(4, against=True),
        table={"window_s": 600, "sample_s": 60, "min_samples": 5, **QUICK}, acts_s=30, clears_s=60,
        setup=Setup(
            venue=("--symbols", f"{SYMBOL},{OTHER}"), grid={"recenter_trigger_bps": 2_000},
            more_grids=({
                **GRID, "instrument": f"{OTHER}-PERP", "base_qty": Decimal(1_000), "recenter_trigger_bps": 2_000,
                "position": {"max_qty": Decimal(10_000)},
            },),
        ),
    ),
    Drill(
        guard="depeg", what="the quote currency loses its peg", effect="pause",
        make=post("/jump", symbol="XRPUSDT", factor="4"), end=post("/jump", symbol="XRPUSDT", factor="0.25"),
        table={
            "enabled": True, "peg_symbol": "XRPUSDT", "usdt_symbol": SYMBOL, "usdc_symbol": SYMBOL,
            "trip_pct": 100, "samples": 2, "every_s": 5, "clear_s": 2,
        },
        setup=Setup(venue=("--symbols", f"{SYMBOL},XRPUSDT")), acts_s=40, clears_s=40,
    ),
    Drill(
        guard="stop_missing", what="somebody cancels the stops", effect="restop", make=stops_cancelled, end=nothing,
    ),
    Drill(
        guard="stop_missing", what="... and new ones are refused", effect="flatten",
        make=both(faults(said({**ALGO, "kind": "status_before", "status": 503, "code": -1008})), stops_cancelled),
        end=clear, table={"trip_s": 5}, acts_s=20,
        setup=Setup(guards=({"type": "order_errors", "enabled": False},)),
    ),
    Drill(
        guard="venue_action", what="the venue deleverages a leg", effect="halt", make=deleveraged, end=nothing,
    ),
)  # fmt: skip

# A guard that no outside event reaches yet.
NOT_DRILLED = {
    "external": "nothing brings signed events in yet; its table tests are in tests/unit/guards",
}

"""The moods of a synthetic market, as figures: each regime's movement, spread and size, and what follows what.

Calibration: the recorded BTC perpetual of January 2022 moves 8.8 bps (standard deviation) a minute, 3.9 bps in
the median, 72 bps in one minute of a thousand; 1.1 bps per root second is that standard deviation (`trend` has
more, since a fifth of its schedule is range, and less wild ends to its bursts than the real ones). Its volatility
comes in bursts of minutes and moods of hours: `trend` has those of the whole recording, `range` those of its calm
days (`python -m bench.realism` compares; docs/paper-markets.md has the table). All times are market time. `vol_bps`
is per root second, `drift_bps` per second, `pull` the share of the distance to the regime's target that closes per
second.
"""

import msgspec


class Regime(msgspec.Struct, frozen=True, kw_only=True):
    """How price moves for a while. Its target starts where the regime before left off, drifts and swings."""

    name: str
    vol_bps: float
    """Root mean square of what bursts and moods make of it."""
    burst: float = 0.0
    """Standard deviation of the logarithm of volatility that lasts minutes; 0 for none."""
    mood: float = 0.0
    """The same of what lasts hours."""
    drift_bps: float = 0.0
    """Movement of the target, in bps of where it began, per second."""
    swing_bps: float = 0.0
    """Amplitude of a sine the target follows; 0 for none."""
    swing_s: float = 600.0
    pull: float = 0.0
    """0 lets price wander off; above 0 price comes back to the target."""
    jumps_per_hour: float = 0.0
    jump_bps: float = 0.0
    """Mean size of a jump, up or down; sizes are 0.5 to 1.5 of it."""
    jump_is_gap: bool = False
    """A gap skips the prices between and stays; a spike trades through them and is pulled back."""
    spread_bps: float = 0.2
    size_pct: int = 100
    """Displayed size, per cent of the usual."""
    usdt_per_s: float = 25_000.0
    """Mean traded notional."""


RANGE = Regime(name="range", vol_bps=0.8, burst=0.45, mood=0.38, pull=0.0005, swing_bps=60, swing_s=3_600)
TREND_UP = Regime(
    name="trend", vol_bps=1.2, burst=0.6, mood=0.6, drift_bps=0.05, pull=0.001, usdt_per_s=60_000.0
)
TREND_DOWN = Regime(
    name="trend", vol_bps=1.2, burst=0.6, mood=0.6, drift_bps=-0.048_263, pull=0.001, usdt_per_s=60_000.0
)
CRASH = Regime(
    name="crash", vol_bps=4.0, drift_bps=-0.8, pull=0.01, spread_bps=4.0, size_pct=20, usdt_per_s=400_000.0
)
REBOUND = Regime(
    name="crash",
    vol_bps=2.0,
    drift_bps=0.215_517,
    pull=0.01,
    spread_bps=1.0,
    size_pct=60,
    usdt_per_s=120_000.0,
)
SPIKE = Regime(
    name="spike",
    vol_bps=1.0,
    pull=0.02,
    jumps_per_hour=12,
    jump_bps=120,
    spread_bps=1.0,
    size_pct=50,
    usdt_per_s=50_000.0,
)
GAP = Regime(
    name="gap", vol_bps=1.0, jumps_per_hour=6, jump_bps=80, jump_is_gap=True, spread_bps=0.5, size_pct=70
)
QUIET = Regime(name="quiet", vol_bps=0.15, pull=0.001, spread_bps=0.1, size_pct=150, usdt_per_s=3_000.0)

# The demo's clock runs 60 x: twelve market minutes of swing pass in twelve seconds. With the default grid (step
# 50 bps, take-profit 3 steps, recentre at 400 bps) one swing fills two or three rungs of each leg and closes them
# at a profit, and each surge goes on until the ladder moves. Up and down balance, so that it can run for days.
_SWING = Regime(name="demo-swing", vol_bps=1.2, swing_bps=170, swing_s=720, pull=0.05, usdt_per_s=60_000.0)
_SURGE = Regime(
    name="demo-surge", vol_bps=1.2, drift_bps=1.0, pull=0.05, spread_bps=0.4, usdt_per_s=150_000.0
)
_SLUMP = Regime(
    name="demo-slump",
    vol_bps=1.5,
    drift_bps=-0.992_063,
    pull=0.05,
    spread_bps=0.6,
    size_pct=60,
    usdt_per_s=200_000.0,
)
_CALM = Regime(name="demo-calm", vol_bps=0.3, pull=0.01, usdt_per_s=10_000.0)
_SPIKES = Regime(
    name="demo-spikes", vol_bps=1.0, pull=0.02, jumps_per_hour=40, jump_bps=110, spread_bps=1.0, size_pct=50
)

type Schedule = tuple[tuple[Regime, float], ...]

SCHEDULES: dict[str, Schedule] = {
    "range": ((RANGE, 86_400),),
    "trend": ((TREND_UP, 7_200), (RANGE, 1_800), (TREND_DOWN, 7_200), (RANGE, 1_800)),
    "crash": ((RANGE, 300), (CRASH, 900), (REBOUND, 3_600)),
    "spike": ((SPIKE, 86_400),),
    "gap": ((GAP, 86_400),),
    "quiet": ((QUIET, 86_400),),
    "demo": (
        (_SWING, 2_160),
        (_SURGE, 500),
        (_SWING, 2_160),
        (_CALM, 240),
        (_SPIKES, 480),
        (_SWING, 1_440),
        (_SLUMP, 480),
        (_SWING, 2_160),
    ),
}
"""What a market goes through, each with its seconds, over and over; drifts undo each other, so that it ends where it began."""

DEMO_SPEED = 60
"""Market seconds per second of wall time that the demo schedule is made for: a closed 1m bar each second."""

"""Key figures of operations over rolling windows, with their thresholds (spec/5-observability.md); pure, time comes in."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

from hedgegridd.config import Kpi as Thresholds
from hedgegridd.messages import GuardsAnswer, GuardVerdict, KpiAnswer, VenueHealth
from hedgegridd.model import ZERO, Nanos

NS_PER_S = 1_000_000_000
MINUTE_S = 60
MINUTES = 5  # of the error rate
FRESH_S = 10  # health is told every second; older: the connection's loops do not run
SAMPLES_MAX = MINUTES * MINUTE_S + 2 * FRESH_S
HUNDRED = Decimal(100)
BREAKER = "venue_errors"  # the guard that is a circuit breaker

type Level = Literal["OK", "WARN", "CRITICAL", "NO DATA"]


class _Sample(NamedTuple):
    """The newest word of one second: calls and failed ones of the 60 s before it."""

    second: int
    calls: int
    failed: int


class Windows:
    """What the venue's health tells over five minutes, one sample a second at most."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)
        self._last: VenueHealth | None = None

    def heard(self, health: VenueHealth, now_ns: Nanos) -> None:
        """Take one report of wall time `now_ns`."""
        sample = _Sample(now_ns // NS_PER_S, health.calls, health.failed)
        if self._samples and self._samples[-1].second >= sample.second:
            self._samples.pop()
        self._samples.append(sample)
        self._last = health

    def requests_per_minute(self, now_ns: Nanos) -> int | None:
        """Calls of the last 60 s; None while nothing is told."""
        sample = self._at(now_ns // NS_PER_S)
        return None if sample is None else sample.calls

    def error_rate_pct(self, now_ns: Nanos) -> Decimal | None:
        """Failed calls over all calls of the last 300 s, from the samples that stand a minute apart; None: no call."""
        second = now_ns // NS_PER_S
        found = [self._at(second - back * MINUTE_S) for back in range(MINUTES)]
        calls = sum(each.calls for each in found if each is not None)
        failed = sum(each.failed for each in found if each is not None)
        return None if not calls else (failed * HUNDRED / calls).quantize(Decimal("0.01"))

    def healthy_pct(self, now_ns: Nanos) -> Decimal | None:
        """100 when the venue answered its newest call and bans us from nothing, else 0; None: nothing was ever told."""
        if self._last is None:
            return None
        banned = (self._last.banned_until_ns or 0) > now_ns
        told = self._at(now_ns // NS_PER_S) is not None
        return HUNDRED if told and self._last.last_ok is not False and not banned else ZERO

    def _at(self, second: int) -> _Sample | None:
        """The newest sample that is not younger than `second` and at most `FRESH_S` older."""
        for sample in reversed(self._samples):
            if sample.second <= second:
                return sample if second - sample.second <= FRESH_S else None
        return None


class Kpi(NamedTuple):
    """One figure: `value` None is not known; it is bad above its thresholds, or below them."""

    name: str
    value: Decimal | None
    unit: str
    warn: Decimal | None
    critical: Decimal | None
    status: Level
    message: str


def figures(answer: KpiAnswer, guards: GuardsAnswer) -> tuple[Kpi, ...]:
    """All five with their verdicts."""
    at = answer.thresholds
    requests = answer.requests_per_minute
    return (
        _above("requests_per_minute", None if requests is None else Decimal(requests), "1/min", at, "calls of the venue in 60 s"),
        _above("error_rate", answer.error_rate_pct, "%", at, "failed calls of the venue over all, 300 s"),
        Kpi("cache_hit_rate", None, "%", None, None, "NO DATA", "no question to the venue is answered from a cache"),
        _above("open_breakers", open_breakers(guards), "", at, _breaker_words(guards)),
        _below("healthy_venues", answer.healthy_pct, "%", at, "venues whose newest call was answered"),
    )  # fmt: skip


def thresholds(config: Thresholds) -> dict[str, tuple[Decimal, Decimal]]:
    """Warn and critical of each figure that has them."""
    return {
        "requests_per_minute": (config.requests_per_min_warn, config.requests_per_min_critical),
        "error_rate": (config.error_rate_warn_pct, config.error_rate_critical_pct),
        "open_breakers": (config.open_breakers_warn, config.open_breakers_critical),
        "healthy_venues": (config.healthy_venues_warn_pct, config.healthy_venues_critical_pct),
    }


type _At = Mapping[str, tuple[Decimal, Decimal]]


def _above(name: str, value: Decimal | None, unit: str, at: _At, words: str) -> Kpi:
    warn, critical = at[name]
    status: Level = "OK"
    if value is None:
        status = "NO DATA"
    elif value > critical:
        status = "CRITICAL"
    elif value > warn:
        status = "WARN"
    return Kpi(name, value, unit, warn, critical, status, words)


def _below(name: str, value: Decimal | None, unit: str, at: _At, words: str) -> Kpi:
    warn, critical = at[name]
    status: Level = "OK"
    if value is None:
        status = "NO DATA"
    elif value < critical:
        status = "CRITICAL"
    elif value < warn:
        status = "WARN"
    return Kpi(name, value, unit, warn, critical, status, words)


def _breakers(guards: GuardsAnswer) -> list[GuardVerdict]:
    """Breakers whose data is there; one without data is no open breaker but an unknown one."""
    return [each for each in guards.verdicts if each.guard == BREAKER and each.value is not None]


def open_breakers(guards: GuardsAnswer) -> Decimal | None:
    """How many breakers are open; None: of none is it known."""
    known = _breakers(guards)
    return Decimal(sum(each.level in ("CRITICAL", "BLOCK") for each in known)) if known else None


def _breaker_words(guards: GuardsAnswer) -> str:
    if BREAKER in guards.off:
        return f"the guard {BREAKER} is off"
    return (
        "; ".join(each.message for each in _breakers(guards) if each.message)
        or "breaker of the venue's calls"
    )

"""When a planned pause is: the window that is open at a time, and the next one; cron expressions and single times.

Cron is Debian's (five fields, in the time zone of the trading day), read by cronsim: on the day when clocks go forward an
hour that is not there fires at its end, on the day when they go back an hour fires once.
"""

from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

from hedgegridd.config import Pause
from hedgegridd.model import Nanos

MINUTE_NS = 60_000_000_000
_SECOND_NS = 1_000_000_000
# cronsim counts in local time: in the hour that comes twice it is off by one.
_SHIFT_NS = 3 * 3600 * _SECOND_NS
FIELDS = 5  # seconds are no business of a pause


def opened_ns(pause: Pause, zone: tzinfo, now_ns: Nanos) -> Nanos | None:
    """When the window that is open now began (the latest of overlapping ones); None: none is open."""
    begin_ns = _last_ns(pause, zone, now_ns)
    return begin_ns if begin_ns is not None and now_ns < begin_ns + pause.duration_min * MINUTE_NS else None


def next_ns(pause: Pause, zone: tzinfo, now_ns: Nanos) -> Nanos | None:
    """When the next window begins, after now; None: never."""
    if pause.cron is None:
        begin_ns = _at_ns(pause, zone)
        return begin_ns if begin_ns > now_ns else None
    firings = CronSim(pause.cron, _moment(now_ns - _SHIFT_NS, zone))
    return next((at_ns for at_ns in map(_nanos, firings) if at_ns > now_ns), None)


def _last_ns(pause: Pause, zone: tzinfo, now_ns: Nanos) -> Nanos | None:
    if pause.cron is None:
        begin_ns = _at_ns(pause, zone)
        return begin_ns if begin_ns <= now_ns else None
    firings = CronSim(pause.cron, _moment(now_ns + _SHIFT_NS, zone), reverse=True)
    return next((at_ns for at_ns in map(_nanos, firings) if at_ns <= now_ns), None)


def cron_problem(text: str) -> str:
    """What is wrong with a cron expression, in words; empty when nothing is."""
    if len(text.split()) != FIELDS:
        return "five fields: minute, hour, day of month, month, day of week"
    try:
        next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return str(error)
    except StopIteration:
        return "no such day ever comes"
    return ""


def at_problem(text: str) -> str:
    """What is wrong with a time, in words; empty when nothing is."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return "such as 2026-03-01T14:00 (of the [daemon] timezone) or 2026-03-01T14:00Z"
    return ""


def _at_ns(pause: Pause, zone: tzinfo) -> Nanos:
    moment = datetime.fromisoformat(pause.at or "")
    return _nanos(moment if moment.tzinfo is not None else moment.replace(tzinfo=zone))


def _moment(time_ns: Nanos, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(time_ns // _SECOND_NS, zone)


def _nanos(moment: datetime) -> Nanos:
    return int(moment.timestamp()) * _SECOND_NS

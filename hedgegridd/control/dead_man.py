"""The dead-man switch for people: whether the venue would cancel our orders if we fell silent, and what that would strip."""

from hedgegridd.control.views import age_s, exact
from hedgegridd.core.left_naked import left_naked
from hedgegridd.messages import CountdownView, DeadManAnswer, DeskView


def facts(answer: DeadManAnswer | None, desk: DeskView | None, now_ns: int) -> dict[str, object] | None:
    """JSON-ready; `age_s` is that of the oldest renewal, `naked` what would be lost; None: it does not answer."""
    if answer is None:
        return None
    ages = [age for item in answer.countdowns if (age := _age_s(item, now_ns)) is not None]
    left = [_left_s(item, now_ns) for item in answer.countdowns]
    known = [seconds for seconds in left if seconds is not None]
    views = {} if desk is None else {item.instrument: item for item in desk.instruments}
    return {
        "enabled": answer.enabled,
        "state": answer.state,
        "why": list(answer.why),
        "age_s": max(ages, default=None),
        "left_s": min(known, default=None),
        "countdown_s": exact(answer.countdown_s),
        "renew_s": exact(answer.renew_s),
        "instruments": [
            {
                "instrument": item.instrument,
                "left_s": _left_s(item, now_ns),
                "age_s": _age_s(item, now_ns),
                "problem": item.problem or None,
                "naked": list(left_naked(views[item.instrument])) if item.instrument in views else None,
            }
            for item in answer.countdowns
        ],
    }


def _age_s(item: CountdownView, now_ns: int) -> float | None:
    return None if item.until_ns is None else age_s(item.renewed_ns, now_ns)


def _left_s(item: CountdownView, now_ns: int) -> float | None:
    return None if item.until_ns is None else round(max(0, item.until_ns - now_ns) / 1e9, 3)


def wrong(answer: DeadManAnswer | None) -> tuple[str, ...]:
    """What is not as it should be, in words; an arming that takes its moment has no reason and is fine."""
    if answer is None or not answer.enabled or not answer.why:
        return ()
    return (f"the dead-man switch is {answer.state}: {'; '.join(answer.why)}",)

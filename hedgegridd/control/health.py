"""Is it running and trading as it should: one state with its reasons, from the daemon's views. Pure."""

from hedgegridd.control.verdict import Facts, Verdict
from hedgegridd.core.health import DEGRADED, HALTED, OK
from hedgegridd.model import KillState


def running(facts: Facts) -> bool:
    """Whether start-up is through, nothing stops it, and every part answers."""
    return facts.boot is not None and facts.boot.ready and not facts.boot.stopping and not facts.silent


def health_of(facts: Facts, verdict: Verdict) -> tuple[int, tuple[str, ...]]:
    """0 OK, 1 DEGRADED, 2 HALTED, and why it is not OK."""
    tripped = facts.kill is None or facts.kill.state in (KillState.TRIPPED, KillState.HALTED)
    runs = running(facts)
    state = HALTED if tripped or facts.silent else DEGRADED if verdict.wrong or not runs else OK
    return state, verdict.wrong or (() if runs else (verdict.doing,))

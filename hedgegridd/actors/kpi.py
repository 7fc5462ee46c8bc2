"""Follows the venue's health for the key figures of operations and answers with them."""

from collections.abc import Sequence

from hedgegridd import messages as m
from hedgegridd.config import Kpi
from hedgegridd.core.kpi import Windows, thresholds
from hedgegridd.runtime.actor import Actor


class KpiActor(Actor):
    """Its loss does not stop trading; after a restart its windows begin anew."""

    name = "kpi"
    queries = (m.GetKpi,)
    events = (m.VenueHealth,)

    def __init__(self, config: Kpi) -> None:
        self._windows = Windows()
        self._thresholds = thresholds(config)

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Take a report, or answer."""
        match envelope.message:
            case m.VenueHealth() as health:
                self._windows.heard(health, envelope.time_ns)
            case m.GetKpi():
                now_ns = envelope.time_ns
                return [
                    m.KpiAnswer(
                        to=envelope.seq,
                        requests_per_minute=self._windows.requests_per_minute(now_ns),
                        error_rate_pct=self._windows.error_rate_pct(now_ns),
                        healthy_pct=self._windows.healthy_pct(now_ns),
                        thresholds=self._thresholds,
                    )
                ]
        return []

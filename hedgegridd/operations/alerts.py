"""`alerts`: what is open, what was told last, and how the channels are."""

from typing import Annotated, ClassVar

from msgspec import Meta

from hedgegridd.control.operation import Context, Operation, Outcome, Role
from hedgegridd.control.views import utc
from hedgegridd.messages import Alert, AlertsAnswer, GetAlerts


class Alerts(Operation, frozen=True, kw_only=True):
    """Show open alerts, the last ones told (newest first), and each channel: what waits, what failed.

    An alert is open until it is over and, when it is CRITICAL, acknowledged (`ack`).

    Example: hedgegridctl alerts
    """

    verb: ClassVar[str] = "alerts"
    paths: ClassVar[tuple[str, ...]] = ("/alerts",)
    method: ClassVar[str] = "GET"
    role: ClassVar[Role] = Role.VIEWER

    limit: Annotated[int, Meta(ge=0, le=100, description="of those told last, 0 to 100")] = 20

    async def run(self, context: Context) -> Outcome:
        """Ask for them."""
        answer = await context.ask(GetAlerts(), AlertsAnswer)
        return Outcome(
            {
                "open": [
                    {
                        **_facts(item.alert),
                        "count": item.count,
                        "since": utc(item.since_ns),
                        "acknowledged_by": item.by or None,
                        "over": item.over,
                        "escalated": item.escalated,
                    }
                    for item in answer.open
                ],
                "recent": [_facts(alert) for alert in answer.recent[: self.limit]],
                "channels": [
                    {
                        "name": each.name,
                        "type": each.type,
                        "min_severity": each.min_severity,
                        "escalation": each.escalation,
                        "waiting": each.waiting,
                        "accepted": each.accepted,
                        "failed": each.failed,
                        "folded": each.folded,
                        "last_accepted_age_s": each.last_accepted_age_s,
                        "trouble": each.trouble or None,
                    }
                    for each in answer.channels
                ],
            }
        )


def _facts(alert: Alert) -> dict[str, object]:
    return {
        "alert_id": alert.alert_id,
        "severity": alert.severity,
        "stage": alert.stage,
        "kind": alert.kind,
        "title": alert.title,
        "what": alert.what,
        "did": alert.did,
        "do": alert.do,
        "runbook": alert.section,
        "count": alert.count,
        "time": utc(alert.time_ns),
    }

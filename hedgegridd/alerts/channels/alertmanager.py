"""Alertmanager by its API v2: it groups, silences and routes; what is over is told as resolved.

Its alerts are known by their labels, and severity is one of them: when that of a key changes, the alert with the old one
is resolved in the same call.
"""

from collections import OrderedDict

from hedgegridd.alerts.channels.base import Http, Sent
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Identity, Letter, iso
from hedgegridd.messages import Alert, Severity

KEYS_MAX = 2_000
LASTS_S = 24 * 3_600  # a lasting alert that is not told as recovered by then is over for Alertmanager
MOMENT_S = 300  # one that is over as soon as it is told
_NS_PER_S = 1_000_000_000


class Alertmanager:
    """`url` is its base, such as http://127.0.0.1:9093; `token` for `Authorization: Bearer`, "" for none."""

    limits: tuple[Limit, ...] = ()

    def __init__(self, url: str, identity: Identity, token: str = "") -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._identity = identity
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = Http()
        self._told: OrderedDict[str, Severity] = OrderedDict()  # by key: what it knows as firing

    async def open(self) -> None:
        """See `Channel`."""
        await self._http.open()

    async def close(self) -> None:
        """See `Channel`."""
        await self._http.close()

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """See `Channel`."""
        over = alert.stage == "recovered"
        before = self._told.get(alert.key)
        # After a restart we do not know under which severity it fires: both are resolved, which costs nothing.
        unknown: tuple[Severity, ...] = ("WARNING", "CRITICAL")
        resolved = (before,) if before else unknown
        if over:
            posts = [self._post(alert, letter, severity, alert.time_ns) for severity in resolved]
        else:
            lasts_s = LASTS_S if alert.lasting else MOMENT_S
            ends_ns = alert.time_ns + lasts_s * _NS_PER_S
            posts = [self._post(alert, letter, alert.severity, ends_ns)]
            if before and before != alert.severity:
                posts.append(self._post(alert, letter, before, alert.time_ns))
        sent = (await self._http.post(self._url, posts, self._headers)).sent()
        if sent.ok:
            self._remember(alert, over=over)
        return sent

    def _remember(self, alert: Alert, *, over: bool) -> None:
        self._told.pop(alert.key, None)
        if over or not alert.lasting:
            return
        self._told[alert.key] = alert.severity
        if len(self._told) > KEYS_MAX:
            self._told.popitem(last=False)

    def _post(self, alert: Alert, letter: Letter, severity: Severity, ends_ns: int) -> dict[str, object]:
        since_ns = alert.since_ns or alert.time_ns
        annotations = {
            "summary": letter.head,
            "description": letter.plain,
            "what": alert.what,
            "did": alert.did,
            "do": alert.do,
            "alert_id": alert.alert_id,
            "runbook_url": letter.link,
        }
        return {
            "labels": {
                "alertname": f"hedgegridd_{alert.kind}",
                "severity": severity.lower(),
                "key": alert.key,
                "account": self._identity.account,
                "environment": self._identity.environment,
            },
            "annotations": {name: text for name, text in annotations.items() if text},
            "startsAt": iso(min(since_ns, ends_ns)),
            "endsAt": iso(ends_ns),
        }

"""A generic webhook: the alert as JSON, signed when there is a secret."""

import hashlib
import hmac

import msgspec

from hedgegridd.alerts.channels.base import Http, Sent
from hedgegridd.alerts.pace import Limit
from hedgegridd.alerts.text import Identity, Letter, iso
from hedgegridd.messages import Alert

SIGNATURE = "X-Hedgegridd-Signature"


class Webhook:
    """`secret` signs the body: `X-Hedgegridd-Signature: sha256=<hex HMAC-SHA256>`; "" signs nothing."""

    limits: tuple[Limit, ...] = ()

    def __init__(self, url: str, identity: Identity, secret: str = "") -> None:
        self._url = url
        self._identity = identity
        self._secret = secret.encode()
        self._http = Http()

    async def open(self) -> None:
        """See `Channel`."""
        await self._http.open()

    async def close(self) -> None:
        """See `Channel`."""
        await self._http.close()

    async def send(self, alert: Alert, letter: Letter) -> Sent:
        """See `Channel`; every 2xx counts as taken."""
        body = msgspec.json.encode(
            {
                "alert_id": alert.alert_id,
                "account": self._identity.account,
                "environment": self._identity.environment,
                "kind": alert.kind,
                "key": alert.key,
                "severity": alert.severity,
                "stage": alert.stage,
                "title": alert.title,
                "what": alert.what,
                "did": alert.did,
                "do": alert.do,
                "count": alert.count,
                "time": iso(alert.time_ns),
                "since": iso(alert.since_ns or alert.time_ns),
                "runbook": letter.link,
                "text": letter.plain,
            }
        )
        headers = {}
        if self._secret:
            headers[SIGNATURE] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        return (await self._http.post(self._url, body, headers)).sent()

"""Makes the channels of a config."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from hedgegridd.alerts.channels.alertmanager import Alertmanager
from hedgegridd.alerts.channels.base import Channel
from hedgegridd.alerts.channels.library import Library
from hedgegridd.alerts.channels.slack import Slack
from hedgegridd.alerts.channels.telegram import API, Telegram
from hedgegridd.alerts.channels.webhook import Webhook
from hedgegridd.alerts.text import Identity
from hedgegridd.config import AlertChannel, Config
from hedgegridd.core.check_alerts import is_loopback
from hedgegridd.errors import ConfigError


def identity(config: Config) -> Identity:
    """Who speaks."""
    runbook = config.alerts.runbook_url or "docs/runbook.md"
    return Identity(account=config.venue.account, environment=config.venue.environment, runbook_url=runbook)


def credentials(config: Config) -> tuple[str, ...]:
    """The names of the credentials that the channels and the heartbeat need."""
    names = [channel.credential for channel in config.alert]
    return tuple(dict.fromkeys(name for name in (*names, config.alerts.heartbeat) if name))


def channel(table: AlertChannel, who: Identity, secrets: Mapping[str, str]) -> Channel:
    """The channel of a `[[alert]]` table; its credential's value is in `secrets`.

    Raises:
        ConfigError: a library is missing, or a credential is no address.
    """
    secret = "" if table.credential is None else secrets[table.credential]
    url = table.url or ""
    match table.type:
        case "slack":
            return Slack(_address(secret, table.credential))
        case "telegram":
            return Telegram(secret, table.chat_id or "", base=table.url or API, ack_users=table.ack_users)
        case "webhook":
            return Webhook(url, who, secret)
        case "alertmanager":
            return Alertmanager(url, who, secret)
        case "apprise":
            return Library(secret)


def heartbeat(config: Config, secrets: Mapping[str, str]) -> str:
    """The address of our own heartbeat, "" when there is none. Raises ConfigError: it is no address."""
    name = config.alerts.heartbeat
    return "" if name is None else _address(secrets[name], name)


def _address(secret: str, credential: str | None) -> str:
    """An address that is a secret: it may leave this machine encrypted only.

    Raises:
        ConfigError: it is none; the text does not hold it.
    """
    parts = urlsplit(secret)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.scheme != "https" and not local:
        raise ConfigError(f"alerts: credential {credential} holds no https address")
    return secret

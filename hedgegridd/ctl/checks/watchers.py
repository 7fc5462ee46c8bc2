"""Who watches the daemon: its metrics, Prometheus that scrapes them, and who is alerted."""

import json
import urllib.error
import urllib.request
from typing import Any

from hedgegridd.ctl.checks import Finding
from hedgegridd.ctl.client import Client
from hedgegridd.ctl.text import age

TIMEOUT_S = 5.0
SEND_S = 15.0
BYTES_MAX = 16 << 20
NEEDED = "hedgegrid_uptime_seconds"


def metrics(host: str, port: int) -> Finding:
    """Whether our own figures are served."""
    url = f"http://{_host(host)}:{port}/metrics"
    fix = "[metrics] host, port; the daemon's log says why it does not listen there"
    if port == 0:
        return Finding(
            "skip",
            "metrics",
            "[metrics] port = 0: any free port, which the daemon's log names",
            "give it a port",
        )
    try:
        text = _get(url).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return Finding("FAIL", "metrics", f"{url} does not answer: {_why(error)}", fix)
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE hedgegrid_")}
    if NEEDED not in families:
        return Finding(
            "FAIL", "metrics", f"{url} has no {NEEDED}: it is no hedgegridd, or it has no figures yet", fix
        )
    return Finding("ok", "metrics", f"{len(families)} families at {url}")


def prometheus(url: str | None, host: str, port: int) -> Finding:
    """Whether Prometheus has us among its targets, and reaches us."""
    if url is None:
        return Finding(
            "skip", "prometheus", "no address: neither --prometheus nor [metrics] prometheus_url names one",
            '[metrics] prometheus_url = "http://127.0.0.1:9091"',
        )  # fmt: skip
    where = f"{url.rstrip('/')}/api/v1/targets?state=active"
    try:
        targets = _targets(json.loads(_get(where)))
    except (OSError, ValueError) as error:
        return Finding(
            "FAIL",
            "prometheus",
            f"{url} does not answer: {_why(error)}",
            "start it, or name the right address",
        )
    own = [item for item in targets if _is_ours(str(item.get("scrapeUrl", "")), host, port)]
    if not own:
        fix = f"add {_host(host)}:{port} to scrape_configs in prometheus.yml and reload it"
        return Finding("FAIL", "prometheus", f"{url} does not scrape {_host(host)}:{port}", fix)
    up = [item for item in own if item.get("health") == "up"]
    if not up:
        said = str(own[0].get("lastError") or own[0].get("health"))
        return Finding("FAIL", "prometheus", f"{url} does not reach us: {said}", "look at its Targets page")
    return Finding("ok", "prometheus", f"{url} scrapes us, last at {str(up[0].get('lastScrape'))[:19]} UTC")


def alertmanager(url: str | None) -> Finding:
    """Whether the Alertmanager that the daemon tells is there."""
    if url is None:
        fix = 'an [[alert]] table of type "alertmanager"'
        return Finding("skip", "alertmanager", "not configured: no [[alert]] table leads to one", fix)
    try:
        _get(f"{url.rstrip('/')}/-/ready")
    except (OSError, ValueError) as error:
        fix = "start it, or name the right address in [[alert]]"
        return Finding("FAIL", "alertmanager", f"{url} is not ready: {_why(error)}", fix)
    return Finding("ok", "alertmanager", f"{url} is ready")


def alerts(client: Client, *, send: bool) -> list[Finding]:
    """Whether each channel takes alerts: by what became of the last ones, or by a test alert.

    Raises:
        NoDaemon: nobody answers on the socket.
    """
    reply = client.call("test_alert", {}, SEND_S) if send else client.call("alerts", {"limit": 0}, TIMEOUT_S)
    if send and reply.ok:
        return [_tested(name, words) for name, words in (reply.result.get("channels") or {}).items()]
    if not reply.ok:
        said = str(reply.problem.get("detail") or reply.problem.get("title"))
        return [Finding("FAIL", "alerts", said, "hedgegridctl alerts; the log says alert_not_taken")]
    channels = reply.result["channels"]
    if not channels:
        fix = "add an [[alert]] table (docs/manual/alerts.md)"
        return [Finding("WARN", "alerts", "no channel is configured: nobody is told when it matters", fix)]
    return [_channel(each) for each in channels]


def _tested(name: str, words: str) -> Finding:
    if words.startswith("accepted"):
        return Finding("ok", "alerts", f"{name}: test alert {words}")
    return Finding(
        "FAIL", "alerts", f"{name}: test alert {words}", "the credential; the service's status page"
    )


def _channel(each: dict[str, Any]) -> Finding:
    name, trouble = each["name"], each["trouble"]
    if trouble:
        fix = "the credential; the service's status page; hedgegridctl alerts"
        return Finding("FAIL", "alerts", f"{name} fails: {trouble}; {each['waiting']} wait", fix)
    if not each["accepted"]:
        return Finding("skip", "alerts", f"{name}: nothing was sent yet", "hedgegridctl doctor --send")
    ago = age(each["last_accepted_age_s"])
    return Finding("ok", "alerts", f"{name}: {each['accepted']} accepted, the last {ago} ago")


def _host(host: str) -> str:
    """An address that can be asked: one that means all interfaces is asked by loopback."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # it is replaced
    return f"[{named}]" if ":" in named else named


def _is_ours(scraped: str, host: str, port: int) -> bool:
    names = {_host(host)}
    if names & {"127.0.0.1", "[::1]"}:
        names |= {"127.0.0.1", "localhost", "[::1]"}
    return any(scraped.startswith(f"http://{name}:{port}/") for name in names)


def _targets(body: Any) -> list[dict[str, Any]]:
    """Raises ValueError: it is no answer of Prometheus."""
    data = body.get("data") if isinstance(body, dict) else None
    found = data.get("activeTargets") if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise ValueError("its answer is not that of a Prometheus")  # noqa: TRY004  # a wrong value of another's
    return [item for item in found if isinstance(item, dict)]


def _get(url: str) -> bytes:
    """The body; never by a proxy. Raises OSError, ValueError."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("an address begins with http:// or https://")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=TIMEOUT_S) as response:
        data: bytes = response.read(BYTES_MAX)
    return data


def _why(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(reason, "strerror", None) or reason)

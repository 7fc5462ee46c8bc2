"""Who watches the daemon: its metrics, Prometheus that scrapes them, and who is alerted."""

import json
import urllib.error
import urllib.request
from typing import Any

from hedgegridd.ctl.checks import Finding

TIMEOUT_S = 5.0
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


def alerts() -> list[Finding]:
    """This version sends no alerts: it says so."""
    fix = "alert on the metrics, by rules of your own"
    return [
        Finding("skip", "alertmanager", "not configured: this version has no connection to one", fix),
        Finding("skip", "alerts", "not configured: this version has no alert channels", fix),
    ]


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

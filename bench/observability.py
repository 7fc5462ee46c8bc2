"""Looks at what runs: the daemon's metrics, and a Prometheus that scrapes it.

    python -m bench.observability metrics    [--metrics http://127.0.0.1:9090/metrics]
    python -m bench.observability prometheus [--prometheus http://127.0.0.1:9091]
    python -m bench.observability reload     [--prometheus http://127.0.0.1:9091]

Each prints what it finds and exits 1 when something is not as it should be.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.support.observability import CONDITIONS, SPECIFIED, rules, shown

TIMEOUT_S = 10.0
RELOAD_S = 10.0
STALE_S = 60.0


class Wrong(Exception):  # noqa: N818  # it is what the command prints
    """Something is not as it should be, in words."""


def fetch(url: str, method: str = "GET") -> str:
    """The body of an answer. Raises Wrong when there is none, or it is an error."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise Wrong(f"{url}: not an http address")
    try:
        asked = urllib.request.Request(url, method=method)
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise Wrong(f"{url}: {error.code} {error.read(300).decode(errors='replace').strip()}") from error
    except OSError as error:
        raise Wrong(f"{url}: {error}") from error


class Prometheus:
    """A Prometheus under way."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the API."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return json.loads(fetch(f"{self.url}/api/v1/{path}{query}"))["data"]

    def ask(self, promql: str, at_s: float | None = None) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that an instant query finds."""
        when = {} if at_s is None else {"time": f"{at_s:.3f}"}
        found = self.get("query", query=promql, **when)["result"]
        return [(dict(each["metric"]), float(each["value"][1])) for each in found]


def check_metrics(url: str) -> list[str]:
    """What is wrong with a scrape of the daemon."""
    scrape = fetch(url)
    has = shown(scrape)
    found = [f"{name}: missing" for name in SPECIFIED if name not in has and name not in CONDITIONS]
    for name in SPECIFIED:
        if name not in has and name in CONDITIONS:
            print(f"absent until {CONDITIONS[name]}: {name}")
    promtool = shutil.which("promtool")
    if promtool is None:
        found.append("promtool (Debian package prometheus) is not installed")
    else:
        checked = subprocess.run(
            [promtool, "check", "metrics"],
            input=scrape,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        found += (checked.stdout + checked.stderr).splitlines()
    print(
        f"{url}: {len(has)} metrics, {len([line for line in scrape.splitlines() if line[:1] != '#'])} samples"
    )
    return found


def check_prometheus(prometheus: Prometheus) -> list[str]:
    """What is wrong with the daemon in Prometheus's eyes, and with our rules in it."""
    found = []
    targets = prometheus.get("targets", state="active")["activeTargets"]
    ours = [each for each in targets if each["labels"]["job"] == "hedgegridd"]
    if not ours:
        found.append("no target of the job hedgegridd")
    for target in ours:
        print(
            f"{target['scrapeUrl']}: {target['health']}, last scrape {target['lastScrapeDuration'] * 1000:.1f} ms"
        )
        if target["health"] != "up":
            found.append(f"{target['scrapeUrl']}: {target['health']} {target['lastError']}")
    loaded = {rule["name"]: rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]}
    for _, rule in rules():
        name = rule.get("alert") or rule["record"]
        if name not in loaded:
            found.append(f"rule {name}: not loaded")
        elif loaded[name]["health"] == "err":
            found.append(f"rule {name}: {loaded[name].get('lastError')}")
        elif loaded[name].get("state") == "firing":
            print(f"fires: {name}")
    arrived = set(prometheus.get("label/__name__/values"))
    found += [
        f"{name}: has not arrived"
        for name in SPECIFIED
        if name not in CONDITIONS and not arrived & {name, f"{name}_count"}
    ]
    for labels, age_s in prometheus.ask("time() - timestamp(hedgegrid_build_info)"):
        if age_s > STALE_S:
            found.append(f"{labels['instance']}: the last sample is {age_s:.0f} s old")
    return found


def reload_prometheus(prometheus: Prometheus) -> list[str]:
    """Let it read its config again; why it did not take it."""
    loaded = "prometheus_config_last_reload_success_timestamp_seconds"
    before = own_metric(prometheus, loaded)
    fetch(f"{prometheus.url}/-/reload", "POST")
    until = time.monotonic() + RELOAD_S
    while own_metric(prometheus, loaded) == before and time.monotonic() < until:
        time.sleep(0.1)
    if own_metric(prometheus, "prometheus_config_last_reload_successful") != 1:
        return ["the config was refused: Prometheus's log says why"]
    print(f"{prometheus.url}: config and rules were read again")
    return []


def own_metric(prometheus: Prometheus, name: str) -> float:
    """A metric of Prometheus itself. Raises Wrong when it has none of that name."""
    for line in fetch(f"{prometheus.url}/metrics").splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    raise Wrong(f"{prometheus.url}/metrics: no {name}; is this a Prometheus?")


def main() -> int:
    line = argparse.ArgumentParser(prog="python -m bench.observability", description=__doc__)
    line.formatter_class = argparse.RawDescriptionHelpFormatter
    line.add_argument("what", choices=("metrics", "prometheus", "reload"))
    line.add_argument("--metrics", default="http://127.0.0.1:9090/metrics")
    line.add_argument("--prometheus", default="http://127.0.0.1:9091")
    options = line.parse_args()
    try:
        match options.what:
            case "metrics":
                found = check_metrics(options.metrics)
            case "prometheus":
                found = check_prometheus(Prometheus(options.prometheus))
            case _:
                found = reload_prometheus(Prometheus(options.prometheus))
    except Wrong as error:
        found = [str(error)]
    for each in found:
        print(f"WRONG  {each}")
    print("WRONG" if found else "OK")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

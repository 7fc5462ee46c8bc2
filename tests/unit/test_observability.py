"""`etc/` for Prometheus, Alertmanager and Grafana: it parses, asks for what exists, and every alert is tested and explained."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.observability import (
    DASHBOARDS,
    ETC,
    ROOT,
    RULES,
    Query,
    alerts,
    anchors,
    dashboard_queries,
    made,
    names,
    rule_queries,
    selectable,
)

TESTS = ETC / "prometheus" / "tests" / "alerts.yml"
SPEC = (
    "HedgegridDown",
    "HedgegridBarsStalled",
    "HedgegridHeartbeatOld",
    "HedgegridMarginRatioHigh",
    "HedgegridMakerRatioLow",
    "HedgegridUnrealizedLoss",
    "HedgegridReconcileLag",
    "HedgegridOrdersRejected",
    "HedgegridEquityFalls",
    "HedgegridTradingDisabled",
    "HedgegridFeedStale",
    "HedgegridExternalSourceSilent",
    "HedgegridKillSwitchTripped",
    "HedgegridDeadManOld",
    "HedgegridAlertChannelFailing",
)
QUERIES = (*rule_queries(), *dashboard_queries())
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed"
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a", {"a"}),
        ('sum by (le, x) (rate(a_bucket{b="c"}[5m])) > 0.5', {"a_bucket"}),
        ("a:b:c5m / (d > 0) and on (job) group_left () e offset 5m", {"a:b:c5m", "d", "e"}),
        ('time() - max_over_time(a{x=~"up|down"}[10m]) > 30', {"a"}),
        ("(increase(a[5m]) and a offset 5m) or (b unless b offset 5m)", {"a", "b"}),
        ("-a", {"a"}),
    ],
)  # fmt: skip
def test_the_names_in_a_query(query, found):
    assert names(query) == found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_query_asks_for_what_exists(query: Query):
    asked = names(query.text)
    assert asked, query
    assert asked <= selectable(), f"{query.where}: nobody makes {sorted(asked - selectable())}"


def test_every_metric_is_on_a_dashboard_or_in_a_rule():
    asked = frozenset().union(*(names(query.text) for query in QUERIES))
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert set(made()) - shown == {"hedgegrid_uptime_seconds"}, "what nobody looks at need not be made"


@needs_promtool
def test_every_query_parses(tmp_path):
    """As a recording rule each: this promtool has no command that parses a query."""
    group = [{"record": f"q{number}", "expr": query.text} for number, query in enumerate(QUERIES)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": group}]}))
    checked = run("promtool", "check", "rules", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_the_config_is_right_also_with_remote_write(tmp_path):
    folder = ETC / "prometheus"
    checked = run("promtool", "check", "config", folder / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    both = (folder / "prometheus.yml").read_text() + (folder / "remote_write.example.yml").read_text()
    both = both.replace("rules/*.yml", f"{folder}/rules/*.yml")
    # A file that is named must be there: another one stands for the password.
    both = both.replace("/etc/prometheus/remote_write_password", str(tmp_path / "password"))
    (tmp_path / "password").write_text("x")
    (tmp_path / "prometheus.yml").write_text(both)
    checked = run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "remote_write" in yaml.safe_load(both)


@needs_promtool
def test_the_rules_do_what_their_tests_say():
    checked = run("promtool", "check", "rules", *RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run("promtool", "test", "rules", TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_all_alerts_of_the_spec_are_there_each_with_a_test_that_sees_it_quiet_firing_and_over():
    assert set(alerts()) == set(SPEC)
    tests = {test["name"]: test for test in yaml.safe_load(TESTS.read_text())["tests"]}
    assert set(tests) == set(SPEC)
    for name, test in tests.items():
        fires = ["exp_alerts" in check for check in test["alert_rule_test"] if check["alertname"] == name]
        assert (fires[0], any(fires), fires[-1]) == (False, True, False), name


def test_every_alert_leads_to_a_section_of_the_runbook():
    known = anchors((ROOT / "docs" / "runbook.md").read_text())
    for name, rule in alerts().items():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/runbook.md", name
        assert anchor in known, f"{name}: the runbook has no #{anchor}"
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert all(rule["annotations"][each] for each in ("summary", "description")), name


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_a_dashboard_is_whole(path):
    board = json.loads(path.read_text())
    assert board["uid"].startswith("hedgegrid-")
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, f"{panel['title']} lies over another one"
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        sources = {json.dumps(each["datasource"]) for each in (panel, *panel["targets"])}
        assert sources == {'{"type": "prometheus", "uid": "hedgegrid"}'}, panel["title"]
    assert len({panel["title"] for panel in board["panels"]}) >= 5


def test_the_dashboards_are_provisioned():
    provisioning = ETC / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "hedgegrid.yml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == ("hedgegrid", "prometheus")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "hedgegrid.yml").read_text())["providers"]
    assert provider["type"] == "file"
    assert {path.stem for path in DASHBOARDS} == {"command-centre", "latency", "guards", "slippage"}


def test_alertmanager_routes_by_severity():
    config = yaml.safe_load((ETC / "alertmanager" / "alertmanager.yml").read_text())
    receivers = {each["name"] for each in config["receivers"]}
    routed = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    assert routed == receivers
    inhibited = json.dumps(config["inhibit_rules"])
    assert set(re.findall(r'\\"(Hedgegrid\w+)\\"', inhibited)) <= set(SPEC)
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool (Debian package prometheus-alertmanager) is not installed")
    path = ETC / "alertmanager" / "alertmanager.yml"
    assert run(amtool, "check-config", path).returncode == 0
    for severity, receiver in (
        ("critical", "pager"),
        ("CRITICAL", "pager"),
        ("warning", "chat"),
        ("INFO", "record"),
    ):
        routed_to = run(amtool, "config", "routes", "test", f"--config.file={path}", f"severity={severity}")
        assert routed_to.stdout.split() == [receiver]

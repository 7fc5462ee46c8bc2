"""hedgegridctl doctor: each finding with its remedy, from figures of a test; exit codes; no daemon."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from hedgegridd.config import Config, Daemon, Grid, Journal
from hedgegridd.ctl import main as ctl
from hedgegridd.ctl.checks import Finding, daemon, host, venue, watchers
from hedgegridd.venue import wire
from hedgegridd.venue.patience import REMEDIES
from tests.unit.test_ctl import Daemon as Served
from tests.unit.test_ctl import run

NOW_S = 1_700_000_000.0
GUARD = {"guard": "clock_skew", "level": "OK", "limit": "800", "value": "3"}


@contextmanager
def serving(pages: dict[str, str], status: int = 404, otherwise: str = "") -> Iterator[str]:
    """A server on loopback with these pages, and one answer for all others; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path.partition("?")[0])
            self.send_response(status if body is None else 200)
            self.end_headers()
            self.wfile.write((otherwise if body is None else body).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_metrics_must_be_ours_and_not_empty() -> None:
    with serving({"/metrics": "# TYPE hedgegrid_uptime_seconds gauge\nhedgegrid_uptime_seconds 1\n"}) as url:
        assert watchers.metrics("127.0.0.1", port_of(url))[:3] == (
            "ok",
            "metrics",
            f"1 families at {url}/metrics",
        )
        assert watchers.metrics("0.0.0.0", port_of(url)).level == "ok"
    assert watchers.metrics("127.0.0.1", port_of(url)).level == "FAIL", "nobody listens any more"
    with serving({"/metrics": "# TYPE python_info gauge\n"}) as url:
        assert watchers.metrics("127.0.0.1", port_of(url)).level == "FAIL"
    assert watchers.metrics("127.0.0.1", 0).level == "skip"


def targets(*found: dict[str, str]) -> dict[str, str]:
    return {"/api/v1/targets": json.dumps({"status": "success", "data": {"activeTargets": list(found)}})}


@pytest.mark.parametrize(
    ("target", "level", "said"),
    [
        (
            {
                "scrapeUrl": "http://127.0.0.1:9090/metrics",
                "health": "up",
                "lastScrape": "2026-11-20T12:58:10.1Z",
            },
            "ok",
            "scrapes us",
        ),
        ({"scrapeUrl": "http://localhost:9090/metrics", "health": "up"}, "ok", "scrapes us"),
        (
            {"scrapeUrl": "http://127.0.0.1:9090/metrics", "health": "down", "lastError": "refused"},
            "FAIL",
            "refused",
        ),
        (
            {"scrapeUrl": "http://127.0.0.1:90901/metrics", "health": "up"},
            "FAIL",
            "does not scrape 127.0.0.1:9090",
        ),
    ],
)
def test_prometheus_has_us_and_reaches_us(target: dict[str, str], level: str, said: str) -> None:
    with serving(targets(target)) as url:
        found = watchers.prometheus(url, "127.0.0.1", 9090)
    assert found.level == level
    assert said in found.text
    assert found.fix or level == "ok"


@pytest.mark.parametrize("body", ["[]", '{"data": 1}', "no JSON", '{"data": {"activeTargets": {}}}'])
def test_what_is_no_prometheus(body: str) -> None:
    with serving({"/api/v1/targets": body}) as url:
        assert watchers.prometheus(url, "127.0.0.1", 9090).level == "FAIL"


def test_prometheus_without_an_address_is_skipped_with_its_reason() -> None:
    found = watchers.prometheus(None, "127.0.0.1", 9090)
    assert found.level == "skip"
    assert "prometheus_url" in found.text
    assert watchers.prometheus("file:///etc/passwd", "127.0.0.1", 9090).level == "FAIL"


@pytest.mark.parametrize(
    ("offset", "guard", "level"),
    [
        (3, GUARD, "ok"),
        (-900, GUARD, "FAIL"),
        (500, {**GUARD, "level": "WARN"}, "WARN"),
        (500, {**GUARD, "level": "BLOCK"}, "FAIL"),
        (3, None, "WARN"),
        (-301, None, "FAIL"),
        (None, GUARD, "FAIL"),
    ],
)
def test_the_clock(offset: int | None, guard: dict[str, str] | None, level: str) -> None:
    found = daemon.clock({"feeds": {"clock_offset_ms": offset}}, {"guards": [guard] if guard else []})
    assert found.level == level
    assert (found.fix == "") is (level == "ok")


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (None, "FAIL"),
        ({"enabled": False, "state": "off", "why": [], "left_s": None}, "WARN"),
        ({"enabled": True, "state": "armed", "why": [], "left_s": 54.0}, "ok"),
        ({"enabled": True, "state": "armed", "why": ["late"], "left_s": 4.0}, "FAIL"),
        ({"enabled": True, "state": "disarmed", "why": ["refused"], "left_s": None}, "FAIL"),
    ],
)
def test_the_dead_man(facts: dict[str, Any] | None, level: str) -> None:
    assert daemon.dead_man(facts).level == level


@pytest.mark.parametrize(
    ("rights", "live", "level"),
    [
        (wire.KeyRights(enableFutures=True, enableWithdrawals=False), True, "ok"),
        (wire.KeyRights(enableFutures=True, enableWithdrawals=True), False, "FAIL"),
        (wire.KeyRights(enableFutures=False, enableWithdrawals=False), True, "FAIL"),
        (wire.KeyRights(enableFutures=True, enableWithdrawals=False, ipRestrict=False), True, "WARN"),
        (wire.KeyRights(enableFutures=True, enableWithdrawals=False, ipRestrict=False), False, "ok"),
        (None, True, "FAIL"),
        (None, False, "skip"),
    ],
)
def test_the_key_trades_and_does_not_withdraw(rights: wire.KeyRights | None, live: bool, level: str) -> None:
    assert venue.key(rights, live=live).level == level


@pytest.mark.parametrize(
    ("mode", "level"),
    [
        (wire.AccountConfig(dualSidePosition=True, multiAssetsMargin=False, canTrade=True), "ok"),
        (wire.AccountConfig(dualSidePosition=False, multiAssetsMargin=False), "FAIL"),
        (wire.AccountConfig(dualSidePosition=True, multiAssetsMargin=True), "FAIL"),
        (wire.AccountConfig(dualSidePosition=True, multiAssetsMargin=False, canTrade=False), "FAIL"),
    ],
)
def test_hedge_mode(mode: wire.AccountConfig, level: str) -> None:
    assert venue.hedge_mode(mode).level == level


def test_leverage_of_each_instrument() -> None:
    grid = Grid(leverage=5)
    right = wire.SymbolConfig(symbol="BTCUSDT", marginType="CROSSED", leverage=5)
    assert venue.leverage([(grid, right)]) == Finding("ok", "leverage", "BTCUSDT 5x cross")
    wrong = msgspec.structs.replace(right, leverage=20)
    assert venue.leverage([(grid, wrong)]).text == "BTCUSDT 20x CROSSED, wanted 5x cross"
    assert venue.leverage([(grid, None)]).level == "FAIL"


def config(folder: Path, **over: Any) -> Config:
    return Config(daemon=Daemon(state_dir=str(folder)), grid=(Grid(),), **over)


def test_without_credentials_the_daemons_own_word_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("HEDGEGRIDD_", "CREDENTIALS_")):
            monkeypatch.delenv(name)
    made = msgspec.structs.replace(
        config(tmp_path), venue=msgspec.structs.replace(config(tmp_path).venue, rest_url="http://127.0.0.1:9")
    )
    trusting = venue.findings(made, None, daemon_ready=True)
    assert {item.level for item in trusting} == {"ok"}
    assert "not asked here" in trusting[0].text
    alone = venue.findings(made, None, daemon_ready=False)
    assert {item.level for item in alone} == {"FAIL"}
    assert "venue_api_key" in alone[0].text
    assert [item.name for item in alone] == ["key", "hedge mode", "leverage"]


def test_a_venue_that_does_not_answer_is_told(tmp_path: Path) -> None:
    for name in ("venue_api_key", "venue_api_secret"):
        (tmp_path / name).write_text("x")
    made = config(tmp_path)
    made = msgspec.structs.replace(
        made, venue=msgspec.structs.replace(made.venue, rest_url="http://127.0.0.1:9")
    )
    found = venue.findings(made, tmp_path, daemon_ready=True)
    assert {item.level for item in found} == {"FAIL"}
    assert "not read" in found[0].text


def test_a_key_that_is_refused_has_its_own_remedy(tmp_path: Path) -> None:
    for name in ("venue_api_key", "venue_api_secret"):
        (tmp_path / name).write_text("x")
    made = config(tmp_path)
    with serving({}, status=400, otherwise='{"code": -1022, "msg": "Signature is not valid."}') as url:
        at = msgspec.structs.replace(made.venue, rest_url=url)
        found = venue.findings(msgspec.structs.replace(made, venue=at), tmp_path, daemon_ready=True)
    assert {(item.level, item.fix) for item in found} == {("FAIL", REMEDIES[-1022])}


def test_the_state_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert host.state_folder(config(folder)).level == "WARN"
    folder.mkdir(mode=0o700)
    assert host.state_folder(config(folder)).level == "ok"
    folder.chmod(0o750)
    found = host.state_folder(config(folder))
    assert (found.level, found.fix) == ("FAIL", f"chmod 700 {folder}")
    (tmp_path / "file").write_text("")
    assert host.state_folder(config(tmp_path / "file")).level == "FAIL"


def test_the_disk_is_that_of_the_nearest_folder_and_holds_the_journal(tmp_path: Path) -> None:
    small = Journal(keep_gb=msgspec.convert("0.000001", type(Journal().keep_gb), strict=False))
    found = host.disk(config(tmp_path / "not" / "there", journal=small))
    assert found.text.endswith(f"at {tmp_path}")
    large = Journal(keep_gb=type(Journal().keep_gb)(9_999))
    assert host.disk(config(tmp_path, journal=large)).level in ("WARN", "FAIL")


def test_a_journal_that_is_broken_or_not_there(tmp_path: Path) -> None:
    assert host.journal(config(tmp_path)).level == "WARN"
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "journal-000000000001.jsonl").write_text("nonsense\n")
    found = host.journal(config(tmp_path))
    assert found.level == "FAIL"
    assert "hedgegridctl journal verify" in found.fix


def test_the_age_of_backups(tmp_path: Path) -> None:
    assert host.backups(None, NOW_S).level == "skip"
    assert host.backups(tmp_path / "none", NOW_S).level == "FAIL"
    (tmp_path / "other.tar.gz").write_text("")
    assert host.backups(tmp_path, NOW_S).text == f"none in {tmp_path}"
    archive = tmp_path / "hedgegridd-acct1-x.tar.gz"
    archive.write_text("")
    os.utime(archive, (NOW_S, NOW_S - 3_600))
    assert host.backups(tmp_path, NOW_S) == Finding("ok", "backup", "the newest of 1 is 60 min 0 s old")
    os.utime(archive, (NOW_S, NOW_S - 2 * 86_400))
    assert host.backups(tmp_path, NOW_S).level == "FAIL"


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"TimeoutStopUSec": "4min", "Restart": "on-failure"}, "ok"),
        ({"TimeoutStopUSec": "infinity", "Restart": "always"}, "ok"),
        ({"TimeoutStopUSec": "1min 30s", "Restart": "on-failure"}, "FAIL"),
        ({"TimeoutStopUSec": "4min", "Restart": "no"}, "FAIL"),
        ({}, "FAIL"),
    ],
)
def test_limits_of_a_unit(told: dict[str, str], level: str) -> None:
    found = host.unit_finding("hedgegridd.service", told)
    assert found.level == level
    assert (found.fix == "") is (level == "ok")


def test_spans_of_systemd() -> None:
    assert [host.seconds(span) for span in ("4min", "1min 30s", "1h 2ms", "", "infinity")] == [
        240,
        90,
        3600.002,
        0,
        0,
    ]


def test_the_process_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text("0::/user.slice/session-1.scope\n")
    limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            {}                 4096                 files\n"
    (tmp_path / "7" / "limits").write_text(limits.format(1024))
    assert [item.level for item in host.systemd(7, tmp_path)] == ["WARN", "skip"]
    (tmp_path / "7" / "limits").write_text(limits.format(4096))
    assert [item.level for item in host.systemd(7, tmp_path)] == ["ok", "skip"]
    assert [item.level for item in host.systemd(8, tmp_path)] == ["skip"]
    assert [item.level for item in host.systemd(None)] == ["skip"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    made = Served(str(tmp_path / "c.sock"))
    yield made
    made.stop()
    structlog.reset_defaults()


def test_a_wrong_config_is_one_line_with_its_remedy_and_exit_1(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "grid.toml"
    wrong.write_text("[[grid]]\nstepbps = 50\n")
    assert run(served, "doctor", "-c", str(wrong)) == ctl.REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  config")
    assert "stepbps" in lines[0]
    assert lines[1].split() == ["fix:", "hedgegridd", "check", "-c", str(wrong)]
    assert lines[-1].endswith("not ready for money")
    assert any(line.startswith("ok    dead-man") for line in lines)
    assert any(line.startswith("skip  alertmanager  not configured") for line in lines)


def test_the_daemon_is_looked_for_where_its_config_says(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "grid.toml"
    made.write_text(
        f'[daemon]\nstate_dir = "{tmp_path}/s"\n[venue]\nrest_url = "http://127.0.0.1:9"\n'
        f'[[grid]]\ninstrument = "BTCUSDT-PERP"\n[control]\nsocket = "{served.path}"\n'
    )
    monkeypatch.delenv("HEDGEGRIDD_SOCKET", raising=False)
    assert ctl.main(["doctor", "-c", str(made)]) == ctl.REFUSED
    assert "ok    daemon" in capsys.readouterr().out
    assert ctl.main(["--socket", str(tmp_path / "none"), "doctor", "-c", str(made)]) == ctl.NO_DAEMON


def test_json_has_every_finding(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(served, "doctor", "-c", str(tmp_path / "none.toml"), "--json") == ctl.REFUSED
    body = json.loads(capsys.readouterr().out)
    assert body["ready"] is False
    assert body["fail"] == sum(item["level"] == "FAIL" for item in body["findings"]) > 0
    assert all(set(item) == {"level", "name", "text", "fix"} for item in body["findings"])
    assert all(item["fix"] for item in body["findings"] if item["level"] != "ok"), (
        "no finding without a remedy"
    )


def test_without_a_daemon_the_rest_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--socket", str(tmp_path / "none"), "doctor", "-c", str(tmp_path / "none.toml")]
    assert ctl.main(argv) == ctl.NO_DAEMON
    told = capsys.readouterr()
    assert "FAIL  daemon" in told.out
    assert "FAIL  config" in told.out
    assert "hedgegridd is not running" in told.err

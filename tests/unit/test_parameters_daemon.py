"""Parameters of the daemon's own tables, each with values that are not its default: state, stop, journal, log, label."""

import argparse
import asyncio
import io
import json
import logging
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from hedgegridd import keeper, log, run
from hedgegridd import messages as m
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.actors.waiter import WaiterActor
from hedgegridd.app import Daemon
from hedgegridd.config import Config, Control, Grid, Journal, Key, Metrics, Venue
from hedgegridd.config import Daemon as DaemonTable
from hedgegridd.journal.retention import Bounds, Swept
from hedgegridd.journal.snapshot import positions
from hedgegridd.venue.rest import Credentials
from tests.support.envelopes import Feeder
from tests.unit.control_fakes import desk

ADDRESSES = dict.fromkeys(("rest_url", "market_ws_url", "user_ws_url"), "http://127.0.0.1:9")


def made(tmp_path: Path, **tables: Any) -> Daemon:
    tables = {"daemon": DaemonTable(state_dir=str(tmp_path)), "venue": Venue(**ADDRESSES)} | tables
    return Daemon(Config(grid=(Grid(),), **tables), Credentials("k", "s"))


def test_an_opened_daemon_has_its_folder_segments_and_interval(tmp_path: Path) -> None:
    venue = Venue(
        account="desk7",
        environment="testnet",
        reconcile_interval_s=Decimal(11),
        account_poll_s=Decimal(17),
        **ADDRESSES,
    )
    daemon = made(tmp_path, venue=venue, journal=Journal(segment_mb=3))
    daemon.open()
    try:
        assert any(tmp_path.iterdir())
        assert daemon.journal._segment_bytes == 3 << 20
        feed = Feeder(daemon.supervisor._seats["reconciler"].actor)
        feed(m.VenueUp())
        assert feed.timers["reconcile"] - feed.mono_ns == 11_000_000_000
        services = daemon.control.http._dispatcher.services
        told = (services.account, services.environment, services.account_poll_s)
        assert told == ("desk7", "testnet", 17.0)
    finally:
        daemon.journal.close()
        daemon.folder.close()


# ----------------------------------------------------------------------------------------------------------- on_stop


class Willing:
    """A bus on which everything asked for happens at once."""

    def __init__(self, waiter: WaiterActor) -> None:
        self.feed = Feeder(waiter)
        self.asked: list[m.Message] = []

    def publish(self, event: m.Event, cause: int = 0, actor: str = "") -> None:
        if not isinstance(event, m.StageReached | m.Stopped):
            self.asked.append(event)
        self.feed(m.EntriesGone(cause="stopping"))

    def tell(self, command: m.Command, cause: int = 0, actor: str = "") -> int:
        self.asked.append(command)
        self.feed(m.Reconciled(ok=True, cause="stopping"))
        return 1

    async def ask(self, command: m.Command, timeout_s: float, actor: str = "") -> m.Answer:
        self.asked.append(command)
        if isinstance(command, m.DisarmDeadMan):
            return m.Done(to=1)
        if isinstance(command, m.GetStatus):
            return m.StatusAnswer(to=1, view=desk())
        return m.FlattenAnswer(
            to=1,
            flatten_id="f",
            verified=True,
            after_s=Decimal(1),
            cancelled_orders=0,
            closed={},
            residuals={},
            residual_orders=0,
            proof=(),
        )


@pytest.mark.parametrize(
    ("on_stop", "asked"),
    [
        ("keep", [m.Stopping, m.GetStatus, m.DisarmDeadMan, m.Reconcile]),
        ("flatten", [m.Stopping, m.Flatten, m.DisarmDeadMan, m.Reconcile]),
    ],
)
async def test_on_stop_decides_whether_inventory_is_closed(
    tmp_path: Path, on_stop: Any, asked: list[type]
) -> None:
    daemon = made(tmp_path, daemon=DaemonTable(state_dir=str(tmp_path), on_stop=on_stop))
    daemon.waiter = WaiterActor()
    daemon.boot = SimpleNamespace(reached_venue=True)  # type: ignore[assignment]
    bus = Willing(daemon.waiter)
    daemon.bus = bus  # type: ignore[assignment]
    daemon.orderly_stop = daemon._stages_of_stop()
    daemon.supervisor = SimpleNamespace(request_stop=lambda: None)  # type: ignore[assignment]
    daemon.systemd = SimpleNamespace(stopping=lambda: None)  # type: ignore[assignment]
    daemon.boot = SimpleNamespace(reached_venue=True)  # type: ignore[assignment]
    daemon._signalled("SIGTERM")
    async with asyncio.timeout(5):
        await daemon._stop_in_order()
    assert [type(each) for each in bus.asked] == asked
    assert daemon.confirmed


# ----------------------------------------------------------------------------------------------------- snapshot_every


@pytest.mark.parametrize(("every", "kept"), [(100, True), (200, False)])
async def test_a_snapshot_is_kept_every_so_many_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, kept: bool
) -> None:
    monkeypatch.setattr(keeper, "SNAPSHOT_CHECK_S", 0.01)
    daemon = made(tmp_path, journal=Journal(snapshot_every=every))
    daemon.open()
    try:
        for n in range(150):
            daemon.journal.append(
                "nobody",
                m.Envelope(
                    seq=n + 1, time_ns=0, mono_ns=0, cause=0, actor="", message=m.Stopping(reason="x")
                ),
            )
        task = asyncio.create_task(daemon.keeper._keep_snapshots())
        async with asyncio.timeout(5):
            for _ in range(200 if kept else 5):
                await asyncio.sleep(0.01)
                if len(positions(daemon.folder.snapshots)) == 2:
                    break
        task.cancel()
        assert (len(positions(daemon.folder.snapshots)) == 2) is kept
    finally:
        daemon.journal.close()
        daemon.folder.close()


@pytest.mark.parametrize(("days", "gigabytes"), [(7, "0.5"), (90, "5")])
async def test_old_segments_are_swept_with_the_configured_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, gigabytes: str
) -> None:
    seen: list[Bounds] = []
    swept = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sweep(_folder: Path, _snapshots: Path, bounds: Bounds, *, now_ns: int) -> Swept:
        seen.append(bounds)
        loop.call_soon_threadsafe(swept.set)
        return Swept(0, 0, 0)

    monkeypatch.setattr(keeper, "sweep", sweep)
    monkeypatch.setattr(keeper, "SWEEP_S", 0.0)
    daemon = made(tmp_path, journal=Journal(keep_days=days, keep_gb=Decimal(gigabytes)))
    daemon.open()
    try:
        task = asyncio.create_task(daemon.keeper._keep_in_bounds())
        await asyncio.wait_for(swept.wait(), 5)
        task.cancel()
    finally:
        daemon.journal.close()
        daemon.folder.close()
    assert seen[0] == Bounds(keep_days=days, keep_bytes=int(Decimal(gigabytes) * 10**9))


# ------------------------------------------------------------------------------------------------- log, credentials


@pytest.fixture
def logging_as_before() -> Any:
    """`configure` is for a whole process; a test puts it back."""
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**before)


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("warning", 1)])
def test_the_log_level_holds(capsys: pytest.CaptureFixture[str], level: Any, lines: int) -> None:
    log.configure(DaemonTable(log_level=level, log_format="json"))
    logger = structlog.get_logger("x")
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    out = capsys.readouterr().out.splitlines()
    assert len(out) == lines
    assert json.loads(out[-1])["event"] == "c"


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("kind", "is_json"), [("json", True), ("console", False), ("auto", True)])
def test_the_log_format_holds(capsys: pytest.CaptureFixture[str], kind: Any, is_json: bool) -> None:
    log.configure(DaemonTable(log_format=kind))
    structlog.get_logger("y").info("told")
    assert capsys.readouterr().out.startswith("{") is is_json


class Terminal(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("kind", "is_json"), [("json", True), ("console", False), ("auto", False)])
def test_at_a_terminal_auto_is_for_people(monkeypatch: pytest.MonkeyPatch, kind: Any, is_json: bool) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    log.configure(DaemonTable(log_format=kind))
    structlog.get_logger("z").info("told")
    assert terminal.getvalue().startswith("{") is is_json


def test_a_key_file_comes_beside_the_configs_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hgd_x\n")
    flags = argparse.Namespace(
        api_port=None, prometheus_port=None, log_level=None, api_key_file=tmp_path / "key"
    )
    kept = Key(name="desk", role="viewer", sha256="ab" * 32)
    keys = run.with_flags(Config(grid=(Grid(),), control=Control(keys=(kept,))), flags).control.keys
    assert [(key.name, key.role) for key in keys] == [("desk", "viewer"), ("api-key-file", "operator")]


def test_the_venues_key_and_secret_have_the_names_that_the_config_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("mine_k", "KEY"),
        ("mine_s", "SECRET"),
        ("venue_api_key", "x"),
        ("venue_api_secret", "y"),
    ):
        (tmp_path / name).write_text(value)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    found = run._credentials(Config(grid=(Grid(),), venue=Venue(api_key="mine_k", api_secret="mine_s")))
    assert (found.key, found.secret) == ("KEY", "SECRET")


# ----------------------------------------------------------------------------------------------------------- [metrics]


async def test_metrics_are_served_where_the_config_says() -> None:
    with_port = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.2", 0)
    port = with_port.sockets[0].getsockname()[1]
    actor = MetricsActor(Metrics(host="127.0.0.2", port=port), Meters(SimpleNamespace(), {}), 0)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="in use"):
        await actor.start()
    with_port.close()
    await with_port.wait_closed()

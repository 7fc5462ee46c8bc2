"""What Prometheus scrapes from the running daemon: the fifteen named metrics, and a text that promtool finds clean."""

import math
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.observability import CONDITIONS, SPECIFIED, made, shown
from tests.support.programs import Daemon, daemon, exchange, until
from tests.support.truth import METRICS, entries_at

pytestmark = pytest.mark.e2e
SYMBOL = "BTCUSDT"


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has traded: the maker ratio has nothing to tell before the first fill."""
    folder = tmp_path_factory.mktemp("metrics")
    with (
        exchange(["--speed", "60", "--seed", "1"], folder / "exchange.log") as venue,
        daemon(folder, venue, [{"instrument": f"{SYMBOL}-PERP"}]) as running,
    ):
        until(lambda: any(entries_at(venue.truth(), SYMBOL).values()), "entries", 60, running.program)
        until(lambda: venue.user_trades(SYMBOL, 1), "a fill", 60, running.program)
        until(lambda: running.metrics().get("hedgegrid_maker_ratio"), "its metric", 10, running.program)
        yield running


def test_all_fifteen_have_a_value(bot: Daemon) -> None:
    found = bot.metrics()
    assert len(METRICS) == 15
    for name in METRICS:
        assert len(found[name]) == 1, name
        (value,) = found[name].values()
        assert math.isfinite(value), name


def test_each_metric_of_the_spec_is_there_or_has_a_written_reason_not_to_be(bot: Daemon) -> None:
    until(lambda: "hedgegrid_orders_submitted_total" in shown(bot.scrape()), "an order", 60, bot.program)
    has = shown(bot.scrape())
    assert set(SPECIFIED) - has <= set(CONDITIONS)
    assert set(CONDITIONS) <= {*SPECIFIED, *made()}


def test_what_is_alive_moves(bot: Daemon) -> None:
    first = bot.metrics()

    def moved() -> bool:
        now = bot.metrics()
        names = ("hedgegrid_ticks_total", "hedgegrid_uptime_seconds", "hedgegrid_last_bar_timestamp")
        return all(next(iter(now[n].values())) > next(iter(first[n].values())) for n in names)

    until(moved, "ticks, uptime and the last bar move on", 30, bot.program)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing(bot: Daemon) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"],  # the one of the PATH
        input=bot.scrape(),
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")

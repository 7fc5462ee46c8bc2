"""Weights at run time: normalised, all or none, in the gate's limits at once, kept until the config's own change."""

from decimal import Decimal as D  # noqa: N817  # many literals

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.core import weights
from hedgegridd.core.desk import Desk

BTC, ETH, XRP = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE", "XRPUSDT-PERP.BINANCE"
GRIDS = (
    Grid(instrument="BTCUSDT-PERP"),
    Grid(instrument="ETHUSDT-PERP"),
    Grid(instrument="XRPUSDT-PERP", enabled=False),
)


def tell(desk: Desk, command: m.Message) -> list[m.Message]:
    return desk.handle(m.Envelope(seq=9, time_ns=1, mono_ns=1, cause=0, actor="me", message=command))


def caps(desk: Desk) -> dict[str, D]:
    return {name: machine.placer.position.max_leverage for name, machine in desk._grids.items()}


def test_they_are_normalised_and_count_at_once_and_after_a_restart() -> None:
    desk = Desk(Config(grid=GRIDS), "t1")
    leverage = GRIDS[0].position.max_leverage
    assert caps(desk)[BTC] == leverage / 2
    out = tell(desk, m.SetWeights(weights={BTC: D(3), ETH: D(1)}, reason="calm"))
    (done,) = [each for each in out if isinstance(each, m.Done)]
    assert done.detail["weights"] == {BTC: {"old": "0.5", "new": "0.75"}, ETH: {"old": "0.5", "new": "0.25"}}
    assert caps(desk)[BTC] == leverage * D("0.75")
    assert caps(desk)[ETH] == leverage * D("0.25")
    again = Desk(Config(grid=GRIDS), "t1")
    again.restore(desk.snapshot())
    assert caps(again) == caps(desk)


def test_a_config_whose_weights_have_changed_since_counts() -> None:
    desk = Desk(Config(grid=GRIDS), "t1")
    tell(desk, m.SetWeights(weights={BTC: D(3), ETH: D(1)}))
    other = (msgspec.structs.replace(GRIDS[0], weight=D(4)), *GRIDS[1:])
    again = Desk(Config(grid=other), "t1")
    again.restore(desk.snapshot())
    assert caps(again)[BTC] == GRIDS[0].position.max_leverage * D("0.8")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({BTC: D(1)}, "every enabled grid"),
        ({BTC: D(1), ETH: D(1), XRP: D(1)}, "no enabled grid"),
        ({BTC: D(0), ETH: D(1)}, "above 0"),
        ({BTC: D(-1), ETH: D(1)}, "above 0"),
        ({BTC: D("NaN"), ETH: D(1)}, "above 0"),
        ({BTC: D(1001), ETH: D(1)}, "at most 1000"),
        ({BTC: D("1e-13"), ETH: D(1)}, "above 0"),
    ],
)
def test_all_or_none(given: dict[str, D], said: str) -> None:
    desk = Desk(Config(grid=GRIDS), "t1")
    before = caps(desk)
    out = tell(desk, m.SetWeights(weights=given))
    (refused,) = [each for each in out if isinstance(each, m.Refused)]
    assert said in refused.reason
    assert caps(desk) == before
    assert desk.snapshot().weights is None


def test_the_parts_of_the_enabled_grids_sum_to_one() -> None:
    found = weights.shares(GRIDS, None)
    assert found[BTC] + found[ETH] == 1

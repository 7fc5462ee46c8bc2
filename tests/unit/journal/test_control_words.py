"""What the control plane asked for, as the journal tells it to people."""

from decimal import Decimal

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.core.reloaded import carried
from hedgegridd.journal.words import words
from hedgegridd.model import Leg


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (m.SetSwitch(name="read_only", enabled=True, reason="odd"), "switch read_only on: odd"),
        (
            m.SetWeights(weights={"BTCUSDT-PERP.BINANCE": Decimal(2), "ETHUSDT-PERP.BINANCE": Decimal(1)}),
            "weights BTCUSDT 2, ETHUSDT 1",
        ),
        (
            m.TryOrder(instrument="BTCUSDT-PERP.BINANCE", leg=Leg.LONG, notional_usdt=Decimal(60)),
            "test order of BTCUSDT LONG 60 USDT",
        ),
        (m.SetLimits(values={"max_leverage": Decimal(3)}, reason="calm"), "limits max_leverage 3: calm"),
        (m.ConfigReloaded(config=carried(Config(grid=(Grid(),)))), "the config file was read again"),
        (
            m.AuthFailed(address="10.0.0.9", what="key", count=10, limited=True),
            "turned away: 10.0.0.9 with a wrong key, 10 in all; its next ones are refused unread",
        ),
        (
            m.ExternalSignal(event_id="X-1", source="scanner", action="pause", reason="spike"),
            "scanner asks for pause (X-1): spike",
        ),
    ],
)
def test_in_words(message: m.Message, said: str) -> None:
    assert words(type(message).__name__, msgspec.json.decode(msgspec.json.encode(message))) == said

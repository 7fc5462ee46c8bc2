"""Panic against a venue in trouble, with no daemon anywhere: PASS as long as it can end well, else FAIL with what is left."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from hedgegridd import messages as m
from hedgegridd.model import LEGS, Leg, OrderKind, OrderTag, Purpose, client_order_id
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import Credentials, RestClient
from tests.support.panic import Panicking, panic
from tests.support.programs import Exchange, RunConfig, exchange, until, write_config
from tests.support.truth import exchange_books

pytestmark = pytest.mark.e2e
BTC, ETH = "BTCUSDT", "ETHUSDT"
ORDER = {"target": "rest", "method": "POST", "path": "/fapi/v1/order"}
CANCEL_ALL = {"target": "rest", "method": "DELETE", "path": "/fapi/v1/allOpenOrders"}
POSITIONS = {"target": "rest", "method": "GET", "path": "/fapi/*/positionRisk"}
ALGO = {"target": "rest", "method": "DELETE", "path": "/fapi/v1/algoOrder"}
ANY = {"target": "rest", "path": "/fapi/*"}

TROUBLE: dict[str, list[dict[str, object]]] = {
    "none": [],
    "the first cancel is refused: overloaded": [{**CANCEL_ALL, "kind": "status_before", "code": -1008, "count": 1}],
    "the first cancel is processed, the answer says 503": [{**CANCEL_ALL, "kind": "status_after", "count": 1}],
    "the first closes are processed, the answer says 503": [{**ORDER, "kind": "status_after", "count": 2}],
    "the answers to the first closes are lost": [{**ORDER, "kind": "drop_after", "count": 2}],
    "the first closes never arrive": [{**ORDER, "kind": "drop_before", "count": 2}],
    "the first close hangs": [{**ORDER, "kind": "hang", "count": 1, "delay_ms": 20_000}],
    "the first closes: too many orders, wait 2 s": [
        {**ORDER, "kind": "status_before", "status": 429, "code": -1015, "retry_after_s": 2, "count": 2}
    ],
    "banned for 2 s": [{**ANY, "kind": "status_before", "status": 418, "code": -1003, "retry_after_s": 2, "count": 3}],
    "the positions cannot be read at first": [{**POSITIONS, "kind": "status_before", "count": 3}],
    "the positions hang once": [{**POSITIONS, "kind": "hang", "count": 1, "delay_ms": 20_000}],
    "a leg is smaller than it was: -2022": [
        {**ORDER, "kind": "status_before", "status": 400, "code": -2022, "count": 2}
    ],
    "the first stop is cancelled, the answer is lost": [{**ALGO, "kind": "drop_after", "count": 1}],
    "the rules cannot be read": [
        {"target": "rest", "path": "/fapi/v1/exchangeInfo", "kind": "status_before", "status": 503}
    ],
    "every third call fails": [
        {**ANY, "kind": "drop_after", "count": 1, "skip": 2 * n} for n in range(1, 6)
    ],
}  # fmt: skip


async def rest_stops(venue: Exchange, symbols: tuple[str, ...]) -> None:
    """A leg stop for each leg, as the daemon rests them."""
    async with client(venue) as calls:
        for symbol in symbols:
            mark = Decimal(venue.premium_index(symbol)["markPrice"])
            for leg in LEGS:
                price = (mark * (1 - Decimal("0.1") * leg.sign)).quantize(Decimal(1))
                order = m.PlaceOrder(
                    instrument=f"{symbol}-PERP.BINANCE",
                    leg=leg,
                    purpose=Purpose.STOP,
                    level=0,
                    client_order_id=client_order_id(OrderTag(symbol, leg, 0, Purpose.STOP, "t", 1)),
                    side=leg.exit_side,
                    kind=OrderKind.STOP_MARKET,
                    stop_price=price,
                    close_position=True,
                )
                await calls.place(symbol, order)


@contextlib.asynccontextmanager
async def client(venue: Exchange) -> AsyncIterator[VenueCalls]:
    keys = Credentials(venue.key, venue.secret)
    async with RestClient(venue.rest, keys, wall_ns=time.time_ns, mono_ns=time.monotonic_ns) as http:
        yield VenueCalls(http)


def stock(venue: Exchange, symbols: tuple[str, ...], qty: str = "0.05") -> None:
    """Both legs with inventory, three entries each and their stops."""
    for symbol in symbols:
        mark = Decimal(venue.premium_index(symbol)["markPrice"])
        for leg in LEGS:
            order = {"symbol": symbol, "side": leg.entry_side.value, "positionSide": leg.value}
            venue.admin("POST", "/manual", {**order, "type": "MARKET", "quantity": qty})
            for n in (1, 2, 3):
                price = (mark * (1 - Decimal(n) / 100 * leg.sign)).quantize(Decimal(1))
                limit = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.05", "price": str(price)}
                venue.admin("POST", "/manual", {**order, **limit})
    asyncio.run(rest_stops(venue, symbols))


@contextmanager
def stocked(tmp_path: Path, *symbols: str, qty: str = "0.05") -> Iterator[tuple[Exchange, RunConfig]]:
    """An exchange with inventory, and a config whose calls time out after a second."""
    options = ["--regime", "quiet", "--seed", "7", "--no-rate-limits", "--symbols", ",".join(symbols)]
    with exchange(options, tmp_path / "exchange.log") as venue:
        config = write_config(tmp_path, venue, [{"instrument": f"{symbol}-PERP"} for symbol in symbols])
        text = config.path.read_text().replace("[venue]\n", "[venue]\nrequest_timeout_s = 1\n")
        config.path.write_text(text)
        (tmp_path / "state").mkdir(mode=0o700)
        stock(venue, symbols, qty)
        yield venue, config


def left(venue: Exchange, symbol: str) -> tuple[list[Decimal], int]:
    """Quantities of the legs, and the number of orders."""
    books = exchange_books(venue.truth(), symbol)
    return [books.legs[leg].qty for leg in Leg], len(books.orders)


NOTHING = ([Decimal(0), Decimal(0)], 0)


@pytest.mark.parametrize("trouble", TROUBLE)
def test_it_passes_whatever_the_venue_does_for_a_while(tmp_path: Path, trouble: str) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        for rule in TROUBLE[trouble]:
            venue.admin("POST", "/faults", rule)
        done = panic(config, "--deadline-s", "40")
        assert done.passed, done
        assert left(venue, BTC) == NOTHING
        assert all(rule["hits"] > 0 for rule in venue.faults()), "the trouble has been met"
        trades = venue.user_trades(BTC, 1)
        closed = {
            leg: sum(
                (
                    Decimal(row["qty"])
                    for row in trades
                    if row["positionSide"] == leg.value and row["side"] == leg.exit_side.value
                ),
                Decimal(0),
            )
            for leg in LEGS
        }
        assert closed == dict.fromkeys(LEGS, Decimal("0.05")), "nothing is closed twice"


def test_a_close_larger_than_a_market_order_may_be_is_split(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC, qty="0.30") as (venue, config):
        venue.admin("POST", "/filters", {"symbol": BTC, "market_max_qty": "0.08"})
        done = panic(config, "--deadline-s", "40")
        assert done.passed, done
        assert left(venue, BTC) == NOTHING


def test_clocks_apart_are_mended(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        venue.admin("POST", "/skew", {"ms": 90_000})
        done = panic(config, "--deadline-s", "20")
        assert done.passed, done


def test_one_instrument_leaves_the_other_alone_and_all_means_all(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC, ETH) as (venue, config):
        before = left(venue, ETH)
        assert before == ([Decimal("0.05"), Decimal("0.05")], 8)
        done = panic(config, "--instrument", "btcusdt")
        assert done.passed, done
        assert left(venue, BTC) == NOTHING
        assert left(venue, ETH) == before
        assert "BTCUSDT-PERP.BINANCE" in (tmp_path / "state" / "panic.latch").read_text()
        done = panic(config)
        assert done.passed, done
        assert left(venue, ETH) == NOTHING


def test_a_wrong_key_fails_with_what_is_not_known(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        before = left(venue, BTC)
        wrong = tmp_path / "wrong"
        wrong.mkdir()
        for name in ("venue_api_key", "venue_api_secret"):
            (wrong / name).write_text("nonsense")
        done = panic(config, "--deadline-s", "1.5", "--credentials", str(wrong))
        assert (done.code, done.facts["verdict"]) == (1, "FAIL")
        assert set(done.facts["residuals"].values()) == {"unknown"}
        assert any("-2015" in line or "-2014" in line for line in done.facts["stages"])
        assert left(venue, BTC) == before


def test_a_venue_that_is_down_fails_at_the_deadline_and_not_before(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        venue.program.kill()
        done = panic(config, "--deadline-s", "2")
        assert (done.code, done.facts["verdict"]) == (1, "FAIL")
        assert set(done.facts["residuals"].values()) == {"unknown"}
        assert done.facts["after_s"] >= 2
        assert any("cannot connect" in line for line in done.facts["stages"])


def test_an_interrupted_one_says_that_nothing_is_verified(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        venue.admin("POST", "/faults", {**ANY, "kind": "hang"})
        running = Panicking(config)
        until((tmp_path / "state" / "panic.latch").exists, "the latch", 20)
        running.process.send_signal(signal.SIGINT)
        said, _ = running.process.communicate(timeout=20)
        assert running.process.returncode == 5
        assert b"INTERRUPTED" in said


@pytest.mark.parametrize("kind", ["missing", "a file in its place"])
def test_without_the_state_folder_it_warns_and_passes(tmp_path: Path, kind: str) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        (tmp_path / "state").rmdir()
        if kind != "missing":
            (tmp_path / "state").touch()
        done = panic(config)
        assert done.passed, done
        assert "NOT WRITTEN" in done.facts["latch"]
        assert left(venue, BTC) == NOTHING


def test_a_mistake_of_usage_sends_nothing(tmp_path: Path) -> None:
    with stocked(tmp_path, BTC) as (venue, config):
        before = left(venue, BTC)
        for options, said in (
            (["--instrument", "SOLUSDT"], "not in"),
            (["--config", str(tmp_path / "none.toml")], "cannot read"),
            (["--deadline-s", "0"], "seconds from 0.1"),
        ):
            done = panic(config, *options)
            assert done.code == 2
            assert said in done.errors
        assert left(venue, BTC) == before
        assert not (tmp_path / "state" / "panic.latch").exists()

"""An open user stream that says nothing is found, revived at most every 10 s, and left alone when it is just quiet."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from hedgegridd import messages as m
from hedgegridd.errors import VenueError
from hedgegridd.model import Leg, Side
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.inflight import InFlight
from hedgegridd.venue.rest import Credentials, RestClient
from hedgegridd.venue.stats import Stats
from hedgegridd.venue.stream_doubt import StreamDoubt
from hedgegridd.venue.told import Teller
from hedgegridd.venue.watch import Channels, Watch
from tests.support.venue_rig import IID, config_for

S = 1_000_000_000
ACCEPTED = m.OrderAccepted(instrument=IID, client_order_id="E1", venue_order_id="3", ts_ns=1)
CLOSED = m.OrderClosed(instrument=IID, client_order_id="E1", how="CANCELED", filled_qty=Decimal(0))
FILL = m.Fill(
    instrument=IID,
    leg=Leg.LONG,
    client_order_id="E1",
    venue_order_id="3",
    trade_id="7",
    side=Side.BUY,
    price=Decimal(65000),
    qty=Decimal("0.01"),
    commission=Decimal(0),
    commission_asset="USDT",
    maker=True,
    ts_ns=1,
)


class Bench:
    """A teller and a watch on a hand-moved clock; a connection whose stream is open and counts its revivals."""

    connected = True

    def __init__(self) -> None:
        self.now_ns = 0
        self.told: list[m.Event] = []
        self.revived: list[float] = []
        self.broken = False
        self.verified = 0
        self.doubt = StreamDoubt()
        self.inflight = InFlight()
        clock: Callable[[], int] = lambda: self.now_ns  # noqa: E731  # read by name below
        self.teller = Teller(
            lambda event, _cause: self.told.append(event), self.inflight, Stats(), clock, self.doubt
        )
        http = RestClient(
            "http://x", Credentials("k", "s"), wall_ns=clock, mono_ns=clock, recv_window_ms=1, timeout_s=1
        )
        self.watch = Watch(
            config_for("http://x", "ws://x"), VenueCalls(http),
            channels=Channels([]), trading=self, orders=None, stats=Stats(),  # type: ignore[arg-type]  # the parts it uses
            doubt=self.doubt, on_silent=self.verify, mono_ns=clock, publish=self.told.append,
            on_account=self.told.append, on_rules=lambda _rule: None, on_not_allowed=lambda: None,
        )  # fmt: skip
        self.doubt.opened(0)

    def verify(self) -> None:
        self.verified += 1

    def user_stream_up(self) -> bool:
        return True

    async def revive_user_stream(self) -> None:
        self.revived.append(self.now_ns / S)
        if self.broken:
            raise VenueError("no listen key")

    async def until(self, second: float) -> None:
        """Look twice a second, as the loops do."""
        while self.now_ns < second * S:
            self.now_ns += S // 2
            self.watch.look()
            await self.watch.tend()

    def feed(self) -> list[tuple[bool, str]]:
        return [(event.up, event.detail) for event in self.told if isinstance(event, m.FeedChanged)]


@pytest.mark.parametrize("fact", [ACCEPTED, CLOSED, FILL])
async def test_what_rest_tells_and_the_stream_does_not_within_two_seconds_revives_it(fact: m.Event) -> None:
    b = Bench()
    await b.until(10)
    b.inflight.sent(IID, "E1", b.now_ns, algo=False)
    assert b.teller.tell(fact)
    await b.until(11.5)
    assert b.revived == []
    await b.until(12)
    assert b.revived == [12]
    await b.until(13)
    named = "trade 7 of " + IID if fact is FILL else "E1"
    assert b.feed() == [(False, f"it does not tell of {named}"), (True, "")]
    await b.until(60)
    assert b.revived == [12]


@pytest.mark.parametrize("fact", [ACCEPTED, CLOSED, FILL])
async def test_what_the_stream_tells_a_little_later_is_no_reason(fact: m.Event) -> None:
    b = Bench()
    await b.until(10)
    b.inflight.sent(IID, "E1", b.now_ns, algo=False)
    b.teller.tell(fact)
    await b.until(11)
    assert not b.teller.tell(fact, by_stream=True)
    await b.until(20)
    assert b.revived == []


async def test_the_two_seconds_count_from_the_orders_leaving() -> None:
    b = Bench()
    await b.until(10)
    b.inflight.sent(IID, "E1", b.now_ns, algo=False)
    await b.until(12)
    b.teller.tell(ACCEPTED)
    await b.until(12.5)
    assert b.revived == [12.5]


async def test_what_the_opening_of_the_stream_missed_is_no_reason() -> None:
    b = Bench()
    b.inflight.sent(IID, "E1", 0, algo=False)
    await b.until(10)
    b.doubt.opened(b.now_ns)
    b.teller.tell(FILL)
    await b.until(20)
    b.inflight.sent(IID, "old", 9 * S, algo=False)
    b.teller.tell(m.OrderAccepted(instrument=IID, client_order_id="old", venue_order_id="4", ts_ns=1))
    await b.until(40)
    assert b.revived == []


async def test_an_adopted_order_that_turns_out_to_rest_is_no_reason() -> None:
    b = Bench()
    await b.until(10)
    b.inflight.cancelling(IID, "E1", b.now_ns, algo=False)
    assert b.teller.tell(ACCEPTED)
    await b.until(20)
    assert b.revived == []


async def test_a_revival_that_fails_is_tried_again_every_ten_seconds_and_the_feed_stays_down() -> None:
    b = Bench()
    b.broken = True
    await b.until(10)
    b.teller.tell(CLOSED)
    await b.until(33)
    assert b.revived == [12, 22, 32]
    assert [up for up, _ in b.feed()] == [False]


async def test_a_minute_of_silence_is_verified_once_and_agreement_means_it_is_just_quiet() -> None:
    b = Bench()
    await b.until(59.5)
    assert b.verified == 0
    await b.until(61)
    assert b.verified == 1
    b.doubt.compared(b.now_ns, ok=True)
    await b.until(110)
    assert (b.verified, b.revived) == (1, [])
    await b.until(121)
    assert b.verified == 2


async def test_a_stream_that_speaks_or_was_compared_is_not_verified() -> None:
    b = Bench()
    for second in range(0, 200, 50):
        b.doubt.heard(b.now_ns) if second % 100 else b.doubt.compared(b.now_ns, ok=True)
        await b.until(second + 50)
    assert b.verified == 0


async def test_a_difference_after_a_silence_revives_and_one_while_it_speaks_does_not() -> None:
    b = Bench()
    await b.until(15)
    b.doubt.heard(b.now_ns)
    b.doubt.compared(b.now_ns, ok=False)
    await b.until(34)
    assert b.revived == []
    await b.until(35)
    b.doubt.compared(b.now_ns, ok=False)
    await b.until(36)
    assert b.revived == [35.5]
    assert b.feed()[0] == (False, "silent for 20 s, and the venue differs from our books")

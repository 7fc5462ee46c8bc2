"""The figures of a day, and when they are told; the heartbeat's troubles."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.alerts.digest import base_of, digest, next_due_ns
from hedgegridd.alerts.heartbeat import TROUBLE_AFTER, Heartbeat
from tests.support.alert_receiver import receiver
from tests.unit.control_fakes import NOW_NS, desk

S = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


@pytest.mark.parametrize(
    ("now", "hours", "zone", "due"),
    [
        ("2026-11-20 14:00", 24, "UTC", "2026-11-21 00:00"),
        ("2026-11-20 14:00", 6, "UTC", "2026-11-20 18:00"),
        ("2026-11-20 18:00", 6, "UTC", "2026-11-21 00:00"),
        ("2026-11-21 00:00", 24, "UTC", "2026-11-22 00:00"),
        ("2026-07-01 12:00", 24, "Europe/Berlin", "2026-07-01 22:00"),
        ("2026-10-25 00:30", 24, "Europe/Berlin", "2026-10-25 23:00"),  # a day of 25 hours
        ("2026-03-29 12:00", 24, "Europe/Berlin", "2026-03-29 22:00"),  # one of 23
    ],
)
def test_it_is_due_at_zero_o_clock_of_the_trading_day(now: str, hours: int, zone: str, due: str) -> None:
    assert next_due_ns(at(now), hours, ZoneInfo(zone)) == at(due)


def view(total: str | None, realized: str, paid: tuple[str, str], fills: int, makers: int) -> m.DeskView:
    fees, funding = paid
    item = msgspec.structs.replace(desk().instruments[0], fills=fills, maker_fills=makers)
    ledger = msgspec.structs.replace(
        desk().ledger,
        total_usdt=None if total is None else Decimal(total),
        realized_usdt=Decimal(realized),
        fees_usdt=Decimal(fees),
        funding_usdt=Decimal(funding),
    )
    return msgspec.structs.replace(desk(), instruments=(item,), ledger=ledger)


def verdicts() -> m.GuardsAnswer:
    made = [
        m.GuardVerdict(guard=name, level="OK", value=Decimal(value), limit=Decimal(100))
        for name, value in (
            ("margin_ratio", "26"),
            ("daily_loss", "5"),
            ("exposure", "80"),
            ("leverage", "40"),
        )
    ]
    return m.GuardsAnswer(to=0, verdicts=tuple(made), holds=())


def test_it_tells_what_was_earned_since_the_last_one_and_what_is_nearest() -> None:
    base = base_of(view("10", "4", ("-1", "2"), 9, 9), NOW_NS)
    now = view("48.40", "20", ("-2.90", "5.36"), 50, 49)
    found = digest(base, now, verdicts(), {"trip": 1, "feed": 2}, NOW_NS + 86_400 * S)
    assert found.what == (
        "+38.40 USDT (fees -1.90, funding +3.36), 41 fills, maker 98%, since 2023-11-14 22:13:20 UTC; "
        "nearest: exposure 80%, leverage 40%, margin_ratio 26%; incidents: 2 feed, 1 trip"
    )


def test_what_is_not_known_is_not_told_as_zero() -> None:
    base = base_of(view(None, "4", ("0", "0"), 9, 9), NOW_NS)
    found = digest(base, view(None, "5", ("0", "0"), 9, 9), None, {}, NOW_NS)
    assert found.what.startswith("+1.00 USDT realised (fees +0.00, funding +0.00), 0 fills, since")
    assert "the guards do not answer; incidents: none" in found.what


async def test_beats_that_do_not_arrive_are_told_once_and_that_they_arrive_again() -> None:
    said: list[tuple[bool, str]] = []
    with receiver("500") as snitch:
        made = Heartbeat(snitch.url, 1, alive=lambda: True, changed=lambda up, why: said.append((up, why)))
        await made._http.open()
        for _ in range(TROUBLE_AFTER + 2):
            await made.beat()
        assert [up for up, _ in said] == [False]
        assert "HTTP 500" in said[0][1]
        snitch.mode = "accept"
        await made.beat()
        await made.beat()
        assert [up for up, _ in said] == [False, True]
        await made._http.close()


async def test_silent_trading_parts_are_not_covered_up_by_beats() -> None:
    with receiver() as snitch:
        made = Heartbeat(snitch.url, 1, alive=lambda: False, changed=lambda up, why: None)
        await made._http.open()
        await made.beat()
        await made._http.close()
        assert snitch.asked == 0

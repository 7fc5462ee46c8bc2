"""Limits of the gate at run time: who may, bounds, what survives a restart and a new config, and that they bound orders."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd import messages as m
from hedgegridd.config import Pretrade
from hedgegridd.core import limits
from hedgegridd.core.desk import Desk
from hedgegridd.model import Leg
from tests.support.desk_rig import EPOCH, LIMITS, config, rig
from tests.support.fake_venue import BTC
from tests.unit.core.test_grid import entries

D = Decimal


def change(values, *, configured=LIMITS, changes=None, may_loosen=False, reason=""):
    command = m.SetLimits(
        values={name: D(value) for name, value in values.items()}, may_loosen=may_loosen, reason=reason
    )
    return limits.change(command, configured, {} if changes is None else changes, 5)


TIGHTER = [
    ("max_order_notional_usdt", "4000"),
    ("max_leg_notional_usdt", "0.01"),
    ("max_gross_notional_usdt", "1"),
    ("price_collar_bps", "499"),
    ("max_open_orders", "1"),
    ("max_orders_per_10s", "99"),
    ("max_leverage", "4.5"),
    ("min_margin_after_pct", "26"),
    ("duplicate_window_ms", "1001"),
]


@pytest.mark.parametrize(("name", "value"), TIGHTER)
def test_anybody_tightens_and_an_admin_with_a_reason_loosens(name, value):
    changes = {}
    before = getattr(LIMITS, name)
    assert change({name: value}, changes=changes) == {name: str(before)}
    assert getattr(limits.in_force(LIMITS, changes), name) == D(value)
    assert type(getattr(limits.in_force(LIMITS, changes), name)) is type(before)
    assert "takes an admin" in change({name: before}, changes=changes)
    assert "needs a reason" in change({name: before}, changes=changes, may_loosen=True, reason=" ")
    assert change({name: before}, changes=changes, may_loosen=True, reason="over") == {name: value}
    assert changes == {}, "what the config says is no change"


def test_every_limit_of_the_config_is_known():
    assert {name for name, _ in TIGHTER} == {f.name for f in limits.msgspec.structs.fields(Pretrade)}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "name at least one"),
        ({"max_fun": "1"}, "no limit"),
        ({"max_leverage": "NaN"}, "must be a number"),
        ({"max_leverage": "0"}, "above 0"),
        ({"price_collar_bps": "5001"}, "at most 5000"),
        ({"max_open_orders": "0"}, "at least 1"),
        ({"max_open_orders": "10.5"}, "whole number"),
        ({"min_margin_after_pct": "100"}, "at most 99"),
        ({"max_order_notional_usdt": "-5"}, "above 0"),
        ({"max_order_notional_usdt": "1", "max_leverage": "6"}, "takes an admin"),
    ],
)
def test_what_is_wrong_changes_nothing(values, says):
    changes = {}
    assert says in change(values, changes=changes)
    assert changes == {}


def test_a_missing_limit_is_the_tightest_of_all():
    none = Pretrade()
    changes = {}
    assert "not set" in change({"max_order_notional_usdt": "1"}, configured=none, changes=changes)
    done = change(
        {"max_order_notional_usdt": "1"}, configured=none, changes=changes, may_loosen=True, reason="begin"
    )
    assert done == {"max_order_notional_usdt": "None"}
    assert limits.in_force(none, changes).max_order_notional_usdt == 1
    assert limits.views(none, changes)[0].configured is None


@given(was=st.integers(1, 100), set_to=st.integers(1, 100), now=st.one_of(st.none(), st.integers(1, 100)))
def test_after_a_change_of_the_config_the_tighter_of_the_two_counts(was, set_to, now):
    changes = {}
    before, after = Pretrade(max_leverage=D(was)), Pretrade(max_leverage=D(now or was))
    change({"max_leverage": set_to}, configured=before, changes=changes, may_loosen=True, reason="x")
    in_force = limits.in_force(after, changes).max_leverage
    unchanged = now in (None, was)
    kept = set_to if unchanged or set_to == was else min(set_to, now)
    assert in_force == ((now or was) if set_to == was else kept)


def test_the_gate_applies_them_and_says_which():
    venue = rig()
    assert entries(venue)
    answer = venue.ask(m.SetLimits(values={"max_order_notional_usdt": D(300)}, reason="weekend"))
    assert answer.detail == {
        "old": {"max_order_notional_usdt": "5000"},
        "new": {"max_order_notional_usdt": "300"},
    }
    venue.ask(m.PauseEntries())
    venue.ask(m.ResumeEntries())
    assert not entries(venue)
    reasons = venue.view().instruments[0].legs[0].no_rungs
    assert "max_order_notional_usdt is 300" in reasons[0]
    (view,) = venue.view().limits
    assert (view.name, view.value, view.configured, view.reason) == (
        "max_order_notional_usdt",
        D(300),
        D(5000),
        "weekend",
    )


def test_exits_are_not_in_their_way():
    venue = rig()
    venue.ask(m.SetLimits(values={"max_order_notional_usdt": D(1), "max_open_orders": D(1)}))
    venue.move(D(39800))
    venue.run(venue.mono + 10**9)
    assert venue.legs[Leg.LONG].qty
    venue.settle()
    venue.check()


def test_they_survive_a_restart():
    venue = rig()
    venue.ask(m.SetLimits(values={"max_leg_notional_usdt": D(300)}))
    venue.restart(Desk(config(), EPOCH))
    assert venue.view().limits[0].value == 300
    assert venue.desk.snapshot().limits["max_leg_notional_usdt"].configured == 20000


def test_a_refused_change_is_answered_with_why():
    venue = rig()
    refused = venue.ask(m.SetLimits(values={"max_leverage": D(50)}))
    assert isinstance(refused, m.Refused)
    assert "nothing changed" in refused.reason
    assert BTC not in refused.reason

"""The file of latched trips: there when the journal is not, on a full disk too, and latched when in doubt."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.journal.trip_latch import BYTES, NAME, UNREADABLE, TripLatch
from hedgegridd.model import KillState, Leg
from hedgegridd.state import Machines

BTC = "BTCUSDT-PERP.BINANCE"
ACCOUNT = m.Trip(
    trip_id="T-7", scope=m.Scope(), action="flatten", cause="loss", guard="session_loss", cooldown_s=60
)
LEG = m.Trip(trip_id="T-8", scope=m.Scope(instrument=BTC, leg=Leg.LONG), action="halt", cause="ADL")


def latch(folder: Path) -> TripLatch:
    made = TripLatch(folder)
    assert made.open() == ""
    return made


# ------------------------------------------------------------------------------------------------------- the file


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    first = latch(tmp_path)
    assert first.read() == ()
    for trips in ((ACCOUNT,), (ACCOUNT, LEG), (LEG,), ()):
        first.write(trips)
        assert first.read() == latch(tmp_path).read() == trips
    first.close()
    first.close()
    with pytest.raises(OSError, match="not open"):
        first.write(())
    assert first.read() == ()


def test_all_room_is_taken_before_it_is_needed(tmp_path: Path) -> None:
    """On a full disk nothing new can be had: what is overwritten is there already."""
    made = latch(tmp_path)
    before = (tmp_path / NAME).stat()
    assert before.st_size == BYTES
    assert before.st_blocks * 512 >= BYTES, "no hole"
    made.write((ACCOUNT, LEG))
    after = (tmp_path / NAME).stat()
    assert (after.st_size, after.st_blocks, after.st_ino) == (before.st_size, before.st_blocks, before.st_ino)
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("at", [0, 15, 16, 40])
def test_what_cannot_be_read_is_latched(tmp_path: Path, at: int) -> None:
    made = latch(tmp_path)
    made.write((ACCOUNT,))
    with (tmp_path / NAME).open("r+b") as file:
        file.seek(at)
        file.write(b"#")
    assert made.read() == (UNREADABLE,)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    blind = TripLatch(tmp_path)
    assert "directory" in blind.open()
    assert blind.read() == (UNREADABLE,)


def test_more_trips_than_there_is_room_for_are_one_of_the_account(tmp_path: Path) -> None:
    made = latch(tmp_path)
    many = [msgspec.structs.replace(LEG, trip_id=f"T-{n}", cause="x" * 900) for n in range(80)]
    made.write(many)
    assert [(each.scope, each.action) for each in made.read()] == [(m.Scope(), "halt")]
    made.write([*many, ACCOUNT])
    (one,) = made.read()
    assert (one.scope, one.action, one.trip_id) == (m.Scope(), "flatten", "T-7")
    assert "81 trips" in one.cause


def test_a_disk_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    assert TripLatch(tmp_path).open() == "No space left on device"


# ------------------------------------------------------------------------------------------------- the next start


def machines() -> Machines:
    return Machines.of(Config(grid=(Grid(),)), "t1")


def envelope(seq: int, message: m.Message) -> m.Envelope:
    return m.Envelope(seq=seq, time_ns=10**18, mono_ns=10**9 + seq, cause=0, actor="t", message=message)


def test_a_trip_that_the_journal_has_lost_is_carried_out_by_the_next_process() -> None:
    after = machines()
    after.restore(None, (), (ACCOUNT, LEG))
    switch = after.kill_switch
    assert switch.latched == (
        msgspec.structs.replace(ACCOUNT, state=KillState.TRIPPED), msgspec.structs.replace(LEG, state=KillState.TRIPPED),
    )  # fmt: skip
    flatten, halt = switch.handle(envelope(1, m.VenueUp()))
    assert isinstance(flatten, m.Flatten)
    assert flatten.origin == "T-7"
    assert isinstance(halt, m.HaltEntries)
    assert (halt.trip_id, halt.instrument, halt.legs) == ("T-8", BTC, (Leg.LONG,))
    (refused,) = switch.handle(envelope(2, m.Rearm(reason="x")))
    assert isinstance(refused, m.Refused)
    told = switch.handle(envelope(3, m.StartChecked()))
    assert [each.state for each in told if isinstance(each, m.KillStateChanged)] == [KillState.TRIPPED]


def test_what_the_records_know_is_as_they_have_it() -> None:
    before = machines()
    before.kill_switch.handle(envelope(7, m.Kill(reason="loss", action="flatten")))
    before.kill_switch.handle(envelope(8, m.FlattenFinished(flatten_id="F", origin="T-7", after_s=0)))
    assert before.kill_switch.snapshot().state is KillState.HALTED
    after = machines()
    after.restore(before.snapshot(), (), (ACCOUNT,))
    assert after.kill_switch.snapshot().state is KillState.HALTED
    again = machines()
    again.restore(before.snapshot(), (), ())
    assert after.snapshot() == again.snapshot()


@pytest.mark.parametrize(
    ("known", "lost", "action"), [("halt", "flatten", "flatten"), ("flatten", "halt", "flatten")]
)
@pytest.mark.parametrize("instrument", [None, BTC])
def test_of_two_trips_of_a_scope_the_stronger_action_stays(known, lost, action, instrument) -> None:
    before = machines()
    before.kill_switch.handle(
        envelope(3, m.Kill(reason="a", action=known, instrument=instrument, cooldown_s=90))
    )
    after = machines()
    trip = msgspec.structs.replace(ACCOUNT, scope=m.Scope(instrument=instrument), action=lost)
    after.restore(before.snapshot(), (), (trip,))
    (one,) = after.kill_switch.latched
    assert (one.trip_id, one.action, one.cooldown_s, one.state) == ("T-7", action, 90, KillState.TRIPPED)


def test_the_guards_do_not_ask_again_for_what_the_file_had() -> None:
    before, after = machines(), machines()
    (kill,) = [
        each
        for each in before.risk.handle(envelope(1, m.VenueAction(kind="ADL", instrument=BTC)))
        if isinstance(each, m.Kill)
    ]
    assert kill.action == "halt"
    trip = msgspec.structs.replace(LEG, scope=m.Scope(instrument=BTC))
    after.restore(before.snapshot(), (), (trip,))
    out = after.risk.handle(envelope(2, m.FeedChanged(channel="user", up=True)))
    assert not [each for each in out if isinstance(each, m.Kill)]


def test_the_file_is_latched_as_the_switch_is() -> None:
    switch = KillSwitch(Config(grid=(Grid(),)).kill_switch)
    assert switch.latched == ()
    switch.handle(envelope(5, m.Kill(reason="loss", action="flatten", cooldown_s=60, guard="session_loss")))
    switch.handle(envelope(6, m.Kill(reason="ADL", action="halt", instrument=BTC, legs=(Leg.LONG,))))
    account, leg = switch.latched
    assert (account.trip_id, account.scope, account.action, account.cooldown_s) == (
        "T-5",
        m.Scope(),
        "flatten",
        60,
    )
    assert (leg.trip_id, leg.scope, leg.action) == ("T-6", LEG.scope, "halt")

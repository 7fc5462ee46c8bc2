"""The journal replays: what the machines return today is what they returned then, and what differs is named."""

from pathlib import Path

import msgspec
import pytest

from hedgegridd import messages as m
from hedgegridd.config import Config, Grid
from hedgegridd.config_load import load_text
from hedgegridd.core.desk import Desk
from hedgegridd.core.reloaded import carried
from hedgegridd.errors import JournalBroken
from hedgegridd.journal.reader import Walk, segments, verify
from hedgegridd.journal.record import SESSION
from hedgegridd.journal.replay import Outcome, Replay
from hedgegridd.model import ZERO
from hedgegridd.state import Machines, config_of
from tests.support.desk_rig import EPOCH, config, walk
from tests.support.fake_venue import FakeVenue, Faults

from .helpers import HastyDisk, journal
from .recorded import RecordedDesk

FAULTS = Faults(partial=0.3, refuse_exit=0.1, by_hand=0.03)


def traded(folder: Path, seed: int, bars: int = 40, **kwargs: object) -> RecordedDesk:
    """A walk with commands, questions, kept states and two restarts, all of it in a journal; not closed."""
    desk = RecordedDesk(folder, disk=HastyDisk(), **kwargs)
    venue = FakeVenue(desk, seed=seed, faults=FAULTS)
    venue.start()

    def each(number: int) -> None:
        if number % 3 == 1:
            venue.view()
        if number % 7 == 5:
            desk.keep()
        if number in (bars // 3, bars // 2):
            desk.begin(desk.machines.snapshot())
            venue.restart(desk)

    walk(venue, bars, each=each)
    assert venue.trades
    return desk


def replayed(folder: Path, from_position: int = 1) -> Outcome:
    return Replay().run(Walk(folder, from_position))


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_random_walk_replays_bit_for_bit(tmp_path: Path, seed: int) -> None:
    desk = traded(tmp_path, seed)
    assert desk.journal.close()
    found = replayed(tmp_path)
    assert found.differences == []
    assert found.equal
    assert (found.sessions, found.states_compared) == (3, 7)
    assert found.outputs_compared > 500
    assert found.handled["desk"] >= found.outputs_compared
    assert (found.first_position, found.last_position) == (1, desk.journal.position)


def test_a_replay_may_begin_where_the_state_was_kept(tmp_path: Path) -> None:
    desk = traded(tmp_path, 5)
    assert desk.journal.close()
    kept = [record.position for record in Walk(tmp_path) if record.to == "state"]
    found = replayed(tmp_path, kept[-2])
    assert found.equal
    assert found.first_position == kept[-2]
    assert found.states_compared == 1


def test_a_machine_that_decides_otherwise_today_is_found_at_its_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = traded(tmp_path, 1)
    assert desk.journal.close()
    honest = Desk.handle
    seen = []

    def other(self: Desk, env: m.Envelope) -> list[m.Message]:
        out = honest(self, env)
        placed = [item for item in out if isinstance(item, m.PlaceOrder)]
        if placed and not seen:
            seen.append(env.seq)
            return [*out[:-1]]
        return out

    monkeypatch.setattr(Desk, "handle", other)
    found = replayed(tmp_path)
    assert not found.equal
    (difference,) = found.differences
    assert f"#{seen[0]}" in difference.what
    assert (difference.machine, found.more_differences) == ("desk", 0)


def test_a_state_that_is_not_what_was_kept_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = traded(tmp_path, 1)
    assert desk.journal.close()
    honest = Desk.new_session

    def other(self: Desk) -> None:
        honest(self)
        next(iter(self._state.grids.values())).throttle = ZERO

    monkeypatch.setattr(Desk, "new_session", other)
    found = replayed(tmp_path)
    what = {difference.what for difference in found.differences}
    assert what == {"has come to another state: desk.grids.BTCUSDT-PERP.BINANCE.throttle is 0, was 1"}
    assert {difference.machine for difference in found.differences} == {"desk"}


def test_a_machine_that_breaks_is_told_and_many_differences_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = traded(tmp_path, 1)
    assert desk.journal.close()

    def broken(self: Desk, env: m.Envelope) -> list[m.Message]:
        raise KeyError("level")

    monkeypatch.setattr(Desk, "handle", broken)
    found = replayed(tmp_path)
    assert "breaks: KeyError('level')" in found.differences[0].what
    assert len(found.differences) == 20
    assert found.more_differences > 100


def test_records_that_were_lost_are_no_difference_but_the_state_goes_on_from_what_was_kept(
    tmp_path: Path,
) -> None:
    desk = traded(tmp_path, 6, bars=12)
    lost = [m.SetThrottle(throttle=ZERO), m.PauseEntries(reason="never written")]
    for n, message in enumerate(lost):
        desk.machines.desk.handle(
            m.Envelope(seq=90_000 + n, time_ns=1, mono_ns=1, cause=0, actor="ops", message=message)
        )
    desk.keep(lost=len(lost))
    desk.handle(m.Envelope(seq=90_010, time_ns=1, mono_ns=1, cause=0, actor="ops", message=m.StopTrading()))
    desk.keep()
    assert desk.journal.close()
    found = replayed(tmp_path)
    assert found.differences == []
    assert found.equal


def test_nothing_to_compare_is_not_equal(tmp_path: Path) -> None:
    assert not replayed(tmp_path).equal


def test_a_record_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    desk = RecordedDesk(tmp_path)
    envelope = m.Envelope(seq=1, time_ns=0, mono_ns=0, cause=0, actor="x", message=m.Done(to=1))
    desk.journal.append("desk", envelope)
    assert desk.journal.close()
    with pytest.raises(JournalBroken, match="record 2 is not of this version's vocabulary"):
        replayed(tmp_path)


def test_the_config_of_a_session_is_the_one_it_ran_with(tmp_path: Path) -> None:
    """The throttle of a walk with another grid must not be replayed with the default's."""
    desk = traded(tmp_path, 7, bars=20, config=config(levels_long=2, levels_short=3))
    assert desk.journal.close()
    assert replayed(tmp_path).equal
    record = next(iter(Walk(tmp_path)))
    assert msgspec.json.decode(record.message, type=m.SessionBegan).epoch == EPOCH


def test_a_config_comes_back_exactly_but_for_the_hashes_of_keys() -> None:
    text = """
[[grid]]
base_qty = 0.010

[[guard]]
type = "session_drawdown"
trip_pct = 0.050
cooldown_s = 300

[[control.keys]]
name = "desk"
role = "viewer"
sha256 = "%s"
""" % ("a" * 64)
    made = load_text(text, "test")
    kept = carried(made)
    assert b"aaaa" not in bytes(kept)
    back = config_of(kept)
    bare = msgspec.structs.replace(made, control=msgspec.structs.replace(made.control, keys=()))
    assert back == bare
    assert repr(back) == repr(bare), "0.050 stays 0.050, 300 stays an integer"


def test_a_journal_cut_at_any_byte_of_its_last_records_opens_and_replays(tmp_path: Path) -> None:
    """A power cut leaves a prefix: what is whole in it is kept, goes on and replays as before."""
    desk = traded(tmp_path / "journal", 2, bars=12, segment_bytes=60_000)
    assert desk.journal.close()
    last = segments(tmp_path / "journal")[-1].path
    whole = last.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    before = segments(tmp_path / "journal")[-1].first_position - 1
    for cut in range(ends[-4] if len(ends) > 4 else ends[0], len(whole) + 1):
        last.write_bytes(whole[:cut])
        book = journal(tmp_path / "journal", disk=HastyDisk())
        opened = book.open()
        kept = before + sum(end <= cut for end in ends) - 1
        assert opened.last_position == kept
        assert opened.cut_bytes == cut - max(end for end in ends if end <= cut)
        assert book.close()
        if cut in ends or cut - 1 in ends:
            assert verify(tmp_path / "journal").broken == ""
            assert replayed(tmp_path / "journal").equal


def test_a_trip_by_the_file_beside_the_journal_is_no_difference(tmp_path: Path) -> None:
    """A process that begins with a trip that no record tells of says where it has it from."""
    config = Config(grid=(Grid(),))
    trip = m.Trip(trip_id="T-7", scope=m.Scope(), action="halt", cause="loss")
    kept = journal(tmp_path / "journal")
    kept.open()
    state: bytes | None = None
    for number, latched in enumerate(((), (trip,), (trip,)), 1):
        machines = Machines.of(config, "t1")
        machines.restore(state, (), latched)
        state = machines.snapshot()
        began = m.SessionBegan(
            version="1", pid=number, snapshot_position=number - 1, epoch="t1", latched=latched,
            config=carried(config), state=msgspec.Raw(state),
        )  # fmt: skip
        kept.append(
            SESSION, m.Envelope(seq=number, time_ns=1, mono_ns=1, cause=0, actor="app", message=began)
        )
    assert kept.close()
    outcome = replayed(tmp_path / "journal")
    assert outcome.equal, outcome.differences
    assert (outcome.sessions, outcome.states_compared) == (3, 2)

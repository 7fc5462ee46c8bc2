from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgegridd.errors import MailboxFull
from hedgegridd.messages import Envelope, Message
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import VirtualClock
from hedgegridd.runtime.mailbox import Mailbox

from .vocab import VOCABULARY, Bar, Do, Log, Look, Tick


def envelope(seq: int, message: Message) -> Envelope:
    return Envelope(seq=seq, time_ns=0, mono_ns=0, cause=0, actor="", message=message)


@pytest.mark.parametrize("bounds", [{"control_max": 0}, {"data_max": 0}])
def test_a_mailbox_has_bounds(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="mailbox one"):
        Mailbox("one", Log(), **bounds)  # type: ignore[arg-type]


def test_at_the_bound_nothing_is_stored() -> None:
    box = Mailbox("one", Log(), control_max=1, data_max=1)
    box.put_control(envelope(1, Do()))
    box.put_data(envelope(2, Tick()), "X")
    with pytest.raises(MailboxFull, match="control lane holds its 1"):
        box.put_control(envelope(3, Do()))
    with pytest.raises(MailboxFull, match="data lane holds its 1"):
        box.put_data(envelope(4, Bar()), None)
    with pytest.raises(MailboxFull):
        box.put_data(envelope(5, Tick()), "Y")
    box.put_data(envelope(6, Tick(n=1)), "X")
    assert len(box) == 2
    assert [item.seq for item in box.clear()] == [1, 6]
    assert len(box) == 0


def test_kinds_with_the_same_key_do_not_replace_each_other() -> None:
    box = Mailbox("one", Log())
    box.put_data(envelope(1, Tick()), "X")
    box.put_data(envelope(2, Bar()), "X")
    assert len(box) == 2


MESSAGES = st.one_of(
    st.builds(Do, n=st.integers(0, 99)),
    st.builds(Bar, n=st.integers(0, 99)),
    st.builds(Tick, n=st.integers(0, 99), instrument=st.sampled_from("ABC")),
)
STEPS = st.lists(st.one_of(MESSAGES, st.just("drain")), max_size=60)


@given(STEPS)
def test_order_overtaking_conflation_and_that_nothing_is_lost(steps: list[Message | str]) -> None:
    log = Log()
    bus = Bus(VirtualClock(), VOCABULARY)
    bus.register("one", handler=log, commands=(Do,), queries=(Look,), events=(Bar, Tick))
    bus.start()
    delivered = 0
    posted: list[Envelope] = []
    sent: dict[type[Message], list[Message]] = defaultdict(list)
    for step in [*steps, "drain"]:
        if isinstance(step, str):
            bus.drain()
            batch, delivered = log.seen[delivered:], len(log.seen)
            kinds = [isinstance(item.message, Do) for item in batch]
            assert kinds == sorted(kinds, reverse=True), "control overtakes data"
            check_batch([item.message for item in batch], [item.message for item in posted])
            posted.clear()
        else:
            seq = bus.tell(step) if isinstance(step, Do) else bus.publish(step)
            posted.append(envelope(seq, step))
            sent[type(step)].append(step)
    for kind in (Do, Bar):
        assert [message for message in log.messages if type(message) is kind] == sent[kind], (
            "lost or reordered"
        )


def check_batch(got: list[Message], posted: list[Message]) -> None:
    """What does not conflate comes whole and in order; what does, once per key with its latest value."""
    ticks = [message for message in posted if isinstance(message, Tick)]
    latest = {tick.instrument: tick for tick in ticks}
    assert {t.instrument: t for t in got if isinstance(t, Tick)} == latest
    assert sum(isinstance(message, Tick) for message in got) == len(latest)
    # A conflated value stands where the first of its key stood.
    slots: dict[object, Message] = {}
    for position, message in enumerate(posted):
        if not isinstance(message, Do):
            slots[message.instrument if isinstance(message, Tick) else position] = message
    assert [message for message in got if not isinstance(message, Do)] == list(slots.values())

"""What the journal keeps of ourselves: with what a process began, and the state now and then, so that it replays."""

import msgspec

from hedgegridd.messages.base import Event
from hedgegridd.messages.risk import Trip


class SessionBegan(Event, frozen=True, kw_only=True):
    """A process has taken up the state; everything after it, up to the next, it did with this config and this state.

    The state comes from the snapshot as of `snapshot_position` (0: there was none) and the records after it. `config` is the config file as decoded (keys' hashes left out), `state` as `Machines.snapshot` gives it.
    """

    version: str
    pid: int
    snapshot_position: int = 0
    epoch: str
    hold_sources: tuple[str, ...] = ()  # who must have spoken before anything is traded
    latched: tuple[Trip, ...] = ()  # by the file beside the journal, when this process began
    config: msgspec.Raw
    state: msgspec.Raw


class StateKept(Event, frozen=True, kw_only=True):
    """The state and the config as of this record: a replay may begin here, and one that comes here must have the same.

    `lost`: so many records before it never reached the disk, so the state does not follow from what is written.
    """

    lost: int = 0
    epoch: str
    hold_sources: tuple[str, ...] = ()  # who must have spoken before anything is traded
    config: msgspec.Raw
    state: msgspec.Raw

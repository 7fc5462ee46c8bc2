"""What the dead-man switch remembers; plain Structs, JSON-able. `*_ns` wall, `*_mono` monotonic nanoseconds."""

import msgspec

from hedgegridd.model import KillState, Nanos


class Countdown(msgspec.Struct, kw_only=True):
    """The venue's countdown for one instrument.

    `until_*`: the earliest time at which it may run out, None: it is not known to run. `off`: it surely does not run.
    `stray_mono`: until when a renewal whose answer was lost may still reach the venue.
    """

    until_ns: Nanos | None = None
    until_mono: int | None = None
    renewed_ns: Nanos | None = None
    off: bool = True
    fired: bool = False
    token: str = ""
    arming: bool = False
    asked_ns: Nanos = 0
    asked_mono: int = 0
    stray_mono: int = 0
    again_mono: int = 0
    failures: int = 0
    problem: str = ""
    naked: tuple[str, ...] = ()


class DeadManState(msgspec.Struct, kw_only=True):
    """All of it. `distrust`: why comparisons asked before `distrust_ns` say nothing; `stop_to`: who waits for a disarm."""

    countdowns: dict[str, Countdown] = {}
    calls: int = 0
    up: bool = False
    weight_per_minute: int = 2_400
    kill: KillState = KillState.STARTING
    goal: str = "off"
    compared_mono: int | None = None
    compare_again_mono: int | None = None
    compare_tries: int = 0
    distrust: str = ""
    distrust_ns: Nanos = 0
    distrust_mono: int = 0
    user_down_mono: int | None = None
    rest_down: bool = False
    desk_mono: int = 0
    sweep: str = ""
    swept: bool = False
    sweep_again_mono: int = 0
    stopping: str | None = None
    stop_to: int = 0
    spoken: bool = False  # whether it has been said what is held
    held: str = ""
    held_ns: Nanos = 0
    wake_mono: int | None = None

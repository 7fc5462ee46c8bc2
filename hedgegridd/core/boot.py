"""The stages of start-up and of a stop as a machine: what is reached, what is waited for, and when trading may begin.

journal -> metrics -> venue -> reconcile -> guards -> kill switch -> strategy -> control -> ready
entries -> inventory -> dead man -> books (of a stop: those that the config asks for)
"""

import msgspec

from hedgegridd import messages as m
from hedgegridd.model import KillState, Nanos

STAGES = ("journal", "metrics", "venue", "reconcile", "guards", "kill switch", "strategy", "control", "ready")


STOP_STAGES = ("entries", "inventory", "dead man", "books")


class BootView(msgspec.Struct, kw_only=True):
    """Where start-up is."""

    stage: str = "journal"
    waits_for: str = ""
    since_ns: Nanos = 0
    stopping: bool = False
    venue_reached: bool = False
    baseline: bool = False  # the guards have read it


class Boot:
    """The machine: listens to what parts report and says how far the daemon is."""

    def __init__(self) -> None:
        self._view = BootView()

    @property
    def ready(self) -> bool:
        """True once every stage is passed and the daemon is not going down."""
        return self._view.stage == "ready" and not self._view.stopping

    @property
    def reached_venue(self) -> bool:
        """Whether the venue has been up since start: before that nothing of ours can have been sent."""
        return self._view.venue_reached

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """One message in, its consequences out."""
        message = env.message
        match message:
            case m.StageReached():
                if self._view.stopping:
                    return self._stopping(env, message.stage, message.waits_for)
                return self._reach(env, message.stage, message.waits_for)
            case m.VenueUp():
                return self._reach(env, "reconcile", "the venue's orders and legs compared with ours")
            case m.Reconciled():
                return self._reconciled(env, message)
            case m.BaselineRead():
                self._view.baseline = True
                return self._guarded(env)
            case m.KillStateChanged():
                return self._armed(env, message)
            case m.Stopping():
                self._view.stopping = True
                return self._stopping(env, STOP_STAGES[0], "entries cancelled and confirmed by the venue")
            case m.GetBoot():
                return [self._answer(env.seq)]
            case _:
                raise TypeError(f"boot has no row for {type(message).__name__}")

    def _stopping(self, env: m.Envelope, stage: str, waits_for: str) -> list[m.Message]:
        """A stage of the stop; what start-up still says then is late."""
        if stage not in STOP_STAGES:
            return []
        view = self._view
        view.stage, view.waits_for, view.since_ns = stage, waits_for, env.time_ns
        return [
            m.StageChanged(
                stage=stage,
                number=STOP_STAGES.index(stage) + 1,
                of=len(STOP_STAGES),
                waits_for=waits_for,
            )
        ]

    def _reach(self, env: m.Envelope, stage: str, waits_for: str) -> list[m.Message]:
        """Go on to a stage; a stage that lies behind is not gone back to."""
        view = self._view
        if view.stopping or STAGES.index(stage) < STAGES.index(view.stage):
            return []
        if stage != view.stage:
            view.since_ns = env.time_ns
        view.stage, view.waits_for = stage, waits_for
        view.venue_reached = view.venue_reached or STAGES.index(stage) > STAGES.index("venue")
        return [
            m.StageChanged(stage=stage, number=STAGES.index(stage) + 1, of=len(STAGES), waits_for=waits_for)
        ]

    def _reconciled(self, env: m.Envelope, reconciled: m.Reconciled) -> list[m.Message]:
        if self._view.stage != "reconcile":
            return []
        if not reconciled.ok:
            return self._reach(env, "reconcile", "; ".join(reconciled.differences[:3]))
        return [
            *self._reach(env, "guards", "equity, positions and marks that the guards judge by"),
            *self._guarded(env),
        ]

    def _guarded(self, env: m.Envelope) -> list[m.Message]:
        """Nothing is armed before the guards have what they judge by."""
        if self._view.stage != "guards" or not self._view.baseline:
            return []
        return [*self._reach(env, "kill switch", "start-up checks"), m.StartChecked()]

    def _armed(self, env: m.Envelope, change: m.KillStateChanged) -> list[m.Message]:
        if self._view.stage != "kill switch":
            return []
        if change.state is KillState.STARTING:
            return []
        # A latched daemon is up as well: it serves status, flatten and rearm, and does not trade.
        return [*self._reach(env, "strategy", ""), *self._reach(env, "control", "")]

    def _answer(self, to: int) -> m.BootAnswer:
        view = self._view
        stages = STOP_STAGES if view.stopping else STAGES
        return m.BootAnswer(
            to=to,
            ready=self.ready,
            stage=view.stage,
            number=stages.index(view.stage) + 1,
            of=len(stages),
            waits_for=view.waits_for,
            since_ns=view.since_ns,
            stopping=view.stopping,
        )

"""The actors that feed a mailbox to a pure machine: what each of them takes, in one place."""

from collections.abc import Sequence
from typing import Protocol

from hedgegridd import messages as m
from hedgegridd.core.boot import Boot
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.core.pauses import Pauses
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.core.switches import Switches
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.runtime.actor import Actor


class Machine(Protocol):
    """A pure part: an envelope in, messages out."""

    def handle(self, env: m.Envelope) -> list[m.Message]:
        """Take one message and return what follows from it."""
        ...


class MachineActor(Actor):
    """Feeds one mailbox to one machine. A bug in a machine is never restarted in place."""

    essential = True
    journaled = True

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def handle(self, envelope: m.Envelope) -> Sequence[m.Message]:
        """Pass it on."""
        return self.machine.handle(envelope)


class DeskActor(MachineActor):
    """The strategy adapter: grids, ledger, pre-trade gate."""

    name = "desk"
    commands = (
        m.SetThrottle,
        m.PauseEntries,
        m.ResumeEntries,
        m.StartTrading,
        m.StopTrading,
        m.SetMode,
        m.TrimLeg,
        m.SetLimits,
        m.SetWeights,
        m.TryOrder,
        m.Reconcile,
        m.PlaceStop,
    )
    queries = (m.GetStatus, m.GetFigures, m.GetLadders, m.GetOrders, m.GetPositions)
    events = (
        m.BarClosed,
        m.MarkPrice,
        m.PriceCrossed,
        m.OrderAccepted,
        m.OrderRejected,
        m.OrderUnknown,
        m.OrderClosed,
        m.CancelRejected,
        m.OrderTriggered,
        m.OrderRefused,
        m.Fill,
        m.IncomeBooked,
        m.VenueAction,
        m.VenueTruth,
        m.VenueFailed,
        m.AccountRead,
        m.InstrumentReady,
        m.FeedChanged,
        m.LegsLatched,
        m.LegFlat,
        m.FlattenFinished,
        m.KillStateChanged,
        m.HaltEntries,
        m.HoldsChanged,
        m.TripsChanged,
        m.ConfigReloaded,
        m.Stopping,
    )

    def __init__(self, machine: Desk) -> None:
        super().__init__(machine)


class KillSwitchActor(MachineActor):
    """The kill switch."""

    name = "kill_switch"
    commands = (m.Kill, m.Rearm)
    queries = (m.GetKillSwitch,)
    events = (
        m.StartChecked,
        m.VenueUp,
        m.FlattenFinished,
        m.EntriesGone,
        m.Reconciled,
        m.FeedChanged,
        m.GuardChanged,
        m.HoldsChanged,
    )

    def __init__(self, machine: KillSwitch) -> None:
        super().__init__(machine)


class FlattenActor(MachineActor):
    """Flatten, for whoever asks."""

    name = "flatten"
    commands = (m.Flatten,)
    queries = (m.GetFlattens,)
    events = (
        m.VenueTruth,
        m.VenueDone,
        m.VenueFailed,
        m.Fill,
        m.InstrumentReady,
        m.VenueUp,
        m.JournalLate,
    )

    def __init__(self, machine: Flattener) -> None:
        super().__init__(machine)


class PausesActor(MachineActor):
    """Planned pauses; runs without any too: it says that none holds."""

    name = "pauses"
    events = (m.StageReached, m.VenueUp)

    def __init__(self, machine: Pauses) -> None:
        super().__init__(machine)


class SwitchesActor(MachineActor):
    """The switches that a person throws."""

    name = "switches"
    commands = (m.SetSwitch,)
    queries = (m.GetSwitches,)
    events = (m.StageReached, m.VenueUp)

    def __init__(self, machine: Switches) -> None:
        super().__init__(machine)


class RiskActor(MachineActor):
    """The guards; what they want to hear is theirs to say."""

    name = "risk"
    queries = (m.GetGuards,)

    def __init__(self, machine: RiskMachine) -> None:
        super().__init__(machine)
        self._wanted = machine.inputs

    def wanted(self) -> tuple[type[m.Message], ...]:
        """What moves the guards that run."""
        return self._wanted


class ReconcilerActor(MachineActor):
    """Asks for comparisons with the venue."""

    name = "reconciler"
    events = (m.VenueUp, m.FeedChanged)

    def __init__(self, machine: Reconciler) -> None:
        super().__init__(machine)


class BootActor(MachineActor):
    """Stages of start-up."""

    name = "boot"
    queries = (m.GetBoot,)
    events = (m.StageReached, m.VenueUp, m.Reconciled, m.BaselineRead, m.KillStateChanged, m.Stopping)

    def __init__(self, machine: Boot) -> None:
        super().__init__(machine)

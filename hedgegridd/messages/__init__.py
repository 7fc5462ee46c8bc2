"""The whole vocabulary of the daemon: read it and you know what can happen.

Commands are imperative and have one handler, which obeys or answers `Refused`. Events are past tense, have any
number of listeners and are never refused. Queries are answered to their asker and never journaled. All are frozen
Structs that refuse unknown fields, so that one value is a mailbox item, a journal record, a line of `/stream` and a
literal in a test.

Units: `*_ns` nanoseconds (wall clock unless the name says `mono` or `market`), `*_usdt` money, `*_bps` basis points;
quantities are base currency. `instrument` is a Nautilus id such as `BTCUSDT-PERP.BINANCE`.
"""

from typing import Union

from hedgegridd.messages.base import (
    Answer,
    Command,
    Done,
    Envelope,
    Event,
    Message,
    Query,
    Refused,
    WakeAt,
    Woke,
)
from hedgegridd.messages.commands import (
    Flatten,
    Kill,
    PauseEntries,
    Rearm,
    ResumeEntries,
    SetMode,
    SetThrottle,
    StartTrading,
    StopTrading,
)
from hedgegridd.messages.lifecycle import (
    FeedChanged,
    InstrumentReady,
    Reconcile,
    Reconciled,
    StageChanged,
    StageReached,
    StartChecked,
    Stopping,
    VenueUp,
)
from hedgegridd.messages.market import BarClosed, MarkPrice, PriceCrossed, WatchPrices
from hedgegridd.messages.orders import (
    CancelOrder,
    CancelRejected,
    Fill,
    IncomeBooked,
    OrderAccepted,
    OrderClosed,
    OrderRefused,
    OrderRejected,
    OrderTriggered,
    OrderUnknown,
    PlaceOrder,
    VenueAction,
)
from hedgegridd.messages.safety import (
    EntriesGone,
    FlattenFinished,
    FlattenProgress,
    HaltEntries,
    JournalLate,
    KillStateChanged,
    LegFlat,
    LegsLatched,
    LegsUnlatched,
    Recentred,
    RegimeChanged,
    RungDropped,
)
from hedgegridd.messages.truth import (
    AskOrder,
    CancelRaw,
    CloseRaw,
    ReadTruth,
    VenueAccount,
    VenueDone,
    VenueFailed,
    VenueLeg,
    VenueOrder,
    VenueTruth,
)
from hedgegridd.messages.views import (
    BootAnswer,
    DeskView,
    FlattenAnswer,
    FlattensAnswer,
    FlattenView,
    GetBoot,
    GetFlattens,
    GetKillSwitch,
    GetLadders,
    GetOrders,
    GetPositions,
    GetStatus,
    GetVenue,
    InstrumentView,
    KillSwitchAnswer,
    LaddersAnswer,
    LadderView,
    LedgerView,
    LegView,
    LotView,
    OrdersAnswer,
    OrderView,
    Rung,
    StatusAnswer,
    VenueAnswer,
)

__all__ = [
    "ALL",
    "ANSWERS",
    "COMMANDS",
    "EVENTS",
    "QUERIES",
    "Answer",
    "AskOrder",
    "BarClosed",
    "BootAnswer",
    "CancelOrder",
    "CancelRaw",
    "CancelRejected",
    "CloseRaw",
    "Command",
    "DeskView",
    "Done",
    "EntriesGone",
    "Envelope",
    "Event",
    "FeedChanged",
    "Fill",
    "Flatten",
    "FlattenAnswer",
    "FlattenFinished",
    "FlattenProgress",
    "FlattenView",
    "FlattensAnswer",
    "GetBoot",
    "GetFlattens",
    "GetKillSwitch",
    "GetLadders",
    "GetOrders",
    "GetPositions",
    "GetStatus",
    "GetVenue",
    "HaltEntries",
    "IncomeBooked",
    "InstrumentReady",
    "InstrumentView",
    "JournalLate",
    "Journaled",
    "Kill",
    "KillStateChanged",
    "KillSwitchAnswer",
    "LadderView",
    "LaddersAnswer",
    "LedgerView",
    "LegFlat",
    "LegView",
    "LegsLatched",
    "LegsUnlatched",
    "LotView",
    "MarkPrice",
    "Message",
    "OrderAccepted",
    "OrderClosed",
    "OrderRefused",
    "OrderRejected",
    "OrderTriggered",
    "OrderUnknown",
    "OrderView",
    "OrdersAnswer",
    "PauseEntries",
    "PlaceOrder",
    "PriceCrossed",
    "Query",
    "ReadTruth",
    "Rearm",
    "Recentred",
    "Reconcile",
    "Reconciled",
    "Refused",
    "RegimeChanged",
    "ResumeEntries",
    "Rung",
    "RungDropped",
    "SetMode",
    "SetThrottle",
    "StageChanged",
    "StageReached",
    "StartChecked",
    "StartTrading",
    "StatusAnswer",
    "StopTrading",
    "Stopping",
    "VenueAccount",
    "VenueAction",
    "VenueAnswer",
    "VenueDone",
    "VenueFailed",
    "VenueLeg",
    "VenueOrder",
    "VenueTruth",
    "VenueUp",
    "WakeAt",
    "WatchPrices",
    "Woke",
]


def _leaves(base: type[Message]) -> list[type[Message]]:
    found: list[type[Message]] = []
    for kind in base.__subclasses__():
        found.extend(_leaves(kind) or [kind])
    return found


COMMANDS = tuple(_leaves(Command))
EVENTS = tuple(_leaves(Event))
QUERIES = tuple(_leaves(Query))
ANSWERS = tuple(_leaves(Answer))
ALL: tuple[type[Message], ...] = (*COMMANDS, *EVENTS, *QUERIES, *ANSWERS, WakeAt)
Journaled: object = Union[COMMANDS + EVENTS]  # noqa: UP007  # made from the vocabulary: what a journal record may hold

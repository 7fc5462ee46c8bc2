"""The composition root: the one place where the parts of the daemon are joined, started and stopped.

Start: state folder -> journal -> machines restored -> bus and actors (metrics and control answer from here on, saying
which stage is running) -> venue, for as long as it takes -> reconcile -> kill switch -> READY.
Stop: entries cancelled and confirmed by the venue -> inventory as configured -> actors down in reverse -> snapshot ->
journal closed. Exit code 0 only when the venue confirmed.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import structlog
import uvloop

from hedgegridd import __version__, log
from hedgegridd import messages as m
from hedgegridd.actors.machines import BootActor, DeskActor, FlattenActor, KillSwitchActor, ReconcilerActor
from hedgegridd.actors.metrics import Meters, MetricsActor
from hedgegridd.config import Config
from hedgegridd.core.boot import Boot
from hedgegridd.core.desk import Desk
from hedgegridd.core.flatten import Flattener
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.core.reconciler import Reconciler
from hedgegridd.errors import HedgegridError
from hedgegridd.journal import restore as journal_restore
from hedgegridd.journal import snapshot
from hedgegridd.journal.folder import StateFolder
from hedgegridd.journal.writer import Journal, JournalHooks
from hedgegridd.model import LEGS
from hedgegridd.runtime.bus import Bus
from hedgegridd.runtime.clock import RealClock
from hedgegridd.runtime.lag import LagProbe
from hedgegridd.runtime.supervisor import Incident, Supervisor
from hedgegridd.state import Machines

EXIT_OK, EXIT_FAILED, EXIT_UNVERIFIED = 0, 1, 5
ENTRIES_GONE_S = 15.0
FLATTEN_S = 30.0
RECONCILE_S = 5.0
SNAPSHOT_CHECK_S = 1.0
_log = structlog.get_logger("hedgegridd")

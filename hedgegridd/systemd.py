"""What systemd is told (sd_notify): READY, a status line, STOPPING, and a watchdog that a ping through every mailbox feeds.

A silent feed or a venue that is away starves nothing: a restart would mend neither. A handler that hangs, a loop that
stands still and an actor that never gets to its messages do.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping

import anyio
import structlog

from hedgegridd.control.gather import gather
from hedgegridd.control.operation import Caller, Context, Role, Services
from hedgegridd.control.verdict import Verdict, judge
from hedgegridd.runtime.bus import Bus

FEEDS = 4  # within the watchdog's time
START_S = 10.0  # between feeds where there is no watchdog
EXTEND_S = 90.0  # more time for the start, as long as pings come through
LOOK_S = 1.0
STATUS_S = 5.0
STATUS_MAX = 400
_log = structlog.get_logger("systemd")


class Notifier:
    """The way to systemd; without one (`NOTIFY_SOCKET` is not there) it says nothing.

    Args:
        env: the process's environment.
        pid: ours: a watchdog that is meant for another process is none of ours.
    """

    def __init__(self, env: Mapping[str, str], pid: int) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.listens = address.startswith(("/", "@"))  # whether systemd wants to hear from us
        if address and not self.listens:
            _log.warning("systemd_not_told", address=address, why="neither a path nor an abstract socket")
        usec = env.get("WATCHDOG_USEC", "")
        ours = env.get("WATCHDOG_PID", str(pid)) == str(pid)
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and ours else 0.0  # 0: there is none
        self._failing = False

    def send(self, *lines: str) -> bool:
        """Say it; False when it did not arrive. Never waits."""
        if not self.listens:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.setblocking(False)
                way.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failing:
                _log.warning("systemd_not_told", error=error.strerror or str(error))
            self._failing = True
            return False
        self._failing = False
        return True


class Systemd:
    """Keeps systemd informed while the daemon lives: `run` it beside the actors.

    Args:
        notifier: the way to systemd.
        bus: through whose mailboxes the pings go.
        line: the status in one line.
    """

    def __init__(self, notifier: Notifier, bus: Bus, line: Callable[[], Awaitable[str]]) -> None:
        self._notifier = notifier
        self._bus = bus
        self._line = line
        self._phase = ""  # what has been reached and has not got there
        self._started = self._stopping = False

    def ready(self) -> None:
        """Start-up is through."""
        self._started = True
        self._say("READY=1")

    def stopping(self) -> None:
        """An orderly stop has begun: it takes at most `TimeoutStopSec`, and its stages are no longer the watchdog's."""
        self._stopping = True
        self._say("STOPPING=1")

    def _say(self, phase: str) -> None:
        self._phase = "" if self._notifier.send(phase) else phase

    async def run(self) -> None:
        """Until it is cancelled; ends at once where systemd does not listen."""
        if not self._notifier.listens:
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self._feed)
            group.start_soon(self._tell)

    async def _feed(self) -> None:
        watchdog_s = self._notifier.watchdog_s
        every_s = watchdog_s / FEEDS if watchdog_s else START_S
        while True:
            asked = self._bus.ping()
            while not await asked.within(LOOK_S):
                if self._stopping:
                    return  # actors go one after another and answer nothing any more
                _log.warning("mailbox_late", actors=sorted(asked.waiting))
            more_time = () if self._started else (f"EXTEND_TIMEOUT_USEC={round(EXTEND_S * 1e6)}",)
            self._notifier.send("WATCHDOG=1", *more_time)
            await anyio.sleep(every_s)

    async def _tell(self) -> None:
        last = ""
        while True:
            line = await self._line()
            if self._phase:
                self._say(self._phase)
            if line != last and self._notifier.send(f"STATUS={line}"):
                last = line
            await anyio.sleep(STATUS_S if self._started and not self._stopping else LOOK_S)


async def status_line(services: Services) -> str:
    """State, safety, what is being done, and the worst of what is wrong."""
    return in_one_line(judge(await gather(Context(services, Caller("systemd", Role.VIEWER, "systemd")))))


def in_one_line(verdict: Verdict) -> str:
    """The verdict as systemd takes a status: one line, bounded."""
    wrong = verdict.wrong[:1] if verdict.state != "STARTING" else ()  # then it is what is waited for
    text = "; ".join((f"{verdict.state}, safe: {verdict.safe}", verdict.doing, *wrong))
    return " ".join(text.split())[:STATUS_MAX]

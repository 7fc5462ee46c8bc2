"""The two processes of a chaos cell and the eye on the exchange: daemon, venue on a kept state, and a watcher of the truth.

The watcher asks `GET /truth` some twenty times a second in a thread of its own, so that what is naked, twice or new is
seen while it lasts, whatever the drill itself waits for.
"""

import http.client
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from bench.outages import Venue, heard, kept_venue
from hedgegridd.model import Purpose, parse_client_order_id
from tests.support.programs import (
    ControlSocket,
    Daemon,
    Exchange,
    JsonHttp,
    Program,
    ProgramError,
    running,
    until,
    write_config,
)
from tests.support.truth import (
    ENTRY_SIDE,
    LEGS,
    daemon_books,
    differences,
    entries_at,
    exchange_books,
    instrument_of,
    uncovered,
)

SYMBOL = "BTCUSDT"
SPEED = 10
READY_S = 90.0
BACK_S = 90.0  # for everything to be right again; the connection's own retries are up to 30 s apart
LOOK_S = 0.05
STAND_S = 2.0  # of a paused market; one of 5 s is called stale
DISK_MIB = 8
GRID: dict[str, object] = {
    "instrument": f"{SYMBOL}-PERP",
    "step_bps": 20,
    "levels_long": 4,
    "levels_short": 4,
    "tp_steps": 6,
    "sl_steps": 40,
    "recenter_trigger_bps": 90,
    "base_qty": Decimal("0.004"),
    "policy": {"kind": "symmetric"},
    "funding": {"window_min": 0},
}
# The drill's questions and its many faults are calls of the minute as well: our own quota would only make it long.
AFTER_RECONCILE = re.compile(r"stage \d of \d: (guards|kill switch)")
QUOTA: dict[str, object] = {"type": "call_quota", "per_10s": 5_000, "per_minute": 20_000, "per_hour": 500_000}
VENUE = ("--regime", "quiet", "--tick-rate", "1")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How a rig differs from the usual one: arguments of the exchange, fields of the grid, `[[guard]]` tables."""

    venue: tuple[str, ...] = ()
    grid: dict[str, object] = {}
    more_grids: tuple[dict[str, object], ...] = ()
    guards: tuple[dict[str, object], ...] = ()


class Spells:
    """When something was so, by name: from the first look that showed it to the last."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self._ended: list[tuple[str, float, float]] = []

    def see(self, names: list[str], now_s: float) -> None:
        """What is so at this look."""
        for name in names:
            self._open.setdefault(name, now_s)
        for name in [each for each in self._open if each not in names]:
            self._ended.append((name, self._open.pop(name), now_s))

    def longest(self, since_s: float, now_s: float) -> tuple[float, str]:
        """Seconds of the longest spell that ended after `since_s` or goes on, and its name."""
        found = [(end - began, name) for name, began, end in list(self._ended) if end >= since_s]
        found += [(now_s - began, name) for name, began in list(self._open.items())]
        return max(found, default=(0.0, ""))


def twice(truth: dict[str, Any]) -> list[str]:
    """Rungs that have more than one entry at the exchange."""
    tags = [parse_client_order_id(str(order["clientOrderId"])) for order in truth["open_orders"]]
    rungs = Counter((tag.leg, tag.level) for tag in tags if tag is not None and tag.purpose is Purpose.ENTRY)
    return [f"{leg} rung {level} has {count} entries" for (leg, level), count in rungs.items() if count > 1]


def naked(truth: dict[str, Any]) -> list[str]:
    """Legs with inventory and no stop at the exchange."""
    return [line.partition(" ")[0] for line in uncovered(truth, SYMBOL) if "without a stop" in line]


class Watcher(threading.Thread):
    """Looks at the truth until `close`; an exchange that is away is not looked at."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(daemon=True)
        self._venue = venue
        self._ending = threading.Event()
        self.naked = Spells()
        self.twice = Spells()
        self.first_seen: dict[str, float] = {}  # entries, by client order id
        self.flat_at: list[float] = []  # looks at an exchange that had nothing of ours, the last of them
        self.looks = 0

    def run(self) -> None:
        """The thread."""
        connection: JsonHttp | None = None
        asked = ""
        while not self._ending.wait(LOOK_S):
            try:
                url = self._venue.now.admin_url
                if connection is not None and url != asked:
                    connection.close()
                    connection = None
                if connection is None:
                    connection, asked = JsonHttp(url, timeout_s=5), url
                truth = dict(connection.ask("GET", "/truth"))
            except (OSError, http.client.HTTPException, ProgramError, ValueError):
                if connection is not None:
                    connection.close()
                connection = None
                continue
            self._look(truth, time.monotonic())
        if connection is not None:
            connection.close()

    def _look(self, truth: dict[str, Any], now_s: float) -> None:
        self.naked.see(naked(truth), now_s)
        self.twice.see(twice(truth), now_s)
        books = exchange_books(truth, SYMBOL)
        if not books.orders and not any(leg.qty for leg in books.legs.values()):
            self.flat_at = [*self.flat_at[-1_000:], now_s]
        for ids in entries_at(truth, SYMBOL).values():
            for order_id in ids:
                self.first_seen.setdefault(order_id, now_s)
        self.looks += 1

    def new_entries(self, from_s: float, to_s: float) -> list[str]:
        """Entries that the exchange first showed in that time."""
        return sorted(name for name, at in list(self.first_seen.items()) if from_s <= at <= to_s)

    def flat_since(self, asked_s: float) -> float | None:
        """The first look from then on that saw nothing of ours."""
        return next((at for at in self.flat_at if at >= asked_s), None)

    def close(self) -> None:
        """End the thread."""
        self._ending.set()
        self.join(10)


class Rig:
    """One exchange, and the daemon's lives on it."""

    def __init__(self, folder: Path, venue: Venue, setup: "Setup", *, small_disk: bool) -> None:
        self.folder = folder
        self.venue = venue
        grids = [{**GRID, **setup.grid}, *setup.more_grids]
        own = {guard["type"] for guard in setup.guards}
        guards = [*setup.guards, *([] if QUOTA["type"] in own else [QUOTA])]
        self.config = write_config(folder, venue.now, grids, guards=guards)
        self.watch = Watcher(venue)
        self.state = folder / "state"
        self._lives = 0
        self._life = ExitStack()
        self._bot: Daemon | None = None
        self._turn = 0
        self._disk = small_disk
        if small_disk:
            self.state.mkdir(mode=0o700)
            size = f"size={DISK_MIB}m,mode=700"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.state)], check=True)
        self.watch.start()

    def close(self) -> None:
        """End everything of ours."""
        self.end_life()
        self.watch.close()
        if self._disk:
            subprocess.run(["umount", str(self.state)], check=True)

    # --- the exchange -----------------------------------------------------------------------------

    @property
    def exchange(self) -> Exchange:
        """The exchange of now."""
        return self.venue.now

    def admin(self, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        """A POST to the admin port."""
        return self.exchange.admin("POST", path, body)

    def clear_faults(self) -> None:
        """All rules go."""
        self.exchange.admin("DELETE", "/faults")

    def quantity(self, leg: str) -> Decimal:
        """Inventory of a leg at the exchange."""
        return Decimal(self.exchange.truth()["legs"][f"{SYMBOL}:{leg}"]["qty"])

    def entries(self) -> dict[str, list[str]]:
        """Entries at the exchange by leg."""
        return entries_at(self.exchange.truth(), SYMBOL)

    def is_flat(self) -> bool:
        """Whether the exchange has nothing of ours: no inventory, no order, no stop."""
        books = exchange_books(self.exchange.truth(), SYMBOL)
        return not books.orders and not any(leg.qty for leg in books.legs.values())

    def through_entry(self, leg: str) -> bool:
        """Price goes just through the nearest entry of the leg; False when it has none."""
        truth = self.exchange.truth()
        orders = exchange_books(truth, SYMBOL).orders
        prices = [o.price for o in orders.values() if o.leg == leg and o.side == ENTRY_SIDE[leg]]
        if not prices:
            return False
        # By the admin port alone, whose answers no fault touches; mark and last are close in a quiet market.
        mark = Decimal(truth["marks"][SYMBOL])
        to = max(prices) * Decimal("0.9995") if leg == "LONG" else min(prices) * Decimal("1.0005")
        self.admin("/jump", {"symbol": SYMBOL, "factor": f"{to / mark:.6f}"})
        return True

    # --- the daemon -------------------------------------------------------------------------------

    @property
    def bot(self) -> Daemon:
        """The daemon that runs."""
        assert self._bot is not None, "no daemon was started"
        return self._bot

    @property
    def alive(self) -> bool:
        """Whether a daemon runs."""
        return self._bot is not None and self._bot.program.process.poll() is None

    def start(self) -> None:
        """A further life; its socket answers when this returns, READY is another matter."""
        self.end_life()
        self._lives += 1
        self._bot = self._life.enter_context(running(self.config, log=f"daemon-{self._lives}.log"))

    def end_life(self) -> None:
        """The daemon goes, whatever its state; a stopped process hears no SIGTERM."""
        if self._bot is not None and self.alive:
            self.bot.program.process.send_signal(signal.SIGCONT)
        self._life.close()
        self._bot = None

    def kill(self) -> None:
        """`kill -9`."""
        self.bot.program.kill()

    def suspend(self) -> None:
        """SIGSTOP."""
        self.bot.program.process.send_signal(signal.SIGSTOP)

    def resume_process(self) -> None:
        """SIGCONT, where it still runs."""
        if self.alive:
            self.bot.program.process.send_signal(signal.SIGCONT)

    def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        """A verb on the control socket."""
        return self.bot.control.ask(verb, **fields)

    def second_socket(self, timeout_s: float) -> ControlSocket:
        """A connection of its own, for another thread."""
        return ControlSocket(self.bot.config.folder / "control.sock", timeout_s)

    def is_ready(self) -> bool:
        """Whether the daemon says that trading can happen."""
        try:
            return bool(self.ask("ready")["ready"])
        except ProgramError:
            return False

    def wait[T](self, look: Callable[[], T], what: str, deadline_s: float) -> T:
        """`until`, with the daemon's log."""
        program: Program | None = self.bot.program if self._bot is not None else None
        return until(look, what, deadline_s, program)

    def complaint(self) -> str:
        """What `status` says is wrong, or why it is not safe; empty when it says nothing."""
        status = self.ask("status")
        if status["wrong"]:
            return str(status["wrong"][0])
        # "not yet" is a removal under way: nothing that went wrong.
        return "" if status["safe"] in ("yes", "not yet") else str(status["safe_reason"])

    def compared_s(self) -> float | None:
        """When the books of this life were compared (monotonic), as its log says; None: not yet."""
        now_s, wall_s = time.monotonic(), time.time()
        for line in self.bot.program.log.read_text(errors="replace").splitlines():
            if '"event":"StageChanged"' in line and AFTER_RECONCILE.search(line):
                told = datetime.fromisoformat(str(msgspec.json.decode(line)["timestamp"]))
                return now_s - (wall_s - told.timestamp())
        return None

    def journal_trouble(self) -> bool:
        """Whether `status` says that the journal is not written."""
        return any("journal" in str(text) for text in self.ask("status")["wrong"])

    # --- both -------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """READY, no latch, full throttle, entries and inventory on both legs, all covered."""
        if not self.alive:
            self.start()
        self.wait(lambda: self.ask("status")["reconciled"], "reconciled", READY_S)
        self.release()
        self.wait(self.is_ready, "ready", READY_S)
        self.ask("throttle", throttle=1)
        self.wait(lambda: all(self.entries().values()), "entries on both legs", BACK_S)
        for leg in LEGS:
            self.wait(lambda leg=leg: self._filled(leg), f"inventory on {leg}", 30)
        self.wait(lambda: not uncovered(self.exchange.truth(), SYMBOL), "all inventory covered", 15)
        self.wait(lambda: self.ask("status")["settled"], "settled", 15)

    def _filled(self, leg: str) -> bool:
        if self.quantity(leg):
            return True
        self.through_entry(leg)
        time.sleep(0.3)
        return bool(self.quantity(leg))

    def stir(self) -> None:
        """Something to do: the nearest entry of one leg fills, and all others get another quantity."""
        self._turn += 1
        self.through_entry(LEGS[self._turn % 2])
        self.ask("throttle", throttle=0.5)

    def latch(self) -> str:
        """What of trips keeps the instrument from trading, in words; empty when nothing does."""
        status = self.ask("status")
        if status["kill_switch"]["state"] != "ARMED":
            return str(status["kill_switch"]["cause"])
        return next((why for why in self.why_no_entries() if "latched" in why or "halted" in why), "")

    def release(self) -> None:
        """What a person says when a flatten or a trip is looked at: resume, or rearm with a reason."""

        def released() -> bool:
            try:
                if self.latch():
                    self.ask("rearm", reason="the drill has looked at the account")
                self.ask("resume")
            except ProgramError:
                return False  # refused for now: a guard or a feed is not well yet
            return True

        self.wait(released, "released", BACK_S)

    def still(self) -> None:
        """What `stir` took is given back."""
        self.ask("throttle", throttle=1)

    def wrong(self, *, entries: bool = True) -> list[str]:
        """What is not as it must be once all is over; the market stands meanwhile."""
        truth = self.exchange.truth()
        status = self.ask("status")
        try:
            belief = daemon_books(status, self.ask("orders"), SYMBOL)
        except (KeyError, TypeError) as error:
            return [f"the daemon's answer lacks a figure: {error!r}"]
        found = differences(exchange_books(truth, SYMBOL), belief)
        found += uncovered(truth, SYMBOL)
        if entries and not any(entries_at(truth, SYMBOL).values()):
            found.append("no entries")
        if status["settled"] is not True or status["safe"] != "yes":
            found.append(f"settled {status['settled']}, safe {status['safe']}: {status['safe_reason']}")
        if truth["invariant"] != "ok":
            found.append(f"exchange: {truth['invariant']}")
        return found

    def recovered(self, *, entries: bool = True, deadline_s: float = BACK_S) -> list[str]:
        """Wait until streams are open and all is right; what was not by then."""
        end_s = time.monotonic() + deadline_s

        def at_work() -> bool:
            return heard(self.venue) and not self.wrong(entries=entries)

        while True:
            try:
                self.wait(at_work, "all is right", max(1.0, end_s - time.monotonic()))
            except ProgramError:
                return self.wrong(entries=entries) or ["the daemon's streams are not open at the exchange"]
            # The market stands for a moment only: one that stands for seconds is a fault of its own.
            self.admin("/pause")
            found = self._settled_wrong(entries=entries)
            self.admin("/resume")
            if not found or time.monotonic() > end_s:
                return found

    def _settled_wrong(self, *, entries: bool) -> list[str]:
        """What is still wrong when the standing market's last messages have come."""
        end_s = time.monotonic() + STAND_S
        while (found := self.wrong(entries=entries)) and time.monotonic() < end_s:
            time.sleep(0.05)
        return found

    def why_no_entries(self) -> list[str]:
        """What the daemon says of it."""
        return list(instrument_of(self.ask("status"), SYMBOL)["why_no_entries"])

    def fill_disk(self) -> None:
        """Nothing more fits on the state folder's disk."""
        with (self.state / "filler").open("wb", buffering=0) as out:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while out.write(bytes(size)) == size:
                        continue
                except OSError:
                    continue

    def free_disk(self) -> None:
        """There is room again."""
        (self.state / "filler").unlink(missing_ok=True)


USUAL = Setup()


def may_mount() -> str:
    """Why no small disk can be made here; empty when one can."""
    return "" if os.geteuid() == 0 else "only root may mount a small disk"


@contextmanager
def rig(folder: Path, seed: int, setup: Setup = USUAL, *, small_disk: bool = False) -> Iterator[Rig]:
    """A fresh rig in `folder`; everything is ended at the end."""
    with kept_venue(folder, seed, SPEED, (*VENUE, *setup.venue)) as kept:
        made = Rig(folder, kept, setup, small_disk=small_disk)
        try:
            yield made
        finally:
            made.close()

"""`hedgegridctl top`: the live screen over the control socket, with keys for pause, flatten (typed) and quit."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.live import Live

from hedgegridd.ctl import terminal
from hedgegridd.ctl.client import Client, NoAnswer, NoDaemon
from hedgegridd.ctl.confirm import facts
from hedgegridd.ctl.live import LiveView
from hedgegridd.ctl.tables import render
from hedgegridd.ctl.text import Paint, short
from hedgegridd.ctl.top_screen import HELP, Seen, explanation, screen
from hedgegridd.operations import REGISTRY

type Body = dict[str, Any]
type Ask = Callable[[str, Body], Awaitable[Body]]

CALL_S = 4.0
MARGIN_S = 2.0  # over the daemon's own deadline
INTERVAL_MIN_S, INTERVAL_MAX_S = 0.2, 60.0
TYPED_MAX = 40
REASON = "hedgegridctl top"


def top(path: str, interval_s: float) -> int:
    """Show it until q or Ctrl-C.

    Raises:
        NoDaemon: nobody answers at the start; later that is shown on the screen.
    """
    client = Client(path)
    client.call("status", {}, CALL_S)
    try:
        asyncio.run(_show(client, min(max(interval_s, INTERVAL_MIN_S), INTERVAL_MAX_S)))
    finally:
        client.close()
    return 0


async def _show(client: Client, interval_s: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def poll(verb: str) -> Body:
        reply = await asyncio.to_thread(client.call, verb, {}, CALL_S)
        if not reply.ok:
            raise RuntimeError(str(reply.problem.get("detail", "refused")))
        return reply.result

    if sys.stdin.isatty() and sys.stdout.isatty():
        await Top(poll, lambda verb, fields: _command(client.path, verb, fields), interval_s=interval_s).run(
            stop
        )
    else:
        await LiveView(poll, interval_s=interval_s).run(stop)


async def _command(path: str, verb: str, fields: Body) -> Body:
    """Over a connection of its own: the screen goes on meanwhile.

    Raises:
        NoDaemon, NoAnswer: as the client says.
        RuntimeError: it was refused; the text says why.
    """
    client = Client(path)
    limit_s = REGISTRY.verbs[verb](**fields).limit_s() + MARGIN_S
    try:
        reply = await asyncio.to_thread(client.call, verb, fields, limit_s)
    finally:
        client.close()
    if not reply.ok:
        raise RuntimeError(str(reply.problem.get("detail") or reply.problem.get("title")))
    return reply.result


class Top:
    """Polls, draws and hears keys until stopped.

    `poll(verb)` answers a reading; `command(verb, fields)` carries something out and answers its outcome.
    """

    def __init__(
        self,
        poll: Callable[[str], Awaitable[Body]],
        command: Ask,
        *,
        interval_s: float = 1.0,
        console: Console | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seen = Seen()
        self._poll = poll
        self._command = command
        self._interval_s = interval_s
        self._console = console or Console()
        self._now_s = now_s
        self._seen_s: float | None = None
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Draw until `stop` is set or q is hit; a command that runs is not cancelled at the daemon."""
        self._stop = stop
        console = self._console
        with (
            terminal.keys(sys.stdin.fileno(), self.key),
            Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
        ):
            poller = asyncio.create_task(self._polling())
            try:
                while not stop.is_set():
                    live.update(screen(self.seen, console.width, console.height), refresh=True)
                    await self._until_changed()
            finally:
                poller.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await poller

    async def _until_changed(self) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._changed, self._stop)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        self._changed.clear()

    async def _polling(self) -> None:
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval_s)

    async def refresh(self) -> None:
        """Take new figures; when that fails the old ones stay, and it is said."""
        seen = self.seen
        try:
            status, ladders, guards = [await self._poll(verb) for verb in ("status", "ladders", "guards")]
        except (NoDaemon, NoAnswer, RuntimeError, OSError) as error:
            seen.lost = str(error) or type(error).__name__
        else:
            seen.status, seen.ladders, seen.guards, seen.lost = status, ladders, guards, ""
            self._seen_s = self._now_s()
        seen.silent_s = None if self._seen_s is None else self._now_s() - self._seen_s
        self._changed.set()

    # ------------------------------------------------------------------------------------------------------------ keys

    def key(self, key: str) -> None:
        """Hear one key."""
        if self.seen.typed is not None:
            self._type(key)
        else:
            self.seen.note, self.seen.said = (), ("" if self._work is None else self.seen.said)
            action = {
                "q": self._stop.set, "p": self._pause, "F": self._ask_flatten, "x": self._explain,
                "?": self._help, "\t": self._next,
            }.get(key)  # fmt: skip
            if action is not None:
                action()
        self._changed.set()

    def _type(self, key: str) -> None:
        seen = self.seen
        typed, item = seen.typed or "", seen.instrument()
        if key == terminal.ESCAPE:
            seen.typed, seen.note, seen.said = None, (), "not confirmed; nothing was sent"
        elif key in "\r\n":
            seen.typed, seen.note = None, ()
            if item is None or typed.strip().upper() != short(item["instrument"]):
                seen.said = "not confirmed; nothing was sent"
            else:
                fields = {"side": "both", "instrument": item["instrument"], "reason": REASON}
                self._begin("flatten", fields)
        elif key in "\x7f\b":
            seen.typed = typed[:-1]
        elif key.isprintable() and len(typed) < TYPED_MAX:
            seen.typed = typed + key

    def _pause(self) -> None:
        self._begin("pause", {})

    def _ask_flatten(self) -> None:
        item = self.seen.instrument()
        if item is None or self._work is not None:
            self.seen.said = "no instrument is known yet" if item is None else "a command is running"
            return
        fields = {"side": "both", "instrument": item["instrument"]}
        self.seen.typed = ""
        self.seen.note = tuple(facts("flatten", fields, self.seen.status or {}, [item]))

    def _explain(self) -> None:
        self.seen.note = explanation(self.seen.status or {})

    def _help(self) -> None:
        self.seen.note = HELP

    def _next(self) -> None:
        self.seen.selected += 1

    # -------------------------------------------------------------------------------------------------------- commands

    def _begin(self, verb: str, fields: Body) -> None:
        if self._work is not None:
            self.seen.said = "a command is running"
            return
        self.seen.said = f"{verb}: sent"
        self._work = asyncio.create_task(self._carry_out(verb, fields))

    async def _carry_out(self, verb: str, fields: Body) -> None:
        seen = self.seen
        try:
            lines = render(verb, await self._command(verb, fields), Paint(on=False))
        except NoDaemon as error:
            seen.said = f"{verb}: nothing was sent ({error}); get out: hedgegridctl panic"
        except NoAnswer as error:
            seen.said = f"{verb}: {error}; it was sent and may still be carried out"
        except RuntimeError as error:
            seen.said = f"{verb} refused: {error}"
        else:
            seen.note = tuple(lines)
            verdict = next((line for line in lines if "VERIFIED" in line), lines[-1])
            seen.said = f"{verb}: {verdict}"
        finally:
            self._work = None
            self._changed.set()

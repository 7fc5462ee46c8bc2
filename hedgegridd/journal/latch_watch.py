"""Looks for panic's latch all the time, in a thread of its own: a disk that hangs must not hold up the loop.

No entry leaves unless somebody has looked a moment ago. A process that was stopped and goes on, and one whose disk
hangs, has not: its entries wait for the next look.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hedgegridd.journal import panic_latch
from hedgegridd.journal.panic_latch import PanicLatch

EVERY_S = 0.1
FRESH_NS = (
    300_000_000  # below the 500 ms that lie between panic's last two questions: what still leaves is found
)
_NS_PER_S = 1_000_000_000

type Stamp = tuple[int, int]


class Look(NamedTuple):
    """What the last look has found. `began_ns`: monotonic, when it began; None: nobody has looked yet."""

    began_ns: int | None = None
    stamp: Stamp | None = None
    latch: PanicLatch | None = None


class LatchWatch:
    """`start` and `stop` it in the loop that asks `why`.

    Args:
        folder: the state folder.
        mono_ns: the monotonic clock.
    """

    def __init__(self, folder: Path, mono_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._mono_ns = mono_ns
        self._look = Look()  # replaced as a whole by the thread, read by the loop
        self._taken: Stamp | None = None
        self._looked = asyncio.Event()
        self._end = threading.Event()
        self.problem = ""

    def start(self, on_found: Callable[[Stamp, PanicLatch], None]) -> None:
        """Begin to look; `on_found` is called in this loop, once for each latch that comes."""
        self._end = threading.Event()
        loop = asyncio.get_running_loop()
        arguments = (loop, self._end, on_found)
        threading.Thread(target=self._run, args=arguments, name="panic-latch", daemon=True).start()

    def stop(self) -> None:
        """Let the thread end; a hung disk is not waited for."""
        self._end.set()

    def taken(self, stamp: Stamp) -> None:
        """This latch has been taken in: the kill switch holds entries now."""
        self._taken = stamp

    def why(self, instrument: str) -> str:
        """Why an entry of the instrument may not leave now; empty when it may."""
        look = self._look
        latch = look.latch if look.stamp != self._taken else None
        if latch is not None and (not latch.instruments or instrument in latch.instruments):
            return f"panic by {latch.by}"
        if look.began_ns is None:
            return "nobody has looked for a panic latch yet"
        age_ns = self._mono_ns() - look.began_ns
        if age_ns <= FRESH_NS:
            return ""
        said = self.problem or "the disk hangs"
        return f"nobody has looked for a panic latch for {age_ns / _NS_PER_S:.1f} s: {said}"

    async def looked(self, instrument: str, within_s: float) -> None:
        """Wait until an entry may leave or a latch is known, at most so long."""
        try:
            async with asyncio.timeout(within_s):
                while self.why(instrument) and self._look.latch is None:
                    self._looked.clear()
                    await self._looked.wait()
        except TimeoutError:
            return  # whoever sends asks `why` once more

    # --- the thread ---------------------------------------------------------------------------

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        end: threading.Event,
        on_found: Callable[[Stamp, PanicLatch], None],
    ) -> None:
        told: Stamp | None = None
        while not end.is_set():
            found = self._once()
            try:
                loop.call_soon_threadsafe(self._looked.set)
                if found is not None and found.stamp is not None and found.latch is not None:
                    if found.stamp != told:
                        loop.call_soon_threadsafe(on_found, found.stamp, found.latch)
                    told = found.stamp
            except RuntimeError:
                return  # the loop is closed
            end.wait(EVERY_S)

    def _once(self) -> Look | None:
        """One look; None when the disk does not tell."""
        began_ns = self._mono_ns()
        try:
            stamp = panic_latch.stamp(self._folder)
        except OSError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        known = self._look
        latch = known.latch if stamp == known.stamp else None
        if stamp is not None and latch is None:
            latch = panic_latch.read(self._folder)
        self._look = Look(began_ns, stamp, latch)
        return self._look

"""The live stream: a bounded ring of events that every client reads at its own pace, each event encoded once for all.

A client is a place in the ring, not a queue: one that falls behind costs nothing, loses the oldest and is told how many.
`StreamActor` fills the ring from the bus and makes the beat; `sse.py` and `unix.py` write what `Subscriber.next` gives.
"""

import asyncio
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from hedgegridd.control.operation import Problem
from hedgegridd.messages import Envelope, Message

RING = 4_096  # events kept for clients that come back
GONE = 65_536  # sequences remembered of events no longer kept, so that "missed" is a number
BATCH = 128  # events written at once
PACE_S = 0.05  # between two rounds: what comes in between is written together
SLICE, SLICE_S = 4, 0.002  # clients woken at once, and the pause after them: ticks and commands go between

_encode = msgspec.json.Encoder().encode


def _no_words(_message: Message) -> str:
    return ""


class Entry:
    """One event; encoded when the first client takes it, and then for all.

    `frame` is a server-sent event, `tail` the rest of a socket's line after its id. `seq` None: a beat or a note, which
    has no place in the order and no `id:`.
    """

    __slots__ = ("_facts", "_frame", "_tail", "kind", "seq")

    def __init__(self, kind: str, facts: Callable[[], dict[str, Any]], seq: int | None = None) -> None:
        self.kind = kind
        self.seq = seq
        self._facts = facts
        self._frame = self._tail = b""

    def frame(self) -> bytes:
        """As a server-sent event."""
        if not self._frame:
            head = "" if self.seq is None else f"id: {self.seq}\n"
            self._frame = f"{head}event: {self.kind}\ndata: ".encode() + self._data() + b"\n\n"
        return self._frame

    def tail(self) -> bytes:
        """As `"event": …, "data": {…}}` and the end of the line."""
        if not self._tail:
            self._tail = b'"event":' + _encode(self.kind) + b',"data":' + self._data() + b"}\n"
        return self._tail

    def _data(self) -> bytes:
        return _encode(self._facts())


class Hub:
    """The ring and who reads it; all of it belongs to the loop's thread.

    Args:
        clients_max: clients at a time.
        first_seq: the bus sequence from which on this process has seen every event.
        words: an event as a short sentence, "" when it is not worth one.
        ring: events kept.
    """

    def __init__(
        self,
        clients_max: int,
        *,
        first_seq: int = 1,
        words: Callable[[Message], str] = _no_words,
        ring: int = RING,
    ) -> None:
        self._clients_max = clients_max
        self._words = words
        self._ring: deque[Entry] = deque()
        self._ring_max = ring
        self._first = 0  # number of the event that stands first in the ring
        self._gone: array[int] = array("Q")
        self._known_after = self._last_seq = max(0, first_seq - 1)
        self._beat: Entry | None = None
        self.beats = 0
        self._clients: dict[Subscriber, None] = {}
        self._news = asyncio.Event()
        self.occupied = asyncio.Event()
        self.closed = False
        self.lost = 0  # events that clients were told they had missed

    @property
    def clients(self) -> int:
        """How many read now."""
        return len(self._clients)

    @property
    def end(self) -> int:
        """The number that the next event gets."""
        return self._first + len(self._ring)

    def put(self, envelope: Envelope) -> None:
        """Take an event; the oldest makes room."""
        if len(self._ring) >= self._ring_max:
            gone = self._ring.popleft()
            self._first += 1
            assert gone.seq is not None, "only events stand in the ring"
            self._gone.append(gone.seq)
            if len(self._gone) >= 2 * GONE:
                self._known_after = self._gone[GONE - 1]
                del self._gone[:GONE]
        kind = type(envelope.message).__name__
        self._ring.append(Entry(kind, partial(self._told, envelope), envelope.seq))
        self._last_seq = envelope.seq
        self.rouse()

    def _told(self, envelope: Envelope) -> dict[str, Any]:
        return {
            "seq": envelope.seq,
            "time_ns": envelope.time_ns,
            "cause": envelope.cause,
            "actor": envelope.actor,
            "words": self._words(envelope.message),
            "message": envelope.message,
        }

    def tell_beat(self, kind: str, facts: dict[str, object]) -> None:
        """A beat, or that there is none; who has not taken the last one gets this one instead."""
        self._beat = Entry(kind, lambda: facts)
        self.beats += 1
        self.rouse()

    def rouse(self) -> None:
        """Somebody has something to read."""
        if self._clients:
            self._news.set()

    def open(self, last_seq: int | None) -> "Subscriber":
        """A new client: from now on, or from after the event `last_seq`, as far as it is kept.

        Raises:
            Problem: 503, too many clients, or the daemon stops.
        """
        if self.closed:
            raise Problem(503, "unavailable", "the stream is closed: the daemon is stopping")
        if len(self._clients) >= self._clients_max:
            raise Problem(
                503,
                "busy",
                f"{self._clients_max} clients read the stream already; [control] stream_clients is the limit",
                headers={"Retry-After": "5"},
            )
        at, note = self.end, None
        if last_seq is not None:
            at, note = self._place(last_seq)
        client = Subscriber(self, at, note)
        self._clients[client] = None
        self.occupied.set()
        return client

    def _place(self, last_seq: int) -> tuple[int, Entry | None]:
        """Where a client that has seen `last_seq` goes on, and what it is told to have missed."""
        if last_seq > self._last_seq:  # of another life of the daemon: how many came since cannot be known
            return self.end, self._missed(0, exact=False)
        at = self._first + bisect_right(self._ring, last_seq, key=lambda entry: entry.seq or 0)
        missed = len(self._gone) - bisect_right(self._gone, last_seq)
        exact = last_seq >= self._known_after
        if exact and not missed:
            return at, None
        return at, self._missed(missed, exact=exact)

    def _missed(self, count: int, *, exact: bool) -> Entry:
        self.lost += count
        return Entry("missed", lambda: {"missed": count, "exact": exact})

    def read(self, at: int) -> tuple[list[Entry], int]:
        """At most `BATCH` entries from number `at` on, led by what was missed; and the number to go on from."""
        entries = []
        if at < self._first:
            entries.append(self._missed(self._first - at, exact=True))
            at = self._first
        upto = min(self.end, at + BATCH)
        entries += [self._ring[number - self._first] for number in range(at, upto)]
        return entries, upto

    def newest_beat(self) -> Entry | None:
        """The last beat."""
        return self._beat

    def forget(self, client: "Subscriber") -> None:
        """A client has gone."""
        self._clients.pop(client, None)
        if not self._clients:
            self.occupied.clear()

    async def pump(self) -> None:
        """Wake the clients that have something to read, a few at a time; runs until it is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            for count, client in enumerate(tuple(self._clients), 1):
                client.wake()
                if count % SLICE == 0:
                    await asyncio.sleep(SLICE_S)
            await asyncio.sleep(PACE_S)

    def close(self) -> None:
        """End every client's reading; no new one is taken."""
        self.closed = True
        for client in tuple(self._clients):
            client.wake(whatever=True)

    def reopen(self) -> None:
        """Take clients again, after a restart of the actor."""
        self.closed = False


class Subscriber:
    """One client's place in the ring."""

    def __init__(self, hub: Hub, at: int, note: Entry | None) -> None:
        self._hub = hub
        self._at = at
        self._note = note
        self._beats = hub.beats
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Entry]:
        """What is new, waiting for it; at most `BATCH` events, a note and a beat. Nothing: the stream has ended."""
        while True:
            if not self._hub.closed and (self._note is not None or self._hub.end - self._at >= BATCH):
                return self._take()  # a client that catches up is not paced
            if not self._hub.closed:
                await self._wait()
            if entries := self._take():
                return entries
            if self._hub.closed:
                return []

    def close(self) -> None:
        """Leave; the place is free."""
        self._hub.forget(self)

    def wake(self, *, whatever: bool = False) -> None:
        """Go on reading when something is there, or `whatever` is."""
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (whatever or self._behind()):
            waiter.set_result(None)

    def _behind(self) -> bool:
        return self._at < self._hub.end or self._beats != self._hub.beats

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        if self._behind():
            self._hub.rouse()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _take(self) -> list[Entry]:
        entries, self._at = self._hub.read(self._at)
        if self._note is not None:
            entries.insert(0, self._note)
            self._note = None
        if self._beats != self._hub.beats:
            self._beats = self._hub.beats
            if (beat := self._hub.newest_beat()) is not None:
                entries.append(beat)
        return entries

"""WebSocket connections of clients: frames built once, a bounded backlog each, written in one go.

The transport's own write buffer is the send queue: frames are whole when they enter it, so nothing of ours
interleaves with aiohttp's pongs and closes, and "drained" is a question to the transport.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

BACKLOG_BYTES = 16 * 1024 * 1024
MAX_STREAMS_PER_SOCKET = 1_024


def text_frame(payload: bytes) -> bytes:
    """An unmasked, uncompressed text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Socket:
    """One client connection. `combined`: messages are wrapped with the name of their stream.

    `way_s`: seconds that what is written now takes to the client; it never overtakes what was written before.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        combined: bool,
        user: bool,
        backlog_bytes: int = BACKLOG_BYTES,
        way_s: Callable[[], float] = float,
    ) -> None:
        self._backlog_bytes = backlog_bytes
        self._transport = transport
        self._way_s = way_s
        self._under_way: deque[tuple[float, bytes]] = deque()  # when it arrives, by the loop's clock
        self._under_way_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self.combined = combined
        self.user = user
        self.streams: dict[str, None] = {}
        self.frozen = False
        self.overflowed = False
        # asyncio pauses a protocol that passes the high mark; the bound that matters is ours, below.
        transport.set_write_buffer_limits(high=backlog_bytes)

    def put(self, frame: bytes) -> None:
        """Queue a frame until the next flush; a frozen socket loses it."""
        if not self.frozen:
            self._pending.append(frame)
            self._pending_bytes += len(frame)

    def flush(self) -> None:
        """Write what is queued. A reader that is `backlog_bytes` behind is cut off."""
        if not self._pending:
            return
        if not self._transport.is_closing():
            waiting = self._transport.get_write_buffer_size() + self._under_way_bytes
            if waiting + self._pending_bytes > self._backlog_bytes:
                self.overflowed = True
                self._transport.abort()
            else:
                self._send(b"".join(self._pending))
        self._pending.clear()
        self._pending_bytes = 0

    def _send(self, data: bytes) -> None:
        way_s = self._way_s()
        if not way_s and not self._under_way:
            self._transport.write(data)
            return
        loop = asyncio.get_running_loop()
        arrives = loop.time() + way_s
        if not self._under_way:
            loop.call_at(arrives, self._arrive)
        self._under_way.append((arrives, data))
        self._under_way_bytes += len(data)

    def _arrive(self) -> None:
        loop = asyncio.get_running_loop()
        while self._under_way and (self._under_way[0][0] <= loop.time() or self._transport.is_closing()):
            _, data = self._under_way.popleft()
            self._under_way_bytes -= len(data)
            if not self._transport.is_closing():
                self._transport.write(data)
        if self._under_way:
            loop.call_at(self._under_way[0][0], self._arrive)

    def drained(self) -> bool:
        """Whether the kernel has taken all that was sent (a closed socket has nothing under way)."""
        closing = self._transport.is_closing()
        left = self._pending or self._under_way or self._transport.get_write_buffer_size()
        return closing or not left

    def cut(self) -> None:
        """Drop the connection without a closing handshake."""
        self._transport.abort()


class Hub:
    """Who listens to which stream."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[Socket, None]] = {}
        self.sockets: dict[Socket, None] = {}
        self.messages_sent = 0

    def add(self, socket: Socket) -> None:
        """Take a new connection in."""
        self.sockets[socket] = None

    def remove(self, socket: Socket) -> None:
        """Forget a connection and all it listened to."""
        self.unsubscribe(socket, list(socket.streams))
        self.sockets.pop(socket, None)

    def subscribe(self, socket: Socket, names: Iterable[str]) -> None:
        """Listen to streams. Raises ValueError beyond the venue's streams per connection."""
        fresh = [name for name in names if name not in socket.streams]
        if len(socket.streams) + len(fresh) > MAX_STREAMS_PER_SOCKET:
            raise ValueError(f"no more than {MAX_STREAMS_PER_SOCKET} streams a connection")
        for name in fresh:
            socket.streams[name] = None
            self._listeners.setdefault(name, {})[socket] = None

    def unsubscribe(self, socket: Socket, names: Iterable[str]) -> None:
        """Listen no more; unknown names are no error, as at the venue."""
        for name in names:
            socket.streams.pop(name, None)
            listeners = self._listeners.get(name)
            if listeners is not None:
                listeners.pop(socket, None)
                if not listeners:
                    del self._listeners[name]

    def wanted(self) -> Iterable[str]:
        """Streams somebody listens to."""
        return self._listeners.keys()

    def listeners(self, name: str | None) -> int:
        """How many sockets listen to a stream."""
        return 0 if name is None else len(self._listeners.get(name, ()))

    def send(self, name: str, payload: bytes) -> int:
        """Queue `payload` for all who listen to `name`; the frame is built once per form. Returns receivers."""
        listeners = self._listeners.get(name)
        if not listeners:
            return 0
        raw = combined = None
        for socket in listeners:
            if socket.combined:
                combined = combined or text_frame(
                    b'{"stream":"' + name.encode() + b'","data":' + payload + b"}"
                )
                socket.put(combined)
            else:
                raw = raw or text_frame(payload)
                socket.put(raw)
        self.messages_sent += len(listeners)
        return len(listeners)

    def reply(self, socket: Socket, body: dict[str, object]) -> None:
        """Answer one client at once (results of SUBSCRIBE and the like)."""
        socket.put(text_frame(msgspec.json.encode(body)))
        socket.flush()

    def flush(self) -> None:
        """Write out all that is queued."""
        for socket in list(self.sockets):
            socket.flush()

    def drained(self) -> bool:
        """Whether nothing is under way to any client."""
        return all(socket.drained() for socket in self.sockets)

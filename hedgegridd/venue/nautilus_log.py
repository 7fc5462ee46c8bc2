"""NautilusTrader's own log into ours: a FIFO that it writes JSON lines to, read by the event loop."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import structlog

FILE_NAME = "nautilus"
FIFO_NAME = f"{FILE_NAME}.jsonl"  # NautilusTrader adds the ending; another one would make a file that grows
PIPE_BYTES = 1 << 20
LINE_MAX = 1 << 20
_READ_BYTES = 1 << 16
_LEVELS = {"DEBUG": "debug", "INFO": "debug", "WARN": "warning", "WARNING": "warning", "ERROR": "error"}
_log = structlog.get_logger("nautilus")


class _Line(msgspec.Struct):
    level: str = "INFO"
    component: str = ""
    message: str = ""


class LogPipe:
    """A FIFO in a folder of its own; `directory` and `FILE_NAME` are what NautilusTrader is told.

    NautilusTrader initialises logging once a process, so one pipe serves all nodes until `close`.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hedgegridd-log-"))
        path = self.directory / FIFO_NAME
        os.mkfifo(path, mode=0o600)
        # Read-write, so that neither end waits for the other and the pipe outlives every writer.
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # a smaller pipe only makes the log's own thread wait sooner
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._rest = b""
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to pass lines on; may be called again for the same loop."""
        self._loop = loop
        loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        """Pass on what has come and stop reading. The FIFO's reader stays open: a late writer must not block."""
        if self._loop is not None:
            self._read()
            self._loop.remove_reader(self._fd)
            self._loop = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def _read(self) -> None:
        try:
            chunk = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LINE_MAX:
            self._rest = b""
        for line in lines:
            if line:
                emit(line)


def emit(line: bytes) -> None:
    """One JSON line of NautilusTrader as an event of ours; its INFO is our debug."""
    try:
        said = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        _log.warning("nautilus", text=line[:500].decode(errors="replace"))
        return
    level = _LEVELS.get(said.level.upper(), "info")
    getattr(_log, level)("nautilus", component=said.component, text=said.message)

"""NautilusTrader's own log into ours: a FIFO that it writes JSON lines to, read by the event loop."""

import asyncio
import atexit
import contextlib
import fcntl
import functools
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
    """A FIFO in a folder of its own; `directory` and `FILE_NAME` are what NautilusTrader is told."""

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
        """Begin to pass lines on."""
        self._loop = loop
        loop.add_reader(self._fd, self._read)

    def stop(self) -> None:
        """Pass on what has come and stop reading; lines wait in the pipe until the next `start`."""
        if self._loop is not None:
            self._read()
            self._loop.remove_reader(self._fd)
            self._loop = None

    def close(self) -> None:
        """Remove the FIFO. Its reader stays open: a late writer must not block."""
        self.stop()
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


@functools.cache
def process_pipe() -> LogPipe:
    """The one pipe of this process: NautilusTrader initialises its logging once, whatever nodes come after."""
    pipe = LogPipe()
    atexit.register(pipe.close)
    return pipe


def emit(line: bytes) -> None:
    """One JSON line of NautilusTrader as an event of ours; its INFO is our debug."""
    try:
        said = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError:
        _log.warning("nautilus", text=line[:500].decode(errors="replace"))
        return
    level = _LEVELS.get(said.level.upper(), "info")
    getattr(_log, level)("nautilus", component=said.component, text=said.message)

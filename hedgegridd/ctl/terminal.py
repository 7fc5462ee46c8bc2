"""Single keys from a terminal, while the screen is drawn: unbuffered and unechoed, put back as it was at the end."""

import asyncio
import codecs
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READ_MAX = 1_024
ESCAPE = "\x1b"


@contextmanager
def keys(descriptor: int, heard: Callable[[str], None]) -> Iterator[None]:
    """Call `heard` with each key of the terminal `descriptor` from the running loop; `ESCAPE` alone is that key.

    Sequences of cursor and function keys are left out: none of them does anything. Ctrl-C stays a signal.

    Raises:
        termios.error: it is no terminal.
    """
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read() -> None:
        data = os.read(descriptor, READ_MAX)
        if not data:  # the terminal has gone
            loop.remove_reader(descriptor)
            return
        for key in split(decoder.decode(data)):
            heard(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def split(text: str) -> list[str]:
    """The keys in what came at once: an escape with more behind it is a sequence, and left out."""
    if text.startswith(ESCAPE) and len(text) > 1:
        return []
    return list(text)

"""Starts a task of a group from a callback of the loop, whatever packages stand beside anyio."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from anyio.abc import TaskGroup

# Not ours and not needed; other packages bring it along.
_library: ContextVar[str | None] | None = (
    import_module("sniffio").current_async_library_cvar if find_spec("sniffio") else None
)


def start_soon(group: TaskGroup, work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
    """`group.start_soon`, also where no task runs.

    A handler runs in a callback of the loop. anyio asks sniffio, when that is installed, which library runs, and
    sniffio knows that of tasks only.
    """
    if _library is None:
        group.start_soon(work, *args)
        return
    token = _library.set("asyncio")
    try:
        group.start_soon(work, *args)
    finally:
        _library.reset(token)

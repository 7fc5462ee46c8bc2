"""The guards: each module here (one file, one guard) is found by itself; two of one type, or half a guard, fail at import."""

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec

from hedgegridd.core.facts import View
from hedgegridd.core.guard import GuardTable, Keep, Now, Verdict
from hedgegridd.messages import Event

type Check = Callable[[View, Now, Any], tuple[Verdict, ...]]


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """One guard as its file defines it; see core/guard.py."""

    name: str
    help: str
    table: type[GuardTable]
    inputs: tuple[type[Event], ...]
    check: Check
    history: Callable[[Any], tuple[Keep, ...]]


class Setting(msgspec.Struct, frozen=True):
    """A guard with its parameters."""

    guard: Guard
    params: GuardTable

    @property
    def off(self) -> bool:
        """It does not run."""
        return self.params.off


def find() -> dict[str, Guard]:
    """The guards of this folder by type, in order of their files' names.

    Raises:
        ImportError: a file that is no whole guard, or a type that two files define.
    """
    found: dict[str, Guard] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda item: item.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        guard = _guard(module)
        if guard.name in found:
            raise ImportError(f"{module.__name__}: a guard of type {guard.name!r} is there already")
        found[guard.name] = guard
    return found


def _guard(module: ModuleType) -> Guard:
    lacking = [name for name in ("TYPE", "INPUTS", "Table", "check") if not hasattr(module, name)]
    if lacking:
        raise ImportError(f"{module.__name__} is no guard: it has no {', '.join(lacking)}")
    try:
        default = module.Table(type=module.TYPE)
        _ = default.act
    except (TypeError, ValueError) as error:
        raise ImportError(f"{module.__name__}: its Table has no sound defaults: {error}") from error
    return Guard(
        name=module.TYPE,
        help=(module.__doc__ or "").strip().partition("\n")[0],
        table=module.Table,
        inputs=tuple(module.INPUTS),
        check=module.check,
        history=getattr(module, "history", _nothing),
    )


def _nothing(_params: GuardTable) -> tuple[Keep, ...]:
    return ()


GUARDS = find()

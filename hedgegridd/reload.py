"""`reload`: the config file is read again, what may change while trading goes on counts at once, the rest is named.

At run time count: keys, limits, hosts and origins of `[control]`; `[pretrade]`; `preset` and the `[[guard]]` tables, as
long as they need nothing that was settled at start: events that nobody listens to, prices that nobody watches, quotas. A file with a mistake changes nothing.
"""

from collections.abc import Callable

import msgspec

from hedgegridd.config import Config
from hedgegridd.errors import ConfigError
from hedgegridd.risk.machine import RiskMachine
from hedgegridd.risk.settings import calls_per_10s, references, settings

CONTROL = ("keys", "hosts", "cors_origins", "writes_per_min", "reads_per_min")
WHOLE = ("pretrade", "preset", "guard")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force after a reload; what of it is new (`applied`), and what waits for a restart, as `table.key`."""

    config: Config
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]


def plan(now: Config, read: Config, risk: RiskMachine) -> Plan:
    """What of `read` can count while `now` runs."""
    replace = msgspec.structs.replace
    differ = _differences(now, read)
    whole = WHOLE if _guards_can(now, read, risk) else ("pretrade",)
    control = replace(now.control, **{name: getattr(read.control, name) for name in CONTROL})
    config = replace(now, control=control, **{name: getattr(read, name) for name in whole})
    left = _differences(config, read)
    return Plan(config=config, applied=tuple(x for x in differ if x not in left), needs_restart=left)


def _guards_can(now: Config, read: Config, risk: RiskMachine) -> bool:
    """Whether the guards of `read` need nothing that was settled at start: what is heard, watched and held back."""
    running, wanted = settings(now), settings(read)
    heard = not set(RiskMachine(wanted, ()).inputs) - set(risk.inputs)
    return (
        heard
        and references(running) == references(wanted)
        and calls_per_10s(running) == calls_per_10s(wanted)
    )


def _differences(one: Config, other: Config) -> tuple[str, ...]:
    """`table.key` of tables, the table's name of arrays of tables."""
    found: list[str] = []
    for name in one.__struct_fields__:
        was, now = getattr(one, name), getattr(other, name)
        if was == now:
            continue
        if not isinstance(was, msgspec.Struct):
            found.append(name)
            continue
        found += [f"{name}.{key}" for key in was.__struct_fields__ if getattr(was, key) != getattr(now, key)]
    return tuple(found)


def read_again(reread: Callable[[], Config] | None) -> Config:
    """The config as the file has it now.

    Raises:
        ConfigError: it has mistakes, or this process was started without a file.
    """
    if reread is None:
        raise ConfigError("this process was started without a config file")
    try:
        return reread()
    except OSError as error:
        raise ConfigError(f"the config cannot be read: {error}") from error

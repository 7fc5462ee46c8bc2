"""Which guards run, with which parameters: defaults, the preset over them, `[[guard]]` tables over both."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import msgspec

from hedgegridd.config import Config
from hedgegridd.config_load import mistakes_in_table
from hedgegridd.core.actions import EXPECTED, parse
from hedgegridd.core.check_grid import BAR_SECONDS
from hedgegridd.core.guard import GuardTable
from hedgegridd.core.polling import calls_per_hour
from hedgegridd.errors import ConfigError
from hedgegridd.guards import GUARDS, Guard, Setting
from hedgegridd.problems import Path, Problem, table_name

PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "conservative": {
        "session_drawdown": {"trip_pct": Decimal(3)},
        "margin_ratio": {"trip_ratio": Decimal("0.70")},
        "session_loss": {"trip_usdt": Decimal(500)},
    },
    "balanced": {
        "session_drawdown": {"trip_pct": Decimal(5)},
        "margin_ratio": {"trip_ratio": Decimal("0.80")},
        "session_loss": {"trip_usdt": Decimal(1000)},
    },
    "aggressive": {
        "session_drawdown": {"trip_pct": Decimal(10)},
        "margin_ratio": {"trip_ratio": Decimal("0.85")},
        "session_loss": {"trip_usdt": Decimal(2000)},
    },
}
_ORDERED = ("warn_", "pause_", "trip_")  # levels of one measure, from the mildest on


def settings(config: Config, guards: Mapping[str, Guard] = GUARDS) -> tuple[Setting, ...]:
    """Every guard with its parameters, also those that are off.

    Raises:
        ConfigError: a `[[guard]]` table is wrong; the text names each mistake with table and field.
    """
    problems = [each for each in find_problems(config, guards) if each.severity == "error"]
    if problems:
        raise ConfigError(
            "\n".join(f"{table_name(p.path[:-1])}: {p.text}" for p in problems), tuple(problems)
        )
    given = {str(table["type"]): table for table in config.guard}
    return tuple(
        Setting(guard, _params(guard, config.preset, given.get(name, {}))) for name, guard in guards.items()
    )


def calls_per_10s(chosen: Iterable[Setting]) -> int | None:
    """The quota of calls in 10 s that `call_quota` judges by; None when it is off."""
    on = (each.params for each in chosen if each.guard.name == "call_quota" and not each.off)
    return next((getattr(params, "per_10s") for params in on), None)  # noqa: B009  # of a table that this module does not know


def references(chosen: Iterable[Setting]) -> tuple[str, ...]:
    """The symbols whose prices the guards that run want to be told, beside those that are traded."""
    wanted = [symbol for each in chosen if not each.off for symbol in getattr(each.params, "references", ())]
    return tuple(dict.fromkeys(wanted))


def warm_up_s(config: Config) -> int:
    """Seconds of bars that the guards that run want at a start: none while one instrument is all there is."""
    if len(config.grid) < 2:  # what looks back at bars compares instruments
        return 0
    wanted = [Decimal(getattr(each.params, "warm_up_s", 0)) for each in settings(config) if not each.off]
    return int(max(wanted, default=Decimal(0)))


def describe(config: Config, guards: Mapping[str, Guard] = GUARDS) -> list[str]:
    """In plain words: what cuts a loss at which level, and which guards are off."""
    chosen = settings(config, guards)
    cuts = []
    for each in chosen:
        levels = {
            name: value
            for name in each.params.__struct_fields__
            if name.startswith("trip_") and (value := getattr(each.params, name)) is not None
        }
        if not each.off and each.params.act.trips and levels:
            told = ", ".join(
                f"{name} {value:f}" for name, value in levels.items() if isinstance(value, Decimal)
            )
            cuts.append(f"{each.guard.name} ({told or 'a count'}): {each.params.action}")
    off = [each.guard.name for each in chosen if each.off]
    return [
        f"guards: {len(chosen) - len(off)} on" + (f"; off: {', '.join(off)}" if off else ""),
        f"  what trips: {'; '.join(cuts)}",
    ]


def _params(guard: Guard, preset: str, table: Mapping[str, object]) -> GuardTable:
    filled = PRESETS[preset].get(guard.name, {})
    return msgspec.convert({"type": guard.name, **filled, **table}, guard.table)


def find_problems(config: Config, guards: Mapping[str, Guard] = GUARDS) -> Iterator[Problem]:
    """Every mistake in the `[[guard]]` tables, with its path."""
    seen: set[str] = set()
    for index, table in enumerate(config.guard):
        path: Path = ("guard", index)
        name = str(table.get("type", ""))
        guard = guards.get(name)
        if guard is None:
            close = difflib.get_close_matches(name, guards, n=1, cutoff=0.6)
            yield Problem(
                path=(*path, "type"),
                text=f'no guard is of type "{name}"',
                note=f"did you mean `{close[0]}`?" if close else "",
                help="" if close else f"guards are {', '.join(guards)}",
            )
            continue
        if name in seen:
            yield Problem(path=(*path, "type"), text=f"{name} has two [[guard]] tables", note="one a type")
        seen.add(name)
        mistakes = tuple(mistakes_in_table(guard.table, table, path))
        yield from mistakes
        if not mistakes:
            yield from _sense(_params(guard, config.preset, table), table, path)


def bar_problems(config: Config, guards: Mapping[str, Guard] = GUARDS) -> Iterator[Problem]:
    """A limit for closed bars that is over before the next bar closes: entries would be paused by a sound market.

    `config` has no mistakes.
    """
    chosen = settings(config, guards)
    params = next(
        (each.params for each in chosen if each.guard.name == "stale_market" and not each.off), None
    )
    if params is None:
        return
    trip = Decimal(getattr(params, "trip_bar_s"))  # noqa: B009  # of a table that this module does not know
    at = next((i for i, table in enumerate(config.guard) if table.get("type") == "stale_market"), None)
    for index, grid in enumerate(config.grid):
        length = BAR_SECONDS[grid.bar]
        if length < trip or not grid.enabled:
            continue
        yield Problem(
            severity="warning",
            path=("grid", index, "bar") if at is None else ("guard", at, "trip_bar_s"),
            text=f"the guard stale_market pauses entries after {trip:f} s without a closed bar, and {grid.instrument} "
            f"closes one in {length} s",
            help=f'[[guard]] type = "stale_market", trip_bar_s = {length * 2}',
        )


def quota_problems(config: Config, guards: Mapping[str, Guard] = GUARDS) -> Iterator[Problem]:
    """A quota of calls that watching alone uses up: entries would be paused within the hour. `config` has no mistakes."""
    chosen = settings(config, guards)
    params = next((each.params for each in chosen if each.guard.name == "call_quota" and not each.off), None)
    if params is None:
        return
    needed = calls_per_hour(config, references=bool(references(chosen)))
    quota: int = getattr(params, "per_hour")  # noqa: B009  # of a table that this module does not know
    share, trip = Decimal(needed) * 100 / quota, Decimal(getattr(params, "trip_pct"))  # noqa: B009  # as above
    if share < trip:
        return
    index = next((i for i, table in enumerate(config.guard) if table.get("type") == "call_quota"), None)
    yield Problem(
        severity="warning",
        path=("grid", 0, "instrument") if index is None else ("guard", index, "per_hour"),
        text=f"watching {len(config.grid)} instruments takes {needed} calls an hour, "
        f"{share:.0f} % of the quota of {quota} (call_quota pauses at {trip:f} %)",
        help=f'[[guard]] type = "call_quota", per_hour = {needed * 2}; or ask less often ([venue] *_s)',
    )


def _sense(params: GuardTable, table: Mapping[str, object], path: Path) -> Iterator[Problem]:
    """What the types cannot say: an action that is none, levels in the wrong order."""
    try:
        parse(params.action)
    except ValueError:
        yield Problem(
            path=(*path, "action"),
            text=f'`action` in {table_name(path)} is no action: "{params.action}"',
            note=f"expected one of {EXPECTED}",
        )
    for unit in {field.removeprefix(word) for field in table for word in _ORDERED if field.startswith(word)}:
        yield from _order(params, unit, table, path)
    if params.off and params.enabled:
        yield Problem(
            severity="warning",
            path=(*path, "type"),
            text=f"{params.type} is off: its level has no default and none is given",
        )


def _order(params: GuardTable, unit: str, table: Mapping[str, object], path: Path) -> Iterator[Problem]:
    names = [word + unit for word in _ORDERED if getattr(params, word + unit, None) is not None]
    values = [getattr(params, name) for name in names]
    falling = type(params).falling
    if values != sorted(values, reverse=falling):
        at = next((name for name in names if name in table), names[0])
        yield Problem(
            path=(*path, at),
            text=f"levels of {params.type} in the wrong order: {', '.join(f'{n} = {v}' for n, v in zip(names, values, strict=True))}",
            note=f"{' then '.join(names)} must {'fall' if falling else 'rise'}",
        )

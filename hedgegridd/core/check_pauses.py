"""What is wrong with the `[[pause]]` tables beyond their types: names, times, instruments."""

import re
from collections.abc import Iterator

from hedgegridd import config
from hedgegridd.core.schedule import at_problem, cron_problem
from hedgegridd.problems import Path, Problem

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")


def check_pauses(cfg: config.Config) -> Iterator[Problem]:
    """Every contradiction of a planned pause."""
    known = [grid.instrument for grid in cfg.grid]
    seen: set[str] = set()
    for index, pause in enumerate(cfg.pause):
        path: Path = ("pause", index)
        if not _NAME.match(pause.name) or pause.name in seen:
            yield Problem(
                path=(*path, "name"),
                text=f'every pause needs a name of its own, not "{pause.name[:40]}"',
                note="letters, digits, - and _, at most 40",
            )
        seen.add(pause.name)
        yield from _when(pause, path)
        for name in pause.instruments:
            if name not in known:
                yield Problem(
                    path=(*path, "instruments"), text=f"no [[grid]] trades {name}", note=", ".join(known)
                )
        if len(set(pause.instruments)) != len(pause.instruments):
            yield Problem(
                path=(*path, "instruments"), text="an instrument stands there twice", note="once is enough"
            )


def _when(pause: config.Pause, path: Path) -> Iterator[Problem]:
    if (pause.cron is None) == (pause.at is None):
        field = "name" if pause.cron is None else "at"
        yield Problem(
            path=(*path, field),
            text=f"pause {pause.name} needs `cron` or `at`, one of them",
            note="when it is",
        )
        return
    if pause.cron is not None and (why := cron_problem(pause.cron)):
        yield Problem(path=(*path, "cron"), text=f'"{pause.cron}" is no cron expression', note=why)
    if pause.at is not None and (why := at_problem(pause.at)):
        yield Problem(path=(*path, "at"), text=f'"{pause.at}" is no time', note=why)

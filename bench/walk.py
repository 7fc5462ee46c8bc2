"""Walks through the incidents of docs/runbook.md on the real processes and prints what an operator sees in each.

    python -m bench.walk                      all of them: some minutes
    python -m bench.walk --only market-stale  one

For each: what was done to make it, `hedgegridctl status` while it lasts, the lines of the log that tell of it, what the
remedy answered, and `status` afterwards. The outputs in the runbook are taken from here.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.chaos_rig import SYMBOL, Rig, rig
from bench.chaos_rows import ALL_DOWN, CUT_MARKET, CUT_USER, LISTEN_KEY, ORDER, said
from tests.support.programs import ROOT, ProgramError

FROZEN = {"target": "market", "kind": "freeze"}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An incident: how it is made, how long until it shows, what to do about it (`hedgegridctl` words), how it ends."""

    name: str
    made: Callable[[Rig], None]
    shows_s: float = 3.0
    also: tuple[tuple[str, ...], ...] = ()
    remedy: tuple[tuple[str, ...], ...] = ()
    ended: Callable[[Rig], None] = lambda _: None
    ends_s: float = 4.0
    log: str = r"lost|back|channel"


def ctl(where: Rig, *words: str) -> str:
    """What `hedgegridctl` prints, and its exit code when it is not 0."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "hedgegridd.ctl.main",
            "--socket",
            str(where.config.folder / "control.sock"),
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        check=False,
    )
    code = f"\n[exit {ran.returncode}]" if ran.returncode else ""
    return (ran.stdout + ran.stderr).rstrip() + code


def log_lines(where: Rig, since: int, pattern: str) -> list[str]:
    """Event and fields of the daemon's log lines after byte `since` that match."""
    found = []
    for line in where.bot.program.log.read_bytes()[since:].splitlines():
        if not re.search(pattern, line.decode(errors="replace")):
            continue
        try:
            fields = msgspec.json.decode(line, type=dict[str, object])
        except msgspec.DecodeError:
            continue
        told = {k: v for k, v in fields.items() if k not in ("timestamp", "level", "logger", "seq", "cause")}
        found.append(" ".join(f"{name}={value}" for name, value in told.items()))
    return found[:6]


def faults(*rules: dict[str, object]) -> Callable[[Rig], None]:
    """Rules of the admin port."""

    def add(where: Rig) -> None:
        for rule in rules:
            where.admin("/faults", dict(rule))

    return add


def clear(where: Rig) -> None:
    """No rule stands."""
    where.clear_faults()


def post(path: str, **body: object) -> Callable[[Rig], None]:
    """A POST to the admin port."""

    def send(where: Rig) -> None:
        where.admin(path, body)

    return send


def deleverage(where: Rig) -> None:
    """ADL of part of LONG."""
    where.admin("/deleverage", {"symbol": SYMBOL, "leg": "LONG", "qty": "0.001"})


def kill_exchange(where: Rig) -> None:
    """The venue is away."""
    where.venue.kill()


def start_exchange(where: Rig) -> None:
    """It is back."""
    where.venue.start()


def full_disk(where: Rig) -> None:
    """Nothing more can be written, and something has to be."""
    where.fill_disk()


STEPS: tuple[Step, ...] = (
    Step(name="healthy", made=lambda _: None, shows_s=1, log=r"READY"),
    Step(name="market-stale", made=faults(FROZEN), shows_s=7, ended=clear),
    Step(
        name="user-stream-dead",
        made=faults(LISTEN_KEY, CUT_USER),
        shows_s=6,
        ended=clear,
        ends_s=8,
    ),
    Step(name="reconnect", made=faults(CUT_USER, CUT_MARKET), shows_s=4),
    Step(name="venue-away", made=kill_exchange, shows_s=8, ended=start_exchange, ends_s=35),
    Step(name="rest-down", made=faults({**ALL_DOWN, "path": "/fapi/*"}), shows_s=8, ended=clear, ends_s=12),
    Step(
        name="order-unknown",
        made=faults(said({**ORDER, "kind": "status_after", "code": -1007, "count": 2})),
        shows_s=3,
        remedy=(("reconcile",),),
        log=r"unknown|reject",
    ),
    Step(
        name="rejects",
        made=faults(said({**ORDER, "kind": "status_before", "status": 400, "code": -4131, "count": 4})),
        log=r"reject",
    ),
    Step(name="clock-skew", made=post("/skew", ms=90_000), shows_s=6, ended=post("/skew", ms=0), log=r"clock|1021|recv"),
    Step(name="adl", made=deleverage, remedy=(("resume",), ("rearm", "--reason", "looked at the account")), log=r"ADL|venue acted"),
    Step(name="manual-order", made=post(
        "/manual", symbol=SYMBOL, side="BUY", positionSide="LONG", type="MARKET", quantity="0.002",
    ), shows_s=4, remedy=(("positions",), ("reconcile",)), log=r"differ|not ours"),
    Step(name="funding", made=post("/funding", symbol=SYMBOL, rate="0.003"), shows_s=3, ended=post(
        "/funding", symbol=SYMBOL, rate="0.0001"), log=r"funding"),
    Step(name="trading-halt", made=post("/status", symbol=SYMBOL, status="TRADING_HALT"), shows_s=4, ended=post(
        "/status", symbol=SYMBOL, status="TRADING"), log=r"TRADING_HALT|4140|STATUS"),
    Step(name="pause", made=lambda where: print(ctl(where, "pause", "--reason", "news")), remedy=(("resume",),)),
    Step(
        name="flatten",
        made=lambda where: print(ctl(where, "--yes", "flatten", "long", "--reason", "runbook")),
        remedy=(("resume",),),
        log=r"flat",
    ),
    Step(
        name="kill",
        made=lambda where: print(ctl(where, "--yes", "kill", "--reason", "strange fills")),
        also=(("health",),),
        remedy=(("resume",), ("rearm",), ("rearm", "--reason", "looked at the account")),
        log=r"kill switch",
    ),
)  # fmt: skip


def stirred(where: Rig) -> None:
    """Something to do for the daemon, where it can be asked."""
    try:
        where.stir()
    except (ProgramError, OSError):
        return  # the incident leaves nobody to stir


def walk(where: Rig, step: Step) -> None:
    """One incident, from a healthy daemon to one that is well again."""
    where.prepare()
    time.sleep(1)
    since = where.bot.program.log.stat().st_size
    print(f"\n=== {step.name}")
    step.made(where)
    if step.name in (
        "order-unknown",
        "rejects",
        "user-stream-dead",
        "rest-down",
        "trading-halt",
        "clock-skew",
    ):
        stirred(where)
    time.sleep(step.shows_s)
    print(f"--- status\n{ctl(where, 'status')}")
    for words in step.also:
        print(f"--- {' '.join(words)}\n{ctl(where, *words)}")
    step.ended(where)
    for words in step.remedy:
        print(f"--- {' '.join(words)}\n{ctl(where, *words)}")
    time.sleep(step.ends_s)
    print(f"--- status after\n{ctl(where, 'status')}")
    print("--- log", *log_lines(where, since, step.log), sep="\n")
    if where.ask("status")["instruments"]:
        where.still()


@contextmanager
def place(keep: Path | None) -> Iterator[Path]:
    """The folder of the programs."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="hedgegridd-walk-") as name:
        yield Path(name)


def main(argv: Sequence[str]) -> int:
    """Exit code of a command line."""
    line = argparse.ArgumentParser(
        prog="python -m bench.walk", description=(__doc__ or "").partition("\n")[0]
    )
    line.add_argument("--only", action="append", default=[], choices=[step.name for step in STEPS])
    line.add_argument("--keep", type=Path, help="folder for logs and state (default: a temporary one)")
    options = line.parse_args(argv)
    with place(options.keep) as folder, rig(folder, seed=3) as where:
        for step in STEPS:
            if not options.only or step.name in options.only:
                walk(where, step)
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

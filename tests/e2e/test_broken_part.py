"""A bug in a part of the real daemon: essential ones take the entries away and end it, front ends come back alone."""

import contextlib
import time
from pathlib import Path

import pytest

from tests.e2e.test_holds import both, entries
from tests.support.programs import ProgramError, running, until, write_config
from tests.support.quiet_market import GRID, SYMBOL, fill_both_legs, quantity, quiet_exchange, ready
from tests.support.truth import LEGS, uncovered

pytestmark = pytest.mark.e2e

# The daemon with a bug: the command `throttle` breaks the named machine, `mode` the front end that took it.
BROKEN = """
import sys
from hedgegridd import messages as m
from hedgegridd.control.actor import ControlActor
from hedgegridd.core.desk import Desk
from hedgegridd.core.kill_switch import KillSwitch
from hedgegridd.operations.throttle import Throttle
from hedgegridd.__main__ import main

async def bug():
    raise ZeroDivisionError("a bug")

class Buggy:
    control = None

start = ControlActor.start
async def remembered(self):
    Buggy.control = self
    await start(self)
ControlActor.start = remembered

def breaking(machine, kind):
    handle = machine.handle
    def broken(self, env):
        if isinstance(env.message, kind):
            raise ZeroDivisionError("a bug")
        return handle(self, env)
    machine.handle = broken

which = sys.argv.pop(1)
if which == "desk":
    breaking(Desk, m.SetThrottle)
elif which == "kill switch":
    breaking(KillSwitch, m.Kill)
else:
    run = Throttle.run
    async def throttle(self, context):
        Buggy.control.spawn(bug)
        return await run(self, context)
    Throttle.run = throttle
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("which", "command"),
    [("desk", ("throttle", {"throttle": 0.5})), ("kill switch", ("kill", {"reason": "test"}))],
)
def test_a_bug_takes_the_entries_away_keeps_the_exits_and_ends_with_1(
    tmp_path: Path, which: str, command: tuple[str, dict[str, object]]
) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config, entry=(str(script), which)) as bot:
            ready(bot)
            fill_both_legs(venue, bot)
            assert any(entries(venue).values())
            verb, fields = command
            with pytest.raises(ProgramError):
                bot.control.ask(verb, **fields)
            began = time.monotonic()
            assert bot.program.process.wait(40) == 1, bot.program.tail()
            assert time.monotonic() - began < 30
            assert not any(entries(venue).values()), "entries are gone before it has ended"
            assert not uncovered(venue.truth(), SYMBOL), "exits and stops stay"
            assert any(quantity(venue, leg) for leg in LEGS)
        with running(config, log="second.log") as bot:
            ready(bot)
            until(lambda: both(venue), "start-up is the recovery", 60, bot.program)


def test_a_front_end_that_breaks_comes_back_alone_and_health_says_so(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    with quiet_exchange(tmp_path) as venue:
        config = write_config(tmp_path, venue, [GRID])
        with running(config, entry=(str(script), "front end")) as bot:
            ready(bot)
            until(lambda: both(venue), "entries", 30, bot.program)
            with contextlib.suppress(ProgramError, OSError):  # its answer may be lost with the front end
                bot.control.ask("throttle", throttle=0.5)
            health = until(
                lambda: _health(config.folder / "control.sock"), "it answers again", 20, bot.program
            )
            assert health["health"] == "DEGRADED"
            assert any("control broke and was restarted" in reason for reason in health["reasons"]), health
            until(lambda: both(venue), "trading goes on", 30, bot.program)


def _health(path: Path) -> dict[str, object] | None:
    from tests.support.programs import ControlSocket

    try:
        control = ControlSocket(path)
    except OSError:
        return None
    try:
        return control.ask("health")
    except (ProgramError, OSError):
        return None
    finally:
        control.close()

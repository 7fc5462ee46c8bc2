"""`python -m tests.sim.mutants`: bugs made by hand, each of which the simulation must find.

Every bug is a replacement in a copy of the source. Its seeds are run one after another until an invariant breaks: whole
ones, or short ones of the scenes that bring it about (`plan.scenes_of`; the same scenes are in whole seeds). A bug that
survives them all is an invariant that is missing. `--only NAME,…` runs some, `--seeds N` bounds each (default 150).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 1_800


class Change(NamedTuple):
    """A piece of source and what stands there instead."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One bug: what it does to the daemon, in words, and to its source."""

    name: str
    what: str
    changes: tuple[Change, ...]
    scenes: tuple[str, ...] = ()  # that bring it about; without any it is hunted with whole seeds


def _one(name: str, what: str, file: str, old: str, new: str, *scenes: str) -> Mutant:
    return Mutant(name, what, (Change(f"hedgegridd/{file}", old, new),), scenes)


MUTANTS = (
    _one(
        "drop the latch",
        "a restart forgets that a trip is latched",
        "core/kill_switch.py",
        "if state.state in (KillState.ARMED, KillState.STARTING):",
        "if state.state is not KillState.REARMING:",
    ),
    _one(
        "arm from halted",
        "start-up checks arm whatever the latch says",
        "core/kill_switch.py",
        "if self._state.state is KillState.STARTING:",
        "if self._state.state is not KillState.ARMED:",
    ),
    _one(
        "halt too early",
        "a trip is over at the first flatten that ends, whoever asked for it",
        "core/kill_switch.py",
        "if self._state.state is KillState.TRIPPED and trip_id == self._state.trip_id:",
        "if self._state.state is KillState.TRIPPED:",
    ),
    Mutant(
        "entries after a trip",
        "neither desk nor gate nor gateway looks at the kill switch or at what it has halted",
        (
            Change("hedgegridd/core/entries.py", "if desk.halt is not None:", "if False:"),
            Change("hedgegridd/core/pretrade.py", "if view.kill is not KillState.ARMED:", "if False:"),
            Change("hedgegridd/core/entries.py", "if desk.kill is not KillState.ARMED:", "if False:"),
            Change("hedgegridd/venue/orders.py", "if self._kill is not KillState.ARMED:", "if False:"),
        ),
    ),
    Mutant(
        "entries of latched legs",
        "the desk and the gateway forget which legs a flatten has",
        (
            Change(
                "hedgegridd/core/grid.py",
                "each.latched, each.owned, each.flat_told = True, True, False",
                "each.latched, each.owned, each.flat_told = True, False, False",
            ),
            Change("hedgegridd/core/entries.py", "if each.latched:", "if False:"),
            Change("hedgegridd/core/pretrade.py", "if leg.latched:", "if False:"),
            Change(
                "hedgegridd/venue/orders.py",
                "if (order.instrument, order.leg) in self._latched:",
                "if False:",
            ),
        ),
    ),
    _one(
        "double close",
        "the flatten sends a close while one is in flight",
        "core/flatten_worker.py",
        "        if work.close_token:\n            return []\n        qty = work.qty",
        "        qty = work.qty",
        "late_close",
    ),
    _one(
        "double close by the desk",
        "the desk does not see its own close in flight",
        "core/exits.py",
        "self.closing = any(order.purpose is Purpose.CLOSE for order in view.orders)",
        "self.closing = False",
    ),
    _one(
        "close too much",
        "the flatten closes twice what the venue reported",
        "core/flatten_worker.py",
        "qty = work.qty if rules is None else min(work.qty, rules.floor_qty(rules.market_max_qty))",
        "qty = work.qty * 2",
    ),
    _one(
        "ignore one leg",
        "the flatten looks at LONG only",
        "core/flatten_worker.py",
        "            if not work.flat:\n                out += self._leg(",
        "            if not work.flat and work.leg is Leg.LONG:\n                out += self._leg(",
    ),
    _one(
        "flat without proof",
        "one report of zero is enough, whatever is in flight",
        "core/flatten_worker.py",
        "        if plain or flying or work.close_token:\n            work.zero_mono_ns = None\n            return out",
        "        if False:\n            return out",
        "late_entries",
        "late_close",
        "lost_cancels",
    ),
    _one(
        "forget a stop",
        "a leg has its stop only once it holds something",
        "core/exits.py",
        "        if want is None:\n            if not",
        "        if want is None or view.qty == ZERO:\n            if not",
    ),
    _one(
        "a stop that is gone stays",
        "the end of a conditional order is not booked",
        "core/orders.py",
        "        final = event.filled_qty\n",
        "        if order.algo and event.how == 'CANCELED':\n            return order\n        final = event.filled_qty\n",
    ),
    _one(
        "lost requests are refusals",
        "a stop that never arrived counts as a venue that wants a position first",
        "core/exits.py",
        "frozenset({-2021, -2014, -2015, -2013,",
        "frozenset({-2021, -2014, -2015,",
        "lost_stops",
    ),
    _one(
        "send before journal",
        "entries do not wait for their intent to be durable",
        "venue/orders.py",
        "problem = await durable_within(self._durable, self._bounds.entry_s)",
        'problem = ""',
    ),
    _one(
        "exits before journal",
        "orders that reduce do not wait for their intent at all",
        "venue/orders.py",
        "problem = await durable_within(self._durable, until_s - now_s())",
        'problem = ""',
    ),
    _one(
        "flatten before journal",
        "a flatten's first calls do not wait for its record",
        "venue/on_disk.py",
        "            return await durable_within(self._durable, self._wait_s)",
        '            return ""',
    ),
    Mutant(
        "book twice",
        "a trade that is told twice is booked twice",
        (
            Change("hedgegridd/core/orders.py", "        if trade_id in trades:\n", "        if False:\n"),
            Change(
                "hedgegridd/venue/told.py",
                "if not self._fills.add((event.instrument, event.trade_id)):",
                "if not self._fills.add((event.instrument, event.trade_id)) and False:",
            ),
        ),
    ),
    _one(
        "no history",
        "trades that the stream did not bring are not read",
        "venue/truth.py",
        "        for _ in range(PAGES_MAX):\n            rows = await self._calls.trades(",
        "        for _ in range(0):\n            rows = await self._calls.trades(",
    ),
    _one(
        "no income",
        "funding and transfers are not read",
        "venue/truth.py",
        "                    news += self._teller.tell(self._income(row))",
        "                    news += 1",
    ),
    _one(
        "a close before its entry",
        "a close that is told before its entry loses its profit",
        "core/ledger.py",
        "            account.early_qty += turned\n",
        "",
    ),
    _one(
        "ambiguous is refused",
        "503 unknown counts as a refusal",
        "venue/failures.py",
        "        return Kind.REFUSED if sure else Kind.AMBIGUOUS\n",
        "        return Kind.REFUSED\n",
        "late_close",
        "lost_stops",
    ),
    Mutant(
        "give up at once",
        'the first "not found" is believed though the request may still arrive',
        (
            Change(
                "hedgegridd/venue/resolver.py",
                "left_ns = max(first_miss_ns + MISSING_GAP_NS, self._latest_arrival_ns(item)) - now_ns",
                "left_ns = 0",
            ),
        ),
        ("late_entries", "lost_stops"),
    ),
    _one(
        "cancelled is gone",
        "an order counts as gone when its cancel is sent",
        "core/placing.py",
        "        self.book.canceling(order, self.ctx.mono)\n",
        "        self.book.close(order.client_order_id, self.ctx.mono)\n",
    ),
    Mutant(
        "no cap",
        "the cap of a leg counts neither what is being cancelled nor what is held",
        (
            Change(
                "hedgegridd/core/placing.py",
                "        return over_qty or worth",
                "        return False and worth",
            ),
            Change("hedgegridd/core/entries.py", "cap(", "(lambda rungs, *a, **k: (rungs, ()))("),
        ),
    ),
    _one(
        "ids used again",
        "a restart does not leave out the ids that a lost tail may have used",
        "core/desk.py",
        "        state.next_order += LOST_ORDERS\n",
        "",
        "torn",
    ),
    _one(
        "no answer to a kill",
        "who asked for the kill is forgotten when it is done",
        "core/kill_switch.py",
        "        return [*out, *(self._done(asker, verified=True) for asker in askers)]\n",
        "        for asker in askers:\n            del self._askers[asker]\n        return out\n",
    ),
    _one(
        "two answers to a flatten",
        "the deadline answers, and the end does again",
        "core/flatten.py",
        "                    asker.answered = True\n                    out.append",
        "                    out.append",
    ),
    _one(
        "restart forgets the flatten",
        "what was being removed is not taken up again",
        "core/flatten.py",
        "        self._restored = [item for item in state.running if item[1] in self._symbols]",
        "        self._restored = []",
    ),
    _one(
        "snapshot sorts",
        "a snapshot does not keep the order of what is remembered",
        "state.py",
        "return msgspec.json.encode(state)",
        'return msgspec.json.encode(msgspec.to_builtins(state, str_keys=True), order="deterministic")',
    ),
    _one(
        "compare one leg",
        "the comparison with the venue leaves SHORT out",
        "core/reconcile.py",
        "        for leg in LEGS:\n            unknown",
        "        for leg in LEGS[:1]:\n            unknown",
        "by_hand",
    ),
    _one(
        "never unlatch",
        "the gateway goes on refusing the entries of a leg that was released",
        "venue/orders.py",
        "            self._latched.pop((instrument, leg), None)",
        "            self._latched.get((instrument, leg))",
    ),
    _one(
        "close beside the desk",
        "a flatten does not wait for a close that the strategy has under way",
        "core/flatten_worker.py",
        "            if self._closed_by_another(work, flying, env):",
        "            if False:",
        "two_closers",
    ),
    _one(
        "an end unheard",
        "a leg whose flatten ended just before a crash is told to nobody",
        "core/desk.py",
        "        if first:\n            self._take_up_flattens()",
        "        if first:\n            pass",
        "trapped",
    ),
    _one(
        "a switch that has heard nothing",
        "behind a snapshot the kill switch judges a rearm by nothing",
        "core/kill_switch.py",
        "        self._watch.restore(state.heard)",
        "        self._watch.restore(None)",
        "rearmed",
    ),
    _one(
        "guards that know nothing",
        "behind a snapshot guards take everything for missing",
        "risk/machine.py",
        "            self._go_on(state.life)",
        "            self._begun = False",
    ),
)

_RUN = """
import sys
from tests.sim.plan import plan_of, scenes_of
from tests.sim.run import run
for seed in range({first}, {first} + {seeds}):
    outcome = run(scenes_of(seed, {scenes}) if {scenes} else plan_of(seed))
    if outcome.name:
        print(f"{{seed - {first} + 1}}|{{seed}}|{{outcome.name}}|{{outcome.text[:120]}}")
        sys.exit(1)
"""


def mutate(target: Path, mutant: Mutant) -> None:
    """Make the bug in a copy. Raises ValueError when the source is not as the bug needs it."""
    for change in mutant.changes:
        path = target / change.file
        text = path.read_text()
        if text.count(change.old) < 1:
            raise ValueError(f"{mutant.name}: {change.file} does not hold {change.old!r}")
        path.write_text(text.replace(change.old, change.new))


def hunt(mutant: Mutant, seeds: int, first: int) -> tuple[str, str]:
    """How many seeds it took and what broke; ("", why) when it survived."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        target = Path(folder)
        for name in ("hedgegridd", "tests"):
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        mutate(target, mutant)
        command = [sys.executable, "-c", _RUN.format(first=first, seeds=seeds, scenes=mutant.scenes)]
        done = subprocess.run(
            command, cwd=target, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    if done.returncode == 0:
        return "", f"survived {seeds} seeds"
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr.strip()[-200:]]
    parts = last[0].split("|")
    if len(parts) < 3:
        return "", f"did not run: {last[0]}"
    return parts[0], parts[2]


def main() -> int:
    """Hunt them all; 1 when one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants")
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if any(part in mutant.name for part in asked.only.split(","))]
    survived = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        results = pool.map(lambda mutant: hunt(mutant, asked.seeds, asked.first), chosen)
        for mutant, (count, broke) in zip(chosen, results, strict=True):
            survived += not count
            where = ", ".join(mutant.scenes) or "whole seeds"
            found = f"{count or '**survived**'} | {where}"
            sys.stdout.write(f"| {mutant.name} | {mutant.what} | {broke} | {found} |\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(chosen) - survived} of {len(chosen)} found\n")
    return 1 if survived or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())

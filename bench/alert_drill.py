"""Makes every alert rule fire on the paper exchange and clear again, seen by a real Prometheus (and Alertmanager).

    python -m bench.alert_drill                      all: about ten minutes
    python -m bench.alert_drill --only HedgegridDown --only HedgegridFeedStale

The rules are ours with shorter windows and lower thresholds (`CHANGES`): what they ask for and how stays. Where Alertmanager
is installed, Prometheus sends to one with our routes whose receivers are a server of this bench, and each alert must reach
the receiver of its severity, firing and resolved. Prints a line an alert; exits 1 when one did not fire or clear.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import msgspec

from bench.alert_receivers import Received, alertmanager
from bench.chaos_rig import SPEED, SYMBOL, Rig, Setup, rig
from bench.observability import Wrong
from bench.prometheus_rig import Changes, Scraper, scraping
from tests.support.observability import alerts
from tests.support.programs import ProgramError, end_with_programs

QUIET_S = 60.0
TRIES = 3
BAR_S = 60 / SPEED
# It would hold entries for 300 s after orders were rejected on purpose.
SETUP = Setup(guards=({"type": "order_errors", "enabled": False},))
REST = {"target": "rest", "kind": "status_before", "status": 503}
REFUSED = {
    "target": "rest",
    "kind": "status_before",
    "method": "POST",
    "path": "/fapi/v1/order",
    "status": 400,
    "code": -2019,
    "msg": "Margin is insufficient.",
}
# What is shorter or lower than in etc/prometheus/rules; everything else is as there.
CHANGES: Changes = {
    "HedgegridDown": (("for 30s", "3s"),),
    "HedgegridHeartbeatOld": (("> 30", "> 5"),),
    "HedgegridBarsStalled": (("[1m]", f"[{3 * BAR_S:.0f}s]"), ("for 60s", "2s")),
    "HedgegridFeedStale": (("> 10", "> 4"),),
    "HedgegridMarginRatioHigh": (("for 5m", "2s"),),
    "HedgegridMakerRatioLow": (("for 15m", "2s"),),
    "HedgegridUnrealizedLoss": (("< -500", "< -1.5"), ("for 10m", "2s")),
    "hedgegrid:equity_fall_ratio:10m": (("[10m]", "[40s]"),),
    "HedgegridReconcileLag": (("> 60", "> 36"),),
    "hedgegrid:orders_submitted:increase5m": (("[5m]", "[20s]"), ("offset 5m", "offset 20s")),
    "hedgegrid:orders_rejected:increase5m": (("[5m]", "[20s]"), ("offset 5m", "offset 20s")),
    "HedgegridTradingDisabled": (("for 5m", "2s"),),
    "HedgegridExternalSourceSilent": (("> 300", "> 8"),),
    "HedgegridDeadManOld": (("0.75", "0.35"),),
    "hedgegrid:alerts_lost:increase10m": (("[10m]", "[20s]"), ("offset 10m", "offset 20s")),
}

type Deed = Callable[[Rig], object]


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """What makes an alert fire and what ends it; `fires_s`, `clears_s` bound the waits. `measured`: changes by what is now."""

    alert: str
    make: Deed
    end: Deed
    fires_s: float = 60.0
    clears_s: float = 90.0
    inhibited: bool = False  # Alertmanager keeps it back, for what causes it is told
    measured: Callable[[Rig, Scraper], Changes] | None = None


def above_now(alert: str, metric: str, old: str, factor: float) -> Callable[[Rig, Scraper], Changes]:
    """A threshold at `factor` times what the metric says now, in the place of `old`."""

    def measure(_rig: Rig, scraper: Scraper) -> Changes:
        value = scraper.api.ask(f"last_over_time({metric}[5m])")[0][1]
        sign = old.partition(" ")[0]
        return {alert: ((old, f"{sign} {value * factor:.8f}"),)}

    return measure


def transfer(amount: int) -> Deed:
    """Money into the account."""
    return lambda rig: rig.admin("/transfer", {"amount": str(amount)})


def rejected(rig: Rig) -> None:
    """Entries are refused while the ladder is laid anew."""
    rig.admin("/faults", dict(REFUSED))
    rig.ask("throttle", throttle=0.5)


def no_more_rejected(rig: Rig) -> None:
    """They are taken again."""
    rig.clear_faults()
    rig.ask("throttle", throttle=1)


def loses(rig: Rig) -> None:
    """Price falls by 1 %: the LONG leg is under water; stops rest below."""
    rig.admin("/jump", {"symbol": SYMBOL, "factor": "0.99"})


def wins_back(rig: Rig) -> None:
    """And comes back, whatever the grid did meanwhile."""
    rig.ask("flatten", side="both", reason="drill")
    rig.release()


def takes(rig: Rig) -> None:
    """Closes take: every one lowers the ratio."""
    rig.ask("flatten", side="both", reason="drill")
    rig.release()


def makes(rig: Rig) -> None:
    """Entries make, until the ratio is back; the rig fills them one by one."""
    for _ in range(12):
        rig.wait(lambda: all(rig.entries().values()), "entries", 60)
        rig.through_entry("LONG")
        time.sleep(BAR_S / 4)
        rig.through_entry("SHORT")
        time.sleep(BAR_S / 4)


def speaks(rig: Rig) -> None:
    """A word from outside, and then none."""
    rig.ask("event", source="drill", action="notify", reason="alert drill")


def fault(**fields: object) -> Deed:
    """A rule at the exchange."""
    return lambda rig: rig.admin("/faults", dict(fields))


def path(what: str) -> dict[str, object]:
    """A REST fault on one path."""
    return {**REST, "path": what}


DRILLS = (
    Drill(
        alert="HedgegridTradingDisabled",
        make=lambda r: r.ask("pause", reason="drill"),
        end=lambda r: r.ask("resume"),
    ),
    Drill(alert="HedgegridFeedStale", make=lambda r: r.admin("/pause"), end=lambda r: r.admin("/resume")),
    Drill(alert="HedgegridBarsStalled", make=lambda r: r.admin("/pause"), end=lambda r: r.admin("/resume")),
    Drill(alert="HedgegridExternalSourceSilent", make=speaks, end=speaks),
    Drill(alert="HedgegridOrdersRejected", make=rejected, end=no_more_rejected),
    Drill(
        alert="HedgegridMarginRatioHigh",
        make=transfer(-80_000),
        end=transfer(80_000),
        measured=above_now("HedgegridMarginRatioHigh", "hedgegrid_margin_ratio", "> 0.8", 2),
    ),
    Drill(alert="HedgegridEquityFalls", make=transfer(-20_000), end=transfer(20_000)),
    Drill(alert="HedgegridUnrealizedLoss", make=loses, end=wins_back),
    Drill(
        alert="HedgegridMakerRatioLow",
        make=takes,
        end=makes,
        clears_s=240,
        measured=above_now("HedgegridMakerRatioLow", "hedgegrid_maker_ratio", "< 0.9", 0.999),
    ),
    Drill(
        alert="HedgegridReconcileLag",
        make=fault(**path("/fapi/v3/positionRisk")),
        end=Rig.clear_faults,
        fires_s=90,
    ),
    Drill(
        alert="HedgegridDeadManOld", make=fault(**path("/fapi/v1/countdownCancelAll")), end=Rig.clear_faults
    ),
    Drill(
        alert="HedgegridKillSwitchTripped",
        make=lambda r: r.ask("kill", action="halt", reason="drill"),
        end=Rig.release,
    ),
    Drill(alert="HedgegridDown", make=Rig.suspend, end=Rig.resume_process),
    Drill(alert="HedgegridHeartbeatOld", make=Rig.suspend, end=Rig.resume_process, inhibited=True),
)
# Drilled where a channel is configured: `HedgegridAlertChannelFailing` needs one that refuses.
ELSEWHERE = {"HedgegridAlertChannelFailing": "its unit test feeds hedgegrid_alerts_total"}


class Found(msgspec.Struct):
    """The outcome: seconds from the deed to firing, and from its end to over."""

    alert: str
    fired_s: float | None = None
    cleared_s: float | None = None
    wrong: list[str] = []


def waited(look: Callable[[], bool], deadline_s: float) -> float | None:
    """Seconds until it was so; None: not in time."""
    began = time.monotonic()
    while not look():
        if time.monotonic() - began > deadline_s:
            return None
        time.sleep(0.2)
    return time.monotonic() - began


def play(drill: Drill, where: Rig, scraper: Scraper, received: Received | None) -> Found:
    """One alert from quiet to quiet."""
    found = Found(drill.alert)
    if drill.measured is not None:
        changed = dict(CHANGES)
        for name, pairs in drill.measured(where, scraper).items():
            changed[name] = (*changed.get(name, ()), *pairs)
        scraper.write(changed)
        scraper.reload()
    if waited(lambda: drill.alert not in scraper.firing(), QUIET_S) is None:
        found.wrong.append("it fires before anything was done")
    drill.make(where)
    found.fired_s = waited(lambda: drill.alert in scraper.firing(), drill.fires_s)
    if found.fired_s is None:
        found.wrong.append(f"not fired after {drill.fires_s:.0f} s")
    if received is not None and found.fired_s is not None and not drill.inhibited:
        severity = str(alerts()[drill.alert]["labels"]["severity"])
        if waited(lambda: received.has(drill.alert, severity, "firing"), 30) is None:
            found.wrong.append(f"Alertmanager did not tell the receiver of {severity}")
    drill.end(where)
    found.cleared_s = waited(lambda: drill.alert not in scraper.firing(), drill.clears_s)
    if found.cleared_s is None:
        found.wrong.append(f"not over after {drill.clears_s:.0f} s")
    return found


def tried(drill: Drill, where: Rig, scraper: Scraper, received: Received | None) -> Found:
    """`play` on a rig that is well; where the machine itself stands in the way (a disk that hangs) once more."""
    for _ in range(TRIES):
        try:
            where.prepare()
            return play(drill, where, scraper, received)
        except ProgramError as error:
            sys.stderr.write(f"{drill.alert}: {str(error)[:300]}\n")
            where.clear_faults()
            where.admin("/resume")
            where.resume_process()
    return Found(drill.alert, wrong=[f"could not be played, {TRIES} times"])


def drive(only: list[str], folder: Path) -> int:
    """All drills on one rig; 0 when every alert fired and cleared."""
    drills = [drill for drill in DRILLS if not only or drill.alert in only]
    outcomes: list[Found] = []
    with ExitStack() as stack:
        received = stack.enter_context(alertmanager(folder / "alertmanager"))
        where = stack.enter_context(rig(folder, 1, SETUP))
        where.start()
        where.prepare()
        port = where.bot.config.metrics_port
        to = None if received is None else received.address
        scraper = stack.enter_context(scraping(folder / "prometheus", port, CHANGES, to))
        if waited(lambda: bool(scraper.api.ask("hedgegrid_maker_ratio")), 30) is None:
            raise ProgramError("nothing was scraped")
        for drill in drills:
            outcomes.append(tried(drill, where, scraper, received))
            last = outcomes[-1]
            print(
                f"{'FAIL' if last.wrong else 'PASS'}  {last.alert:<32} fired {_s(last.fired_s)}  over {_s(last.cleared_s)}"
                f"  {'; '.join(last.wrong)}",
                flush=True,
            )
    for name, why in ELSEWHERE.items():
        print(f"ELSEWHERE  {name}: {why}")
    if received is None:
        print("Alertmanager (Debian package prometheus-alertmanager) is not installed: its part was left out")
    failed = [each.alert for each in outcomes if each.wrong]
    print(f"FAIL: {', '.join(failed)}" if failed else f"PASS: {len(outcomes)} alerts fired and cleared")
    return 1 if failed else 0


def _s(seconds: float | None) -> str:
    return "—" if seconds is None else f"{Decimal(seconds):.1f} s"


def main() -> int:
    """Exit code of a command line."""
    end_with_programs()
    line = argparse.ArgumentParser(prog="python -m bench.alert_drill", description=__doc__)
    line.formatter_class = argparse.RawDescriptionHelpFormatter
    line.add_argument("--only", action="append", default=[], choices=[drill.alert for drill in DRILLS])
    try:
        with tempfile.TemporaryDirectory(prefix="hedgegridd-alerts-") as name:
            return drive(line.parse_args().only, Path(name))
    except (ProgramError, OSError, Wrong) as error:
        sys.stderr.write(f"alert_drill: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())

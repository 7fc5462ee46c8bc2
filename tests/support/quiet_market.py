"""A quiet market on the paper exchange, one grid on it, and what end-to-end tests do with both."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.support.programs import Daemon, Exchange, ProgramError, RunConfig, exchange, until, write_config
from tests.support.truth import daemon_books, differences, entries_at, exchange_books, uncovered

SYMBOL = "BTCUSDT"
GRID = {
    "instrument": f"{SYMBOL}-PERP",
    "step_bps": 20,
    "sl_steps": 50,
    "recenter_trigger_bps": 2_000,
    "policy": {"kind": "symmetric"},
}
QUIET = ("--regime", "quiet", "--seed", "7", "--speed", "10")
READY_S = 60


@contextmanager
def quiet_exchange(folder: Path, *options: str, limits: bool = False) -> Iterator[Exchange]:
    """A market that stays near one price; `options` are the exchange's, `limits`: it counts our calls."""
    with exchange(
        [*QUIET, *options, *([] if limits else ["--no-rate-limits"])], folder / "exchange.log"
    ) as venue:
        yield venue


@contextmanager
def market(
    folder: Path, *options: str, limits: bool = False, **tables: Any
) -> Iterator[tuple[Exchange, RunConfig]]:
    """A quiet exchange and a config for it with further `tables` (by name, without brackets)."""
    with quiet_exchange(folder, *options, limits=limits) as venue:
        yield venue, write_config(folder, venue, [GRID], tables={f"[{k}]": v for k, v in tables.items()})


def ready(bot: Daemon) -> None:
    """Wait for the last stage of start-up."""
    until(lambda: bot.control.ask("ready")["ready"], "ready", READY_S, bot.program)


def quantity(venue: Exchange, leg: str) -> Decimal:
    """Inventory of a leg at the exchange."""
    return Decimal(venue.truth()["legs"][f"{SYMBOL}:{leg}"]["qty"])


def entries_on_both_legs(venue: Exchange, bot: Daemon) -> None:
    """Wait until entries of both legs rest at the exchange."""
    until(lambda: all(entries_at(venue.truth(), SYMBOL).values()), "entries on both legs", 40, bot.program)


def fill_both_legs(venue: Exchange, bot: Daemon) -> None:
    """Jumps through the nearest rung of each leg, so that both hold something with its exits."""
    entries_on_both_legs(venue, bot)
    for leg, factor in (("LONG", "0.9975"), ("SHORT", "1.0050")):
        venue.admin("POST", "/jump", {"symbol": SYMBOL, "factor": factor})
        until(lambda leg=leg: quantity(venue, leg), f"inventory on {leg}", 30, bot.program)
    covered(venue, bot)


def covered(venue: Exchange, bot: Daemon) -> None:
    """Wait until all inventory has its take-profits and stops at the exchange."""
    until(lambda: not uncovered(venue.truth(), SYMBOL), "all inventory covered", 10, bot.program)


def at_rest(venue: Exchange, bot: Daemon) -> bool:
    """Whether the daemon has nothing under way and all inventory is covered."""
    return bool(bot.control.ask("status")["settled"]) and not uncovered(venue.truth(), SYMBOL)


def agree(venue: Exchange, bot: Daemon) -> None:
    """Ledger and orders are the exchange's, to the cent; the market stands meanwhile."""
    venue.admin("POST", "/pause")
    try:
        found: list[str] = ["not looked at"]

        def equal() -> bool:
            found[:] = differences(
                exchange_books(venue.truth(), SYMBOL),
                daemon_books(bot.control.ask("status"), bot.control.ask("orders"), SYMBOL),
            )
            return not found

        try:
            until(equal, "the books agree", 20, bot.program)
        except ProgramError as error:
            raise AssertionError(found) from error
    finally:
        venue.admin("POST", "/resume")


def on_disk(bot: Daemon) -> None:
    """Wait until the journal has what was answered: kill, flatten and pause do not wait long for a slow disk."""

    def kept() -> bool:
        try:
            bot.control.ask("reconcile")  # answered when it is on disk, and with it all before it
        except ProgramError:
            return False
        return True

    until(kept, "the journal is on disk", 60, bot.program)


def rearmed(bot: Daemon) -> bool:
    """Ask for a rearm; False when it is refused: the guards have not spoken yet, or a feed is down."""
    try:
        bot.control.ask("rearm", reason="looked at the account")
    except ProgramError:
        return False
    return bool(bot.control.ask("status")["kill_switch"]["state"] == "ARMED")

"""`hedgegridd check -c FILE`: every mistake of a config with its line, and what the config means in plain words."""

import argparse
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from hedgegridd.config import Config
from hedgegridd.config_load import Loaded, load_file
from hedgegridd.core.check import describe, describe_dead_man, find_problems
from hedgegridd.errors import ConfigError
from hedgegridd.model import Instrument
from hedgegridd.problems import render_all
from hedgegridd.risk import settings

ADDRESSES = ("rest_url", "market_ws_url", "user_ws_url")  # paper has none of its own

# The venue's filters of its main perpetual, for a check without a connection; the daemon reads today's at start.
USUAL_FILTERS = {
    "BTCUSDT-PERP": Instrument(
        id="BTCUSDT-PERP.BINANCE",
        symbol="BTCUSDT",
        tick=Decimal("0.1"),
        step=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(1000),
        market_max_qty=Decimal(120),
        min_notional=Decimal(100),
    )
}


def main(argv: Sequence[str]) -> int:
    """Print findings and meaning. 0: no error (warnings are printed), 1: errors, 2: wrong usage (by SystemExit)."""
    parser = argparse.ArgumentParser(prog="hedgegridd check", description=__doc__)
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the TOML file")
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="[INSTRUMENT=]PRICE",
        help="today's price in USDT, for the checks that need one; the instrument may be left out when there is one grid",
    )
    args = parser.parse_args(argv)
    try:
        loaded = load_file(args.config)
    except ConfigError as error:
        _say(str(error))
        return 1
    try:
        prices = _prices(args.price, loaded.config)
    except ValueError as error:
        parser.error(str(error))
    problems = [
        *find_problems(loaded.config, USUAL_FILTERS, prices),
        *settings.find_problems(loaded.config),
    ]
    if not any(problem.severity == "error" for problem in problems):
        problems += (*settings.quota_problems(loaded.config), *settings.bar_problems(loaded.config))
    if problems:
        _say(render_all(problems, loaded.name, loaded.places))
    for line in _meaning(loaded.config, prices):
        _say(line)
    if any(problem.severity == "error" for problem in problems):
        return 1
    for line in settings.describe(loaded.config):
        _say(line)
    _say(f"{loaded.name} is valid")
    return 0


def refuse_contradictions(loaded: Loaded) -> tuple[str, ...]:
    """What a start asks: the warnings in words, one each; the checks that need a price or filters are left out.

    Raises:
        ConfigError: the config contradicts itself; the text names each contradiction with its line.
    """
    problems = [*find_problems(loaded.config), *settings.find_problems(loaded.config)]
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if errors:
        raise ConfigError(render_all(errors, loaded.name, loaded.places), errors)
    problems += (*settings.quota_problems(loaded.config), *settings.bar_problems(loaded.config))
    return tuple(f"{problem.table} {problem.field}: {problem.text}" for problem in problems)


def _meaning(config: Config, prices: dict[str, Decimal]) -> list[str]:
    missing = [name for name in ADDRESSES if getattr(config.venue, name) is None]
    lines: list[str] = []
    if config.venue.environment == "paper" and missing:
        lines.append(
            f"[venue] {', '.join(missing)}: to be set before `hedgegridd run`, to what `hedgegridd exchange` prints"
        )
    lines.append(describe_dead_man(config))
    for grid in config.grid:
        name = grid.instrument
        filters, price = USUAL_FILTERS.get(name), prices.get(name)
        if filters is None:
            lines.append(f"{name}: the venue's filters are read at start; ladder and minima were not checked")
        elif price is None:
            lines.append(
                f"{name}: no price given, so notional and minima were not checked; add --price PRICE"
            )
        else:
            lines += describe(grid, filters, price)
    return lines


def _prices(given: Sequence[str], config: Config) -> dict[str, Decimal]:
    names = [grid.instrument for grid in config.grid]
    prices = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals:
            if len(names) > 1:
                raise ValueError(f"--price {text}: say of which instrument, {names[0]}={text}")
            name = names[0]
        if name not in names:
            raise ValueError(f"--price {text}: no [[grid]] trades {name}")
        try:
            price = Decimal(number)
        except InvalidOperation:
            raise ValueError(f"--price {text}: {number!r} is no number") from None
        if not price.is_finite() or price <= 0:
            raise ValueError(f"--price {text}: a price is above zero")
        prices[name] = price
    return prices


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")

"""Account set-up, checked and put right before anything trades: hedge mode, single-asset margin, leverage, margin type."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from hedgegridd.config import Grid
from hedgegridd.errors import VenueError
from hedgegridd.model import Instrument
from hedgegridd.venue import wire
from hedgegridd.venue.calls import VenueCalls

_MARGIN_TYPES = {"cross": "CROSSED", "isolated": "ISOLATED"}
_SHOWN_AS = {"cross": {"CROSSED", "CROSS"}, "isolated": {"ISOLATED"}}


CAUTIOUS_MAINT_RATE = Decimal(
    "0.025"
)  # where the venue tells none: liquidation is taken for nearer than it is


class SetupRefused(VenueError):  # noqa: N818  # reads as the event it is
    """The account is not as it must be and we could not (or may not) change it; the text says what to do."""


async def prepare(calls: VenueCalls, grids: Sequence[Grid]) -> list[Instrument]:
    """Clock, rules and account settings of the grids' instruments; returns their rules.

    Raises:
        VenueCallError: a call failed; nothing is assumed.
        SetupRefused: the account does not fit.
    """
    await calls.http.sync_clock()
    if await calls.multi_assets():
        raise SetupRefused("the account is in multi-asset margin mode; switch it to single-asset mode")
    if not await calls.hedge_mode():
        await calls.set_hedge_mode()
        if not await calls.hedge_mode():
            raise SetupRefused("the account is not in hedge mode and did not take the change")
    for grid in grids:
        await _prepare_symbol(calls, grid)
    return await instruments(calls, grids)


async def instruments(calls: VenueCalls, grids: Sequence[Grid]) -> list[Instrument]:
    """The venue's rules of the grids' instruments as they are now.

    Raises:
        VenueCallError: a call failed.
        SetupRefused: the venue does not list an instrument, or its rules lack something.
    """
    info = await calls.exchange_info()
    listed = {symbol.symbol: symbol for symbol in info.symbols}
    brackets = await asyncio.gather(*[calls.brackets(grid.symbol) for grid in grids])
    found = []
    for grid, bracket in zip(grids, brackets, strict=True):
        symbol = listed.get(grid.symbol)
        if symbol is None:
            raise SetupRefused(f"the venue does not list {grid.symbol}")
        rates = [item.maintMarginRatio for item in bracket.brackets] if bracket else []
        rate = min(rates, default=symbol.maintMarginPercent / 100 or CAUTIOUS_MAINT_RATE)
        try:
            found.append(wire.instrument(symbol, grid.instrument_id, rate))
        except wire.FilterError as error:
            raise SetupRefused(str(error)) from error
    return found


async def _prepare_symbol(calls: VenueCalls, grid: Grid) -> None:
    symbol = grid.symbol
    config = await calls.symbol_config(symbol)
    if config is None:
        raise SetupRefused(f"the venue tells no settings of {symbol}")
    if _fits(config, grid):
        return
    if config.marginType.upper() not in _SHOWN_AS[grid.margin_type]:
        await calls.set_margin_type(symbol, _MARGIN_TYPES[grid.margin_type])
    if config.leverage != grid.leverage:
        await calls.set_leverage(symbol, grid.leverage)
    after = await calls.symbol_config(symbol)
    if after is None or not _fits(after, grid):
        shown = "nothing" if after is None else f"leverage {after.leverage}, margin {after.marginType}"
        raise SetupRefused(
            f"{symbol}: wanted leverage {grid.leverage}, margin {grid.margin_type}; venue says {shown}"
        )


def _fits(config: wire.SymbolConfig, grid: Grid) -> bool:
    return config.leverage == grid.leverage and config.marginType.upper() in _SHOWN_AS[grid.margin_type]

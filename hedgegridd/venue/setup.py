"""Account set-up, checked and put right before anything trades: hedge mode, single-asset margin, leverage, key."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from hedgegridd.config import Grid
from hedgegridd.errors import VenueError
from hedgegridd.model import Instrument
from hedgegridd.venue import wire
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.failures import Kind
from hedgegridd.venue.key_rights import KeyReader
from hedgegridd.venue.rest import VenueCallError

_MARGIN_TYPES = {"cross": "CROSSED", "isolated": "ISOLATED"}
_SHOWN_AS = {"cross": {"CROSSED", "CROSS"}, "isolated": {"ISOLATED"}}


CAUTIOUS_MAINT_RATE = Decimal(
    "0.025"
)  # where the venue tells none: liquidation is taken for nearer than it is


class SetupRefused(VenueError):  # noqa: N818  # reads as the event it is
    """The account is not as it must be and we could not (or may not) change it; the text says what to do."""


async def prepare(calls: VenueCalls, grids: Sequence[Grid], key: KeyReader | None = None) -> list[Instrument]:
    """Clock, rules and account settings of the grids' instruments, put right where we may; returns their rules.

    Raises:
        VenueCallError: a call failed; nothing is assumed.
        SetupRefused: the account or the key does not fit.
    """
    await calls.http.sync_clock()
    mode = await calls.account_config()
    if not mode.dualSidePosition:
        await _set_hedge_mode(calls)
        mode = await calls.account_config()
    wrong = [*_wrong_mode(mode), *(await key.wrong() if key is not None else ())]
    if wrong:
        raise SetupRefused("; ".join(wrong))
    for grid in grids:
        await _prepare_symbol(calls, grid)
    return await instruments(calls, grids)


async def findings(calls: VenueCalls, grids: Sequence[Grid], key: KeyReader | None = None) -> tuple[str, ...]:
    """What is wrong with account and key now, in words; nothing is changed. Raises VenueCallError."""
    found = [*_wrong_mode(await calls.account_config()), *(await key.wrong() if key is not None else ())]
    for grid in grids:
        config = await calls.symbol_config(grid.symbol)
        if config is None or not fits(config, grid):
            found.append(_unfit(config, grid))
    return tuple(found)


def _wrong_mode(mode: wire.AccountConfig) -> list[str]:
    found = []
    if mode.multiAssetsMargin:
        found.append("the account is in multi-asset margin mode; switch it to single-asset mode")
    if not mode.dualSidePosition:
        found.append("the account is not in hedge mode")
    if mode.canTrade is False:
        found.append("the venue does not let this account trade: look at its messages there")
    return found


async def _set_hedge_mode(calls: VenueCalls) -> None:
    try:
        await calls.set_hedge_mode()
    except VenueCallError as error:
        if error.failure.kind is not Kind.REFUSED:
            raise
        said = f"{error.failure.code} {error.failure.reason}"
        raise SetupRefused(
            f"the account is not in hedge mode and did not take the change ({said}): "
            "close positions and orders, then switch it at the venue"
        ) from error


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
    if fits(config, grid):
        return
    try:
        if config.marginType.upper() not in _SHOWN_AS[grid.margin_type]:
            await calls.set_margin_type(symbol, _MARGIN_TYPES[grid.margin_type])
        if config.leverage != grid.leverage:
            await calls.set_leverage(symbol, grid.leverage)
    except VenueCallError as error:
        if error.failure.kind is not Kind.REFUSED:
            raise
        said = f"and refuses the change: {error.failure.code} {error.failure.reason}"
        raise SetupRefused(f"{_unfit(config, grid)} {said}") from error
    after = await calls.symbol_config(symbol)
    if after is None or not fits(after, grid):
        raise SetupRefused(_unfit(after, grid))


def _unfit(config: wire.SymbolConfig | None, grid: Grid) -> str:
    shown = "nothing" if config is None else f"leverage {config.leverage}, margin {config.marginType}"
    return f"{grid.symbol}: wanted leverage {grid.leverage}, margin {grid.margin_type}; venue says {shown}"


def fits(config: wire.SymbolConfig, grid: Grid) -> bool:
    """Whether leverage and margin type are as the config has them."""
    return config.leverage == grid.leverage and config.marginType.upper() in _SHOWN_AS[grid.margin_type]

"""What the venue says of key and account, asked by the doctor's own connection: it only reads."""

import asyncio
import os
import time
from pathlib import Path

from hedgegridd.config import Config, Grid
from hedgegridd.config_load import load_secret
from hedgegridd.ctl.checks import Finding, Level
from hedgegridd.errors import ConfigError
from hedgegridd.venue import wire
from hedgegridd.venue.calls import REST_URLS, VenueCalls
from hedgegridd.venue.key_rights import KeyReader
from hedgegridd.venue.patience import REMEDIES
from hedgegridd.venue.rest import Credentials, RestClient, VenueCallError
from hedgegridd.venue.setup import fits

LIMIT_S = 20.0
NAMES = ("key", "hedge mode", "leverage")
_MANAGE = "at the venue's API management"


def findings(config: Config, folder: Path | None, *, daemon_ready: bool) -> list[Finding]:
    """Key, hedge mode, leverage; where they cannot be asked for, what the daemon has checked itself."""
    place = folder or os.environ.get("CREDENTIALS_DIRECTORY")
    venue = config.venue
    url = venue.rest_url or REST_URLS.get(venue.environment)
    if url is None:
        return _unread("[venue] rest_url is missing", "name it", daemon_ready=daemon_ready)
    try:
        own = Credentials(
            key=load_secret(venue.api_key, os.environ, place),
            secret=load_secret(venue.api_secret, os.environ, place),
        )
    except ConfigError as error:
        return _unread(str(error), "--credentials DIR, as root", daemon_ready=daemon_ready)
    try:
        return asyncio.run(_asked(config, url, own))
    except (VenueCallError, TimeoutError, OSError) as error:
        said = str(error) or f"no answer within {LIMIT_S:g} s"
        fix = "hedgegridctl status; the venue's status page"
        if isinstance(error, VenueCallError):
            fix = REMEDIES.get(error.failure.code, fix)
        return [Finding("FAIL", name, f"not read: {said}", fix) for name in NAMES]


def _unread(why: str, fix: str, *, daemon_ready: bool) -> list[Finding]:
    """Not asked here. The daemon goes no further than its venue stage while one of them is wrong, and looks hourly."""
    if daemon_ready:
        return [
            Finding("ok", name, "checked by the daemon at its start, and hourly (not asked here)")
            for name in NAMES
        ]
    return [Finding("FAIL", name, f"not checked: {why}", fix) for name in NAMES]


async def _asked(config: Config, url: str, credentials: Credentials) -> list[Finding]:
    venue = config.venue
    client = RestClient(
        url,
        credentials,
        wall_ns=time.time_ns,
        mono_ns=time.monotonic_ns,
        recv_window_ms=venue.recv_window_ms,
        timeout_s=float(venue.request_timeout_s),
    )
    reader = KeyReader(venue, credentials, client, wall_ns=time.time_ns, mono_ns=time.monotonic_ns)
    async with asyncio.timeout(LIMIT_S), client:
        try:
            calls = VenueCalls(client)
            await client.sync_clock()
            mode = await calls.account_config()
            shown = [(grid, await calls.symbol_config(grid.symbol)) for grid in config.grid]
            rights = await reader.rights()
        finally:
            await reader.close()
    return [key(rights, live=venue.environment == "live"), hedge_mode(mode), leverage(shown)]


def key(rights: wire.KeyRights | None, *, live: bool) -> Finding:
    """Trade yes, withdraw no."""
    if rights is None:
        level: Level = "FAIL" if live else "skip"
        return Finding(level, "key", "the venue does not tell what the key may do", "[venue] account_url")
    if rights.enableWithdrawals:
        return Finding("FAIL", "key", "withdrawals enabled", f"{_MANAGE}, untick Enable Withdrawals")
    if not rights.enableFutures:
        return Finding("FAIL", "key", "it may not trade futures", f"{_MANAGE}, tick Enable Futures")
    if live and rights.ipRestrict is False:
        fix = f"{_MANAGE}, restrict it to this host's address"
        return Finding("WARN", "key", "may trade, may not withdraw; usable from any address", fix)
    return Finding("ok", "key", "may trade futures, may not withdraw")


def hedge_mode(mode: wire.AccountConfig) -> Finding:
    """Two legs need hedge mode; our margin figures need single-asset margin."""
    if not mode.dualSidePosition:
        fix = "close positions and orders, then switch Position Mode to Hedge at the venue"
        return Finding("FAIL", "hedge mode", "the account is in one-way mode", fix)
    if mode.multiAssetsMargin:
        return Finding(
            "FAIL", "hedge mode", "multi-asset margin is on", "switch Asset Mode to Single-Asset at the venue"
        )
    if mode.canTrade is False:
        return Finding(
            "FAIL", "hedge mode", "the venue does not let this account trade", "look at its messages there"
        )
    return Finding("ok", "hedge mode", "on, single-asset margin")


def leverage(shown: list[tuple[Grid, wire.SymbolConfig | None]]) -> Finding:
    """As the config has it, for each instrument."""
    wrong = [
        f"{grid.symbol} {'not told' if found is None else f'{found.leverage}x {found.marginType}'}, "
        f"wanted {grid.leverage}x {grid.margin_type}"
        for grid, found in shown
        if found is None or not fits(found, grid)
    ]
    if wrong:
        fix = "restart the daemon flat (it sets them), or set them at the venue"
        return Finding("FAIL", "leverage", "; ".join(wrong), fix)
    told = ", ".join(f"{grid.symbol} {grid.leverage}x {grid.margin_type}" for grid, _ in shown)
    return Finding("ok", "leverage", told)

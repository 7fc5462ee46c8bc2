"""What panic reads of the daemon's config: venue, keys, instruments, state folder; a mistake elsewhere is no obstacle."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from hedgegridd.config import Config
from hedgegridd.config_load import find_mistakes, load_secret
from hedgegridd.errors import ConfigError
from hedgegridd.problems import render_all
from hedgegridd.toml_places import find_places
from hedgegridd.venue.calls import REST_URLS
from hedgegridd.venue.rest import Credentials

_READ = {
    "daemon": ("state_dir",),
    "grid": ("instrument",),
}  # of these tables only so much; [venue] and [panic] whole
_FILE_BYTES_MAX = 1 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that panic needs. `symbols` maps instrument ids to the venue's symbols; `notes` are worth telling."""

    account: str
    environment: str
    url: str
    recv_window_ms: int
    timeout_s: float
    state_dir: Path
    symbols: dict[str, str]
    credentials: Credentials
    key_name: str
    notes: tuple[str, ...] = ()


def read(path: Path, instrument: str | None, env: Mapping[str, str], credentials: str | None) -> Settings:
    """The settings for one instrument (`BTCUSDT`, `BTCUSDT-PERP` or its id), all of the config for None.

    Raises:
        ConfigError: the file, a table that is needed, the instrument or the key; the text says what.
    """
    config = _config(path)
    symbols = {grid.instrument_id: grid.symbol for grid in config.grid}
    if instrument is not None:
        wanted = instrument.upper().removesuffix(".BINANCE").removesuffix("-PERP")
        known = ", ".join(symbols.values())
        symbols = {name: symbol for name, symbol in symbols.items() if symbol == wanted}
        if not symbols:
            raise ConfigError(f"--instrument {instrument}: not in {path}, which has {known}")
    venue = config.venue
    url = venue.rest_url or REST_URLS.get(venue.environment)
    if url is None:
        raise ConfigError(f"`rest_url` is missing in [venue]: {venue.environment} has no address of its own")
    key_name, keys, notes = _credentials(config, env, credentials)
    return Settings(
        account=venue.account,
        environment=venue.environment,
        url=url,
        recv_window_ms=venue.recv_window_ms,
        timeout_s=float(venue.request_timeout_s),
        state_dir=Path(config.daemon.state_dir),
        symbols=symbols,
        credentials=keys,
        key_name=key_name,
        notes=notes,
    )


def _config(path: Path) -> Config:
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_BYTES_MAX).decode("utf-8-sig")
        raw = tomllib.loads(text, parse_float=Decimal)
    except (
        OSError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:  # not TOML is a ValueError as well
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    needed: dict[str, object] = {name: table for name, table in raw.items() if name in ("venue", "panic")}
    for name, keys in _READ.items():
        if name in raw:
            needed[name] = _only(raw[name], keys)
    problems = tuple(find_mistakes(needed))
    if problems:
        raise ConfigError(render_all(problems, path.name, find_places(text)), problems)
    return msgspec.convert(needed, Config)


def _only(table: object, keys: tuple[str, ...]) -> object:
    if isinstance(table, list):
        return [_only(item, keys) for item in table]
    return {key: table[key] for key in keys if key in table} if isinstance(table, dict) else table


def _credentials(
    config: Config, env: Mapping[str, str], folder: str | None
) -> tuple[str, Credentials, tuple[str, ...]]:
    """Panic's own key where the config names one and it is there, else the venue's."""
    folder = folder or env.get("CREDENTIALS_DIRECTORY")
    own, venue = config.panic, config.venue
    notes: tuple[str, ...] = ()
    if own.api_key is not None or own.api_secret is not None:
        names = (own.api_key or venue.api_key, own.api_secret or venue.api_secret)
        try:
            return names[0], _load(names, env, folder), ()
        except ConfigError as error:
            notes = (f"its own key cannot be had, the venue's is used: {error}",)
    return venue.api_key, _load((venue.api_key, venue.api_secret), env, folder), notes


def _load(names: tuple[str, str], env: Mapping[str, str], folder: str | None) -> Credentials:
    return Credentials(*(load_secret(name, env, folder) for name in names))

"""`hedgegridd run`: the daemon as systemd starts it."""

import argparse
import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog
import uvloop

from hedgegridd import __version__, log
from hedgegridd.alerts.setup import credentials as alert_credentials
from hedgegridd.app import EXIT_FAILED, EXIT_UNVERIFIED, Daemon
from hedgegridd.check import refuse_contradictions
from hedgegridd.config import Config, Key
from hedgegridd.config_load import load_file, load_secret
from hedgegridd.control.keys import fingerprint
from hedgegridd.errors import ConfigError, HedgegridError
from hedgegridd.systemd import Notifier
from hedgegridd.venue.rest import Credentials

SWITCH_INTERVAL_S = 0.0005
STDERR = 2
_log = structlog.get_logger("hedgegridd")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535, not {text}")
    return int(text)


def _run(
    config: Config,
    credentials: Credentials,
    *,
    accept_broken_journal: bool,
    config_file: Path | None = None,
    events_secret: str = "",
    alert_secrets: Mapping[str, str] | None = None,
    reread: Callable[[], Config] | None = None,
) -> int:
    daemon = Daemon(
        config,
        credentials,
        accept_broken_journal=accept_broken_journal,
        config_file=config_file,
        events_secret=events_secret,
        alert_secrets=alert_secrets or {},
        reread=reread,
        notifier=Notifier(os.environ, os.getpid()),
    )
    faulthandler.enable(STDERR)  # where every thread stood when systemd's watchdog ended us (SIGABRT)

    async def live() -> int:
        try:
            daemon.open()
        except (HedgegridError, OSError, ValueError) as error:
            nameless = isinstance(error, OSError) and error.filename is None
            where = f" (state_dir {config.daemon.state_dir})" if nameless else ""
            print(f"hedgegridd: cannot start: {error}{where}", file=sys.stderr)  # noqa: T201
            daemon.folder.close()
            return EXIT_FAILED
        try:
            code = await daemon.run()
        finally:
            durable = daemon.close()
        return code if code or durable else EXIT_UNVERIFIED

    # The journal's thread needs the interpreter's lock once a commit; the default lets a busy loop keep it for 5 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Until the daemon takes its signals there is nothing to stop in order. Left to asyncio, a SIGINT of that moment would
    # cancel the main task, whose actors are shielded from just that: the process would hang for good.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(live())


def with_flags(config: Config, args: argparse.Namespace) -> Config:
    """The config with what the command line overrides.

    Raises:
        OSError: the key file cannot be read.
        ConfigError: it is empty.
    """
    control, metrics, daemon = config.control, config.metrics, config.daemon
    replace = msgspec.structs.replace
    if args.api_port is not None:
        control = replace(control, http_port=args.api_port)
    if args.prometheus_port is not None:
        metrics = replace(metrics, port=args.prometheus_port)
    if args.log_level is not None:
        daemon = replace(daemon, log_level=args.log_level)
    if args.api_key_file is not None:
        key = args.api_key_file.read_text().strip()
        if not key:
            raise ConfigError(f"--api-key-file {args.api_key_file}: the file is empty")
        made = Key(name="api-key-file", role="operator", sha256=fingerprint(key))
        control = replace(control, keys=(*control.keys, made))
    return replace(config, control=control, metrics=metrics, daemon=daemon)


def _credentials(config: Config) -> Credentials:
    """The venue's key and secret. Raises ConfigError when one is missing."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return Credentials(
        key=load_secret(config.venue.api_key, os.environ, folder),
        secret=load_secret(config.venue.api_secret, os.environ, folder),
    )


def _events_secret(config: Config) -> str:
    """What signs external events, "" when the config names none. Raises ConfigError when it is missing."""
    name = config.control.events_secret
    return "" if name is None else load_secret(name, os.environ, os.environ.get("CREDENTIALS_DIRECTORY"))


def _alert_secrets(config: Config) -> dict[str, str]:
    """What the alert channels need, by credential. Raises ConfigError when one is missing."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return {name: load_secret(name, os.environ, folder) for name in alert_credentials(config)}


def _read_again(args: argparse.Namespace) -> Config:
    """The file as it is now, with the same flags. Raises ConfigError, OSError."""
    loaded = load_file(args.config)
    for warning in refuse_contradictions(loaded):
        _log.warning("config", warning=warning)
    return with_flags(loaded.config, args)


def main(argv: Sequence[str]) -> int:
    """`hedgegridd run -c FILE`; 0 only when the venue confirmed that no entry is left."""
    line = argparse.ArgumentParser(prog="hedgegridd run", description="The daemon.")
    line.add_argument(
        "-c", "--config", type=Path, required=True, help="the config file (etc/hedgegridd.toml)"
    )
    line.add_argument("--api-port", type=_port, help="overrides [control] http_port")
    line.add_argument("--prometheus-port", type=_port, help="overrides [metrics] port")
    line.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="overrides [daemon]")
    line.add_argument(
        "--api-key-file", type=Path, help="a file with one API key: an operator's, beside the config's"
    )
    line.add_argument(
        "--accept-broken-journal",
        action="store_true",
        help="start though the journal's chain is broken; the break is kept in it and told",
    )
    args = line.parse_args(argv)
    try:
        loaded = load_file(args.config)
        warnings = refuse_contradictions(loaded)
        config = with_flags(loaded.config, args)
        log.configure(config.daemon)
        credentials = _credentials(config)
        events_secret = _events_secret(config)
        alert_secrets = _alert_secrets(config)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    for warning in warnings:
        _log.warning("config", warning=warning)
    _log.info("start", version=__version__, environment=config.venue.environment, config=str(args.config))
    return _run(
        config,
        credentials,
        accept_broken_journal=args.accept_broken_journal,
        config_file=args.config,
        events_secret=events_secret,
        alert_secrets=alert_secrets,
        reread=lambda: _read_again(args),
    )

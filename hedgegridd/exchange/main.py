"""`hedgegridd exchange`: the paper exchange as a program of its own."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import structlog
import uvloop

from hedgegridd.exchange import markets
from hedgegridd.exchange.server import Options, PaperExchange
from hedgegridd.exchange.settlement import FUNDING_HOURS, USUAL_HOURS


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not value.is_finite() or value <= 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535, not {text}")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(
        prog="hedgegridd exchange",
        description="A paper exchange on loopback that speaks Binance's USD-M futures protocol.",
    )
    line.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    line.add_argument("--port", type=_port, default=0, help="port of REST and WebSocket; 0: any free one")
    line.add_argument(
        "--admin-port", type=_port, default=0, help="port of the control interface; 0: any free one"
    )
    line.add_argument("--market", choices=markets.KINDS, default="synthetic")
    line.add_argument("--data", type=Path, help="file to replay (with --market replay)")
    line.add_argument("--seed", type=int, default=1, help="seed of the market (default %(default)s)")
    line.add_argument(
        "--speed", type=_decimal, default=Decimal(1), help="market clock over wall clock (default 1)"
    )
    line.add_argument("--symbols", default="BTCUSDT", help="comma-separated (default %(default)s)")
    line.add_argument("--deposit", type=_decimal, default=Decimal(100_000), help="USDT at the start")
    line.add_argument(
        "--tick-rate", type=_decimal, default=Decimal(10), help="synthetic ticks a second of market time"
    )
    line.add_argument("--start-ms", type=_count, help="market time of the synthetic start (default: now)")
    line.add_argument("--regime", default="demo", help="course of the synthetic market (default %(default)s)")
    line.add_argument("--latency-ms", type=_count, default=0, help="wall ms each way, requests and streams")
    line.add_argument("--jitter-ms", type=_count, default=0, help="up to so many wall ms more, each way")
    line.add_argument("--no-partial-fills", action="store_true", help="an order fills whole or not")
    line.add_argument(
        "--countdown-cancels-algo", action="store_true", help="countdownCancelAll takes stops too"
    )
    line.add_argument(
        "--no-flat-stop", action="store_true", help="a closePosition stop needs a position first"
    )
    line.add_argument(
        "--exits-reserve", action="store_true", help="closes that rest count against the leg (-4118)"
    )
    line.add_argument(
        "--history-bars", type=_count, help="1m bars before the start (default: the market's own)"
    )
    line.add_argument(
        "--funding-hours", type=int, choices=FUNDING_HOURS, default=USUAL_HOURS,
        help="hours between two settlements (default %(default)s)",
    )  # fmt: skip
    line.add_argument("--api-key", default="", help="made up and printed when absent")
    line.add_argument("--api-secret", default="", help="made up and printed when absent")
    line.add_argument(
        "--credentials",
        type=Path,
        help="folder with the files venue_api_key and venue_api_secret; what they hold is not printed",
    )
    line.add_argument("--state", type=Path, help="file that keeps everything over a restart (default: none)")
    line.add_argument("--start-paused", action="store_true", help="the market stands until /resume or /step")
    line.add_argument("--no-rate-limits", action="store_true", help="count, but never answer 429 or 418")
    return line


def _credentials(folder: Path | None) -> tuple[str, str]:
    """Key and secret of a folder, both empty for none. Raises OSError, ValueError when one cannot be had."""
    if folder is None:
        return "", ""
    key, secret = ((folder / name).read_text().strip() for name in ("venue_api_key", "venue_api_secret"))
    if not key or not secret:
        raise ValueError(f"a credential in {folder} is empty")
    return key, secret


def options_of(argv: Sequence[str]) -> Options:
    """Options of a command line. Raises SystemExit as argparse does, OSError or ValueError for credentials."""
    return _options(parser().parse_args(argv))


def _options(args: argparse.Namespace) -> Options:
    key, secret = _credentials(args.credentials)
    return Options(
        host=args.host,
        port=args.port,
        admin_port=args.admin_port,
        market=args.market,
        data=args.data,
        seed=args.seed,
        speed=args.speed,
        symbols=tuple(name.strip().upper() for name in args.symbols.split(",") if name.strip()),
        deposit=args.deposit,
        api_key=args.api_key or key,
        api_secret=args.api_secret or secret,
        start_paused=args.start_paused,
        state=args.state,
        rate_limits=not args.no_rate_limits,
        history_bars=args.history_bars,
        funding_hours=args.funding_hours,
        tick_rate=args.tick_rate,
        start_ms=args.start_ms,
        regime=args.regime,
        latency_ms=args.latency_ms,
        jitter_ms=args.jitter_ms,
        partial_fills=not args.no_partial_fills,
        countdown_cancels_algo=args.countdown_cancels_algo,
        allow_flat_stop=not args.no_flat_stop,
        exits_reserve=args.exits_reserve,
    )


async def _run(options: Options, *, tell_keys: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with PaperExchange(options) as exchange:
        for name, value in (
            ("rest", exchange.base_url),
            ("websocket", exchange.ws_url),
            ("admin", exchange.admin_url),
            *((("api key", exchange.api_key), ("api secret", exchange.api_secret)) if tell_keys else ()),
        ):
            sys.stdout.write(f"{name:<11}{value}\n")
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        tasks = [asyncio.ensure_future(exchange.wait()), asyncio.ensure_future(stop.wait())]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()


def main(argv: Sequence[str]) -> int:
    """Run until SIGINT or SIGTERM: 0; 2 for options that do not fit; 1 when it cannot listen."""
    args = parser().parse_args(argv)
    # Stdout carries the addresses; what happens is told on stderr.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        options = _options(args)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"hedgegridd exchange: {error}\n")
        return 2
    try:
        asyncio.run(_run(options, tell_keys=args.credentials is None), loop_factory=uvloop.new_event_loop)
    except ValueError as error:
        sys.stderr.write(f"hedgegridd exchange: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"hedgegridd exchange: cannot listen: {error}\n")
        return 1
    return 0

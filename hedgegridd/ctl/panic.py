"""`hedgegridctl panic`: out of process: flatten past the daemon, which may hang, be dead or be busy.

Its own process, connection and key: it latches the daemon by a file in the state folder, then follows the flatten
procedure (core/flatten.py) through the signed client until the venue reports nothing, or its deadline has passed.
Exit codes: 0 PASS, 1 FAIL or not confirmed, 2 usage or config, 5 interrupted.
"""

import argparse
import asyncio
import contextlib
import getpass
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hedgegridd import messages as m
from hedgegridd.ctl import panic_settings
from hedgegridd.ctl.panic_settings import Settings
from hedgegridd.errors import ConfigError
from hedgegridd.journal import panic_latch
from hedgegridd.model import KEY_CODES
from hedgegridd.venue.alone import RawVenue, Run
from hedgegridd.venue.calls import VenueCalls
from hedgegridd.venue.rest import RestClient
from hedgegridd.venue.transport_plain import PlainTransport

PASS, FAIL, USAGE, INTERRUPTED = 0, 1, 2, 5
DEFAULT_CONFIG = "/etc/hedgegridd/hedgegridd.toml"
EPOCH = "panic"  # in the client order ids of its closes: no state folder has this epoch
LATCH_WAIT_S = 0.1  # a hung disk must not stop it
DEADLINE_MAX_S = 86_400.0


class Lines:
    """Tells each stage with the seconds since the command began; an output that breaks stops nothing."""

    def __init__(self, began_mono_ns: int, *, quiet: bool) -> None:
        self._began_ns = began_mono_ns
        self._quiet = quiet
        self.stages: list[str] = []

    def after_s(self) -> float:
        """Seconds since the command began."""
        return (time.monotonic_ns() - self._began_ns) / 1e9

    def stage(self, text: str) -> None:
        """One stage."""
        line = f"{self.after_s():.2f} {text}"
        self.stages.append(line)
        self.say(line)

    def say(self, text: str) -> None:
        """A line for people."""
        if not self._quiet:
            out(text)


def out(text: str) -> None:
    """Print; the reader may have gone, the disk behind it may be full."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line of `panic`."""
    line = argparse.ArgumentParser(
        prog="hedgegridctl panic",
        description="Flatten past the daemon: cancel all, close both legs at market, stops last, verified by the venue.\n\n"
        "Example: hedgegridctl panic -c /etc/hedgegridd/hedgegridd.toml --yes",
        epilog="exit codes: 0 PASS, 1 FAIL or not confirmed, 2 usage or config, 5 interrupted: nothing is verified",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options(line)
    return line


def options(line: argparse.ArgumentParser) -> None:
    """The options of `panic`."""
    line.add_argument(
        "--config",
        "-c",
        type=Path,
        default=os.environ.get("HEDGEGRIDD_CONFIG") or DEFAULT_CONFIG,
        help=f"the daemon's config (default: $HEDGEGRIDD_CONFIG or {DEFAULT_CONFIG})",
    )
    line.add_argument("--instrument", metavar="X", help="one instrument; all of the config when left out")
    line.add_argument(
        "--credentials",
        metavar="DIR",
        help="folder with the credentials, a file each (default: $CREDENTIALS_DIRECTORY)",
    )
    line.add_argument(
        "--deadline-s",
        type=_deadline,
        default=60.0,
        metavar="S",
        help="seconds before it gives up (default 60)",
    )
    line.add_argument("--reason", default="", help="kept in the latch and shown by the daemon")
    line.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    line.add_argument("--json", action="store_true", help="the outcome as JSON")


def _deadline(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= DEADLINE_MAX_S:
        raise argparse.ArgumentTypeError(f"seconds from 0.1 to {DEADLINE_MAX_S:.0f}, not {text}")
    return seconds


def main(argv: Sequence[str], began_mono_ns: int) -> int:
    """Run it; the exit code. `began_mono_ns`: what the seconds of the stages count from."""
    args = parser().parse_args(argv)
    try:
        settings = panic_settings.read(args.config, args.instrument, os.environ, args.credentials)
    except ConfigError as error:
        print(f"hedgegridctl panic: {error}", file=sys.stderr)
        return USAGE
    if not args.yes:
        if not _confirmed(settings):
            print("not confirmed; nothing was sent", file=sys.stderr)
            return FAIL
        began_mono_ns = time.monotonic_ns()
    lines = Lines(began_mono_ns, quiet=args.json)
    try:
        return asyncio.run(_panic(settings, args, lines))
    except KeyboardInterrupt:
        out(
            f"INTERRUPTED after {lines.after_s():.2f} s: nothing is verified; look at the venue, or run it again"
        )
        return INTERRUPTED


def _confirmed(settings: Settings) -> bool:
    """True when the operator has typed the name that is asked for (any case); end of input is a no."""
    symbols = ", ".join(settings.symbols.values())
    print(f"panic · {settings.account} · Binance {settings.environment.upper()} · {symbols}")
    print(
        "Cancels all orders of both legs, closes them at market, stops last. Sent past the daemon, which is latched:"
    )
    print("it comes back HALTED and trades again only after `hedgegridctl rearm`.")
    name = next(iter(settings.symbols.values())) if len(settings.symbols) == 1 else "ALL"
    try:
        typed = input(f"Type {name}: ")
    except EOFError:
        print(file=sys.stderr)
        return False
    return typed.strip().upper() == name


async def _panic(settings: Settings, args: argparse.Namespace, lines: Lines) -> int:
    symbols = ", ".join(settings.symbols.values())
    lines.say(
        f"PANIC  {settings.account} · Binance {settings.environment.upper()} · {symbols} · key {settings.key_name}"
    )
    for note in settings.notes:
        lines.stage(f"warning: {note}")
    reason = args.reason or "hedgegridctl panic"
    latch = Latch(settings, reason, everything=args.instrument is None)
    latch.drop()
    lines.stage(latch.told())
    client = RestClient(
        settings.url,
        settings.credentials,
        wall_ns=time.time_ns,
        mono_ns=time.monotonic_ns,
        recv_window_ms=settings.recv_window_ms,
        timeout_s=settings.timeout_s,
        make_transport=PlainTransport,
    )
    async with client:
        venue = RawVenue(VenueCalls(client), settings.symbols)
        answer = await Run(venue, settings.symbols, epoch=EPOCH, say=lines.stage).run(reason, args.deadline_s)
    if latch.is_news():
        lines.stage(latch.told())
    return _verdict(settings, answer, latch, lines, as_json=args.json)


class Latch:
    """Drops the latch file in a thread, so that a disk that hangs holds up nothing."""

    def __init__(self, settings: Settings, reason: str, *, everything: bool) -> None:
        self._folder = settings.state_dir
        self._content = panic_latch.PanicLatch(
            by=_who(),
            at_ns=time.time_ns(),
            reason=reason,
            instruments=() if everything else tuple(settings.symbols),
        )
        self._outcome: str | None = None
        self._told: str | None = ""
        self._done = threading.Event()

    def drop(self) -> None:
        """Write it; returns when it is there, or after `LATCH_WAIT_S`."""
        threading.Thread(target=self._write, name="latch", daemon=True).start()
        self._done.wait(LATCH_WAIT_S)

    def told(self) -> str:
        """How it stands, in words."""
        self._told = self._outcome
        path = self._folder / panic_latch.NAME
        if self._outcome is None:
            return f"warning: the disk has not taken the latch {path} yet; going on"
        if self._outcome:
            return f"warning: latch {path} {self._outcome}"
        return f"latch {path}"

    def is_news(self) -> bool:
        """Whether it stands otherwise than it was told."""
        return self._told != self._outcome

    def _write(self) -> None:
        try:
            self._outcome = panic_latch.write(self._folder, self._content)
        except OSError as error:
            self._outcome = f"NOT WRITTEN ({error.strerror or error}): a daemon that runs or starts does not know of this; stop it"
        self._done.set()


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _verdict(
    settings: Settings, answer: m.FlattenAnswer, latch: Latch, lines: Lines, *, as_json: bool
) -> int:
    after_s = lines.after_s()
    word = "PASS" if answer.verified else "FAIL"
    if as_json:
        facts = {
            "verdict": word,
            "after_s": round(after_s, 3),
            "instruments": list(settings.symbols.values()),
            "cancelled_orders": answer.cancelled_orders,
            "residuals": answer.residuals,
            "residual_orders": answer.residual_orders,
            "proof": list(answer.proof),
            "latch": latch.told(),
            "stages": lines.stages,
        }
        out(msgspec.json.encode(facts).decode())
        return PASS if answer.verified else FAIL
    for proof in answer.proof:
        lines.say(f"  {proof}")
    if answer.verified:
        lines.say(f"PASS  flat, verified by the venue  {after_s:.2f} s")
        return PASS
    left = ", ".join(f"{leg} {qty}" for leg, qty in answer.residuals.items())
    lines.say(f"FAIL  not verified after {after_s:.2f} s: {left}; {answer.residual_orders} orders seen last")
    lines.say(
        f"do    {_again(lines.stages)}, or close by hand in the venue's app; the leg stops rest until a leg is flat"
    )
    return FAIL


def _again(stages: Sequence[str]) -> str:
    """What to try next: with a key that is refused the same again is in vain."""
    if any(f" {code} " in stage for code in KEY_CODES for stage in stages):
        return "the venue refuses this key: run it with another (--credentials DIR, or [panic] of the config)"
    return "run it again"

"""A real Chromium on the page of a real daemon against the paper exchange: for the page's tests and its pictures."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from hedgegridd.control.keys import fingerprint, make
from tests.support.programs import (
    Daemon,
    Exchange,
    ProgramError,
    RunConfig,
    exchange,
    running,
    toml_table,
    until,
    write_config,
)

SYMBOL = "BTCUSDT"
LEGS = ("LONG", "SHORT")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = (1440, 900)
PHONE = (390, 844)
READY_S = 60.0
ARMED_S = (
    120.0  # after several trips within a minute the comparison waits until the venue's weight window is over
)
MARKET = ["--market", "synthetic", "--seed", "3", "--speed", "60", "--tick-rate", "0.5"]
GUARDS = [
    {"type": "call_quota", "per_10s": 6000, "per_minute": 72_000, "per_hour": 216_000},  # speed 60
    {
        "type": "correlation",
        "enabled": False,
    },  # with two instruments it keeps rearm away for as long as both hold something
]


def chromium() -> str | None:
    """Path of the installed browser; None: there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with a fresh profile; skips the test where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=SWITCHES)
        try:
            yield found
        finally:
            found.close()


class Rig:
    """Exchange and daemon with one key a role."""

    def __init__(self, venue: Exchange, config: RunConfig, keys: dict[str, str]) -> None:
        self.venue = venue
        self.config = config
        self.keys = keys
        self.url = f"http://127.0.0.1:{config.http_port}"
        self.bot: Daemon | None = None
        self._context: Any = None

    def start(self) -> None:
        """Start the daemon and wait until it is ready."""
        self._context = running(self.config)
        bot = self.bot = self._context.__enter__()
        until(lambda: bot.control.ask("ready")["ready"], "the daemon is ready", READY_S, bot.program)

    def stop(self) -> None:
        """Stop the daemon in order."""
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = self.bot = None

    def ask(self, verb: str, **fields: object) -> dict[str, Any]:
        """An operation over the control socket."""
        assert self.bot is not None
        return self.bot.control.ask(verb, **fields)

    def trading(self) -> None:
        """Have a daemon that trades, whatever was done to it before; each step is waited for until it is true."""
        if self.bot is None:
            self.start()
        assert self.bot is not None
        program = self.bot.program
        until(lambda: self._kill_state() in ("ARMED", "HALTED"), "no trip is under way", ARMED_S, program)
        until(self._armed, "the kill switch is armed", ARMED_S, program)
        self.ask("resume")
        self.ask("throttle", throttle=1)

    def _kill_state(self) -> str:
        return str(self.ask("status")["kill_switch"]["state"])

    def _armed(self) -> bool:
        if self._kill_state() == "ARMED":
            return True
        with suppress(ProgramError):  # refused: asked again; the last reason is in the daemon's log
            self.ask("rearm", reason="next test")
        return self._kill_state() == "ARMED"

    def held(self) -> Decimal:
        """Inventory of both legs at the exchange."""
        legs = self.venue.truth()["legs"]
        return sum((Decimal(legs[f"{SYMBOL}:{leg}"]["qty"]) for leg in LEGS), Decimal(0))

    def inventory(self) -> None:
        """Wait until the exchange has a position of ours."""
        assert self.bot is not None
        until(lambda: self.held() > 0, "a rung is filled", READY_S, self.bot.program)


@contextmanager
def rig(folder: Path, symbols: Sequence[str] = (SYMBOL,)) -> Iterator[Rig]:
    """Exchange and a ready daemon, which has keys of the roles viewer and operator."""
    keys = {role: make() for role in ("viewer", "operator")}
    with exchange([*MARKET, "--symbols", ",".join(symbols)], folder / "exchange.log") as venue:
        grids = [{"instrument": f"{symbol}-PERP"} for symbol in symbols]
        config = write_config(folder, venue, grids, guards=GUARDS)
        tables = [
            toml_table("[[control.keys]]", {"name": f"the-{role}", "role": role, "sha256": fingerprint(key)})
            for role, key in keys.items()
        ]
        config.path.write_text("\n".join((config.path.read_text(), *tables)))
        found = Rig(venue, config, keys)
        try:
            found.start()
            yield found
        finally:
            found.stop()


class Seen:
    """A page with what it has asked for and complained about."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type == "error" else None
        )
        self.page.goto(url)

    def log_in(self, key: str) -> None:
        """Type the key, and wait until figures are live."""
        self.page.locator("#key").fill(key)
        self.page.locator("#key").press("Enter")
        self.live()

    def live(self, timeout_s: float = 20) -> None:
        """Wait until the page says that it is live."""
        expect(self.page.locator("body:not(.old) #age")).to_contain_text("live", timeout=timeout_s * 1000)

    def state(self) -> str:
        """The state that the page shows."""
        return str(self.page.locator("#state").get_attribute("data-state"))

    def until_state(self, names: str, timeout_s: float) -> None:
        """Wait until the page shows one of these states (words in one string)."""
        wanted = ", ".join(f'#state[data-state="{name}"]' for name in names.split())
        self.page.locator(wanted).wait_for(timeout=timeout_s * 1000)


@contextmanager
def opened(found: Browser, url: str, size: tuple[int, int] = DESKTOP, scheme: str = "dark") -> Iterator[Seen]:
    """A tab of its own, without cookies of another."""
    context = found.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        has_touch=size == PHONE,
        device_scale_factor=1,
    )
    try:
        yield Seen(context, url)
    finally:
        context.close()

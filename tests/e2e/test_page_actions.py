"""The page's other buttons in a real Chromium: pause, throttle, resume, kill, rearm; and one page for several instruments."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support import page_rig
from tests.support.page_rig import READY_S, SYMBOL, Rig, opened
from tests.support.programs import until

pytestmark = pytest.mark.e2e
OTHER = "ETHUSDT"
ANSWER_MS = 30_000  # a rearm compares the books with the venue first


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with page_rig.browser() as found:
        yield found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Rig]:
    with page_rig.rig(Path(tmp_path_factory.mktemp("actions")), (SYMBOL, OTHER)) as found:
        yield found


def dialog(page: Page, button: str) -> Locator:
    """The dialog that a button behind "More" opens."""
    if not page.locator(f"#act-{button}").is_visible():
        page.locator("#more").click()
    page.locator(f"#act-{button}").click()
    return page.locator("#dialog")


def done(page: Page, said: str) -> None:
    """Confirm, wait for what the dialog says, and close it."""
    page.locator("#confirm").click()
    expect(page.locator("#dialog")).to_contain_text(said, timeout=ANSWER_MS)
    page.locator("#keep").click()
    expect(page.locator("#dialog")).to_be_hidden()


def entries(rig: Rig, symbol: str) -> int:
    """Entries of an instrument that rest at the exchange."""
    orders = rig.venue.truth()["open_orders"]
    return sum(1 for order in orders if order["symbol"] == symbol and order["type"] == "LIMIT")


def instrument(rig: Rig, symbol: str) -> dict[str, object]:
    """What status says of an instrument."""
    items = rig.ask("status")["instruments"]
    return next(item for item in items if item["instrument"].startswith(symbol))


def test_pause_throttle_and_resume(rig: Rig, chromium: Browser) -> None:
    rig.trading()
    with opened(chromium, rig.url) as seen:
        seen.log_in(rig.keys["operator"])
        seen.page.locator("#act-pause").click()
        expect(seen.page.locator("#outcome")).to_contain_text("paused; 0 entries rest", timeout=ANSWER_MS)
        assert {instrument(rig, symbol)["paused"] for symbol in (SYMBOL, OTHER)} == {True}
        expect(seen.page.locator("#incidents")).to_contain_text("entries are paused")
        shown = dialog(seen.page, "throttle")
        seen.page.locator("#scope").select_option(label=OTHER)
        seen.page.locator("#throttle-value").select_option("0.5")
        expect(shown).to_contain_text(f"From {OTHER} 1 to 0.5")
        done(seen.page, "Throttle 1 → 0.5")
        assert [float(str(instrument(rig, symbol)["throttle"])) for symbol in (SYMBOL, OTHER)] == [1, 0.5]
        shown = dialog(seen.page, "resume")
        expect(shown).to_contain_text(f"{SYMBOL}, {OTHER}, at throttle 1, 0.5")
        done(seen.page, "Resumed: entries may rest")
        assert {instrument(rig, symbol)["paused"] for symbol in (SYMBOL, OTHER)} == {False}
        seen.until_state("TRADING HELD", 20)


def test_kill_and_rearm_want_the_name_and_rearm_a_reason(rig: Rig, chromium: Browser) -> None:
    rig.trading()
    with opened(chromium, rig.url) as seen:
        seen.log_in(rig.keys["operator"])
        dialog(seen.page, "kill")
        seen.page.locator("#reason").fill("strange fills")
        seen.page.locator("#typed").fill(SYMBOL)
        expect(seen.page.locator("#confirm")).to_be_disabled()  # it is about all of them
        seen.page.locator("#typed").fill("all")
        done(seen.page, "verified by the venue")
        seen.until_state("HALTED", 20)
        assert rig.ask("status")["kill_switch"]["cause"] == "strange fills"
        shown = dialog(seen.page, "rearm")
        expect(shown).to_contain_text("strange fills")
        seen.page.locator("#reason").fill("  ")
        seen.page.locator("#typed").fill("ALL")
        seen.page.locator("#confirm").click()
        expect(shown).to_contain_text("a rearm needs a reason")
        assert rig.ask("status")["kill_switch"]["state"] == "HALTED"
        seen.page.locator("#reason").fill("checked the account")
        done(seen.page, "Rearmed: ARMED")
        assert rig.ask("status")["kill_switch"]["state"] == "ARMED"
        seen.until_state("TRADING HELD", 20)


def test_one_page_for_several_instruments(rig: Rig, chromium: Browser) -> None:
    rig.trading()
    with opened(chromium, rig.url) as seen:
        seen.log_in(rig.keys["operator"])
        page = seen.page
        for symbol in (SYMBOL, OTHER):
            expect(page.locator("#legs")).to_contain_text(symbol)
            page.locator("#instrument").select_option(label=symbol)
            expect(page.locator("#ladder-note")).to_contain_text(symbol)
            expect(page.locator("#ladder-table")).to_contain_text(f"Ladder of {symbol}")
            expect(page.locator("#ladder svg .rung").first).to_be_attached()
        assert rig.bot is not None
        until(
            lambda: entries(rig, SYMBOL) and entries(rig, OTHER), "entries of both", READY_S, rig.bot.program
        )
        page.locator("#act-flatten").click()
        expect(page.locator("#dialog")).to_contain_text("Type ALL to confirm")
        page.locator("#scope").select_option(label=OTHER)
        expect(page.locator("#dialog")).to_contain_text(f"Type {OTHER} to confirm")
        page.locator("#typed").fill(OTHER)
        done(page, "FLAT, VERIFIED")
        assert not [order for order in rig.venue.truth()["open_orders"] if order["symbol"] == OTHER]
        assert entries(rig, SYMBOL), "the other instrument trades on"

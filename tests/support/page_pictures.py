"""Pictures of the page for docs/images, taken of it running: `python -m tests.support.page_pictures`."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.support.page_rig import DESKTOP, PHONE, Rig, browser, opened, rig
from tests.support.programs import ROOT

FOLDER = ROOT / "docs" / "images"
WATCHED_MS = 20_000  # until the curves have a shape
VIEWS = (("desktop", (1440, 1340), "dark"), ("desktop-light", DESKTOP, "light"), ("phone", PHONE, "dark"))


def take(found: Browser, running: Rig, mood: str, watched_ms: int) -> None:
    """One picture a view of the page as it is now."""
    for view, size, scheme in VIEWS:
        if mood != "calm" and view == "desktop-light":
            continue
        with opened(found, running.url, size, scheme) as seen:
            seen.log_in(running.keys["operator"])
            seen.page.locator("#equity").wait_for(timeout=30_000)
            seen.page.wait_for_timeout(watched_ms)
            seen.page.screenshot(path=FOLDER / f"page-{mood}-{view}.png")


def ask_first(found: Browser, running: Rig) -> None:
    """The dialog before a flatten."""
    with opened(found, running.url, (900, 760)) as seen:
        seen.log_in(running.keys["operator"])
        seen.page.locator("#act-flatten").click()
        seen.page.screenshot(path=FOLDER / "page-flatten.png")


def main() -> int:
    """Calm, asked to flatten, tripped."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as found, rig(Path(folder)) as running:
        running.inventory()
        take(found, running, "calm", WATCHED_MS)
        ask_first(found, running)
        running.ask("kill", reason="price feed looks wrong")
        take(found, running, "tripped", 3_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())

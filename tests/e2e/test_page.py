"""The web page in a real Chromium, on a real daemon against the paper exchange, judged by the exchange's truth."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.support import page_rig
from tests.support.page_rig import DESKTOP, PHONE, SYMBOL, Rig, Seen, opened

pytestmark = [pytest.mark.e2e, pytest.mark.alone]
TRIP_SHOWN_S = 1.0
TRIP_LINE = "kill switch ARMED -> TRIPPED by "
LOGGED_IN_WITHOUT_KEY = "401"  # the browser's own line about our first reading, before the log-in

# When the page first showed that it is tripped, on the wall clock.
NOTE_TRIP = """() => {
  const state = document.getElementById("state");
  new MutationObserver(() => {
    if (["TRIPPED", "HALTED"].includes(state.dataset.state)) window.tripShownMs ??= performance.timeOrigin + performance.now();
  }).observe(state, { attributes: true });
}"""

# Contrast as WCAG 2.2 has it, of every text that is seen, against the colour that lies behind it.
CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return { rgb: n.slice(0, 3), a: n.length > 3 ? n[3] : 1 }; };
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * x + .7152 * y + .0722 * z; };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a) layers.push(colour);
      if (colour.a === 1) break;
    }
    return layers.reverse().reduce((under, over) => under.map((v, i) => over.rgb[i] * over.a + v * (1 - over.a)), [255, 255, 255]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const bad = []; let seen = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest("script, noscript, .hidden, .skip, :disabled")) continue;
    const style = getComputedStyle(element);
    const inSvg = element.namespaceURI.endsWith("svg");
    const ground = element.classList.contains("mark-text") ? parse(getComputedStyle(document.querySelector(".mark-box")).fill).rgb : behind(inSvg ? element.closest("div") : element);
    const ink = parse(inSvg ? style.fill : style.color).rgb;
    const [a, b] = [light(ink), light(ground)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    seen += 1;
    if (ratio < (large ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)} ${element.tagName}.${element.getAttribute("class")} ${walker.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return { seen, bad };
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with page_rig.browser() as found:
        yield found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Rig]:
    with page_rig.rig(Path(tmp_path_factory.mktemp("page"))) as found:
        yield found


@pytest.fixture
def trading(rig: Rig) -> Rig:
    """A daemon that trades, whatever the test before it has done."""
    if rig.bot is None:
        rig.start()
    if rig.ask("status")["kill_switch"]["state"] == "HALTED":
        rig.ask("rearm", reason="next test")
    rig.ask("resume")
    rig.ask("throttle", throttle=1)
    return rig


def complaints(seen: Seen) -> list[str]:
    return [text for text in seen.complaints if LOGGED_IN_WITHOUT_KEY not in text]


def test_it_logs_in_goes_live_and_asks_nobody_else(trading: Rig, chromium: Browser) -> None:
    trading.inventory()
    with opened(chromium, trading.url) as seen:
        expect(seen.page.locator("#login")).to_be_visible()
        seen.page.locator("#key").fill("hgd_wrong")
        seen.page.locator("#key").press("Enter")
        expect(seen.page.locator("#login-error")).to_contain_text("not known")
        seen.log_in(trading.keys["operator"])
        expect(seen.page.locator("#me")).to_have_text("the-operator (operator)")
        expect(seen.page.locator("#safe")).to_contain_text(":")
        expect(seen.page.locator("#ladder svg .rung").first).to_be_attached()
        expect(seen.page.locator("#guards li").first).to_be_visible()
        expect(seen.page.locator("#orders tbody tr").first).to_be_visible()
        expect(seen.page.locator("#journal tbody tr").first).to_be_visible()
        expect(seen.page.locator("#equity")).to_be_visible(timeout=20_000)  # drawn by the package's script
        assert seen.page.evaluate("typeof window.Chart") == "function"
        cookies = seen.context.cookies()
        assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
            ("hedgegridd_session", True, "Strict")
        ]
        assert seen.page.evaluate("document.cookie") == "", "no script can read it"
        seen.page.reload()
        seen.live()  # by its cookie
        own = urlsplit(trading.url).netloc
        assert len(seen.asked) > 20
        assert {urlsplit(url).netloc for url in seen.asked} == {own}
        assert not complaints(seen)


def test_a_trip_is_seen_within_a_second(trading: Rig, chromium: Browser) -> None:
    with opened(chromium, trading.url) as seen:
        seen.log_in(trading.keys["viewer"])
        seen.until_state("TRADING HELD", 20)
        seen.page.evaluate(NOTE_TRIP)
        trading.ask("kill", reason="a trip to be seen")
        seen.until_state("TRIPPED HALTED", 10)
        shown_s = seen.page.evaluate("window.tripShownMs") / 1000
        (tripped,) = [line for line in trading.ask("status")["recent"] if TRIP_LINE in line["text"]][-1:]
        took_s = shown_s - float(tripped["time_ns"]) / 1e9  # both of this machine's clock
        assert 0 < took_s < TRIP_SHOWN_S
        seen.until_state("HALTED", 10)
        expect(seen.page.locator("#incidents")).to_contain_text("a trip to be seen")
        expect(seen.page.locator("#do")).to_contain_text("rearm")
        expect(seen.page.locator("#journal")).to_contain_text("kill switch")
        assert seen.page.title().startswith("■ HALTED")


def test_it_flattens_after_the_name_was_typed(trading: Rig, chromium: Browser) -> None:
    trading.inventory()
    with opened(chromium, trading.url) as seen:
        seen.log_in(trading.keys["operator"])
        seen.page.locator("#act-flatten").click()
        dialog = seen.page.locator("#dialog")
        expect(dialog).to_contain_text("Closes at market")
        expect(dialog).to_contain_text("PAPER")
        confirm = seen.page.locator("#confirm")
        expect(confirm).to_be_disabled()
        seen.page.keyboard.press("Enter")
        seen.page.locator("#typed").fill("ETHUSDT")
        expect(confirm).to_be_disabled()
        trading.inventory()
        assert not any("/flatten" in url for url in seen.asked), "nothing is sent before the name is right"
        seen.page.locator("#typed").fill("btcusdt")
        confirm.click()
        expect(dialog).to_contain_text("FLAT, VERIFIED", timeout=15_000)
        expect(dialog).to_contain_text("proof:")
        assert trading.held() == 0
        assert trading.venue.truth()["open_orders"] == []
        seen.page.locator("#keep").click()
        expect(seen.page.locator("#outcome")).to_contain_text("FLAT, VERIFIED")


def test_it_survives_a_restart_and_says_so(trading: Rig, chromium: Browser) -> None:
    with opened(chromium, trading.url) as seen:
        seen.log_in(trading.keys["operator"])
        trading.stop()
        contact = seen.page.locator("#contact")
        expect(contact).to_contain_text("Connection lost", timeout=5_000)
        expect(contact).to_contain_text("Figures are old, from")
        assert seen.page.evaluate("document.body.classList.contains('old')")
        grey = seen.page.evaluate("getComputedStyle(document.getElementById('money')).filter")
        assert grey == "grayscale(1)", "old figures do not look live"
        expect(contact).to_contain_text("No contact for", timeout=25_000)
        assert seen.state() == "NO CONTACT"
        trading.start()
        expect(contact).to_contain_text("restarted", timeout=20_000)
        seen.live()
        assert seen.state() != "NO CONTACT"


def test_a_viewer_sees_all_and_can_do_nothing(trading: Rig, chromium: Browser) -> None:
    trading.inventory()
    with opened(chromium, trading.url) as seen:
        seen.log_in(trading.keys["viewer"])
        expect(seen.page.locator("#actions")).to_contain_text("need operator")
        assert seen.page.locator("#actions button").count() == 0
        status = seen.page.evaluate(
            """async () => {
              const statuses = [];
              for (const [path, body] of [["flatten", { side: "both" }], ["kill", {}], ["pause", {}], ["throttle", { throttle: 0 }]]) {
                const answer = await fetch("/" + path, { method: "POST", body: JSON.stringify(body),
                  headers: { "Content-Type": "application/json", "X-Requested-With": "hedgegridd-page" } });
                statuses.push(answer.status);
              }
              return statuses;
            }"""
        )
        assert status == [403, 403, 403, 403]
        assert trading.ask("status")["kill_switch"]["state"] == "ARMED"


def test_everything_is_done_by_keyboard_alone(trading: Rig, chromium: Browser) -> None:
    trading.inventory()
    with opened(chromium, trading.url) as seen:
        keys = seen.page.keyboard
        expect(seen.page.locator("#key")).to_be_focused()
        keys.type(trading.keys["operator"])
        keys.press("Enter")
        seen.live()
        focused = "document.activeElement.id"
        for _ in range(12):
            keys.press("Tab")
            if seen.page.evaluate(focused) == "act-flatten":
                break
        assert seen.page.evaluate(focused) == "act-flatten"
        outline = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "the focus is seen"
        keys.press("Enter")
        expect(seen.page.locator("#typed")).to_be_focused()
        keys.press("Escape")
        expect(seen.page.locator("#act-flatten")).to_be_focused()
        keys.press("Enter")
        expect(seen.page.locator("#typed")).to_be_focused()
        keys.type(SYMBOL)
        keys.press("Enter")
        expect(seen.page.locator("#dialog")).to_contain_text("FLAT, VERIFIED", timeout=15_000)
        assert trading.held() == 0
        expect(seen.page.locator("#keep")).to_be_focused()
        keys.press("Enter")
        expect(seen.page.locator("#dialog")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_has_contrast_calm_and_tripped(trading: Rig, chromium: Browser, scheme: str) -> None:
    trading.inventory()
    with opened(chromium, trading.url, DESKTOP, scheme) as seen:
        assert seen.page.evaluate(CONTRAST)["bad"] == [], "the log-in"
        seen.log_in(trading.keys["operator"])
        expect(seen.page.locator("#orders table")).to_be_visible()
        calm = seen.page.evaluate(CONTRAST)
        assert calm["seen"] > 100
        assert calm["bad"] == []
        trading.ask("kill", reason="contrast")
        seen.until_state("HALTED", 10)
        assert seen.page.evaluate(CONTRAST)["bad"] == []
        for state in ("TRIPPED", "HELD"):  # the first lasts too short to be looked at
            seen.page.evaluate("state => { document.getElementById('state').dataset.state = state; }", state)
            assert seen.page.evaluate(CONTRAST)["bad"] == [], state


def test_a_phone_needs_no_scrolling_sideways(trading: Rig, chromium: Browser) -> None:
    for size in (PHONE, (320, 568)):
        with opened(chromium, trading.url, size) as seen:
            seen.log_in(trading.keys["operator"])
            expect(seen.page.locator("#orders table, #orders p").first).to_be_attached()
            width, inner = seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width <= inner
            boxes = [panel.bounding_box() for panel in seen.page.locator(".state, .panel").all()]
            assert all(box and box["width"] > 0.9 * size[0] for box in boxes), "one panel below the other"
            for button in ("#act-pause", "#act-flatten", "#more"):
                box = seen.page.locator(button).bounding_box()
                assert box is not None
                assert box["height"] >= 44
                assert box["y"] + box["height"] <= size[1], "under the thumb, without scrolling"
            seen.page.locator("#more").click()
            expect(seen.page.locator("#act-kill")).to_be_in_viewport()
            seen.page.locator("#act-flatten").click()
            expect(seen.page.locator("#keep")).to_be_in_viewport()

"""The dashboard in a real browser: it fills, moves, finds a customer, and can be used by all."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright, expect

from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.embedded import MockBroker, Valkey
from streams.producer import OutputProducer
from streams.reporting import Reporter
from tests.web.gates import gate
from tests.web.serving import KEYS, serving, web_settings
from tests.web.worlds import Scorer, acted, metrics, scores

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SLOWLY = 60_000  # ms: a busy machine says nothing about a page
# Notes how long the page waits; five seconds are those of its watch.
NOTE_WAITS = """() => {
  const set = window.setTimeout;
  document.body.dataset.waits = "";
  window.setTimeout = (then, ms) => {
    if (ms !== 5000) document.body.dataset.waits += `${Math.round(ms)} `;
    return set(then, ms);
  };
}"""
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder, to make those in docs/ anew


def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        reason = "no chromium: install Debian's package chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
        raise AssertionError
    return found


@asynccontextmanager
async def browsing(address: str, **context: Any) -> AsyncIterator[Page]:
    """Open a page in Debian's Chromium; whatever it complains about fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = await browser.new_page(**context)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda r: None if r.url.startswith(address) else complaints.append(r.url)
        )
        expect.set_options(timeout=SLOWLY)
        await page.goto(address)
        try:
            yield page
        finally:
            await browser.close()
        assert complaints == []


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[tuple[str, Scorer]]:
    """Serve the role beside a scorer that reports, a learner that has, and a filled cache."""
    scorer = Scorer()
    client = connect(settings)
    producer = OutputProducer(settings, lambda _: None)
    async with serving(settings) as served:
        await producer.start()
        await CacheWriter(settings, client).write(*scores(), acted())
        await producer.deliver(settings.topic("metrics"), 0, metrics())
        reporting = asyncio.ensure_future(Reporter(settings, {"score": scorer}).run())
        try:
            yield served.base, scorer
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
            await producer.stop()
            await client.aclose()


async def violations(page: Page) -> list[str]:
    found = await Axe().run(page)
    return [f"{each['id']}: {each['help']}" for each in found.response["violations"]]


async def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(path=f"{SCREENSHOTS}/{name}.png", full_page=True)


async def test_it_fills_moves_finds_a_customer_and_switches_its_theme(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, api_keys=[])
    async with world(settings) as (address, scorer), browsing(address) as page:
        await expect(page.locator("#connection")).to_have_text("live")
        await expect(page.locator("#lag")).to_contain_text("crm.events[3]")
        await expect(page.locator("#lag")).to_contain_text("4,711")
        await expect(page.get_by_label("API key")).to_be_hidden()
        await expect(page.locator("#segments")).to_contain_text("cant lose them")
        await expect(page.locator("#at-risk")).to_have_text("1")
        await expect(page.locator("#quality")).to_contain_text("auc 0.81")
        await expect(page.locator("#curves")).to_contain_text("settled 0.81, estimated 0.79")
        await expect(page.locator("#curves .drift")).not_to_have_count(0)
        await expect(page.locator("#drift")).to_contain_text("recency")
        await expect(page.locator("#champions")).to_contain_text("forest promoted")
        await expect(page.locator("#letters")).to_contain_text("malformed-json")
        await expect(page.locator("#moves")).to_contain_text("championsat risk7")
        await expect(page.locator("#actions")).to_contain_text("win backsuppressed5")
        await expect(page.locator("#uplift")).to_contain_text("0.11 (0.04 to 0.18)higher")
        await expect(page.locator("#uplift")).to_contain_text("not yet known")
        assert await violations(page) == []

        scorer.consumed, scorer.lag = 900, 12
        await expect(page.locator("#lag")).to_contain_text("12")
        await expect(page.locator("#rate")).to_have_text(re.compile("^[1-9][0-9]*$"))

        await page.get_by_label("Customer id").fill("c-1")
        await page.keyboard.press("Enter")
        shown = page.locator("#customer-result")
        await expect(shown).to_contain_text("Probability of leaving over the newest 20 scores")
        await expect(shown).to_contain_text("last active 40 days ago (speaks for leaving)")
        await expect(shown).to_contain_text("i-1: often bought together")
        await expect(shown).to_contain_text("win back, suppressed (cap channel): likely to leave")
        assert await shown.locator("polyline").count() == 1
        assert await violations(page) == []
        await picture(page, "dashboard-light")

        await page.get_by_role("button", name="Dark").click()
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert await violations(page) == []
        await picture(page, "dashboard-dark")
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"

        await page.get_by_label("Customer id").fill("<img src=x onerror=alert(1)>/nobody")
        await page.get_by_role("button", name="Show").click()
        await expect(shown).to_contain_text("holds nothing of this customer")


async def test_a_phone_shows_it_without_scrolling_sideways_and_a_key_is_asked_for(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
    async with world(settings) as (address, _), browsing(address, **phone) as page:
        await expect(page.get_by_label("API key")).to_be_visible()
        assert await violations(page) == []
        await page.get_by_label("API key").fill(KEYS["marketer"])
        await page.keyboard.press("Enter")
        await expect(page.locator("#lag")).to_contain_text("crm.events[3]")
        await expect(page.get_by_label("API key")).to_be_hidden()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert await violations(page) == []
        await picture(page, "dashboard-phone")


async def test_all_of_it_is_reached_by_keyboard(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, api_keys=[])
    async with world(settings) as (address, _), browsing(address) as page:
        await expect(page.locator("#connection")).to_have_text("live")
        reached = []
        for _ in range(9):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.textContent.trim()"))
        assert reached[0] == "Skip to the figures"
        for wanted in ("Pause", "Dark", "Show", "OpenAPI", "Metrics", "Health"):
            assert wanted in reached


async def test_it_can_be_paused_and_leaves_alone_what_has_not_changed(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, api_keys=[])
    async with (
        world(settings) as (address, scorer),
        browsing(address) as page,
        browsing(address) as other,
    ):
        await expect(page.locator("#moves")).to_contain_text("champions")
        await expect(page.locator("#lag")).to_contain_text("4,711")
        await page.evaluate("document.querySelector('#moves tbody tr').seen = true")
        scorer.lag = 12
        await expect(page.locator("#lag")).to_contain_text("12")
        assert await page.evaluate("document.querySelector('#moves tbody tr').seen")

        pause = page.get_by_role("button", name="Pause")
        await pause.click()
        assert await pause.get_attribute("aria-pressed") == "true"
        await expect(page.locator("#connection")).to_have_text("paused")
        assert await violations(page) == []
        scorer.lag = 34
        await expect(other.locator("#lag")).to_contain_text("34")
        await expect(page.locator("#lag")).to_contain_text("12")
        await pause.click()
        await expect(page.locator("#lag")).to_contain_text("34")
        await expect(page.locator("#connection")).to_have_text("live")


async def test_it_says_when_it_is_not_live_and_comes_back(
    app: str, mock_broker: MockBroker, own_valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, own_valkey, api_keys=[])
    async with (
        serving(settings) as served,
        gate(served.base) as way,
        browsing(way.address) as page,
    ):
        connection = page.locator("#connection")
        await expect(connection).to_have_text("live")
        own_valkey.kill()
        await expect(page.get_by_role("status").filter(has_text="Redis at")).to_be_visible()
        way.freeze()
        await expect(connection).to_contain_text("trying again")
        way.thaw()
        await expect(connection).to_have_text("live")
        served.role.stopping = True  # streams end in order
        await expect(connection).to_have_text("reconnecting")


async def test_it_waits_as_it_is_told_and_never_for_the_same_time(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey, api_keys=[])
    async with (
        serving(settings) as served,
        gate(served.base) as way,
        browsing(way.address) as page,
    ):
        await expect(page.locator("#connection")).to_have_text("live")
        await page.evaluate(NOTE_WAITS)
        way.refuse("502 Bad Gateway")
        await expect(page.locator("#connection")).to_contain_text("the server answers 502")
        await page.get_by_label("Customer id").fill("c-1")
        await page.keyboard.press("Enter")
        await expect(page.locator("#customer-result")).to_have_text("the server answers 502")
        body = page.locator("body")
        await expect(body).to_have_attribute("data-waits", re.compile(r"(\d+ ){3,}"))
        waits = [int(each) for each in (await body.get_attribute("data-waits") or "").split()]
        assert len(set(waits)) == len(waits)
        assert 2000 <= min(waits) <= max(waits) <= 4000
        way.refuse("503 Service Unavailable", "retry-after: 60")
        await expect(body).to_have_attribute("data-waits", re.compile(r"\b(1\d|[6-9])\d{4} "))

"""The page of drills in a browser: begun by keyboard, seen on the live page by everybody, ended there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.served import Console

pytestmark = pytest.mark.browser


def shot(page: Page, name: str) -> None:
    """For people to look at, where a folder is given."""
    if folder := os.environ.get("LIFELINE_TEST_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_drill_is_begun_by_keyboard_told_to_everybody_and_ended(page: Page, console: Console) -> None:
    page.get_by_role("link", name="Drills", exact=True).click()
    page.get_by_label("What it does").select_option("hang")
    page.get_by_label("What for").fill("the weekly one")
    shot(page, "drills-form-light")
    page.get_by_label("What for").press("Enter")
    expect(page.get_by_text("Begun. It ends by itself after 60 s.")).to_be_visible()
    expect(page.locator("#drill-state")).to_contain_text("Under way: Understanding accepts and never answers")
    bar = page.locator("#drill-state progress")
    before = float(bar.get_attribute("value") or 0)
    expect(bar).not_to_have_attribute("value", f"{before:.0f}")
    shot(page, "drills-running-light")
    page.goto(console.url)
    banner = page.locator("#drill")
    expect(banner).to_contain_text("A drill is running: Understanding accepts and never answers, for simulated calls only")
    expect(banner).to_contain_text("Ends in")
    shot(page, "drills-live-light")
    banner.get_by_role("button", name="End it now").press("Enter")
    expect(page.get_by_text("No drill is under way.")).to_be_visible()
    expect(page.get_by_role("heading", name="Understanding accepts and never answers")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    shot(page, "drills-dark")

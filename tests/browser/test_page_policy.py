"""The content security policy in a real browser: no page breaks it, and a script put into a page does not run."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.served import Console
from tests.browser.test_live_page import ANSWERS, UUID

pytestmark = pytest.mark.browser
ROWS = """
from ai_engine.models import Engine
from callflows import demo
demo.ensure_draft()
Engine.objects.update_or_create(name="own", defaults=dict(stage="stt", order=1, kind="vosk", address="ws://127.0.0.1:9"))
"""
# Before any script of the page: what the browser refused, kept over the pages of this test in Python.
WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error("REFUSED " + event.violatedDirective + " " + event.blockedURI));
"""
CONSOLE_PAGES = [
    "/", "/calls/", f"/calls/{UUID}/", "/incidents/", "/circuits/moves/", "/speed/", "/switches/main/channels/", "/not-there/",
]  # fmt: skip
MODELS = ["ai_engine/engine", "callflows/flow", "callflows/prompt", "callflows/flowversion", "auth/user", "auth/group"]


@pytest.fixture
def refused(page: Page) -> list[str]:
    found: list[str] = []

    def heard(text: str) -> None:
        if "REFUSED" in text or "Content Security Policy" in text:
            found.append(f"{page.url}: {text}")

    page.on("console", lambda message: heard(message.text))
    page.add_init_script(WATCH)
    return found


def test_no_page_of_the_console_breaks_the_policy(console: Console, page: Page, refused: list[str]) -> None:
    console.write(ANSWERS, nudge=False)
    for path in CONSOLE_PAGES:
        page.goto(console.url + path)
        expect(page.locator("header.top")).to_be_visible()
        assert "script-src 'self';" in (page.evaluate("fetch(location).then(r => r.headers.get('Content-Security-Policy'))") + ";")
    page.goto(console.url)
    expect(page.locator("#connection")).to_have_text("Live")
    page.get_by_role("button", name="Dark").click()
    page.get_by_role("button", name="Mend").click()
    expect(page.locator("#fault-answer")).to_contain_text("Confirmed")
    page.get_by_role("button", name="Log out", exact=False).click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert refused == []


def test_no_page_of_the_admin_breaks_the_policy(console: Console, page: Page, refused: list[str]) -> None:
    console.write(ROWS, nudge=False)
    page.goto(f"{console.url}/admin/")
    seen: set[str] = set()
    for model in MODELS:
        page.goto(f"{console.url}/admin/{model}/")
        rows = page.locator("#result_list a[href*='/change/']")
        opened = [rows.first.get_attribute("href") or ""] if rows.count() else []
        for path in (*opened, f"/admin/{model}/add/"):
            answer = page.goto(console.url + path)
            # A published version cannot be added.
            if answer is not None and answer.ok:
                assert page.evaluate("window.Alpine !== undefined"), page.url
                seen.add(page.url.removeprefix(console.url).split("/")[3])
    page.goto(f"{console.url}/admin/callflows/flow/")
    assert seen == {"engine", "flow", "prompt", "user", "group"}
    page.locator("#result_list a[href*='/change/']").first.click()
    page.get_by_role("link", name="Check").first.click()
    expect(page.get_by_role("heading", name="The keypad menu, as callers hear it")).to_be_visible()
    assert refused == []


def test_a_script_in_the_text_of_a_page_does_not_run(console: Console, page: Page, refused: list[str]) -> None:
    for path in ("/calls/", "/admin/"):
        page.goto(console.url + path)
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.injected = true";
                document.body.append(script);
                const picture = document.createElement("img");
                picture.setAttribute("onerror", "window.injected = true");
                picture.src = "/not-there.png";
                document.body.append(picture);
                return new Promise((done) => picture.addEventListener("error", () => done()));
            }"""
        )
        assert page.evaluate("window.injected") is None
    assert len([line for line in refused if "REFUSED script-src" in line]) >= 4, refused

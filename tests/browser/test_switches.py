"""The switches on the live page in a real browser: a real worker looks at a simulated switch and places a test call."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time

import pytest
from playwright.sync_api import Page, expect

from console import words
from tests.browser.served import ROOT, START_LIMIT_S, Console, shot

pytestmark = [pytest.mark.browser]
LOOK = """
from console.celery import app
app.send_task("console.watch_switches")
"""
# As a bridge's first report makes it.
REPORTED = """
from console.models import TrialCall
Call.objects.create(call_uuid=TrialCall.objects.get(state="answered").call_uuid, destination="9200", flow_slug="bank",
    flow_version=1, bridge_id="bridge-1", step="greeting", started_at=now, last_event_at=now)
"""
LONG_AGO = """
from console.models import SwitchReport
SwitchReport.objects.update(looked_at=now - timedelta(minutes=5))
"""


class Process:
    """One of our own, gone at the latest with the test."""

    def __init__(self, console: Console, *argv: str) -> None:
        self._process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, env=console.env)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def until_listening(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.05)
        else:
            return


def test_a_switch_is_seen_called_and_missed_without_a_reload(page: Page, console: Console) -> None:
    card = page.locator("#switch-main")
    expect(card).to_contain_text("No look at it is stored yet")
    worker = ("-m", "celery", "-A", "console.celery", "worker", "--pool", "solo", "--loglevel", "WARNING")
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    with Process(console, *worker, *quiet), Process(console, "manage.py", "run_simulator", "--rate", "0") as simulator:
        until_listening(int(console.env["LIFELINE_SWITCH_PORT"]))
        console.python(LOOK)
        expect(card.locator(".badge")).to_have_text("Reachable", timeout=START_LIMIT_S * 1000)
        expect(card.get_by_label("0 of 10,000 sessions")).to_have_count(1)
        age = card.locator("[data-ago]")
        before = age.inner_text()
        expect(age).not_to_have_text(before)
        place_a_test_call_by_keyboard(page)
        expect(page.locator("#test-call-answer")).to_contain_text("Asked for a test call on main")
        # No bridge runs here, and the page says just that.
        expect(page.locator("#trial")).to_contain_text("Answered on the switch; waiting for the bridge's first report")
        console.write(REPORTED)
        expect(page.locator("#trial")).to_contain_text("Answered by bridge-1, on the line: Greeting.")
        expect(page.locator("#calls .badge.test")).to_have_text("Test call")
        expect(page.locator("details.confirm")).to_have_attribute("open", "")
        shot(page, "test-call-light")
        every_width(page)
        page.get_by_role("link", name="Channels of switch main").click()
        expect(page.locator("main")).to_contain_text("as 127.0.0.1:")
        shot(page, "channels-light")
        every_width(page)
        page.go_back()
        expect(page.locator("#connection")).to_have_text("Live")
        page.evaluate("window.neverReloaded = true")
        simulator.stop()
        console.python(LOOK)
        expect(card.locator(".badge")).to_have_text("Not reachable")
        expect(card).to_contain_text("cannot be reached: Connection refused.")
        expect(card.locator("meter")).to_have_count(0)
        shot(page, "unreachable-light")
    console.write(LONG_AGO, nudge=False)
    expect(card).to_contain_text("the worker that looks (celery) is not running")
    expect(card.locator("[data-ago]")).to_have_count(0)
    shot(page, "not-looked-at-light")
    assert page.evaluate("window.neverReloaded")


def place_a_test_call_by_keyboard(page: Page) -> None:
    page.get_by_text("Place a test call").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Call now")).to_be_focused()
    page.keyboard.press("Enter")


def every_width(page: Page) -> None:
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_ages_are_written_alike_by_the_page_and_its_script(page: Page) -> None:
    for seconds, said in ((7, r"[789] s"), (278, r"4 min (38|39|40) s"), (15_120, "4 h 12 min")):
        assert re.fullmatch(said, words.long_duration(seconds))
        page.evaluate(
            "(seconds) => { const clock = document.createElement('span'); clock.id = 'age'; "
            "document.getElementById('age')?.remove(); clock.dataset.ago = Date.now() - seconds * 1000; "
            "document.querySelector('h1').after(clock); }",
            seconds,
        )
        expect(page.locator("#age")).to_have_text(re.compile(f"^{said}$"))

"""One served console for the tests of a module, and for each test a page that an operator has logged in to."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.served import ARGS, CHROMIUM, MAKE_USER, PASSWORD, ROOT, SET_UP, Console, free_ports
from tests.console.journal import report_bridge
from tests.redis_server import RedisServer

DATABASE = "lifeline.sqlite3"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a console that nobody has used yet, with its operator: made once, and copied for each module."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "static").mkdir()
    env = _environ(folder)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0", "--skip-checks"], cwd=ROOT, env=env, check=True)
    subprocess.run([sys.executable, "-c", SET_UP + MAKE_USER], cwd=ROOT, env=env, check=True)
    return folder / DATABASE


def _environ(folder: Path | str) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LIFELINE_", "DATABASE_URL"))}
    return env | {"DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DATA_DIR": str(folder), "LIFELINE_DEMO": "true"}


@pytest.fixture(scope="module")
def console(empty_database: Path) -> Iterator[Console]:
    with (
        tempfile.TemporaryDirectory(prefix="lifeline-browser-") as folder,
        RedisServer(durable=True) as durable,
        RedisServer(durable=False) as volatile,
    ):
        port, switch_port, bridge_port = free_ports(3)
        (Path(folder) / "static").mkdir()
        shutil.copy(empty_database, folder)
        env = _environ(folder) | {
            "LIFELINE_REDIS_DURABLE_URL": durable.url, "LIFELINE_REDIS_VOLATILE_URL": volatile.url,
            "LIFELINE_CELERY_BROKER_URL": f"redis+socket://{durable.socket}?virtual_host=0",
            "LIFELINE_SWITCH_PORT": str(switch_port), "LIFELINE_ESL_PORT": str(bridge_port),
        }  # fmt: skip
        command = [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "console.asgi:application"]
        served = Console(f"http://127.0.0.1:{port}", env, command, volatile)
        try:
            served.start()
            report_bridge(durable.url)
            yield served
        finally:
            served.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on PATH (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGS))
        yield browser
        browser.close()
    # Playwright leaves its loop as the thread's current one, which would trip the async tests that follow.
    asyncio.set_event_loop(None)


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(console.url)
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#connection")).to_have_text("Live")
    # A reload would lose it: what follows is pushed.
    page.evaluate("window.neverReloaded = true")
    yield page
    assert errors == []
    context.close()

"""The engines' admin in a browser: a row is tried without a reload, in both colour schemes, and the page says how it went."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from callflows.definition.flow import encode_snapshot
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.on_a_loop import serving
from tests.browser.served import Console, shot

# The console imports every provider's client at its first trial, on a machine that is busy with other tests.
WITHIN_MS = 20_000
pytestmark = pytest.mark.browser
ROWS = """
from ai_engine.models import Engine
for name, stage, order, kind, address, more in (
    ("deepgram", "stt", 1, "deepgram", "wss://api.deepgram.com/v1/listen", {{"secret": "LIFELINE_SECRET_DEEPGRAM"}}),
    ("vosk-eu", "stt", 2, "vosk", "{vosk}", {{}}),
    ("own-model", "nlu", 1, "openai", "{nlu}", {{"http2": True, "model": "qwen3-8b", "price_read_m": 0.4}}),
    ("old-voice", "tts", 1, "openai", "{tts}", {{"http2": True, "enabled": False}}),
):
    given = dict(stage=stage, order=order, kind=kind, address=address, first_byte_s=5, total_s=8, **more)
    Engine.objects.update_or_create(name=name, defaults=given)
"""


def test_an_engine_is_tried_from_its_row(console: Console, page: Page) -> None:
    with serving(FakeVosk()) as vosk, serving(FakeOpenAI()) as nlu, serving(FakeOpenAI()) as tts:
        console.write(ROWS.format(vosk=vosk.url, nlu=nlu.url, tts=tts.url), nudge=True)
        (Path(console.env["LIFELINE_DATA_DIR"]) / "flows.json").write_bytes(encode_snapshot(demo_snapshot()))
        expect(page.locator("#circuit-old-voice")).to_contain_text("Disabled: calls do not use it")
        circuits = page.locator("#circuits li .engine").all_inner_texts()
        assert circuits.index("deepgram") < circuits.index("vosk-eu") < circuits.index("own-model")
        shot(page, "engines-live")
        page.goto(f"{console.url}/admin/ai_engine/engine/")
        expect(page.get_by_text("Every engine is disabled for: Speech (tts)")).to_be_visible()
        shot(page, "engines-list-light")
        page.get_by_role("link", name="vosk-eu", exact=True).click()
        shot(page, "engines-form-light")
        page.get_by_role("link", name="Try it").first.click()
        page.evaluate("window.neverReloaded = true")
        button = page.get_by_role("button", name="Try it")
        button.click()
        expect(page.locator("#trying")).to_be_visible()
        expect(button).to_be_disabled()
        expect(page.get_by_role("heading", name="It works")).to_be_visible(timeout=WITHIN_MS)
        expect(page.locator("#tried dd").filter(has_text="what are your opening hours").first).to_be_visible()
        page.wait_for_function("document.querySelector('#tried audio').duration > 1")
        shot(page, "engines-try-light")
        vosk.fault = "401"
        button.click()
        expect(page.get_by_role("alert")).to_contain_text("The engine wants a key (401), and this row names none")
        assert page.evaluate("window.neverReloaded")
        shot(page, "engines-refused-light")
        page.emulate_media(color_scheme="dark")
        for path, name in (("", "list"), ("?stage__exact=stt", "filtered")):
            page.goto(f"{console.url}/admin/ai_engine/engine/{path}")
            shot(page, f"engines-{name}-dark")
        page.get_by_role("link", name="vosk-eu", exact=True).click()
        shot(page, "engines-form-dark")
        page.goto(f"{console.url}/admin/ai_engine/engine/")
        page.get_by_role("link", name="Try own-model").click()
        page.get_by_role("button", name="Try it").click()
        expect(page.get_by_role("heading", name="It works")).to_be_visible(timeout=WITHIN_MS)
        shot(page, "engines-try-dark")

"""The page on speed and a call's turns in a real browser: by keyboard, light and dark, wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.served import Console, shot

pytestmark = [pytest.mark.browser]
UUID = "7d1c6b3e-6c7e-4a0f-9d55-2f1a60c0a0f5"
TURNS = f"""
import random
import msgspec
from ai_engine.messages import StageTiming, Usage
from console.models import Turn
from console.tallies import tally_turns
dice = random.Random(3)
Call.objects.filter(started_at__lt=now - timedelta(minutes=1)).delete()
def ms(middle, busy): return round(dice.lognormvariate(0, 0.35) * middle * busy, 1)
calls, turns = [], []
for number in range(600):
    at = now - timedelta(seconds=6 * number)
    busy = 2.2 if 160 < number < 230 else 1
    calls.append(Call(call_uuid="{UUID}" if number == 200 else str(uuid.uuid4()), caller="+441632960217", destination="9100",
        flow_slug="bank", flow_version=3, mode="ai", started_at=at - timedelta(seconds=40), last_event_at=at,
        ended_at=at + timedelta(seconds=30 * busy * busy), ended_by="caller", hangup_cause="NORMAL_CLEARING"))
    stages = [StageTiming("stt", "deepgram", 1, ms(300, busy), ms(110, busy), queue_ms=ms(3, busy), usage=Usage(heard_s=2.4),
        connect_ms=ms(40, busy) if number % 6 == 0 else None, cost=0.00018)]
    if number % 20 == 0:
        stages = [StageTiming("stt", "deepgram", 3, ms(1400, 1), kind="timeout"),
            StageTiming("stt", "local-stt", 1, ms(420, busy), ms(120, busy))]
    if number % 3 == 1:
        stages.append(StageTiming("nlu", "", 0, 0.6, 0.6, cache="intents"))
        stages.append(StageTiming("tts", "", 0, 0.4, 0.4, cache="speech"))
    else:
        stages.append(StageTiming("nlu", "claude", 2 if number % 9 == 0 else 1, ms(600, busy), ms(250, busy), queue_ms=ms(5, busy),
            usage=Usage(1840, 1600, 64), cost=0.0021))
        stages.append(StageTiming("tts", "openai", 1, ms(350, busy), ms(180, busy), usage=Usage(characters=80), cost=0.0012))
    turns.append(Turn(call=calls[-1], turn=1001, expect="intent", outcome="understood", transcript="what is my balance",
        intent="balance", confidence=0.9, answer_ms=sum(stage.total_ms for stage in stages), queue_ms=ms(6, busy),
        stages=[msgspec.to_builtins(stage) for stage in stages], worker_id="worker-1", finished_at=at))
Call.objects.bulk_create(calls)
Turn.objects.bulk_create(turns)
tally_turns()
"""


@pytest.fixture(scope="module")
def an_hour(console: Console) -> None:
    console.write(TURNS, nudge=False)


def test_a_part_is_chosen_by_keyboard_and_stays_chosen_in_another_window(page: Page, console: Console, an_hour: None) -> None:
    page.get_by_role("link", name="Speed").click()
    expect(page.get_by_role("heading", name="How fast the AI answers")).to_be_visible()
    expect(page.get_by_role("img", name="The whole answer, from")).to_be_visible()
    shot(page, "speed-light")
    page.get_by_role("link", name="Understanding by claude").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Understanding by claude")).to_be_visible()
    expect(page.locator("tr.shown")).to_contain_text("Understanding by claude")
    page.get_by_role("link", name="Last 24 hours").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="Understanding by claude, from")).to_be_visible()
    summary = page.get_by_text("The same as a table")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Calls at once")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
@pytest.mark.parametrize("name", ["speed", "call"])
def test_it_fits_and_can_be_read_in_light_and_dark(
    page: Page, console: Console, an_hour: None, scheme: str, width: int, name: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{console.url}/speed/" if name == "speed" else f"{console.url}/calls/{UUID}/")
    expect(page.get_by_role("row", name="deepgram").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate("""() => { const style = getComputedStyle(document.querySelector('main td'));
        return [style.color, getComputedStyle(document.querySelector('.card')).backgroundColor]; }""")
    assert len(set(colours)) == 2
    shot(page, f"{name}-{scheme}-{width}")

"""A call's page says of each turn where its time went; a bar never says more than is known."""

from __future__ import annotations

import msgspec
import pytest
from django.utils import timezone

from ai_engine.messages import StageTiming, Usage
from console.models import Turn
from console.waterfall import BAR_WIDTH, waterfall
from tests.console.test_pages import browser_of, make_call, text

STAGES = [
    msgspec.to_builtins(stage)
    for stage in (
        StageTiming("stt", "deepgram", 3, 1500.0, kind="timeout"),
        StageTiming("stt", "local-stt", 1, 400.0, 120.0, connect_ms=20.0, queue_ms=100.0),
        StageTiming("nlu", "gpt", 1, 400.0, 120.0, connect_ms=20.0, queue_ms=100.0),
        StageTiming("nlu", "claude", 2, 800.0, 200.0, usage=Usage(1840, 1600, 64), cost=0.0021),
        StageTiming("tts", "", 0, 0.3, 0.3, cache="speech"),
    )
]


def test_the_bars_have_one_scale_and_show_each_part_s_share() -> None:
    bars = waterfall(STAGES, 5.0, 2000.0)
    names = ["Waiting", "Hearing", "Hearing", "Understanding", "Understanding", "Speaking", "The"]
    assert [bar.name.split(" ")[0] for bar in bars] == names
    assert [part.css for part in bars[3].parts] == ["waited", "connect", "first", "rest"]
    first, failed, divided, whole = bars[0].parts[0], bars[1].parts[0], bars[3].parts, bars[6].parts[0]
    assert failed.width / whole.width == pytest.approx(0.75, abs=0.01)
    assert sum(part.width for part in divided) / whole.width == pytest.approx(0.25, abs=0.01)
    assert first.width >= 1
    assert all(part.x + part.width <= BAR_WIDTH for bar in bars for part in bar.parts)


def test_of_hearing_only_what_came_after_the_end_of_speech_is_in_the_bar() -> None:
    [hearing] = [bar for bar in waterfall(STAGES, None, None) if "local-stt" in bar.name]
    assert [part.css for part in hearing.parts] == ["waited", "rest"]
    assert (hearing.connect_ms, hearing.first_byte_ms) == (20.0, 120.0)


def test_of_a_stage_that_was_tried_again_the_bar_is_not_divided() -> None:
    [understanding] = [bar for bar in waterfall(STAGES, None, None) if "claude" in bar.name]
    assert [part.css for part in understanding.parts] == ["rest"]
    assert (understanding.attempts, understanding.tokens) == (2, "1,840 (1,600 cached) / 64")


@pytest.mark.parametrize("stages", [[], None, [{"stage": 7}], {}])
def test_without_readable_stages_there_is_nothing_to_show(stages: object) -> None:
    assert waterfall(stages, 5.0, 2000.0) == []


@pytest.mark.django_db
def test_a_call_s_page_shows_each_turn_s_stages_as_a_table() -> None:
    call = make_call(ended_at=timezone.now())
    Turn.objects.create(call=call, turn=1, outcome="understood", stages=STAGES, queue_ms=5.0, answer_ms=2000.0)
    page = text(browser_of("view_call"), f"/calls/{call.call_uuid}/")
    for said in (
        "Hearing (speech to text) by deepgram", "Did not answer in time", "Speaking from the cache “speech”",
        "1,840 (1,600 cached) / 64", "0.0021", "Waiting for a worker", "2.00 s", '<td class="bar" aria-hidden="true">',
    ):  # fmt: skip
        assert said in page, said
    assert call.caller not in page

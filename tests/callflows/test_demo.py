"""The demonstration flow: its words can be recognised, its outcomes spoken, and loading it twice is harmless."""

from __future__ import annotations

import time
from datetime import date
from datetime import time as wall_time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pocketsphinx
import pytest
from django.core.management import CommandError, call_command

from callflows import demo, publishing
from callflows.models import Flow, FlowVersion, Intent, KeypadMapping
from ivr_fallback.spoken import SpokenValue, compose

ANSWERS: list[tuple[str, str, dict[str, SpokenValue]]] = [
    ("balance", "ok", {"balance": Decimal("42.17")}),
    ("balance", "unknown_account", {}),
    ("order_status", "shipped", {"date": date(2026, 12, 1)}),
    ("order_status", "processing", {"date": date(2026, 12, 1)}),
    ("order_status", "delivered", {"date": date(2026, 12, 1)}),
    ("order_status", "unknown_account", {}),
    ("opening_hours", "open", {"closes": wall_time(18, 0)}),
    ("opening_hours", "closed", {"opens": wall_time(8, 30)}),
    ("appointment", "booked", {"date": date(2026, 12, 1), "time": wall_time(10, 30)}),
    ("appointment", "unknown_account", {}),
]


@pytest.mark.parametrize(("intent", "outcome", "values"), ANSWERS)
def test_every_answer_of_the_actions_can_be_spoken(
    draft: Flow, intent: str, outcome: str, values: dict[str, SpokenValue]
) -> None:
    flow = publishing.build(draft)
    found = flow.intent(intent)
    assert found is not None
    assert found.action == intent
    pieces = compose(found.outcomes[outcome], values, flow.language)
    assert [piece for piece in pieces if flow.phrase(piece) is None] == []


def test_no_outcome_is_left_that_no_action_gives() -> None:
    told = {(intent.name, outcome) for intent in demo.INTENTS for outcome, _ in intent.outcomes}
    assert told == {(intent, outcome) for intent, outcome, _ in ANSWERS}


def test_the_examples_are_distinct_and_of_words_that_the_recogniser_knows() -> None:
    path = pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")
    known = {line.split()[0].partition("(")[0] for line in Path(path).read_text().splitlines() if line}
    examples = [utterance for intent in demo.INTENTS for utterance in intent.utterances]
    assert len(examples) == len(set(examples)) == 108
    assert {word for utterance in examples for word in utterance.split()} - known == set()


def test_loading_twice_publishes_once_and_keeps_what_people_edited(db: None, settings: Any, capsys: Any) -> None:
    call_command("load_demo_flow")
    assert "published as version 1" in capsys.readouterr().out
    Flow.objects.update(greeting="Good day.")
    lost = next(Path(settings.LIFELINE_PROMPT_DIR).glob("*.wav"))
    lost.unlink()
    settings.LIFELINE_FLOW_SNAPSHOT.unlink()
    began = time.perf_counter()
    call_command("load_demo_flow")
    assert time.perf_counter() - began < 2
    assert "already there: version 1" in capsys.readouterr().out
    assert FlowVersion.objects.count() == 1
    assert Flow.objects.get().greeting == "Good day."
    assert lost.exists()
    assert settings.LIFELINE_FLOW_SNAPSHOT.exists()


def test_a_demonstration_draft_that_was_broken_is_an_error_in_words(draft: Flow) -> None:
    KeypadMapping.objects.all().delete()
    with pytest.raises(CommandError, match=r"cannot be published: .*has no key in the keypad menu"):
        call_command("load_demo_flow")


def test_check_flows_names_a_missing_prompt_and_sync_switch_brings_it(
    published: FlowVersion, settings: Any, capsys: Any
) -> None:
    call_command("check_flows")
    assert "Demonstration, version 1: all" in capsys.readouterr().out
    menu = published.definition.intents[0].menu
    (settings.LIFELINE_PROMPT_DIR / menu.file).unlink()
    with pytest.raises(CommandError, match="1 of 1 versions"):
        call_command("check_flows")
    said = capsys.readouterr().err
    assert f"{menu.file} is missing (menu of intent balance: 'For your balance, press 1.')" in said
    assert "sync_switch" in said
    call_command("sync_switch")
    assert "1 prompts written" in capsys.readouterr().out
    call_command("check_flows")


def test_check_flows_without_a_flow_and_sync_without_a_folder_say_so(db: None, settings: Any) -> None:
    with pytest.raises(CommandError, match="No flow is published"):
        call_command("check_flows")
    settings.LIFELINE_PROMPT_DIR.write_text("not a folder")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("sync_switch")


def test_the_person_is_reached_by_nine(draft: Flow) -> None:
    person = Intent.objects.get(name="person")
    assert (person.policy, person.keypad.digit, person.destination) == ("human", "9", "agent@127.0.0.1:5090")

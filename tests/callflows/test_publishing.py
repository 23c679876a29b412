"""From draft to version: rendered once, checked, stored whole or not at all, exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured

from callflows import publishing, rendering, store
from callflows.definition.files import missing_files
from callflows.definition.flow import CLOSED, READ_BACK, UNSPOKEN, YES_OR_NO, SlotKind, SystemPhrases, decode_snapshot
from callflows.differences import differences
from callflows.errors import DraftChangedError, PublishRefusedError, VersionIsFinalError
from callflows.models import Flow, FlowVersion, Intent, KeypadMapping, Outcome, Prompt, Slot, SlotChoice
from ivr_fallback.spoken import fragments


def beep(text: str, voice: str) -> bytes:
    return (8000 * np.sin(np.arange(1600) / 3)).astype("<i2").tobytes()


class Counting:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str, voice: str) -> bytes:
        self.texts.append(text)
        return beep(text, voice)


def test_the_demonstration_draft_is_built_as_it_was_written(draft: Flow) -> None:
    flow = publishing.build(draft)
    assert (flow.slug, flow.number, flow.destination_number, flow.language) == ("demonstration", 1, "*", "en")
    assert [(i.name, i.digit) for i in flow.intents] == [
        ("balance", "1"), ("order_status", "2"), ("opening_hours", "3"), ("appointment", "4"), ("person", "9"),
    ]  # fmt: skip
    balance = flow.intents[0]
    assert balance.slots == ("account_number",)
    assert balance.outcomes["ok"] == "Your balance is {balance:amount}."
    assert flow.slots[0].kind is SlotKind.DIGITS
    assert flow.phrase("your balance is") is not None
    assert publishing.check(draft) == []


def test_hours_that_cannot_be_read_or_kept_are_refused_and_never_published_as_open_around_the_clock(draft: Flow) -> None:
    for wrong, says in (
        ({"opening_week": "Mon-Fry: 09:00-12:00"}, "'Fry' is no weekday"),
        ({"opening_week": "Mon: 12:00-09:00"}, "goes over midnight"),
        ({"opening_week": "Mon: 09:00-12:00", "opening_zone": ""}, "need a time zone"),
    ):
        Flow.objects.update(opening_zone="UTC")
        Flow.objects.update(**wrong)
        (problem,) = publishing.check(draft)
        assert (problem.where, says in problem.text) == ("Opening hours", True)
        with pytest.raises(PublishRefusedError, match=says):
            publishing.publish(draft, render=beep)
    assert not FlowVersion.objects.exists()


def test_hours_are_published_compared_and_said_line_by_line(draft: Flow) -> None:
    first = publishing.publish(draft, render=beep)
    Flow.objects.update(opening_zone="Europe/Vienna", closed_greeting="We are closed.", closed="")
    second = publishing.publish(draft, render=beep)
    assert (first.number, second.number) == (1, 2)
    assert second.definition.hours is not None
    assert second.definition.system.closed.text == CLOSED, "words of its own, or these"
    found = [difference.line for difference in differences(first.definition, second.definition)]
    assert "Opening hours: Monday: 00:00-24:00 (Europe/Vienna)" in found
    assert "Closed greeting: We are closed." in found
    Flow.objects.update(opening_zone="", opening_week="", closed_greeting="")
    third = publishing.publish(draft, render=beep).definition
    assert (third.hours, third.system.closed_greeting) == (None, UNSPOKEN)
    assert missing_files(third, Path(django_settings.LIFELINE_PROMPT_DIR)) == []


def test_everything_to_be_said_is_listed_once(draft: Flow) -> None:
    texts = publishing.needed_phrases(draft)
    assert len(texts) == len(set(texts))
    assert {
        *fragments("en"),
        "Your balance is",
        "at",
        "Let me transfer you to our team.",
        "To book an appointment, press 4.",
    } <= set(texts)


def test_publishing_renders_each_piece_once_and_a_second_time_none(draft: Flow) -> None:
    render, seen = Counting(), []
    first = publishing.publish(draft, render=render, progress=lambda done, total: seen.append((done, total)))
    assert sorted(render.texts) == sorted(publishing.needed_phrases(draft))
    assert first.number == 1
    assert seen[0] == (0, len(render.texts))
    assert seen[-1] == (len(render.texts), len(render.texts))
    assert seen == sorted(seen)
    Flow.objects.update(goodbye="Bye for now.")
    again = Counting()
    second = publishing.publish(draft, render=again)
    assert again.texts == ["Bye for now."]
    assert (second.number, second.definition.system.goodbye.text) == (2, "Bye for now.")
    assert FlowVersion.objects.get(number=1).definition.system.goodbye.text == "Thank you for calling. Goodbye."


def test_publishing_the_same_draft_again_is_the_same_version(published: FlowVersion) -> None:
    assert publishing.publish(published.flow).pk == published.pk
    assert FlowVersion.objects.count() == 1


def test_a_published_flow_is_on_disk_with_every_file_and_its_duration(published: FlowVersion, settings: Any) -> None:
    snapshot = decode_snapshot(Path(settings.LIFELINE_FLOW_SNAPSHOT).read_bytes())
    flow = snapshot.for_number("9200")
    assert flow == published.definition
    assert missing_files(flow, Path(settings.LIFELINE_PROMPT_DIR)) == []
    assert all(phrase.duration_ms > 100 for phrase in flow.phrases.values())
    assert flow.system.greeting.duration_ms > 1500


def test_parity_problems_refuse_before_anything_is_rendered_and_nothing_is_lost(draft: Flow) -> None:
    KeypadMapping.objects.filter(intent__name="balance").delete()
    Outcome.objects.filter(intent__name="appointment", name="booked").update(template="At {time}.")
    before = publishing.build(draft)
    render = Counting()
    with pytest.raises(PublishRefusedError) as refused:
        publishing.publish(draft, render=render)
    said = [str(problem) for problem in refused.value.problems]
    assert "Intent Balance: it has no key in the keypad menu, so it could not be reached without the AI" in said
    assert any("Intent Appointment: outcome 'booked': a brace in" in line for line in said)
    assert render.texts == []
    assert not FlowVersion.objects.exists()
    assert publishing.build(draft) == before


def test_a_voice_without_sound_refuses_in_words(draft: Flow) -> None:
    with pytest.raises(PublishRefusedError, match="voice 'en-us' cannot say them"):
        publishing.publish(draft, render=lambda text, voice: bytes(1600))
    Flow.objects.update(voice="zz")
    with pytest.raises(PublishRefusedError, match="voice 'zz' cannot say them"):
        publishing.publish(draft)
    assert not FlowVersion.objects.exists()


def test_a_draft_that_changes_while_it_is_rendered_is_not_published(draft: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    original = store.sync_prompts

    def meddle_and_sync(folder: Path) -> int:
        Intent.objects.filter(name="balance").update(label="Other")
        return original(folder)

    monkeypatch.setattr(store, "sync_prompts", meddle_and_sync)
    with pytest.raises(DraftChangedError, match="Publish again"):
        publishing.publish(draft, render=beep)
    assert not FlowVersion.objects.exists()
    assert publishing.publish(draft, render=beep).definition.intents[0].label == "Other"


def test_a_version_is_final(published: FlowVersion) -> None:
    published.note = "changed"
    with pytest.raises(VersionIsFinalError):
        published.save()
    with pytest.raises(VersionIsFinalError):
        published.delete()


def test_a_published_flow_under_another_short_name_is_refused_until_it_has_its_own_again(published: FlowVersion) -> None:
    """Both names' newest versions would take calls: the one that was withdrawn kept its number for a day."""
    Flow.objects.update(slug="other", destination_number="9999")
    (problem,) = publishing.check(published.flow)
    assert str(problem) == "Flow: the short name of a published flow cannot be changed: it is demonstration. Change it back"
    with pytest.raises(PublishRefusedError, match="Change it back"):
        publishing.publish(published.flow, render=beep)
    Flow.objects.update(slug="demonstration")
    assert publishing.publish(published.flow, render=beep).number == 2


def own_flow(number: str) -> Flow:
    """As small as a flow may be: it leads to a person."""
    texts = dict.fromkeys(SystemPhrases.__struct_fields__, "Words.") | {"yes_or_no": ""}
    flow = Flow.objects.create(
        slug="own", name="Our own", destination_number=number, human_destination="agent", opening_week="", **texts
    )
    intent = Intent.objects.create(flow=flow, name="person", label="Person", policy="human", utterances="a person please")
    KeypadMapping.objects.create(intent=intent, digit="9", menu_prompt="For a person, press 9.")
    return flow


def test_a_number_is_published_once_its_former_flow_has_left_it(published: FlowVersion, settings: Any) -> None:
    former = published.flow
    Flow.objects.update(destination_number="9999")
    flow = own_flow("*")
    (problem,) = publishing.check(flow)
    assert "the dialled number * is still that of Demonstration as it is published (version 1)" in problem.text
    assert "publish it first" in problem.text
    with pytest.raises(PublishRefusedError, match="publish it first"):
        publishing.publish(flow, render=beep)
    publishing.publish(former, render=beep)
    assert publishing.check(flow) == []
    publishing.publish(flow, render=beep)
    snapshot = decode_snapshot(Path(settings.LIFELINE_FLOW_SNAPSHOT).read_bytes())
    chosen = [snapshot.for_number(number) for number in ("9200", "9999")]
    assert [one and one.slug for one in chosen] == ["own", "demonstration"]


def test_a_number_that_another_flow_takes_while_this_one_is_rendered_is_not_published_twice(
    published: FlowVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flow.objects.update(destination_number="9999")
    publishing.publish(published.flow, render=beep)
    flow, original = own_flow("*"), store.sync_prompts

    def meddle_and_sync(folder: Path) -> int:
        """The demonstration is published with the number, and its draft then loses it again."""
        Flow.objects.filter(pk=flow.pk).update(destination_number="1")
        Flow.objects.filter(pk=published.flow_id).update(destination_number="*")
        monkeypatch.setattr(store, "sync_prompts", original)
        publishing.publish(published.flow, render=beep)
        Flow.objects.filter(pk=published.flow_id).update(destination_number="9999")
        Flow.objects.filter(pk=flow.pk).update(destination_number="*")
        return original(folder)

    monkeypatch.setattr(store, "sync_prompts", meddle_and_sync)
    with pytest.raises(PublishRefusedError, match="publish it first"):
        publishing.publish(flow, render=beep)
    assert not FlowVersion.objects.filter(flow=flow).exists()


def test_a_flow_that_names_what_the_business_cannot_do_is_not_published(draft: Flow, settings: Any) -> None:
    Intent.objects.filter(name="balance").update(action="balanse")
    Outcome.objects.filter(intent__name="appointment", name="booked").update(template="Your appointment is at {tim:time}.")
    Outcome.objects.filter(intent__name="order_status", name="shipped").delete()
    assert [problem.where for problem in publishing.check(draft)] == [
        "Intent Balance", "Intent Order status", "Intent Appointment"
    ]  # fmt: skip
    with pytest.raises(PublishRefusedError, match="there is no action 'balanse'; there are appointment, balance,"):
        publishing.publish(draft, render=beep)
    settings.LIFELINE_BUSINESS = "nothing"
    with pytest.raises(ImproperlyConfigured, match="LIFELINE_BUSINESS is 'nothing'"):
        publishing.check(draft)


def test_who_published_and_why_is_kept(draft: Flow) -> None:
    user = User.objects.create_user("kim")
    version = publishing.publish(draft, user, beep, note="Summer hours")
    assert (version.published_by, version.note) == (user, "Summer hours")


def test_a_slot_with_choices_and_extra_words_are_spoken(draft: Flow) -> None:
    slot = Slot.objects.create(
        flow=draft, name="language", label="Language", kind="choice", ask="Which language?",
        ask_keypad="For English press 1.", position=1,
    )  # fmt: skip
    SlotChoice.objects.create(slot=slot, value="en", digit="1", words="in English")
    Flow.objects.update(extra_phrases="Out of stock\n\n On its way \n")
    flow = publishing.publish(draft, render=beep).definition
    assert {"in english", "out of stock", "on its way"} <= flow.phrases.keys()
    assert flow.slots[1].choices[0].words == "in English"


def test_an_unfinished_draft_is_built_and_checked_not_an_error(db: None) -> None:
    flow = Flow.objects.create(slug="empty", name="Empty", destination_number="1", language="tlh")
    Slot.objects.create(flow=flow, name="x", label="X")
    Intent.objects.create(flow=flow, name="i", label="I")
    assert publishing.build(flow).intents[0].digit == ""
    assert len(publishing.check(flow)) > 15


def test_two_pieces_that_differ_by_case_alone_share_their_audio(draft: Flow) -> None:
    Flow.objects.update(extra_phrases="At\nHUNDRED")
    flow = publishing.build(draft)
    assert flow.phrases["hundred"].text == "hundred"
    assert flow.phrases["hundred"].file == f"{rendering.rendered_hash('hundred', 'en-us')}.wav"
    assert not Prompt.objects.exists()


def test_confirming_questions_have_words_and_audio_also_where_the_draft_is_silent(draft: Flow) -> None:
    draft.read_back = draft.yes_or_no = ""
    draft.save()
    draft.intents.filter(name="balance").update(confirm="")
    version = publishing.publish(draft).definition
    balance = version.intent("balance")
    assert balance is not None
    assert balance.confirm.text == "Did you want this: Balance?"
    assert (version.system.read_back.text, version.system.yes_or_no.text) == (READ_BACK, YES_OR_NO)
    assert {balance.confirm.file, version.system.yes_or_no.file} <= version.files()
    assert [intent.name for intent in version.intents if intent.careful] == ["appointment"]

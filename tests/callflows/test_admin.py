"""The admin's forms and pages, as people of each group use them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from callflows import publishing, rendering
from callflows.hours_text import hours_lines
from callflows.models import Flow, FlowVersion, Intent, KeypadMapping, Prompt, PublishJob
from espeak import voice


@pytest.fixture
def admins(person: Any, client: Client) -> Client:
    client.force_login(person("admins"))
    return client


def form_values(page: bytes) -> dict[str, Any]:
    """What a browser would send back for a page's main form, untouched."""
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.values: dict[str, list[str]] = {}
            self.area = self.select = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            name = given.get("name") or ""
            if tag == "textarea":
                self.area = name
                self.values.setdefault(name, []).append("")
            elif tag == "select":
                self.select = name
            elif tag == "option" and "selected" in given and self.select:
                self.values.setdefault(self.select, []).append(given.get("value") or "")
            elif tag == "input" and name and given.get("type") not in ("submit", "file", "button"):
                if given.get("type") not in ("checkbox", "radio"):
                    self.values.setdefault(name, []).append(given.get("value") or "")
                elif "checked" in given:
                    self.values.setdefault(name, []).append(given.get("value") or "on")

        def handle_data(self, data: str) -> None:
            if self.area:
                self.values[self.area][-1] += data

        def handle_endtag(self, tag: str) -> None:
            self.area = "" if tag == "textarea" else self.area
            self.select = "" if tag == "select" else self.select

    reader = Reader()
    reader.feed(page.decode())
    return {name: values for name, values in reader.values.items() if not name.startswith(("csrf", "_"))}


def change_url(flow: Flow) -> str:
    return reverse("admin:callflows_flow_change", args=[flow.pk])


def check_url(flow: Flow) -> str:
    return reverse("admin:callflows_check", args=[flow.pk])


def test_saving_an_untouched_draft_changes_nothing(admins: Client, draft: Flow) -> None:
    before = publishing.build(draft)
    response = admins.post(change_url(draft), form_values(admins.get(change_url(draft)).content))
    assert response.status_code == 302, re.findall(rb'class="errorlist.*?</ul>', response.content, re.DOTALL)
    assert publishing.build(draft) == before


def test_opening_hours_are_written_in_lines_and_an_editor_is_told_what_is_wrong_beside_the_field(
    admins: Client, draft: Flow
) -> None:
    values = form_values(admins.get(change_url(draft)).content)
    wrong = {
        "opening_zone": ["Mars/Olympus"], "opening_week": ["Mon-Fri: 22:00-02:00"], "special_days": ["2026-12-24: closed\n" * 2],
    }  # fmt: skip
    response = admins.post(change_url(draft), values | wrong)
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors
    assert set(errors) == {"opening_zone", "opening_week", "special_days"}
    assert "Monday: 22:00-02:00 goes over midnight: write 22:00-24:00 here" in errors["opening_week"][0]
    assert errors["opening_zone"] == ["The time zone 'Mars/Olympus' is not known here; write an IANA name, such as Europe/Berlin."]
    right = {"opening_zone": ["Europe/Vienna"], "opening_week": ["Mon-Fri: 09:00-12:00"], "special_days": ["2026-12-24: closed"]}
    assert admins.post(change_url(draft), values | right).status_code == 302
    hours = publishing.build(draft).hours
    assert hours is not None
    assert hours_lines(hours)[4:] == ["Friday: 09:00-12:00", "Saturday: closed", "Sunday: closed", "2026-12-24: closed"]


def test_the_list_says_by_the_published_version_whether_people_can_be_reached(admins: Client, published: FlowVersion) -> None:
    page = reverse("admin:callflows_flow_changelist")
    assert b"Open now (today 00:00-24:00, UTC)" in admins.get(page).content
    Flow.objects.update(opening_week="Mon-Sun: closed")
    assert b"Open now" in admins.get(page).content, "calls use the published version"
    publishing.publish(published.flow)
    assert b"Closed now (today closed, UTC)" in admins.get(page).content


def test_an_intents_examples_key_and_outcome_are_edited_on_the_flows_page(admins: Client, draft: Flow) -> None:
    values = form_values(admins.get(change_url(draft)).content)
    for name, sent in values.items():
        if sent == ["1"] and name.endswith("-digit"):
            values[name] = ["7"]
        if sent == ["For your balance, press 1."]:
            values[name] = ["For your balance, press 7."]
        if name == "intents-0-utterances":
            values[name] = ["how much is left\nwhat is my balance\n"]
        if sent[0].strip() == "Your balance is {balance:amount}.":
            values[name] = ["You have {balance:amount}."]
    assert admins.post(change_url(draft), values).status_code == 302
    balance = publishing.build(draft).intent("balance")
    assert balance is not None
    assert (balance.digit, balance.menu.text) == ("7", "For your balance, press 7.")
    assert balance.utterances == ("how much is left", "what is my balance")
    assert balance.outcomes["ok"] == "You have {balance:amount}."


def test_a_new_intent_is_added_with_its_key(admins: Client, draft: Flow) -> None:
    page = admins.get(change_url(draft)).content
    values = form_values(page)
    count = int(values["intents-TOTAL_FORMS"][0])
    values["intents-TOTAL_FORMS"] = [str(count + 1)]
    values |= {
        f"intents-{count}-label": ["Complaint"],
        f"intents-{count}-name": ["complaint"],
        f"intents-{count}-policy": ["human"],
        f"intents-{count}-utterances": ["i am not happy"],
        f"intents-{count}-position": ["6"],
        f"intents-{count}-flow": [str(draft.pk)],
        f"intents-{count}-keypad-TOTAL_FORMS": ["1"],
        f"intents-{count}-keypad-INITIAL_FORMS": ["0"],
        f"intents-{count}-keypad-0-digit": ["5"],
        f"intents-{count}-keypad-0-menu_prompt": ["To complain, press 5."],
        f"intents-{count}-outcomes-TOTAL_FORMS": ["0"],
        f"intents-{count}-outcomes-INITIAL_FORMS": ["0"],
    }
    response = admins.post(change_url(draft), values)
    assert response.status_code == 302, re.findall(rb'class="errorlist.*?</ul>', response.content, re.DOTALL)
    assert KeypadMapping.objects.get(intent__name="complaint").digit == "5"
    assert publishing.check(draft) == []


def test_the_short_name_is_final_once_the_flow_is_published(admins: Client, draft: Flow) -> None:
    def saved(**values: str) -> Any:
        return admins.post(change_url(draft), form_values(admins.get(change_url(draft)).content) | values)

    assert saved(slug="shop").status_code == 302, "before that it may be changed"
    publishing.publish(draft)
    assert b'name="slug"' not in admins.get(change_url(draft)).content
    assert saved(slug="other", goodbye="Bye.").status_code == 302
    draft.refresh_from_db()
    assert (draft.slug, draft.goodbye) == ("shop", "Bye.")


def test_a_short_name_that_was_changed_by_other_ways_can_be_changed_back_and_to_no_third(
    admins: Client, published: FlowVersion
) -> None:
    url = change_url(published.flow)
    Flow.objects.update(slug="other")
    values = form_values(admins.get(url).content)
    wrong = admins.post(url, values | {"slug": "third"}).content.decode()
    assert "The short name of a published flow cannot be changed: it is demonstration." in wrong
    assert admins.post(url, values | {"slug": "demonstration"}).status_code == 302
    assert Flow.objects.get().slug == "demonstration"


def test_a_version_that_this_program_cannot_read_keeps_its_short_name(admins: Client, draft: Flow) -> None:
    FlowVersion.objects.create(flow=draft, number=1, published="{}", published_at=timezone.now())
    assert draft.published_slug == ""
    request = RequestFactory().get("/")
    assert "slug" in admin.site.get_model_admin(Flow).get_readonly_fields(request, draft)


def test_the_check_names_problems_in_plain_words_and_offers_no_button(admins: Client, draft: Flow) -> None:
    KeypadMapping.objects.filter(intent__name="order_status").update(digit="1")
    page = admins.get(check_url(draft)).content.decode()
    assert "key 1 is used by Balance and Order status; give each a key of its own" in page
    assert "Publish version" not in page
    assert admins.post(check_url(draft)).status_code == 302
    job = PublishJob.objects.get()
    shown = admins.get(reverse("admin:callflows_publishjob", args=[job.pk])).content.decode()
    assert "Not published." in shown
    assert "key 1 is used by Balance and Order status" in shown
    assert not FlowVersion.objects.exists()


def test_publishing_from_the_page_ends_with_a_version_and_its_note(admins: Client, draft: Flow) -> None:
    assert "has never been published" in admins.get(check_url(draft)).content.decode()
    response = admins.post(check_url(draft), {"note": "First"}, follow=True)
    assert "Version 1 is published" in response.content.decode()
    version = FlowVersion.objects.get()
    assert version.note == "First"
    assert version.published_by is not None
    assert version.published_by.username == "admins"
    assert "The draft is the same as published version 1" in admins.get(check_url(draft)).content.decode()
    again = admins.post(check_url(draft), follow=True)
    assert "Nothing has changed since the last version" in again.content.decode()


def test_the_draft_says_that_it_differs_and_the_version_says_how(admins: Client, published: FlowVersion) -> None:
    Intent.objects.filter(name="balance").update(label="Your money")
    page = admins.get(change_url(published.flow)).content.decode()
    assert "Draft differs from published version 1" in page
    check = admins.get(check_url(published.flow)).content.decode()
    assert "Intent balance: Your money" in check
    second = publishing.publish(published.flow)
    listed = admins.get(reverse("admin:callflows_flowversion_change", args=[second.pk])).content.decode()
    assert "Intent balance: Your money" in listed
    assert "Intent balance: Balance" in listed
    assert 'name="_save"' not in listed


def test_the_running_job_shows_progress_and_stops_asking_at_its_end(admins: Client, draft: Flow) -> None:
    job = PublishJob.objects.create(flow=draft, state=PublishJob.State.RUNNING, done=40, total=190)
    url = reverse("admin:callflows_publishjob", args=[job.pk])
    part = admins.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "40 of 190 pieces" in part
    assert "hx-get" in part
    PublishJob.objects.filter(pk=job.pk).update(state=PublishJob.State.FAILED, problems=["Disk full"])
    ended = admins.get(url, headers={"HX-Request": "true"}).content.decode()
    assert "Not published" in ended
    assert "Disk full" in ended
    assert "hx-get" not in ended


def test_a_published_version_with_a_warning_is_said_to_be_published(admins: Client, published: FlowVersion) -> None:
    state = PublishJob.State.PUBLISHED
    job = PublishJob.objects.create(flow=published.flow, state=state, version=published, problems=["Disk full"])
    ended = admins.get(reverse("admin:callflows_publishjob", args=[job.pk])).content.decode()
    assert "Version 1 is published" in ended
    assert "not every file of it is written yet:</p>" in ended
    assert "Disk full" in ended


def test_supervisors_look_but_neither_edit_nor_publish(person: Any, client: Client, draft: Flow) -> None:
    client.force_login(person("supervisors"))
    assert 'name="_save"' not in client.get(change_url(draft)).content.decode()
    page = client.get(check_url(draft)).content.decode()
    assert "but not publish it" in page
    assert client.post(check_url(draft)).status_code == 403
    assert not PublishJob.objects.exists()


def test_ops_and_strangers_see_nothing_of_flows(person: Any, client: Client, published: FlowVersion) -> None:
    prompt = Prompt.objects.order_by("pk").first()
    assert prompt is not None
    urls = [check_url(published.flow), reverse("admin:callflows_prompt_audio", args=[prompt.pk])]
    assert [client.get(url).status_code for url in urls] == [302, 302]
    client.force_login(person("ops"))
    assert [client.get(url).status_code for url in urls] == [403, 403]


def test_groups_hold_what_the_migration_promises(db: None) -> None:
    codes = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    assert {"publish_flow", "change_flow", "add_intent", "view_prompt"} <= codes["admins"]
    assert "view_flow" in codes["supervisors"]
    assert not any(code.startswith(("add", "change", "delete", "publish")) for code in codes["supervisors"])
    assert "ops" in codes


def test_a_prompt_can_be_heard_on_the_list_and_never_edited(admins: Client, published: FlowVersion) -> None:
    page = admins.get(reverse("admin:callflows_prompt_changelist")).content.decode()
    assert page.count("<audio controls") == 50
    prompt = Prompt.objects.get(text="hundred")
    sound = admins.get(reverse("admin:callflows_prompt_audio", args=[prompt.pk]))
    assert sound["Content-Type"] == "audio/wav"
    assert sound.content == bytes(prompt.wav)
    assert sound.content[:4] == b"RIFF"
    assert 'name="_save"' not in admins.get(reverse("admin:callflows_prompt_change", args=[prompt.pk])).content.decode()


def test_an_uploaded_recording_takes_the_place_of_rendered_words(admins: Client, published: FlowVersion) -> None:
    wav = voice.wav(voice.render("goodbye now", sample_rate_hz=24000), 24000)
    sent = {
        "text": "Thank you for calling. Goodbye.",
        "voice": "en-us",
        "recording": SimpleUploadedFile("../../evil.wav", wav),
    }
    response = admins.post(reverse("admin:callflows_prompt_add"), sent)
    assert response.status_code == 302
    upload = Prompt.objects.get(source=Prompt.Source.UPLOADED)
    assert publishing.differs_from_published(published.flow)
    version = publishing.publish(published.flow)
    assert version.definition.system.goodbye.file == upload.file
    assert version.definition.system.goodbye.duration_ms == upload.duration_ms
    url = reverse("admin:callflows_prompt_change", args=[upload.pk])
    assert admins.post(url, {}).status_code == 302  # "use this recording" unticked
    assert publishing.build(published.flow).system.goodbye == published.definition.system.goodbye


def test_an_upload_that_is_no_recording_is_refused_in_words(admins: Client) -> None:
    sent = {"text": "Hello", "voice": "en-us", "recording": SimpleUploadedFile("a.wav", b"RIFF nonsense")}
    response = admins.post(reverse("admin:callflows_prompt_add"), sent)
    assert response.status_code == 200
    assert "not a plain PCM WAV file" in response.content.decode()
    assert not Prompt.objects.exists()
    assert rendering.RATE_HZ == 8000


def test_every_list_and_empty_form_opens_and_the_buttons_lead_to_the_check(
    admins: Client, published: FlowVersion
) -> None:
    for name in ("flow_changelist", "flow_add", "flowversion_changelist", "prompt_changelist", "prompt_add"):
        assert admins.get(reverse(f"admin:callflows_{name}")).status_code == 200, name
    page = admins.get(reverse("admin:callflows_flow_changelist")).content.decode()
    assert "Same as published version 1" in page
    form = admins.get(change_url(published.flow)).content.decode()
    for action in ("check_flow", "publish_flow"):
        url = reverse(f"admin:callflows_flow_{action}", args=[published.flow.pk])
        assert url in form
        assert admins.get(url)["Location"].startswith(check_url(published.flow))


def test_the_publish_button_is_not_offered_to_supervisors(person: Any, client: Client, draft: Flow) -> None:
    client.force_login(person("supervisors"))
    url = reverse("admin:callflows_flow_publish_flow", args=[draft.pk])
    assert url not in client.get(change_url(draft)).content.decode()
    assert client.get(url).status_code == 403


def test_two_intents_of_one_name_are_refused_by_the_form_and_the_text_is_kept(admins: Client, draft: Flow) -> None:
    values = form_values(admins.get(change_url(draft)).content)
    values["intents-1-name"] = values["intents-0-name"]
    values["greeting"] = ["Words that must not be lost."]
    response = admins.post(change_url(draft), values)
    assert response.status_code == 200
    page = response.content.decode()
    assert "Words that must not be lost." in page
    assert "errorlist" in page or "correct the" in page

"""The engines' forms, the file that saving writes, and the button that tries one, as people of each group use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from ai_engine.engines.rows import decode_rows
from ai_engine.models import Engine
from callflows.definition.flow import encode_snapshot
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.on_a_loop import serving

LIST = "admin:ai_engine_engine_changelist"
ADD = "admin:ai_engine_engine_add"
# A machine that is busy with other tests must not look like a slow engine.
PATIENT = {"first_byte_s": 5.0, "total_s": 8.0}
NEW = {
    "name": "cloud", "stage": "stt", "order": "1", "enabled": "on", "kind": "vosk", "address": "ws://10.0.0.1:2700", "model": "",
    "voice": "", "secret": "", "rate_hz": "8000", "first_byte_s": "1.2", "total_s": "2.0", "failures": "0", "open_s": "0",
    "concurrency": "0", "per_second": "0", "price_read_m": "0", "price_cached_m": "0", "price_written_m": "0",
    "price_characters_m": "0", "price_heard_minute": "0",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.LIFELINE_ENGINES, settings.LIFELINE_ENGINE_HOSTS = "", []
    settings.LIFELINE_ENGINE_SNAPSHOT = tmp_path / "engines.json"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_REDIS_VOLATILE_URL = f"unix://{tmp_path}/nobody.sock"
    settings.LIFELINE_FLOW_SNAPSHOT.write_bytes(encode_snapshot(demo_snapshot()))
    return tmp_path


def login(client: Client, group: str) -> Client:
    user = User.objects.create_user(group, password="x" * 12, is_staff=True)
    user.groups.set(Group.objects.filter(name=group))
    client.force_login(user)
    return client


@pytest.fixture
def admins(db: None, client: Client) -> Client:
    return login(client, "admins")


@pytest.fixture
def vosk() -> Iterator[FakeVosk]:
    with ExitStack() as stack:
        yield stack.enter_context(serving(FakeVosk()))


@pytest.fixture
def openai() -> Iterator[FakeOpenAI]:
    with ExitStack() as stack:
        yield stack.enter_context(serving(FakeOpenAI()))


def engine(stage: str, fake: FakeVosk | FakeOpenAI, **more: Any) -> Engine:
    kind = "vosk" if stage == "stt" else "openai"
    values = {"name": f"try-{stage}", "stage": stage, "kind": kind, "address": fake.url, "http2": stage != "stt", **PATIENT}
    return Engine.objects.create(**{**values, **more})


def tried(client: Client, engine: Engine, **data: str) -> str:
    answer = client.post(reverse("admin:ai_engine_try", args=[engine.pk]), data, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"data:audio/wav;base64,[^\"]+", "WAV", answer.content.decode()))


# --- the forms ----------------------------------------------------------------------------------------------------------
def test_saving_writes_the_file_and_the_log(
    admins: Client, folder: Path, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = admins.post(reverse(ADD), NEW)
    assert answer.status_code == 302, re.findall(rb'class="errorlist.*?</ul>', answer.content, re.DOTALL)
    assert [one.name for one in decode_rows((folder / "engines.json").read_bytes()).enabled] == ["cloud"]
    with django_capture_on_commit_callbacks(execute=True):
        admins.post(reverse(LIST), {"action": "disable", "_selected_action": [str(Engine.objects.get().pk)]})
    rows = decode_rows((folder / "engines.json").read_bytes())
    assert ([one.name for one in rows.enabled], [one.name for one in rows.disabled]) == ([], ["cloud"])
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")][1:] == ["Disabled."]
    with django_capture_on_commit_callbacks(execute=True):
        admins.post(reverse("admin:ai_engine_engine_delete", args=[Engine.objects.get().pk]), {"post": "yes"})
    assert not decode_rows((folder / "engines.json").read_bytes()).disabled


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"secret": "sk-live-abc"}, "begins with LIFELINE_SECRET_"),
        ({"address": "http://10.0.0.1"}, "needs a ws://"),
        ({"address": "ws://169.254.169.254/"}, "metadata service"),
        ({"name": "local-nlu"}, "The local engine has this name"),
        ({"first_byte_s": "5"}, "first_byte_s"),
        ({"total_s": "", "order": "x"}, "This field is required"),
        ({"address": "ws://other.example.net"}, "LIFELINE_ENGINE_HOSTS"),
    ],
)
def test_a_wrong_field_has_its_message_and_nothing_is_stored(
    admins: Client, settings: Any, wrong: dict[str, str], words: str
) -> None:
    settings.LIFELINE_ENGINE_HOSTS = ["10.0.0.0/8"]
    assert words in admins.post(reverse(ADD), {**NEW, **wrong}).content.decode()
    assert not Engine.objects.exists()


def test_the_list_says_what_serves(admins: Client, settings: Any) -> None:
    assert "the local engine serves every stage" in admins.get(reverse(LIST)).content.decode()
    Engine.objects.create(name="one", stage="stt", kind="vosk", address="ws://10.0.0.1", secret="LIFELINE_SECRET_NOT_HERE")
    Engine.objects.create(name="off", stage="tts", kind="openai", address="http://10.0.0.1", enabled=False)
    page = admins.get(reverse(LIST)).content.decode()
    assert "Every engine is disabled for: Speech (tts)" in page
    assert "what has no engine here: Understanding (nlu)" in page
    assert "NOT_HERE: not set for the console" in page
    settings.LIFELINE_ENGINES = "[]"
    assert "LIFELINE_ENGINES is set and wins" in admins.get(reverse(LIST)).content.decode()
    assert "LIFELINE_ENGINES is set and wins" in admins.get(Engine.objects.get(name="one").get_absolute_url()).content.decode()


@pytest.mark.parametrize("group", ["supervisors", "ops"])
def test_others_look_and_neither_edit_nor_try(db: None, client: Client, group: str) -> None:
    made = Engine.objects.create(name="one", stage="stt", kind="vosk", address="ws://10.0.0.1")
    login(client, group)
    page = client.get(reverse(LIST)).content.decode()
    assert "one" in page
    assert "Try it" not in page
    assert client.get(reverse(ADD)).status_code == 403
    assert client.post(reverse("admin:ai_engine_try", args=[made.pk])).status_code == 403


# --- trying -------------------------------------------------------------------------------------------------------------
def test_hearing_is_tried_with_speech_and_shows_partials_and_times(admins: Client, vosk: FakeVosk) -> None:
    shown = tried(admins, engine("stt", vosk))
    assert "It works" in shown
    assert re.search(r"<dt>Transcript</dt><dd><strong[^>]*>what are your opening hours", shown)
    assert re.search(r"<dt>Connected after</dt><dd[^>]*>\d+ ms", shown)
    assert re.search(r"<dt>Whole answer after the end of speech</dt><dd[^>]*>\d+ ms", shown)
    assert shown.count('src="WAV"') == 1
    assert "<html" not in shown


def test_understanding_and_speaking_are_tried_and_shown(admins: Client, openai: FakeOpenAI) -> None:
    understood = tried(admins, engine("nlu", openai), words="what are your opening hours")
    assert re.search(r"<dt>Intent</dt><dd><strong[^>]*>\w+", understood)
    assert "<dt>Confidence</dt>" in understood
    assert re.search(r"<dt>Whole answer after</dt><dd[^>]*>\d+ ms", understood)
    spoken = tried(admins, engine("tts", openai))
    assert 'src="WAV"' in spoken
    page = admins.post(reverse("admin:ai_engine_try", args=[Engine.objects.get(stage="tts").pk])).content.decode()
    assert "<html" in page
    assert "It works" in page


@pytest.mark.parametrize(
    ("fault", "more", "happened", "to_do"),
    [
        ("401", {"secret": "LIFELINE_SECRET_TRY"}, "The key in LIFELINE_SECRET_TRY was refused (401)", "Put the right key into"),
        ("401", {}, "The engine wants a key (401), and this row names none", "LIFELINE_SECRET_OPENAI"),
        ("429", {}, "too many requests", "raise the quota"),
        ("500", {}, "The engine itself failed", "its log"),
        ("hang", {"first_byte_s": 0.3, "total_s": 0.5}, "0.3 s", "longer limits"),
        ("garbage", {}, "no answer of this interface", "compare both"),
        ("wrong_schema", {}, "not the form that was asked for", "structured output"),
        ("empty", {}, "The answer is empty", "Try again"),
    ],
)
def test_a_failure_is_told_with_what_to_do(
    admins: Client, openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, fault: str, more: dict[str, Any], happened: str, to_do: str
) -> None:
    monkeypatch.setenv("LIFELINE_SECRET_TRY", "a key that must not be shown")
    openai.fault = fault
    shown = tried(admins, engine("nlu", openai, **more))
    assert happened in shown
    assert to_do in shown
    assert "must not be shown" not in shown


def test_nobody_there_a_missing_secret_and_no_flow(admins: Client, openai: FakeOpenAI, folder: Path) -> None:
    nobody = engine("stt", FakeVosk(), name="nobody", address="ws://127.0.0.1:9")
    assert "Nobody takes connections at 127.0.0.1:9" in tried(admins, nobody)
    keyless = engine("nlu", openai, secret="LIFELINE_SECRET_NOT_HERE")
    assert "LIFELINE_SECRET_NOT_HERE is not set" in tried(admins, keyless)
    (folder / "flows.json").unlink()
    assert "Publish a flow first" in tried(admins, engine("nlu", openai, name="flowless"))
    Engine.objects.filter(pk=nobody.pk).update(address="ws://169.254.169.254")
    assert "metadata service" in tried(admins, nobody)

"""Rows, their file, and processes that follow them: what cannot be used never replaces what works."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from structlog.testing import capture_logs

from ai_engine import engine_store
from ai_engine.engine_store import EngineStore, engine_settings, shown_engines, stored_engines
from ai_engine.engines.config import EngineConfig
from ai_engine.engines.rows import EngineRows, decode_rows, encode_rows, usable
from ai_engine.errors import BadEngineConfigError
from ai_engine.models import Engine, engine_rows
from tests.ai_engine.waiting import until

LOCAL = ["local-stt", "local-nlu", "local-tts"]


@pytest.fixture(autouse=True)
def file(settings: Any, tmp_path: Path) -> Path:
    settings.LIFELINE_ENGINES, settings.LIFELINE_ENGINE_HOSTS = "", []
    settings.LIFELINE_ENGINE_SNAPSHOT = tmp_path / "deep" / "engines.json"
    return settings.LIFELINE_ENGINE_SNAPSHOT


def row(name: str, stage: str = "stt", order: int = 1, **more: Any) -> Engine:
    kind, address = ("vosk", "ws://127.0.0.1:1") if stage == "stt" else ("openai", "http://127.0.0.1:1/v1")
    return Engine.objects.create(**{"name": name, "stage": stage, "order": order, "kind": kind, "address": address, **more})


def store() -> EngineStore:
    made = EngineStore(engine_settings())
    made.load()
    return made


def names(engines: Sequence[EngineConfig]) -> list[str]:
    return [one.name for one in engines]


# --- one row ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"name": "turns"}, "name", "is no name"),
        ({"address": "http://127.0.0.1"}, "address", "needs a ws://"),
        ({"address": "ws://169.254.169.254"}, "address", "metadata service"),
        ({"stage": "nlu"}, "kind", "cannot serve the stage nlu"),
        ({"secret": "sk-abcdef"}, "secret", "begins with LIFELINE_SECRET_"),
        ({"rate_hz": 44}, "rate_hz", "use 8000 to 48000"),
        ({"first_byte_s": 3.0}, "first_byte_s", "first_byte_s <= total_s"),
        ({"total_s": 31.0}, "total_s", "30 at most"),
        ({"failures": 2}, "failures", "3 to 5"),
        ({"open_s": 4000.0}, "open_s", "up to 3600"),
        ({"per_second": -1.0}, "per_second", "or more"),
    ],
)
def test_a_wrong_field_is_named_at_the_field(wrong: dict[str, Any], field: str, words: str) -> None:
    made = Engine(**{"name": "one", "stage": "stt", "kind": "vosk", "address": "ws://127.0.0.1:1", **wrong})
    with pytest.raises(ValidationError) as refused:
        made.clean()
    assert words in " ".join(refused.value.message_dict[field])


def test_a_row_is_the_value_that_a_setting_would_be(db: None) -> None:
    row("cloud", "nlu", model="m", secret="LIFELINE_SECRET_X", failures=4, price_read_m=2.5, http2=True)
    config = engine_rows().enabled[0]
    assert (config.model, config.secret, config.failures, config.price.read_m) == ("m", "LIFELINE_SECRET_X", 4, 2.5)
    assert config.http2_cleartext
    assert decode_rows(encode_rows(engine_rows())) == engine_rows()


# --- which engines serve ----------------------------------------------------------------------------------------------
def test_without_rows_the_local_engine_serves(db: None) -> None:
    made = store()
    assert names(made.current()) == LOCAL
    assert not made.refresh_from_database()
    assert names(made.current()) == names(shown_engines().enabled) == LOCAL


def test_rows_serve_in_order_and_the_local_engine_only_where_there_are_none(db: None) -> None:
    row("second", order=2)
    row("first", order=1)
    row("off", "tts", enabled=False)
    made = store()
    assert made.refresh_from_database()
    assert names(made.current()) == ["first", "second", "local-nlu"]
    assert names(stored_engines()) == ["first", "second", "local-nlu"]
    assert names(shown_engines().disabled) == ["off"]


def test_the_setting_wins_over_rows(db: None, settings: Any) -> None:
    row("mine")
    settings.LIFELINE_ENGINES = '[{"name": "set", "stage": "stt", "kind": "vosk", "url": "ws://127.0.0.1:2"}]'
    assert names(store().current()) == names(stored_engines()) == names(shown_engines().enabled) == ["set"]
    settings.LIFELINE_ENGINE_HOSTS = ["example.org"]
    with pytest.raises(BadEngineConfigError, match="LIFELINE_ENGINE_HOSTS"):
        store()


def test_a_wrong_setting_leaves_the_page_to_be_seen(db: None, settings: Any) -> None:
    settings.LIFELINE_ENGINES = "nonsense"
    assert shown_engines() == EngineRows()
    with pytest.raises(BadEngineConfigError, match="LIFELINE_ENGINES"):
        store()


# --- the file ---------------------------------------------------------------------------------------------------------
def test_a_process_starts_from_the_file_with_the_database_down(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    row("mine")
    store().refresh_from_database()

    def down() -> EngineRows:
        raise OperationalError("no database")

    monkeypatch.setattr(engine_store, "engine_rows", down)
    assert names(store().current())[0] == "mine"


def test_a_file_that_cannot_be_read_leaves_the_local_engine_and_is_reported(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b'{"enabled": [{"name": "x"')
    with capture_logs() as logs:
        made = store()
    assert names(made.current()) == LOCAL
    assert "cannot be read" in made.problem
    assert [one["log_level"] for one in logs] == ["error"]
    assert names(stored_engines()) == LOCAL


def test_rows_that_cannot_be_used_change_neither_memory_nor_file(db: None, file: Path, settings: Any) -> None:
    row("good")
    made = store()
    made.refresh_from_database()
    before = file.read_bytes()
    Engine.objects.update(failures=99)  # Past every form.
    with pytest.raises(BadEngineConfigError, match="failures is 99"):
        made.refresh_from_database()
    assert (names(made.current())[0], file.read_bytes()) == ("good", before)
    Engine.objects.update(failures=0)
    settings.LIFELINE_ENGINE_HOSTS = ["example.org"]
    row("elsewhere", order=2)
    with pytest.raises(BadEngineConfigError, match="LIFELINE_ENGINE_HOSTS"):
        store().refresh_from_database()
    assert file.read_bytes() == before


def test_a_start_leaves_out_what_this_process_cannot_build(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    row("keyless", secret="LIFELINE_SECRET_NOT_HERE")
    row("plain", order=2)
    kept, lacking = usable(engine_rows().enabled)
    assert names(kept) == ["plain"]
    assert "LIFELINE_SECRET_NOT_HERE is not set" in lacking[0]
    monkeypatch.setenv("LIFELINE_SECRET_NOT_HERE", "x")
    assert names(usable(engine_rows().enabled)[0]) == ["keyless", "plain"]


# --- following --------------------------------------------------------------------------------------------------------
async def test_a_change_that_a_process_refuses_is_told_and_the_next_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [EngineRows()]
    applied: list[list[str]] = []

    def apply(engines: Sequence[EngineConfig]) -> None:
        for one in engines:
            one.secret_value({})
        applied.append(names(engines))

    def read() -> EngineRows:
        return rows[0]

    def has(name: str, secret: str = "") -> None:
        rows[0] = EngineRows((Engine(name=name, stage="stt", kind="vosk", address="ws://h", secret=secret).config(),))

    monkeypatch.setattr(engine_store, "engine_rows", read)
    made = store()
    following = asyncio.create_task(made.run(apply, every_s=0.01))
    try:
        has("one")
        await until(lambda: applied[-1:] == [["one", "local-nlu", "local-tts"]])
        has("two", "LIFELINE_SECRET_NOT_HERE")
        await until(lambda: "NOT_HERE is not set" in made.problem)
        assert applied[-1][0] == "one"
        has("three")
        await until(lambda: applied[-1][0] == "three" and not made.problem)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

"""Engines from the settings, and every wrong setting in plain words."""

from __future__ import annotations

import json

import pytest

from ai_engine.engines.build import Engines, load_adapters
from ai_engine.engines.config import SERVES, EngineConfig, EngineKind, Stage, configured_engines, problems
from ai_engine.errors import BadEngineConfigError

GOOD: dict[str, object] = {"name": "cloud", "stage": "nlu", "kind": "openai", "url": "https://example.org/v1"}


def read(*engines: dict[str, object]) -> tuple[EngineConfig, ...]:
    return configured_engines(json.dumps(engines), host="127.0.0.1", stt_port=1, http_port=2)


async def test_nothing_configured_means_the_local_engine_for_every_stage() -> None:
    configs = configured_engines("", host="127.0.0.1", stt_port=2700, http_port=2701)
    assert [(one.name, one.stage.value) for one in configs] == [
        ("local-stt", "stt"), ("local-nlu", "nlu"), ("local-tts", "tts"),
    ]  # fmt: skip
    engines = Engines(configs)
    assert [len(stage) for stage in (engines.stt, engines.nlu, engines.tts)] == [1, 1, 1]
    await engines.close()


async def test_every_kind_is_built_for_every_stage_that_it_serves() -> None:
    every = [(kind, stage) for kind, stages in SERVES.items() for stage in stages]
    sockets = (EngineKind.VOSK, EngineKind.DEEPGRAM)
    configs = [
        EngineConfig(f"{kind}-{stage}", stage, kind, "wss://x" if kind in sockets else "https://x") for kind, stage in every
    ]
    load_adapters(configs)
    engines = Engines(configs)
    built = [one.config for one in engines.stt] + [one.config for one in engines.nlu] + [one.config for one in engines.tts]
    assert sorted((one.kind, one.stage) for one in built) == sorted(every)
    await engines.close()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stage": "ears"}, "stage"),
        ({"kind": "vosk"}, "needs a ws://"),
        ({"url": "file:///etc/passwd"}, "needs a http://"),
        ({"kind": "vosk", "url": "ws://x"}, "cannot serve the stage nlu"),
        ({"secret": "AWS_SECRET"}, "begins with LIFELINE_SECRET_"),
        ({"name": "stt"}, "is no name"),
        ({"colour": "red"}, "colour"),
        ({"rate_hz": 1}, "rate_hz"),
        ({"first_byte_s": 9, "total_s": 3}, "first_byte_s"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(BadEngineConfigError, match=words):
        read({**GOOD, **wrong})


def test_two_of_a_name_and_no_json_are_refused() -> None:
    with pytest.raises(BadEngineConfigError, match="two engines"):
        read(GOOD, GOOD)
    with pytest.raises(BadEngineConfigError, match="LIFELINE_ENGINES"):
        configured_engines("{nonsense", host="", stt_port=1, http_port=2)


def test_a_secret_that_is_not_set_stops_the_start() -> None:
    configs = read({**GOOD, "secret": "LIFELINE_SECRET_NOT_SET"})
    with pytest.raises(BadEngineConfigError, match="LIFELINE_SECRET_NOT_SET is not set"):
        Engines(configs)
    assert configs[0].secret_value({"LIFELINE_SECRET_NOT_SET": "abc"}) == "abc"


@pytest.mark.parametrize(("kind", "stage"), [(kind, stage) for kind, stages in SERVES.items() for stage in sorted(stages)])
async def test_whatever_a_row_may_say_can_be_built(kind: EngineKind, stage: Stage) -> None:
    scheme = "ws" if kind in (EngineKind.VOSK, EngineKind.DEEPGRAM) else "http"
    config = EngineConfig("one", stage, kind, f"{scheme}://127.0.0.1:1/v1", model="m")
    assert problems(config) == {}
    engines = Engines([config])
    built = [*(one.config for one in engines.stt), *(one.config for one in engines.nlu), *(one.config for one in engines.tts)]
    assert built == [config]
    await engines.close()

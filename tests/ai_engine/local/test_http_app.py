"""The HTTP application's own limits, without a network."""

from __future__ import annotations

import httpx
import pytest

from ai_engine.local import http_app
from ai_engine.local.faults import FaultWatch
from ai_engine.local.grammar import Grammar
from ai_engine.local.recogniser_pool import RecogniserPool
from espeak.voice import wav


async def test_speech_beyond_what_can_be_rendered_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    app = http_app.HttpApp(FaultWatch(None), RecogniserPool(Grammar("", "", ())))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app), base_url="http://engine") as client:
            assert (await client.post("/v1/audio/speech", json={"input": "one"})).status_code == 200
            monkeypatch.setattr(http_app, "MAX_SPEECHES_WAITING", 0)
            assert (await client.post("/v1/audio/speech", json={"input": "two"})).status_code == 503
            assert (await client.post("/v1/audio/speech", json={"input": "one"})).status_code == 200  # kept
    finally:
        app.close()


@pytest.mark.parametrize(
    ("data", "files", "text"),
    [
        ({"model": "local"}, {}, "there is no file"),
        ({}, {"file": ("x.wav", b"RIFF, or not", "audio/wav")}, "not a WAV file"),
        ({}, {"file": ("x.wav", wav(bytes(200), 4000), "audio/wav")}, "8000 to 48000"),
        ({}, {"file": ("x.wav", wav(bytes(2 * 8000 * 61), 8000), "audio/wav")}, "longer than 60"),
    ],
)
async def test_an_upload_that_cannot_be_heard_is_refused_with_the_reason(
    data: dict[str, str], files: dict[str, tuple[str, bytes, str]], text: str
) -> None:
    app = http_app.HttpApp(FaultWatch(None), RecogniserPool(Grammar("", "", ())))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app), base_url="http://engine") as client:
            answer = await client.post("/v1/audio/transcriptions", data=data, files=files)
            assert (answer.status_code, text in answer.json()["error"]["message"]) == (400, True)
            files = {"file": ("x.wav", wav(bytes(16_000), 8000), "audio/wav")}
            busy = await client.post("/v1/audio/transcriptions", data={"model": "local"}, files=files)
            assert busy.status_code == 503  # this pool has no decoder at all
    finally:
        app.close()

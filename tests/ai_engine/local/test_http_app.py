"""The HTTP application's own limits, without a network."""

from __future__ import annotations

import httpx
import pytest

from ai_engine.local import http_app
from ai_engine.local.faults import FaultWatch


async def test_speech_beyond_what_can_be_rendered_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    app = http_app.HttpApp(FaultWatch(None))
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app), base_url="http://engine") as client:
            assert (await client.post("/v1/audio/speech", json={"input": "one"})).status_code == 200
            monkeypatch.setattr(http_app, "MAX_SPEECHES_WAITING", 0)
            assert (await client.post("/v1/audio/speech", json={"input": "two"})).status_code == 503
            assert (await client.post("/v1/audio/speech", json={"input": "one"})).status_code == 200  # kept
    finally:
        app.close()

"""``manage.py run_local_engine`` as a process: how it starts, and that nothing of it is left whichever way it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.ai_engine.local.conftest import free_port

ROOT = Path(__file__).resolve().parents[3]
READY_S = 20.0
GONE_S = 5.0


def until(true: Callable[[], object], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def address() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def engine(tmp_path: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "LIFELINE_DEMO": "1",
        "LIFELINE_DATA_DIR": str(tmp_path),
        "LIFELINE_ENGINE_STT_PORT": str(free_port()),
        "LIFELINE_ENGINE_HTTP_PORT": address.rpartition(":")[2],
        "DJANGO_SETTINGS_MODULE": "console.settings",
    }
    process = subprocess.Popen([sys.executable, "manage.py", "run_local_engine"], cwd=ROOT, env=environment)
    try:
        until(lambda: answers(address), READY_S)
        yield process
    finally:
        process.kill()
        process.wait(GONE_S)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v1/models", timeout=1, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_child_is_left(engine: subprocess.Popen[bytes], number: signal.Signals) -> None:
    children = psutil.Process(engine.pid).children(recursive=True)
    assert len(children) >= 2
    engine.send_signal(number)
    assert engine.wait(GONE_S) == (0 if number is signal.SIGTERM else -number)
    _, alive = psutil.wait_procs(children, timeout=GONE_S)
    assert not alive


def test_both_versions_of_http_are_spoken(engine: subprocess.Popen[bytes], address: str) -> None:
    body = {"model": "local", "input": "Good morning.", "voice": "alloy", "response_format": "pcm", "sample_rate": 8000}
    for version in ("HTTP/1.1", "HTTP/2"):
        with httpx.Client(http1=version == "HTTP/1.1", http2=version == "HTTP/2", timeout=5, trust_env=False) as client:
            speech = client.post(f"{address}/v1/audio/speech", json=body)
            assert (speech.status_code, speech.http_version) == (200, version)
            assert 0.4 < len(speech.content) / 16_000 < 3
            refused = client.post(f"{address}/v1/audio/speech", json=body | {"response_format": "mp3"})
            assert refused.status_code == 400

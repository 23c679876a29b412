"""``manage.py run_ai_worker`` as real processes: one is killed in the middle of a turn, the other is asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from ai_engine.messages import TurnDone, TurnTaken
from ai_engine.turn_queue import publish_chunks, publish_turn
from callflows.definition.flow import encode_snapshot
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.rig import SPEECH, Rig
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


async def start(rig: Rig, name: str, folder: Path, **more: str) -> asyncio.subprocess.Process:
    engines = [
        {"name": "stt-1", "stage": "stt", "kind": "vosk", "url": rig.vosk.url},
        {"name": "nlu-1", "stage": "nlu", "kind": "openai", "url": rig.nlu.url, "http2_cleartext": True},
        {"name": "tts-1", "stage": "tts", "kind": "openai", "url": rig.tts.url, "http2_cleartext": True},
    ]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LIFELINE_", "DJANGO_"))}
    settings = {
        "LIFELINE_DATA_DIR": str(folder),
        "LIFELINE_DEMO": "true",
        "LIFELINE_WORKER_ID": name,
        "LIFELINE_REDIS_DURABLE_URL": rig.durable.url,
        "LIFELINE_REDIS_VOLATILE_URL": rig.volatile.url,
        "LIFELINE_ENGINES": msgspec.json.encode(engines).decode(),
        **more,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "manage.py"), "run_ai_worker", env={**kept, **settings}, cwd=folder,
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


async def end(process: asyncio.subprocess.Process) -> str:
    if process.returncode is None:
        process.kill()
    _out, said = await process.communicate()
    return said.decode()


async def test_a_worker_killed_in_a_turn_and_one_that_is_asked_to_stop(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "flows.json").write_bytes(encode_snapshot(demo_snapshot()))
    workers = {name: await start(rig, name, tmp_path) for name in ("one", "two")}
    logs: dict[str, str] = {}
    try:

        async def both() -> bool:
            return len(await rig.client.keys("worker:*")) == 2

        await eventually(both, within_s=30)
        chunks = rig.chunks(SPEECH)
        await publish_turn(rig.client, request())
        await publish_chunks(rig.client, "call-1", chunks[:5])
        taken: list[str] = []

        async def is_taken() -> bool:
            await rig.listen()
            taken.extend(message.worker_id for message in rig.told if isinstance(message, TurnTaken))
            return bool(taken)

        await eventually(is_taken)
        workers[taken[0]].kill()
        other = next(name for name in workers if name != taken[0])
        await publish_chunks(rig.client, "call-1", chunks[5:])
        done = await rig.outcome()
        assert isinstance(done, TurnDone)
        assert (done.worker_id, done.transcript) == (other, "what are your opening hours")
        workers[other].send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await workers[other].wait() == 0
    finally:
        for name, process in workers.items():
            logs[name] = await end(process)
    assert "worker_stopped" in logs[other]
    assert "opening hours" not in logs[other], "a transcript is personal"
    assert "Traceback" not in logs[other]


async def test_a_wrong_setting_stops_the_start_with_one_line(rig: Rig, tmp_path: Path) -> None:
    process = await start(rig, "bad", tmp_path, LIFELINE_ENGINES='[{"name": "x"}]')
    _out, said = await process.communicate()
    assert process.returncode == 1
    assert b"LIFELINE_ENGINES" in said
    assert b"Traceback" not in said

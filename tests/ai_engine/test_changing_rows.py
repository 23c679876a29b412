"""Rows change while a worker process runs: it takes other engines without a restart, and keeps them when it must."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import msgspec
import pytest

from ai_engine.engines.rows import decode_rows
from ai_engine.messages import Heartbeat, TurnDone
from callflows.definition.flow import encode_snapshot
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.rig import Rig
from tests.ai_engine.test_worker_process import end, start
from tests.ai_engine.waiting import eventually, until
from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]
MAKE_ROWS = """
import sys, django; django.setup()
from django.core.management import call_command
from ai_engine.models import Engine
call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
broken, good, nlu, tts = sys.argv[1:]
for name, stage, order, kind, address in (
    ("stt-broken", "stt", 1, "vosk", broken), ("stt-good", "stt", 2, "vosk", good),
    ("nlu-1", "nlu", 1, "openai", nlu), ("tts-1", "tts", 1, "openai", tts),
):
    Engine.objects.create(name=name, stage=stage, order=order, kind=kind, address=address, http2=kind == "openai")
"""


class Scene:
    """A rig with a database of rows beside it."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig, self.folder = rig, folder

    def change(self, sql: str) -> None:
        """What a save in the admin leaves in the database, from another process's view."""
        with closing(sqlite3.connect(self.folder / "lifeline.sqlite3", timeout=20)) as db, db:
            db.execute(sql)

    async def engines_of_a_turn(self, call_uuid: str) -> list[tuple[str, str]]:
        await self.rig.say(call_uuid)
        done = await self.rig.outcome(call_uuid)
        assert isinstance(done, TurnDone), done
        return [(one.engine, one.kind) for one in done.stages if one.stage == "stt"]

    async def complains(self) -> bool:
        value = await self.rig.client.get("worker:one")
        beat = None if value is None else msgspec.json.decode(value, type=Heartbeat)
        return beat is not None and "LIFELINE_SECRET_NOT_HERE is not set" in beat.engines_problem

    async def second_is_there(self) -> bool:
        return bool(await self.rig.client.exists("worker:two"))

    def file_names(self) -> list[str]:
        path = self.folder / "engines.json"
        return [one.name for one in decode_rows(path.read_bytes()).enabled] if path.exists() else []


@pytest.fixture
async def scene(durable_server: RedisServer, volatile_server: RedisServer, tmp_path: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        broken, good = [await stack.enter_async_context(FakeVosk().running()) for _ in range(2)]
        nlu, tts = [await stack.enter_async_context(FakeOpenAI().running()) for _ in range(2)]
        broken.fault = "500"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LIFELINE_", "DATABASE_URL"))}
        settings = {"DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DATA_DIR": str(tmp_path), "LIFELINE_DEMO": "1"}
        making = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MAKE_ROWS, broken.url, good.url, nlu.url, tts.url, cwd=ROOT, env={**kept, **settings}
        )
        assert await making.wait() == 0
        (tmp_path / "flows.json").write_bytes(encode_snapshot(demo_snapshot()))
        rig = Rig(durable_server, volatile_server, good, nlu, tts)
        stack.push_async_callback(rig.client.aclose)
        yield Scene(rig, tmp_path)


@pytest.mark.slow
async def test_a_worker_follows_the_rows_and_the_next_one_starts_without_the_database(scene: Scene) -> None:
    process = await start(scene.rig, "one", scene.folder, LIFELINE_ENGINES="")
    try:
        await until(lambda: "stt-good" in scene.file_names(), within_s=30, what="the rows on disk")
        first = await scene.engines_of_a_turn("call-1")
        assert first == [("stt-broken", "http_500"), ("stt-good", "")]

        scene.change("UPDATE ai_engine_engine SET enabled = 0 WHERE name = 'stt-broken'")
        await until(lambda: "stt-broken" not in scene.file_names(), what="the change on disk")

        async def only_the_good_one() -> bool:
            number = int(asyncio.get_running_loop().time() * 1000)
            return await scene.engines_of_a_turn(f"call-{number}") == [("stt-good", "")]

        await eventually(only_the_good_one, what="a turn without the broken engine")

        # A secret that this worker has not: it says so and goes on with what it had.
        scene.change("UPDATE ai_engine_engine SET enabled = 1, secret = 'LIFELINE_SECRET_NOT_HERE' WHERE name = 'stt-broken'")
        await eventually(scene.complains, what="the worker's complaint")
        assert await scene.engines_of_a_turn("call-2") == [("stt-good", "")]
        assert process.returncode is None
    finally:
        said = await end(process)
    assert "engines_changed" in said
    assert "engines_kept_as_they_were" in said
    assert "Traceback" not in said

    nowhere = f"sqlite:///{scene.folder}/missing/folder.sqlite3"
    process = await start(scene.rig, "two", scene.folder, LIFELINE_ENGINES="", DATABASE_URL=nowhere)
    try:
        await eventually(scene.second_is_there, within_s=30)
        assert await scene.engines_of_a_turn("call-3") == [("stt-good", "")]
    finally:
        said = await end(process)
    assert "engine_left_out" in said
    assert "Traceback" not in said

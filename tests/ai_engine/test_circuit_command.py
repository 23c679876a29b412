"""``manage.py circuit`` over a real Redis, with no database to ask."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("circuit", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def _redis(settings: Settings, durable_redis: str) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis


@pytest.mark.usefixtures("_redis")
def test_a_stage_is_opened_shown_and_released() -> None:
    assert "local-nlu" in run("open", "nlu", "--why", "provider is down", "--for", "60")
    listed = {view["name"]: view for view in json.loads(run("list", "--json"))}
    assert set(listed) == {"local-stt", "local-nlu", "local-tts"}
    assert listed["local-nlu"]["state"] == "forced_open"
    assert listed["local-nlu"]["why"] == "provider is down"
    assert "forced_open" in run("list")
    run("close", "turns")
    assert "forced_closed" in run("list")
    run("release", "nlu")
    run("release", "turns")
    assert {view["state"] for view in json.loads(run("list", "--json"))} == {"closed"}


@pytest.mark.usefixtures("_redis")
def test_what_was_done_by_hand_is_in_the_history_with_its_reason() -> None:
    assert "nothing has moved yet" in run("history")
    run("open", "nlu", "--why", "provider is down", "--for", "60")
    run("release", "nlu", "--why", "it is back")
    first, second = run("history").splitlines()
    assert "local-nlu" in first
    assert "forced     closed -> forced_open" in first
    assert "provider is down, by " in first
    assert "until 2" in first
    assert "released   forced_open -> closed" in second
    assert "it is back, by " in second
    assert [move["why"] for move in json.loads(run("history", "--json", "--count", "1"))] == ["it is back"]


@pytest.mark.usefixtures("_redis")
def test_a_time_beyond_all_dates_is_refused() -> None:
    with pytest.raises(CommandError, match="leave the time out"):
        run("open", "nlu", "--for", "1e12")


def test_everything_works_with_a_database_that_is_not_there(durable_redis: str, tmp_path: Path) -> None:
    (tmp_path / "no-folder").touch()
    environ = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/no-folder/lifeline.sqlite3",
        "LIFELINE_REDIS_DURABLE_URL": durable_redis,
        "LIFELINE_DATA_DIR": str(tmp_path),
        "LIFELINE_DEMO": "true",
        "DJANGO_SETTINGS_MODULE": "console.settings",
    }

    def shell(*words: str) -> str:
        command = [sys.executable, "manage.py", "circuit", *words]
        return subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout

    assert "held open: local-nlu" in shell("open", "nlu", "--why", "night")
    assert "forced_open" in shell("list")
    assert "released: local-nlu" in shell("release", "nlu")
    assert "released" in shell("history")


@pytest.mark.usefixtures("_redis")
def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(CommandError, match=r"no circuit 'sst'.*local-stt.*stages: nlu, stt, tts, turns"):
        run("open", "sst")


def test_a_dead_redis_is_one_clear_line(settings: Settings, volatile_server: RedisServer) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = volatile_server.url
    volatile_server.kill()
    with pytest.raises(CommandError, match="durable Redis does not answer"):
        run("list")

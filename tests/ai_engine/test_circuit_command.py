"""``manage.py circuit`` over a real Redis, with no database to ask."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.redis_server import RedisServer


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
def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(CommandError, match=r"no circuit 'sst'.*local-stt.*stages: nlu, stt, tts, turns"):
        run("open", "sst")


def test_a_dead_redis_is_one_clear_line(settings: Settings, volatile_server: RedisServer) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = volatile_server.url
    volatile_server.kill()
    with pytest.raises(CommandError, match="durable Redis does not answer"):
        run("list")

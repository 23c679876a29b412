"""One drill at a time, in a real Redis, and it ends by itself."""

from __future__ import annotations

import time

import pytest

from ai_engine.drills import store
from ai_engine.drills.drill import KEY
from ai_engine.drills.errors import BadDrillError, DrillRunningError, DrillsUnreachableError
from ai_engine.redis_clients import connect
from tests.ai_engine.drills.examples import drill
from tests.redis_server import RedisServer


def test_one_at_a_time(durable_redis: str) -> None:
    assert store.current(durable_redis) is None
    first = drill()
    store.start(durable_redis, first)
    with pytest.raises(DrillRunningError):
        store.start(durable_redis, drill(drill_id="d2"))
    found = store.current(durable_redis)
    assert found is not None
    assert found.drill == first
    assert 34 < found.left_s <= 35
    assert 29 < found.failing_left_s <= 30


def test_only_the_one_that_was_meant_is_ended(durable_redis: str) -> None:
    store.start(durable_redis, drill())
    assert not store.end(durable_redis, "d0")
    assert store.current(durable_redis) is not None
    assert store.end(durable_redis, "d1")
    assert not store.end(durable_redis, "d1")
    assert store.current(durable_redis) is None


def test_it_ends_by_itself(durable_redis: str) -> None:
    store.start(durable_redis, drill())
    with connect(durable_redis) as client:
        assert 0 < client.pttl(KEY) <= 35_000
        client.pexpire(KEY, 1)
        deadline = time.monotonic() + 5
        while client.exists(KEY):
            assert time.monotonic() < deadline
    assert store.current(durable_redis) is None


def test_what_must_not_begin_is_not_stored(durable_redis: str) -> None:
    with pytest.raises(BadDrillError):
        store.start(durable_redis, drill(duration_s=0))
    assert store.current(durable_redis) is None


def test_what_another_version_wrote_is_no_drill(durable_redis: str) -> None:
    with connect(durable_redis) as client:
        client.set(KEY, b'{"what": 3}', px=60_000)
    assert store.current(durable_redis) is None


def test_without_redis_nobody_says_that_it_began(durable_server: RedisServer) -> None:
    durable_server.kill()
    for order in (lambda: store.start(durable_server.url, drill()), lambda: store.end(durable_server.url, "d1")):
        with pytest.raises(DrillsUnreachableError):
            order()

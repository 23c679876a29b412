"""Fixtures that every part's tests may use: real Redis servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import RedisServer

pytest_plugins = ["tests.published"]

@pytest.fixture
def durable_server() -> Iterator[RedisServer]:
    with RedisServer(durable=True) as server:
        yield server


@pytest.fixture
def volatile_server() -> Iterator[RedisServer]:
    with RedisServer(durable=False) as server:
        yield server


@pytest.fixture
def durable_redis(durable_server: RedisServer) -> str:
    """The URL of a server with an append-only file."""
    return durable_server.url


@pytest.fixture
def volatile_redis(volatile_server: RedisServer) -> str:
    """The URL of a server without one."""
    return volatile_server.url

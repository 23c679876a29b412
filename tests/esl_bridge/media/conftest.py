"""A real media gateway on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.esl_bridge.media.test_gateway import Running


@pytest.fixture
async def gateway(volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(volatile_redis, ["127.0.0.0/8"])
    await running.ready()
    yield running
    await running.close()

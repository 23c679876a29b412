"""Who goes by one's name is found while both live, and a process that began anew is not taken for its own namesake."""

from __future__ import annotations

import structlog

from ai_engine.namesakes import Namesake
from ai_engine.redis_clients import connect_async


async def test_both_find_each_other_and_only_while_both_live(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    east, west = Namesake("worker", "w1"), Namesake("worker", "w1")
    with structlog.testing.capture_logs() as logs:
        for one in (east, west, east, west, east, west):
            await one.look(client)
        assert [one.is_there for one in (east, west)] == [True, True]
        assert [line["log_level"] for line in logs] == ["error", "error"]
        assert "LIFELINE_HOST_NAME" in logs[0]["event"]
        await east.look(client)
        await east.look(client)
        assert [one.is_there for one in (east, west)] == [False, True]
    assert [line["log_level"] for line in logs] == ["error", "error", "info"]
    await client.aclose()


async def test_what_a_process_before_left_is_no_namesake(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    await Namesake("worker", "w1").look(client)
    new = Namesake("worker", "w1")
    for _ in range(3):
        await new.look(client)
        assert not new.is_there
    await client.aclose()


async def test_others_names_and_other_kinds_are_no_namesakes(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    mine, others = Namesake("worker", "w1"), [Namesake("worker", "w2"), Namesake("journal", "w1")]
    for one in [mine, *others] * 3:
        await one.look(client)
        assert not one.is_there
    await client.aclose()

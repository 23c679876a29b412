"""A bridge does not go on half alive when one of its works has failed."""

from __future__ import annotations

import asyncio

import pytest

from esl_bridge.upkeep import Upkeep


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_work_that_fails_stops_the_process_with_its_error() -> None:
    stop, calls_finished = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        raise OSError("the disk is gone")

    async def serve() -> None:
        async with Upkeep([for_ever(), fails()], stop):
            await stop.wait()
            calls_finished.set()

    with pytest.raises(OSError, match="the disk is gone"):
        await serve()
    assert calls_finished.is_set()


async def test_a_work_that_ends_without_an_error_has_failed_as_well() -> None:
    stop = asyncio.Event()

    async def ends() -> None:
        return

    async def serve() -> None:
        async with Upkeep([ends()], stop):
            await stop.wait()

    with pytest.raises(RuntimeError, match="ends ended by itself"):
        await serve()


async def test_a_work_that_cancels_itself_has_failed_as_well() -> None:
    stop = asyncio.Event()

    async def gives_up() -> None:
        raise asyncio.CancelledError

    async def serve() -> None:
        async with Upkeep([gives_up()], stop):
            await stop.wait()

    with pytest.raises(RuntimeError, match="gives_up ended by itself"):
        await serve()


async def test_works_end_with_the_process_and_that_is_no_failure() -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()
    begun = asyncio.Event()

    async def works() -> None:
        begun.set()
        try:
            await for_ever()
        finally:
            cancelled.set()

    async with Upkeep([works()], stop):
        await begun.wait()
    assert cancelled.is_set()
    assert not stop.is_set()


async def test_the_error_of_the_calls_goes_first() -> None:
    async def fails() -> None:
        raise OSError("the disk is gone")

    async def serve() -> None:
        stop = asyncio.Event()
        async with Upkeep([fails()], stop):
            await stop.wait()
            raise ValueError("the port is taken")

    with pytest.raises(ValueError, match="the port is taken"):
        await serve()

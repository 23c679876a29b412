"""When the live page is told that its figures are of now: only after a look, and never while a render hangs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from console import live
from console.live import Coalescer
from console.regions import REGIONS, Sight

LIMIT_S = 5.0


class FakeViewer:
    def __init__(self) -> None:
        self.shown: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def show(self, text: str) -> None:
        self.shown.put_nowait(json.loads(text))

    async def sight(self) -> Sight | None:
        return Sight()

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.shown.get(), LIMIT_S)


class Reading:
    """In place of rendering and looking: each may be made to hang, as a question to a database does."""

    def __init__(self) -> None:
        self.may_render, self.may_look = threading.Event(), threading.Event()
        self.may_render.set()
        self.may_look.set()
        self.renders, self.looks = 0, 0

    def render_all(self, sights: set[Sight]) -> dict[Sight, dict[str, str]]:
        self.renders += 1
        self.may_render.wait(LIMIT_S)
        return {sight: dict.fromkeys(REGIONS, "") for sight in sights}

    def fingerprint(self) -> object:
        self.looks += 1
        self.may_look.wait(LIMIT_S)
        return "unchanged"


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch, settings: Any, volatile_redis: str) -> Iterator[Reading]:
    settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    one = Reading()

    def in_a_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        return lambda *args: asyncio.to_thread(function, *args)

    for name, value in (("render_all", one.render_all), ("fingerprint", one.fingerprint), ("database_sync_to_async", in_a_thread),
                        ("IDLE_S", 0.0), ("CHECK_S", 0.01)):  # fmt: skip
        monkeypatch.setattr(live, name, value)
    yield one
    one.may_render.set()
    one.may_look.set()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not is_so():
            await asyncio.sleep(0)


async def test_with_nothing_to_show_the_page_is_told_that_what_it_shows_is_of_now(reading: Reading) -> None:
    coalescer, viewer = Coalescer(), FakeViewer()
    await coalescer.join(viewer, Sight())
    while "regions" in (message := await viewer.next()):
        pass
    assert list(message) == ["now_ms"]
    await coalescer.leave(viewer)


async def test_while_a_render_hangs_nothing_says_that_the_figures_are_of_now(reading: Reading) -> None:
    coalescer, viewer = Coalescer(), FakeViewer()
    reading.may_render.clear()
    await coalescer.join(viewer, Sight())
    await until(lambda: reading.renders > 0)
    looks = reading.looks
    await until(lambda: reading.looks > looks + 3)
    assert viewer.shown.empty()
    reading.may_render.set()
    assert "regions" in await viewer.next()
    await coalescer.leave(viewer)


async def test_while_the_look_for_changes_hangs_nothing_says_so_either(reading: Reading) -> None:
    coalescer, viewer = Coalescer(), FakeViewer()
    reading.may_look.clear()
    await coalescer.join(viewer, Sight())
    await until(lambda: reading.looks == 1)
    assert "regions" in await viewer.next()
    assert viewer.shown.empty()
    reading.may_look.set()
    while "regions" in await viewer.next():
        pass
    await coalescer.leave(viewer)

"""A fake engine served from a thread with a loop of its own, for tests that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Protocol, TypeVar


class Runs(Protocol):
    def running(self) -> AbstractAsyncContextManager[object]: ...


Fake = TypeVar("Fake", bound=Runs)
START_LIMIT_S = 10.0


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with fake.running():
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(START_LIMIT_S)
        yield fake
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(START_LIMIT_S)
        loop.close()

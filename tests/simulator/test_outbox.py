"""What is sent to a connection, whole and in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulator import outbox
from simulator.outbox import Outbox


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Outbox, asyncio.StreamReader]]:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _reader, writer: accepted.put_nowait(writer), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    out = Outbox(await accepted.get())
    yield out, reader
    out.close()
    writer.close()
    server.close()


async def test_everything_comes_in_its_order_and_before_the_end() -> None:
    async with connected() as (out, reader):
        out.put(b"reply ")
        out.put_event(b"event ")
        assert await reader.readexactly(12) == b"reply event "
        out.put(b"goodbye")
        out.close()
        assert out.is_closing()
        out.put(b"too late")
        assert await reader.read() == b"goodbye"


async def test_a_peer_that_does_not_read_loses_events_and_no_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as (out, reader):
        monkeypatch.setattr(outbox, "MAX_UNSENT_BYTES", -1)
        out.put_event(b"event")
        out.put(b"reply")
        out.close()
        assert await reader.read() == b"reply"
        assert out.dropped_events == 1

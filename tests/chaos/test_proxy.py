"""The proxy on real sockets: what passes, and how it is spoilt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.chaos.proxy import LATENCY_S, Address, Proxy, Toxic

WHOLE = b"x" * 40


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Callable[[], Address]]:
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1000):
                writer.write(piece)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    try:
        yield lambda: address
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        await asyncio.sleep(0.05)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, limit_s: float = 5.0) -> bytes:
        self.writer.write(WHOLE)
        async with asyncio.timeout(limit_s):
            return await self.reader.readexactly(len(WHOLE))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def connected(proxy: Proxy) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", proxy.port))


async def test_what_is_not_spoilt_passes_also_to_a_unix_socket(tmp_path: Path) -> None:
    async with echo() as server:
        with Proxy(server) as proxy, Proxy(lambda: ("127.0.0.1", proxy.port), tmp_path / "s"):
            client = Client(*await asyncio.open_unix_connection(tmp_path / "s"))
            assert await client.ask() == WHOLE
            await client.close()


@pytest.mark.parametrize(("toxic", "least_s"), [(Toxic.LATENCY, LATENCY_S), (Toxic.DRIP, 0.6)])
async def test_an_answer_comes_late_or_in_drops(toxic: Toxic, least_s: float) -> None:
    async with echo() as server:
        with Proxy(server) as proxy:
            client = await connected(proxy)
            assert await client.ask() == WHOLE
            proxy.spoil(toxic)
            loop = asyncio.get_running_loop()
            before = loop.time()
            assert await client.ask() == WHOLE
            assert loop.time() - before >= least_s
            await client.close()


async def test_a_reset_ends_what_stands_and_what_comes_until_it_is_mended() -> None:
    async with echo() as server:
        with Proxy(server) as proxy:
            client = await connected(proxy)
            assert await client.ask() == WHOLE
            proxy.spoil(Toxic.RESET)
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
            await client.close()
            proxy.spoil(Toxic.NONE)
            again = await connected(proxy)
            assert await again.ask() == WHOLE
            await again.close()


async def test_a_half_open_connection_stands_and_says_nothing() -> None:
    async with echo() as server:
        with Proxy(server) as proxy:
            client = await connected(proxy)
            assert await client.ask() == WHOLE
            proxy.spoil(Toxic.HALF_OPEN)
            with pytest.raises(TimeoutError):
                await client.ask(0.3)
            assert not client.reader.at_eof()
            proxy.spoil(Toxic.NONE)
            with contextlib.suppress(ConnectionError):
                assert await client.reader.read() == b""
            await client.close()

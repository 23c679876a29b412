"""The bridge on a real socket: strangers and malformed peers cost only themselves, and a call is taken as the chain expects."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.redis_clients import connect_async
from callflows.definition.flow import Snapshot
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.bridge import Bridge, BridgeConfig
from esl_bridge.calls.to_switch import SwitchSettings
from esl_bridge.journal.sender import Journal
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.recorded import from_freeswitch

UUID = "67f4668d-b17d-4b43-a9e9-a79e324546cd"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def channel_data() -> bytes:
    """The recorded reply to ``connect``, to its blank line."""
    data = from_freeswitch("audio-reply")
    return data[: data.index(b"\n\n") + 2]


class Peer:
    """A switch that says what the test wants, and collects what the bridge sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.sent = b""

    async def until(self, text: bytes) -> None:
        async with asyncio.timeout(5):
            while text not in self.sent:
                piece = await self.reader.read(65536)
                assert piece, f"the bridge closed; it had sent {self.sent!r}"
                self.sent += piece

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                while piece := await self.reader.read(65536):
                    self.sent += piece
            except ConnectionResetError:
                pass
        await self.leave()
        return True

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Running:
    def __init__(self, tmp_path: Path, durable: str, volatile: str, *, allow: list[str], max_calls: int = 10) -> None:
        self.port = free_port()
        self._client = connect_async(durable)
        self.board = CircuitBoard(durable, [], "bridge-1", local=[turns_name("bridge-1")])
        self.journal = Journal(tmp_path, self._client)
        switch = SwitchSettings("9200", "lifeline", "/prompts", "ws://127.0.0.1:1/stream")
        config = BridgeConfig("bridge-1", "127.0.0.1", self.port, allow, "secret", volatile, max_calls, switch)
        self._stop = asyncio.Event()
        bridge = Bridge(config, lambda: Snapshot((demonstration(),)), self.board, self.journal, ActionRunner())
        self._task = asyncio.create_task(bridge.run(self._stop, 0.1))

    async def connect(self) -> Peer:
        async with asyncio.timeout(5):
            while True:
                try:
                    return Peer(*await asyncio.open_connection("127.0.0.1", self.port))
                except OSError:
                    await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._stop.set()
        await self._task
        await self.board.close()
        self.journal.close()
        await self._client.aclose()


@pytest.fixture
async def bridge(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"])
    yield running
    await running.close()


async def test_a_call_is_taken_as_the_chain_expects(bridge: Running) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    # The recorded call dialled 9000; this flow takes 9200.
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(b"execute-app-name")
    sent = peer.sent
    assert sent.index(b"linger 10") < sent.index(f"filter Unique-ID {UUID}".encode()) < sent.index(b"event plain")
    assert b"ll_owner=bridge-1:1" in sent
    assert f"api sched_api +6 ll-{UUID} uuid_transfer {UUID} 9200 XML lifeline".encode() in sent
    await peer.leave()


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\n\n", b"Content-Length: many\n\n", b"Content-Type: api/response\n\n"]
)
async def test_a_malformed_peer_is_closed_and_the_next_call_is_served(bridge: Running, garbage: bytes) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(garbage)
    assert await peer.closed()
    following = await bridge.connect()
    await following.until(b"connect\n\n")
    await following.leave()


async def test_a_call_that_no_flow_takes_goes_to_the_last_resort(bridge: Running) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data())
    await peer.until(f"api uuid_transfer {UUID} ll-last-resort XML lifeline".encode())
    await peer.leave()


async def test_an_address_that_is_not_listed_is_refused(tmp_path: Path, durable_redis: str, volatile_redis: str) -> None:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["10.0.0.0/8"])
    peer = await running.connect()
    assert await peer.closed()
    assert peer.sent == b""
    await running.close()


async def test_a_full_bridge_refuses_so_that_the_dialplan_goes_on(
    tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], max_calls=1)
    peers = []
    for _ in range(2):
        peer = await running.connect()
        await peer.until(b"connect\n\n")
        peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
        await peer.until(b"execute-app-name")
        peers.append(peer)
    refused = await running.connect()
    assert await refused.closed()
    assert refused.sent == b""
    for peer in peers:
        await peer.leave()
    await running.close()

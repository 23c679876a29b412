"""The ports' limits over real sockets: who opens many connections and says nothing keeps no call out, whatever its address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import uvloop

from ai_engine.messages import MediaConnected
from esl_bridge.door import Door, Guest, Limits
from esl_bridge.media import gateway as gateway_module
from esl_bridge.media.tokens import make_metadata
from tests.esl_bridge.media.test_gateway import CALL, SECRET
from tests.esl_bridge.media.test_gateway import Running as RunningGateway
from tests.esl_bridge.test_bridge import Peer, Running, channel_data

FLOOD = 300
MAX_CALLS = 10
SWITCH, STRANGER = "127.0.0.1", "127.0.0.9"
CHANNEL = channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200")


class Flood:
    """Connections that say nothing, from one address."""

    def __init__(self, port: int, address: str) -> None:
        self._port, self._address = port, address
        self._peers: list[Peer] = []

    async def open(self, count: int) -> None:
        for _ in range(count):
            connecting = asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._address, 0))
            self._peers.append(Peer(*await connecting))

    async def still_open(self) -> int:
        """After the server has said what it has to say to each."""
        open_ones = 0
        for peer in self._peers:
            try:
                async with asyncio.timeout(0.001):
                    while await peer.reader.read(65536):
                        pass
            except TimeoutError:
                open_ones += 1
            except ConnectionError:
                pass
        return open_ones

    async def close(self) -> None:
        for peer in self._peers:
            peer.writer.close()
        for peer in self._peers:
            with contextlib.suppress(ConnectionError):
                await peer.writer.wait_closed()


@contextlib.asynccontextmanager
async def flooding(port: int, address: str, count: int = FLOOD) -> AsyncIterator[Flood]:
    flood = Flood(port, address)
    try:
        await flood.open(count)
        yield flood
    finally:
        await flood.close()


async def is_served(bridge: Running) -> Peer:
    """A switch's connection, as far as a call that is taken."""
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(CHANNEL)
    await peer.until(b"execute-app-name")
    return peer


@pytest.fixture
async def bridge(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], max_calls=MAX_CALLS)
    await running.listening()
    yield running
    await running.close()


@pytest.mark.parametrize("address", [STRANGER, SWITCH])
async def test_connections_that_say_nothing_keep_no_call_out(bridge: Running, address: str) -> None:
    async with flooding(bridge.port, address) as flood:
        peer = await is_served(bridge)
        assert await flood.still_open() <= MAX_CALLS * 1.2
        await flood.open(FLOOD)
        assert await flood.still_open() <= MAX_CALLS * 1.2
        # The call's own connection stays whatever knocks.
        peer.writer.write(b"Content-Type: command/reply\nReply-Text: +OK\n\n")
        assert not peer.reader.at_eof()
        await peer.leave()


async def test_a_flood_pushes_out_its_own_connections_and_not_those_of_a_slow_switch(bridge: Running) -> None:
    slow = await bridge.connect()
    await slow.until(b"connect\n\n")
    async with flooding(bridge.port, STRANGER):
        slow.writer.write(CHANNEL)
        await slow.until(b"execute-app-name")
        await slow.leave()


async def test_one_address_has_at_most_what_the_setting_allows(
    tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    running = Running(
        tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], max_calls=MAX_CALLS, per_address=1
    )  # fmt: skip
    await running.listening()
    peer = await is_served(running)
    refused = await running.connect()
    assert await refused.closed()
    assert refused.sent == b""
    async with flooding(running.port, STRANGER, 5) as flood:
        assert await flood.still_open() == 1
    await peer.leave()
    await running.close()


async def test_a_connection_that_does_not_identify_itself_is_closed_in_time(
    bridge: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esl_bridge.session.HANDSHAKE_S", 0.1)
    silent = await bridge.connect()
    began = time.monotonic()
    assert await silent.closed()
    assert time.monotonic() - began < 3


@pytest.fixture
async def gateway(volatile_redis: str) -> AsyncIterator[RunningGateway]:
    running = RunningGateway(volatile_redis, ["127.0.0.0/8"], MAX_CALLS)
    await running.ready()
    yield running
    await running.close()


def metadata() -> str:
    return make_metadata(SECRET, CALL, "bridge-1", 3, time.time())


@pytest.mark.parametrize("address", [STRANGER, SWITCH])
async def test_silent_connections_keep_no_stream_out_of_the_gateway(gateway: RunningGateway, address: str) -> None:
    async with flooding(gateway.port, address) as flood, gateway.connect() as stream:
        await stream.send(metadata())
        await gateway.wait_for(MediaConnected)
        await flood.open(FLOOD)
        assert await flood.still_open() <= MAX_CALLS
        await stream.send(b"\x00" * 320)
        await stream.ping()
        assert stream.close_code is None


async def test_a_handshake_without_a_token_waits_like_silence(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "FIRST_MESSAGE_S", 60)
    async with contextlib.AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(gateway.connect()) for _ in range(MAX_CALLS)]
        async with gateway.connect() as stream:
            await stream.send(metadata())
            await gateway.wait_for(MediaConnected)
            async with asyncio.timeout(5):
                await strangers[0].wait_closed()
            assert strangers[-1].close_code is None


async def test_a_full_gateway_says_so_to_a_stream_with_a_token(volatile_redis: str) -> None:
    running = RunningGateway(volatile_redis, ["127.0.0.0/8"], 1)
    await running.ready()
    async with running.connect() as late, running.connect() as first:
        # `late` had to make room for `first`.
        await first.send(metadata())
        await running.wait_for(MediaConnected)
        async with asyncio.timeout(5):
            await late.wait_closed()
    await running.close()


# Of the kernel's: a peer that is gone is noticed within a minute, whether something was said to it or not.
NOTICED = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 30,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 10,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 60_000,
}


def options_of(guest: Guest) -> dict[tuple[int, int], int]:
    opened = guest.transport.get_extra_info("socket")
    return {(level, name): opened.getsockopt(level, name) for level, name in NOTICED}


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> list[Guest]:
    """Whom the doors have let in."""
    let_in: list[Guest] = []
    enter = Door.enter

    def watched(door: Door, transport: asyncio.Transport) -> Guest | None:
        guest = enter(door, transport)
        let_in.extend([guest] if guest is not None else [])
        return guest

    monkeypatch.setattr(Door, "enter", watched)
    return let_in


async def test_a_switch_that_is_gone_without_a_word_is_noticed_at_the_bridges_port(guests: list[Guest], bridge: Running) -> None:
    peer = await is_served(bridge)
    assert options_of(guests[-1]) == NOTICED
    await peer.leave()


async def test_a_switch_that_is_gone_without_a_word_is_noticed_at_the_gateways_port(
    guests: list[Guest], gateway: RunningGateway
) -> None:
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await gateway.wait_for(MediaConnected)
        assert options_of(guests[-1]) == NOTICED


class Knocking(asyncio.Protocol):
    """A port behind a door, whose guest is told."""

    def __init__(self, door: Door, answered: asyncio.Future[Guest | None]) -> None:
        self._door, self._answered = door, answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._answered.set_result(self._door.enter(cast("asyncio.Transport", transport)))


async def let_in_at(listening: socket.socket) -> dict[tuple[int, int], int] | None:
    loop = asyncio.get_running_loop()
    door = Door("test", ["127.0.0.0/8", "::1"], Limits(inside=1, waiting=1))
    answered: asyncio.Future[Guest | None] = loop.create_future()
    server = await loop.create_server(lambda: Knocking(door, answered), sock=listening)
    with socket.socket(listening.family) as caller:
        await asyncio.to_thread(caller.connect, listening.getsockname())
        guest = await answered
        options = options_of(guest) if guest is not None else None
        if guest is not None:
            guest.transport.abort()
    server.close()
    await server.wait_closed()
    return options


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_is_noticed_under_uvloop_and_over_either_internet_protocol(address: str) -> None:
    """Its transports have a socket of their own kind."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, socket.create_server((address, 0), family=family) as port:
        assert runner.run(let_in_at(port)) == NOTICED


class FakeTransport:
    def __init__(self, address: str, opened: socket.socket | None = None) -> None:
        self.address, self.opened, self.closed = address, opened, False

    def get_extra_info(self, name: str) -> tuple[str, int] | socket.socket | None:
        return {"peername": (self.address, 1), "socket": self.opened}[name]

    def abort(self) -> None:
        self.closed = True

    close = abort


def knock(door: Door, address: str) -> tuple[FakeTransport, object]:
    transport = FakeTransport(address)
    return transport, door.enter(cast("asyncio.Transport", transport))


def test_what_is_no_tcp_is_let_in_as_it_is() -> None:
    door = Door("test", ["10.0.0.0/8"], Limits(inside=1, waiting=1))
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        assert door.enter(cast("asyncio.Transport", FakeTransport("10.0.0.1", here))) is not None
        assert here.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_the_door_counts_right_after_everything_has_left() -> None:
    door = Door("test", ["10.0.0.0/8"], Limits(inside=2, waiting=2))
    guests = []
    for number in range(2):
        guest = door.enter(cast("asyncio.Transport", FakeTransport(f"10.0.0.{number}")))
        assert guest is not None
        assert door.identified(guest)
        assert door.identified(guest), "a second time changes nothing"
        guests.append(guest)
    assert (door.inside, door.waiting) == (2, 0)
    transport, refused = knock(door, "10.0.0.7")
    assert (transport.closed, refused) == (True, None)
    for guest in guests:
        door.left(guest)
        door.left(guest)
    assert (door.inside, door.waiting) == (0, 0)
    assert knock(door, "10.0.0.7")[1] is not None


def test_who_identifies_itself_when_all_places_are_taken_is_not_let_in() -> None:
    door = Door("test", ["10.0.0.0/8"], Limits(inside=1, waiting=5))
    first, second = (door.enter(cast("asyncio.Transport", FakeTransport("10.0.0.1"))) for _ in range(2))
    assert first is not None
    assert second is not None
    assert door.identified(first)
    assert not door.identified(second)
    door.left(second)
    assert (door.inside, door.waiting) == (1, 0)


def test_who_was_turned_out_cannot_come_in_by_a_late_word() -> None:
    door = Door("test", ["10.0.0.0/8"], Limits(inside=5, waiting=1))
    first = door.enter(cast("asyncio.Transport", FakeTransport("10.0.0.1")))
    assert first is not None
    assert knock(door, "10.0.0.2")[1] is not None
    assert cast("FakeTransport", first.transport).closed
    assert not door.identified(first)
    door.left(first)
    assert (door.inside, door.waiting) == (0, 1)

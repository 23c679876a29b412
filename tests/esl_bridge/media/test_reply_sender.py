"""Replies on real sockets: a switch that reads nothing costs its own stream, and every other caller's reply is on time."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ai_engine.messages import MediaClosed, MediaReport, SpeakReply
from ai_engine.turn_queue import publish_reply
from esl_bridge.media import reply_sender
from esl_bridge.media.call_audio import CallAudio
from esl_bridge.media.reply_sender import MAX_REPLIES, ReplySender
from tests.esl_bridge.media.test_gateway import CALL, Running, metadata

STALLED, TURN = "stalled-call", 7
# More than the kernels of both sides take in, which is four megabytes here.
MORE_THAN_FITS = b"\x01\x02" * 4_000_000
SHORT = [bytes([number, 0]) for number in range(8)]
DEADLINE_S = 10.0


@contextlib.asynccontextmanager
async def listening(gateway: Running, call_uuid: str) -> AsyncIterator[ClientConnection]:
    """A call's stream whose turn has begun."""
    async with connect(f"ws://127.0.0.1:{gateway.port}/stream", proxy=None, max_size=None) as stream:
        await stream.send(metadata(call_uuid=call_uuid))
        await stream.send(json.dumps({"listen": TURN}))
        await gateway.wait_for(MediaReport, call_uuid)
        yield stream


@contextlib.contextmanager
def reads_nothing(stream: ClientConnection) -> Iterator[None]:
    stream.transport.pause_reading()
    try:
        yield
    finally:
        if not stream.transport.is_closing():
            stream.transport.resume_reading()


async def heard(stream: ClientConnection) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return base64.b64decode(json.loads(await stream.recv())["data"]["audioData"])


async def reply(gateway: Running, call_uuid: str, *pieces: bytes) -> None:
    for pcm in pieces:
        await publish_reply(gateway.client, "gateway-1", SpeakReply(call_uuid, TURN, pcm))


async def test_a_stream_that_is_not_read_holds_up_no_other_callers_reply(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply_sender, "SEND_S", 600)
    async with listening(gateway, STALLED) as stalled, listening(gateway, CALL) as healthy:
        with reads_nothing(stalled):
            await reply(gateway, STALLED, MORE_THAN_FITS, *SHORT)
            await reply(gateway, CALL, *SHORT)
            assert [await heard(healthy) for _ in SHORT] == SHORT
        # And what waited is in its order.
        assert len(await heard(stalled)) == len(MORE_THAN_FITS)
        assert [await heard(stalled) for _ in SHORT] == SHORT


async def test_a_stream_that_is_not_read_in_time_is_closed_and_its_bridge_is_told(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_sender, "SEND_S", 0.0)
    monkeypatch.setattr(reply_sender, "WRITE_FIRST_S", 0.0)
    async with listening(gateway, STALLED) as stalled, listening(gateway, CALL) as healthy:
        with reads_nothing(stalled):
            await reply(gateway, STALLED, MORE_THAN_FITS, *SHORT)
            await gateway.wait_for(MediaClosed, STALLED)
        with pytest.raises(ConnectionClosed):
            await heard(stalled)
        await reply(gateway, CALL, *SHORT)
        assert [await heard(healthy) for _ in SHORT] == SHORT


async def test_a_switch_that_reads_keeps_its_stream_when_our_own_loop_was_late(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer is heard before what the switch has taken meanwhile."""
    monkeypatch.setattr(reply_sender, "SEND_S", 0.0)
    monkeypatch.setattr(reply_sender, "WRITE_FIRST_S", 600)
    async with listening(gateway, CALL) as stream:
        await reply(gateway, CALL, MORE_THAN_FITS, *SHORT)
        assert len(await heard(stream)) == len(MORE_THAN_FITS)
        assert [await heard(stream) for _ in SHORT] == SHORT


async def test_no_task_outlives_a_stream_that_is_not_read_nor_the_gateway(
    volatile_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reply_sender, "SEND_S", 0.0)
    before = asyncio.all_tasks()
    running = Running(volatile_redis, ["127.0.0.0/8"])
    await running.ready()
    async with listening(running, STALLED) as stalled, listening(running, CALL):
        with reads_nothing(stalled):
            await reply(running, STALLED, MORE_THAN_FITS, *SHORT)
            async with asyncio.timeout(DEADLINE_S):
                await running.close()
    assert asyncio.all_tasks() == before


@contextlib.asynccontextmanager
async def both_ends() -> AsyncIterator[tuple[ServerConnection, ClientConnection]]:
    accepted: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def serve_it(connection: ServerConnection) -> None:
        accepted.set_result(connection)
        await connection.wait_closed()

    async with serve(serve_it, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            yield await accepted, client


def sender_of(connection: Connection) -> tuple[ReplySender, CallAudio]:
    """Of a call whose turn has begun."""
    audio = CallAudio(CALL)
    audio.on_text(json.dumps({"listen": TURN}))
    return ReplySender(connection, CALL, audio), audio


async def test_what_waits_is_bounded_and_the_newest_is_kept() -> None:
    async with both_ends() as (connection, client):
        sender, _ = sender_of(connection)
        pieces = [number.to_bytes(2, "little") for number in range(10 * MAX_REPLIES)]
        for pcm in pieces:
            sender.put(SpeakReply(CALL, TURN, pcm))
        sending = asyncio.create_task(sender.run())
        assert [await heard(client) for _ in range(MAX_REPLIES)] == pieces[-MAX_REPLIES:]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_reply_whose_turn_ended_while_it_waited_is_not_said() -> None:
    async with both_ends() as (connection, client):
        sender, audio = sender_of(connection)
        sender.put(SpeakReply(CALL, TURN, SHORT[1]))
        audio.on_text(json.dumps({"listen": TURN + 1}))
        sender.put(SpeakReply(CALL, TURN + 1, SHORT[2]))
        sending = asyncio.create_task(sender.run())
        assert await heard(client) == SHORT[2]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_sending_ends_when_its_stream_is_closed() -> None:
    async with both_ends() as (connection, client):
        sender, _ = sender_of(connection)
        await client.close()
        sender.put(SpeakReply(CALL, TURN, SHORT[1]))
        async with asyncio.timeout(DEADLINE_S):
            await sender.run()

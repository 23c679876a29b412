"""The media gateway over real sockets and a real Redis: tokens, strangers, audio in, replies out."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest
import redis.asyncio
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ai_engine import stream_reader
from ai_engine.messages import (
    FIELD,
    AudioChunk,
    BridgeMessage,
    MediaConnected,
    MediaReport,
    SpeakReply,
    SpeechEnded,
    SpeechStarted,
    audio_stream,
    decode_bridge_message,
    decode_chunk,
    encode,
    media_stream,
    results_stream,
)
from ai_engine.redis_clients import connect_async
from ai_engine.turn_queue import publish_reply
from esl_bridge.media.gateway import MAX_FRAMES_BEFORE, Gateway, GatewayConfig
from esl_bridge.media.tokens import TokenRefused, check_metadata, make_metadata
from espeak.voice import render

SECRET = "a secret of the test's"
CALL = "67f4668d-b17d-4b43-a9e9-a79e324546cd"
FRAME = 320


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    def __init__(self, url: str, allow: list[str], max_calls: int = 10) -> None:
        self.port = free_port()
        self.client: redis.asyncio.Redis = connect_async(url)
        self._stop = asyncio.Event()
        config = GatewayConfig("127.0.0.1", self.port, allow, SECRET, url, "gateway-1", max_calls)
        self._task = asyncio.create_task(Gateway(config).run(self._stop))

    async def ready(self) -> None:
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.01)
                    continue
                writer.close()
                await writer.wait_closed()
                return

    async def close(self) -> None:
        self._stop.set()
        await self._task
        await self.client.aclose()

    def connect(self) -> connect_websocket:
        return connect_websocket(f"ws://127.0.0.1:{self.port}/stream", proxy=None)

    async def messages(self) -> list[BridgeMessage]:
        entries: Any = await self.client.xrange(results_stream("bridge-1"))
        return [decode_bridge_message(fields[FIELD]) for _, fields in entries]

    async def wait_for(self, kind: type, call_uuid: str = CALL) -> BridgeMessage:
        async with asyncio.timeout(5):
            while True:
                for message in await self.messages():
                    if isinstance(message, kind) and message.call_uuid == call_uuid:
                        return message
                await asyncio.sleep(0.02)

    async def chunks(self) -> list[AudioChunk]:
        entries: Any = await self.client.xrange(audio_stream(CALL))
        return [decode_chunk(fields[FIELD]) for _, fields in entries]


def metadata(bridge: str = "bridge-1", call_uuid: str = CALL) -> str:
    return make_metadata(SECRET, call_uuid, bridge, 3, time.time())


async def test_speech_is_published_only_while_listening_and_its_end_is_told(gateway: Running) -> None:
    speech = render("what are your opening hours please")
    quiet = b"\x03\x00\xfd\xff" * (FRAME // 4)
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await gateway.wait_for(MediaConnected)
        await stream.send(quiet)
        await stream.send('{"listen":1001}')
        for at in range(0, len(speech) - FRAME, FRAME):
            await stream.send(speech[at : at + FRAME])
        for _ in range(60):
            await stream.send(quiet)
        await gateway.wait_for(SpeechEnded)
        kinds = [type(message) for message in await gateway.messages()]
        assert kinds.index(SpeechStarted) < kinds.index(SpeechEnded)
        assert MediaReport in kinds
        chunks = await gateway.chunks()
        assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
        assert chunks[-1].end
        assert all(len(chunk.pcm) == 1600 for chunk in chunks[:-1])
        published = sum(len(chunk.pcm) for chunk in chunks)
        await stream.send(quiet * 5)
        assert sum(len(chunk.pcm) for chunk in await gateway.chunks()) == published


async def test_hush_ends_the_turns_audio(gateway: Running) -> None:
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await stream.send('{"listen":7}')
        await stream.send(b"\x00" * FRAME)
        await stream.send('{"hush":7}')
        async with asyncio.timeout(5):
            while not any(chunk.end for chunk in await gateway.chunks()):
                await asyncio.sleep(0.02)


async def test_a_reply_goes_out_as_mod_audio_stream_wants_it_and_an_old_turns_does_not(gateway: Running) -> None:
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await stream.send('{"listen":7}')
        await gateway.wait_for(MediaReport)
        unreadable = encode(SpeakReply("no-utf-8", 7, b"")).replace(b"no-utf-8", b"\xff\xfeutf-8")
        await gateway.client.xadd(media_stream("gateway-1"), {FIELD: unreadable})
        await publish_reply(gateway.client, "gateway-1", SpeakReply(CALL, 6, b"old"))
        await publish_reply(gateway.client, "gateway-1", SpeakReply(CALL, 7, b"\x01\x02"))
        async with asyncio.timeout(5):
            said = json.loads(await stream.recv())
    assert said["type"] == "streamAudio"
    assert said["data"] == {"audioDataType": "raw", "sampleRate": 8000, "audioData": base64.b64encode(b"\x01\x02").decode()}


async def test_a_reply_goes_out_although_its_stream_begins_anew_with_lower_ids(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It expires in a quiet half minute; then Redis' clock is set back."""
    monkeypatch.setattr(stream_reader, "LOOK_S", 0.0)
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await stream.send('{"listen":7}')
        await gateway.wait_for(MediaReport)
        async with asyncio.timeout(5):
            await publish_reply(gateway.client, "gateway-1", SpeakReply(CALL, 7, b"\x01\x02"))
            await stream.recv()
            await gateway.client.delete(media_stream("gateway-1"))
            reply = encode(SpeakReply(CALL, 7, b"\x03\x04"))
            await gateway.client.xadd(media_stream("gateway-1"), {FIELD: reply}, id="5-0")
            said = json.loads(await stream.recv())
    assert said["data"]["audioData"] == base64.b64encode(b"\x03\x04").decode()


async def test_frames_that_overtake_the_metadata_are_let_go(gateway: Running) -> None:
    """Seen on a real switch: a stream that starts in a call whose audio already flows."""
    async with gateway.connect() as stream:
        await stream.send(b"\x00" * FRAME)
        await stream.send(b"\x00" * FRAME)
        await stream.send(metadata())
        await gateway.wait_for(MediaConnected)
        (connected,) = [message for message in await gateway.messages() if isinstance(message, MediaConnected)]
        assert connected.epoch == 3


STRANGERS = ["", "nonsense", '{"call":"x","bridge":"y","epoch":1,"token":"1.2.3"}', b"\x00" * FRAME]


@pytest.mark.parametrize("first", STRANGERS)
async def test_a_stranger_without_a_token_is_closed_and_the_next_is_served(gateway: Running, first: str | bytes) -> None:
    async with gateway.connect() as stream:
        for _ in range(MAX_FRAMES_BEFORE if isinstance(first, bytes) else 1):
            await stream.send(first)
        with pytest.raises(ConnectionClosed):
            await stream.recv()
        assert stream.close_code == 1008
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await gateway.wait_for(MediaConnected)


async def test_a_token_is_good_for_one_connection(gateway: Running) -> None:
    text = metadata()
    async with gateway.connect() as stream:
        await stream.send(text)
        await gateway.wait_for(MediaConnected)
        async with gateway.connect() as second:
            await second.send(text)
            with pytest.raises(ConnectionClosed):
                await second.recv()


async def test_an_address_that_is_not_listed_is_refused(volatile_redis: str) -> None:
    running = Running(volatile_redis, ["10.0.0.0/8"])
    await running.ready()
    with pytest.raises((InvalidHandshake, ConnectionError)):
        await running.connect()
    await running.close()


async def test_what_mod_audio_stream_would_not_send_closes_one_connection(gateway: Running) -> None:
    async with gateway.connect() as stream:
        await stream.send(metadata())
        await stream.send("not an order")
        with pytest.raises(ConnectionClosed):
            await stream.recv()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace(CALL, "another-call"), "wrong"),
        (lambda text: text.replace("bridge-1", "bridge-2"), "wrong"),
        (lambda text: text, "expired"),
    ],
)
def test_a_token_is_bound_to_call_bridge_and_time(change, why: str) -> None:
    text = make_metadata(SECRET, CALL, "bridge-1", 1, 1000.0)
    with pytest.raises(TokenRefused, match=why):
        check_metadata(SECRET, change(text), 1000.0 if why == "wrong" else 1011.0)
    assert check_metadata(SECRET, text, 1009.0)[0].call == CALL

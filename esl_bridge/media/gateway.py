"""The media gateway: the WebSocket that ``mod_audio_stream`` connects to, and the audio's way to and from Redis.

Owns connections, tokens and publishing; who may connect at all is the door's (``door.py``), and how a call's replies reach its
switch is the sender's (``reply_sender.py``). Reading a call's audio never waits for Redis: what cannot be published in time is
dropped and counted, and the bridge, which hears nothing then, falls back. Reading replies never waits for a switch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import redis.exceptions
import structlog
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ai_engine.messages import (
    FIELD,
    AudioChunk,
    BridgeMessage,
    MediaClosed,
    MediaConnected,
    decode_media_message,
    media_stream,
)
from ai_engine.redis_clients import connect_async, uninterrupted
from ai_engine.stream_reader import StreamReader
from ai_engine.turn_queue import publish_chunks, publish_result
from callflows.definition.errors import UNREADABLE
from esl_bridge.door import Door, Guest, Limits
from esl_bridge.media.call_audio import BadAudio, CallAudio, Output
from esl_bridge.media.reply_sender import ReplySender
from esl_bridge.media.tokens import Metadata, TokenRefused, check_metadata

log = structlog.get_logger(__name__)

# For the WebSocket's handshake, and again for the metadata: a switch sends both in milliseconds.
FIRST_MESSAGE_S = 3.0
# How long a closing connection may take: a peer that goes on sending does not read our good-bye.
CLOSE_S = 1.0
# The metadata is the module's first text, but in a call whose audio already flows a frame or two may overtake it.
MAX_FRAMES_BEFORE = 50
# Ten seconds of one call's chunks and messages; more waiting than this is old news to everybody.
MAX_WAITING = 200
RETRY_S = 0.25
NONCE_KEY = "media-token:"
NONCE_TTL_S = 20
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    host: str
    port: int
    allow: Sequence[str]
    secret: str
    redis_url: str
    gateway_id: str
    max_calls: int = 2000
    per_address: int = 0

    @property
    def limits(self) -> Limits:
        """As many may wait as may be calls: after a restart of the gateway all streams come at once."""
        return Limits(inside=self.max_calls, waiting=self.max_calls, per_address=self.per_address)


class Gateway:
    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._door = Door("media gateway", config.allow, config.limits)
        self._redis = connect_async(config.redis_url)
        self._reader = connect_async(config.redis_url)
        self._calls: dict[str, ReplySender] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``. Raises OSError when the port cannot be had."""
        config = self._config
        async with serve(self._serve_call, config.host, config.port, max_size=1 << 16, compression=None, ping_interval=None,
                         open_timeout=FIRST_MESSAGE_S, close_timeout=CLOSE_S, create_connection=behind(self._door)):  # fmt: skip
            log.info("the media gateway listens", host=config.host, port=config.port)
            replies = asyncio.create_task(self._deliver_replies())
            try:
                await stop.wait()
            finally:
                replies.cancel()
                await asyncio.gather(replies, return_exceptions=True)
        await self._redis.aclose()
        await self._reader.aclose()

    async def _serve_call(self, connection: ServerConnection) -> None:
        peer = connection.remote_address[0] if connection.remote_address else ""
        try:
            async with asyncio.timeout(FIRST_MESSAGE_S):
                first = await _first_text(connection)
            metadata, nonce = check_metadata(self._config.secret, first, time.time())
            if not await self._redis.set(NONCE_KEY + nonce, b"1", nx=True, ex=NONCE_TTL_S):
                raise TokenRefused("the token was used before")
        except TokenRefused as error:
            log.warning("a media connection was refused", address=peer, why=str(error))
            await connection.close(POLICY_VIOLATION, "token")
            return
        except (TimeoutError, ConnectionClosed, redis.exceptions.RedisError, OSError) as error:
            log.warning("a media connection came to nothing", address=peer, error=repr(error))
            await connection.close(POLICY_VIOLATION, "no metadata")
            return
        guest = cast("GuestConnection", connection).guest
        if guest is None or not self._door.identified(guest):
            await connection.close(TRY_AGAIN_LATER, "full")
            return
        await self._carry(connection, metadata)

    async def _carry(self, connection: ServerConnection, metadata: Metadata) -> None:
        call_uuid, gateway_id = metadata.call, self._config.gateway_id
        audio = CallAudio(call_uuid)
        publisher = CallPublisher(self._redis, call_uuid, metadata.bridge)
        replies = ReplySender(connection, call_uuid, audio)
        publishing, speaking = asyncio.create_task(publisher.run()), asyncio.create_task(replies.run())
        self._calls[call_uuid] = replies
        publisher.put(Output(messages=[MediaConnected(call_uuid, gateway_id, metadata.epoch)]))
        try:
            async for message in connection:
                publisher.put(audio.on_text(message) if isinstance(message, str) else audio.on_audio(message))
        except BadAudio as error:
            log.warning("a media connection was closed", call=call_uuid, why=str(error))
            await connection.close(POLICY_VIOLATION, "protocol")
        except ConnectionClosed:
            pass
        finally:
            if self._calls.get(call_uuid) is replies:
                del self._calls[call_uuid]
            speaking.cancel()
            publisher.put(Output(messages=[MediaClosed(call_uuid, gateway_id, metadata.epoch)]))
            publisher.finish()
            await asyncio.gather(publishing, speaking, return_exceptions=True)

    # --- Replies ---

    async def _deliver_replies(self) -> None:
        replies, away = StreamReader(self._reader, media_stream(self._config.gateway_id), count=50), False
        while True:
            try:
                entries = await uninterrupted(replies.read())
                away = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not away:
                    log.warning("replies cannot be read", error=str(error))
                away = True
                await asyncio.sleep(RETRY_S)
                continue
            for _, fields in entries:
                try:
                    reply = decode_media_message(fields[FIELD])
                except (*UNREADABLE, KeyError) as error:
                    log.error("a reply cannot be read", error=str(error))
                    continue
                if (call := self._calls.get(reply.call_uuid)) is not None:
                    call.put(reply)


class GuestConnection(ServerConnection):
    """A connection of which the door knows, from its first byte to its last."""

    door: Door
    guest: Guest | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.guest = self.door.enter(cast("asyncio.Transport", transport))
        if self.guest is None:
            # It is closed already. ServerConnection's own would begin a handshake, and a task for it.
            Connection.connection_made(self, transport)
            return
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.guest is not None:
            self.door.left(self.guest)
        super().connection_lost(exc)


def behind(door: Door) -> type[GuestConnection]:
    """``websockets`` makes the connections itself, so that only a class can carry the door."""
    return type("GuestAtThisDoor", (GuestConnection,), {"door": door})


class CallPublisher:
    """One call's way to Redis: in order, bounded, never waited for by the reader of the audio."""

    def __init__(self, client: redis.asyncio.Redis, call_uuid: str, bridge_id: str) -> None:
        self._client = client
        self._call_uuid = call_uuid
        self._bridge_id = bridge_id
        self._waiting: deque[AudioChunk | BridgeMessage] = deque(maxlen=MAX_WAITING)
        self._wake = asyncio.Event()
        self._done = False

    def put(self, output: Output) -> None:
        if output.chunks or output.messages:
            self._waiting.extend(output.chunks)
            self._waiting.extend(output.messages)
            self._wake.set()

    def finish(self) -> None:
        self._done = True
        self._wake.set()

    async def run(self) -> None:
        failing = False
        while not (self._done and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            items = list(self._waiting)
            self._waiting.clear()
            try:
                await publish_chunks(self._client, self._call_uuid, [item for item in items if isinstance(item, AudioChunk)])
                for item in items:
                    if not isinstance(item, AudioChunk):
                        await publish_result(self._client, self._bridge_id, item)
                failing = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not failing:
                    log.warning("audio cannot be published", call=self._call_uuid, error=str(error))
                failing = True
                if self._done:
                    return
                await asyncio.sleep(RETRY_S)


async def _first_text(connection: ServerConnection) -> str:
    """What was heard before it belongs to no turn. Raises TokenRefused when nothing but audio comes."""
    for _ in range(MAX_FRAMES_BEFORE):
        message = await connection.recv()
        if isinstance(message, str):
            return message
    raise TokenRefused("audio came and no metadata")

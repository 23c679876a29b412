"""The queue between bridge, media gateway and workers: Redis Streams in the volatile Redis.

Owns what is written to each stream with its bounds, and the workers' side of ``turns``: claiming, leases, taking over.
A command is never repeated after a lost reply: what was lost shows as a turn that fails over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
import redis
import redis.asyncio
import redis.exceptions
import structlog

from ai_engine.messages import (
    FIELD,
    TURNS_GROUP,
    TURNS_STREAM,
    AudioChunk,
    BridgeMessage,
    SpeakReply,
    TurnRequest,
    audio_stream,
    decode_request,
    encode,
    media_stream,
    results_stream,
)
from ai_engine.redis_clients import connect_async

# More waiting turns than this will never be served in time; the oldest are past their deadline anyway.
MAX_TURNS = 10_000
# Forty seconds of 100 ms chunks: longer than any flow listens.
MAX_CHUNKS = 400
# A turn lives some 13 s (listening and budget); a call that died leaves its audio for this long.
AUDIO_EXPIRY_S = 60
# A bridge reads at once; what it left for this long belongs to calls that moved on.
MAX_RESULTS = 5_000
RESULTS_EXPIRY_S = 60
# A reply is some 50 KB: a gateway that stopped reading costs at most ten megabytes.
MAX_REPLIES = 200
REPLIES_EXPIRY_S = 30

LEASE_RENEW_S = 0.25
LEASE_IDLE_MS = 1000
# Below redis_clients.REPLY_TIMEOUT_S; only bounds how soon a worker notices that it shall stop.
CLAIM_BLOCK_MS = 250
# A turn that was taken over this often kills its workers.
MAX_DELIVERIES = 3

_Entry = tuple[bytes, dict[bytes, bytes]]

log = structlog.get_logger(__name__)


async def publish_turn(client: redis.asyncio.Redis, request: TurnRequest) -> None:
    """A bridge asks for a turn. Raises redis-py's errors: the caller falls back."""
    await client.xadd(TURNS_STREAM, {FIELD: encode(request)}, maxlen=MAX_TURNS, approximate=True)


async def publish_chunks(client: redis.asyncio.Redis, call_uuid: str, chunks: Sequence[AudioChunk]) -> None:
    """The gateway's audio, in order, in one round trip. A chunk with ``seq`` 0 begins a turn and clears what was."""
    if not chunks:
        return
    stream = audio_stream(call_uuid)
    async with client.pipeline(transaction=False) as pipe:
        if chunks[0].seq == 0:
            pipe.unlink(stream)
        for chunk in chunks:
            pipe.xadd(stream, {FIELD: encode(chunk)}, maxlen=MAX_CHUNKS, approximate=True)
        pipe.expire(stream, AUDIO_EXPIRY_S)
        await pipe.execute()


async def publish_result(client: redis.asyncio.Redis, bridge_id: str, message: BridgeMessage) -> None:
    """To one bridge: from a worker or a gateway."""
    stream = results_stream(bridge_id)
    async with client.pipeline(transaction=False) as pipe:
        pipe.xadd(stream, {FIELD: encode(message)}, maxlen=MAX_RESULTS, approximate=True)
        pipe.expire(stream, RESULTS_EXPIRY_S)
        await pipe.execute()


async def publish_reply(client: redis.asyncio.Redis, gateway_id: str, reply: SpeakReply) -> None:
    """A reply's audio to the gateway that holds the call."""
    stream = media_stream(gateway_id)
    async with client.pipeline(transaction=False) as pipe:
        pipe.xadd(stream, {FIELD: encode(reply)}, maxlen=MAX_REPLIES, approximate=True)
        pipe.expire(stream, REPLIES_EXPIRY_S)
        await pipe.execute()


def turns_waiting(client: redis.Redis) -> int:
    """Turns that no worker has taken: entries leave the stream when they are done, so that the difference is exact."""
    entries = client.xlen(TURNS_STREAM)
    try:
        pending = cast("dict[str, int]", client.xpending(TURNS_STREAM, TURNS_GROUP))
    except redis.exceptions.ResponseError as error:
        if not str(error).startswith("NOGROUP"):
            raise
        return entries
    return max(0, entries - pending["pending"])


def entry_age_ms(entry_id: str, now: tuple[int, int]) -> float:
    """How long ago an entry was added to its stream, by the server's own clock; ``now`` as Redis answers TIME."""
    return max(0.0, now[0] * 1000 + now[1] / 1000 - int(entry_id.partition("-")[0]))


class Claim(msgspec.Struct, frozen=True):
    """A turn that this worker holds. ``left_ms`` of its time were left when it was claimed."""

    entry_id: str
    request: TurnRequest
    queue_ms: float
    left_ms: float
    taken_over: bool = False


# KEYS: stream. ARGV: group, consumer, entry ids. A lease is renewed only while it is still ours: an XCLAIM would take a
# turn back from the worker that took it over while this process was frozen. Answers the entries that were lost.
_RENEW = """
local lost = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #pending == 0 or pending[1][2] ~= ARGV[2] then
    lost[#lost + 1] = ARGV[i]
  else
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  end
end
return lost
"""

# KEYS: stream. ARGV: group, consumer.
_LEAVE = """
if redis.call('EXISTS', KEYS[1]) == 1 and #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 0
"""


class TurnQueue:
    """One worker's side of ``turns``. Methods raise redis-py's errors when the server is away."""

    def __init__(self, redis_url: str, worker_id: str) -> None:
        self._redis = connect_async(redis_url)
        self._worker_id = worker_id

    async def close(self) -> None:
        await self._redis.aclose()

    async def claim(self, count: int) -> list[Claim]:
        """Up to ``count`` new turns; waits a quarter of a second for the first. Turns that are too late are dropped."""
        try:
            answer = await self._redis.xreadgroup(
                TURNS_GROUP, self._worker_id, {TURNS_STREAM: ">"}, count=count, block=CLAIM_BLOCK_MS
            )
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self._make_group()
            return []
        found = cast("list[tuple[bytes, list[_Entry]]]", answer)
        entries = [entry for _stream, there in found for entry in there]
        return await self._live(entries, taken_over=False) if entries else []

    async def take_over(self, count: int) -> list[Claim]:
        """Turns whose worker has not renewed its lease for a second."""
        try:
            pending = await self._redis.xpending_range(
                TURNS_STREAM, TURNS_GROUP, min="-", max="+", count=count, idle=LEASE_IDLE_MS
            )
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            return []
        entries: list[_Entry] = []
        for one in pending:
            entry_id = cast("bytes", one["message_id"])
            claimed = await self._redis.xclaim(
                TURNS_STREAM, TURNS_GROUP, self._worker_id, min_idle_time=LEASE_IDLE_MS, message_ids=[entry_id]
            )
            found = [entry for entry in cast("list[_Entry]", claimed) if entry[0] is not None]
            deliveries = int(one["times_delivered"])
            if deliveries >= MAX_DELIVERIES or (claimed and not found):  # 6.2 answers nil for a trimmed entry.
                await self.finish(_text(entry_id))
                log.warning("turn_given_up", deliveries=deliveries)
                continue
            entries += found
        return await self._live(entries, taken_over=True) if entries else []

    async def renew(self, entry_ids: Sequence[str]) -> set[str]:
        """Keeps the leases; the answer names those that another worker has taken over."""
        if not entry_ids:
            return set()
        lost = await self._redis.eval(_RENEW, 1, TURNS_STREAM, TURNS_GROUP, self._worker_id, *entry_ids)
        return {_text(entry_id) for entry_id in lost}

    async def finish(self, entry_id: str) -> None:
        """The turn is answered or worthless: out of the queue, so that its length stays a measure of the backlog."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xack(TURNS_STREAM, TURNS_GROUP, entry_id)
            pipe.xdel(TURNS_STREAM, entry_id)
            await pipe.execute()

    async def leave(self) -> None:
        """Takes this worker's name out of the group, unless turns hang on it: those would be lost with the name."""
        await self._redis.eval(_LEAVE, 1, TURNS_STREAM, TURNS_GROUP, self._worker_id)

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(TURNS_STREAM, TURNS_GROUP, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # Another worker was faster.
                raise

    async def _live(self, entries: Sequence[_Entry], *, taken_over: bool) -> list[Claim]:
        now = await self._redis.time()
        claims = []
        for raw_id, fields in entries:
            entry_id = _text(raw_id)
            age_ms = entry_age_ms(entry_id, now)
            try:
                request = decode_request(fields[FIELD])
            except Exception:  # Whatever it is, it is that entry's: left in the queue, it would meet every worker.
                log.exception("turn_unreadable", entry=entry_id)
                await self.finish(entry_id)
                continue
            left_ms = request.remaining_ms - age_ms
            if left_ms <= 0:
                log.info("turn_too_late", call_uuid=request.call_uuid, turn=request.turn, age_ms=round(age_ms))
                await self.finish(entry_id)
                continue
            claims.append(Claim(entry_id, request, queue_ms=age_ms, left_ms=left_ms, taken_over=taken_over))
        return claims


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

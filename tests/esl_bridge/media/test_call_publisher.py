"""Many calls' ways to Redis at once: every chunk and report arrives, each call's in its order."""

from __future__ import annotations

import asyncio
from typing import Any

from ai_engine.messages import FIELD, AudioChunk, MediaReport, audio_stream, decode_bridge_message, decode_chunk, results_stream
from ai_engine.redis_clients import connect_async
from esl_bridge.media.call_audio import Output
from esl_bridge.media.gateway import CallPublisher

CALLS = [f"call-{number}" for number in range(200)]
TICKS = 5


async def test_all_calls_of_a_gateway_may_publish_in_one_tick(volatile_redis: str) -> None:
    client = connect_async(volatile_redis)
    publishers = {call_uuid: CallPublisher(client, call_uuid, "bridge-1") for call_uuid in CALLS}
    sending = [asyncio.create_task(publisher.run()) for publisher in publishers.values()]
    for seq in range(TICKS):
        for call_uuid, publisher in publishers.items():
            publisher.put(Output(chunks=[AudioChunk(1, seq, b"x" * 1600)], messages=[MediaReport(call_uuid, 1, seq)]))
        await asyncio.sleep(0)
    for publisher in publishers.values():
        publisher.finish()
    await asyncio.gather(*sending)

    for call_uuid in CALLS:
        entries: Any = await client.xrange(audio_stream(call_uuid))
        assert [decode_chunk(fields[FIELD]).seq for _, fields in entries] == list(range(TICKS))
    told: Any = await client.xrange(results_stream("bridge-1"))
    reports = [decode_bridge_message(fields[FIELD]) for _, fields in told]
    for call_uuid in CALLS:
        assert [one for one in reports if one.call_uuid == call_uuid] == [MediaReport(call_uuid, 1, n) for n in range(TICKS)]
    await client.aclose()

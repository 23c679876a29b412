"""Turns a second of one worker whose understanding takes 400 ms each time: what is left of the most there can be.

As many turns wait as the worker holds, so that it never waits for one. Each has a second of audio, there at once.
"""

from __future__ import annotations

import asyncio
import json
import time

import redis.asyncio

from ai_engine.messages import AudioChunk, BridgeMessage, TurnDone, TurnFailed
from ai_engine.redis_clients import connect_async
from ai_engine.turn_queue import publish_chunks
from bench.ai.fixed_engine import FIXED_S
from bench.ai.processes import Stage, bridge, cpu_s, stage, turn
from bench.results_file import Figure
from esl_bridge.turn_link import TurnLink
from tests.ai_engine.rig import SPEECH

CAPACITIES = (4, 16, 32)
# The setting's default: what an operator gets.
NAMED = 16
WARM_S, MEASURED_S = 2.0, 8.0
CHUNKS = [SPEECH[start : start + 1600] for start in range(0, 16_000, 1600)]


class Counted:
    def __init__(self) -> None:
        self.done = self.failed = 0
        self.over = False
        self._room = asyncio.Semaphore(0)

    def hear(self, message: BridgeMessage) -> None:
        if isinstance(message, TurnDone | TurnFailed):
            self.done += isinstance(message, TurnDone)
            self.failed += isinstance(message, TurnFailed)
            self._room.release()

    async def keep_full(self, link: TurnLink, audio: redis.asyncio.Redis, ahead: int) -> None:
        """Always so many turns published and not done, until ``over``: a client of Redis may swallow a cancellation."""
        for _ in range(ahead):
            self._room.release()
        number = 0
        while not self.over:
            await self._room.acquire()
            call_uuid, number = f"call-{number}", number + 1
            last = len(CHUNKS) - 1
            await publish_chunks(audio, call_uuid, [AudioChunk(1, seq, pcm, end=seq == last) for seq, pcm in enumerate(CHUNKS)])
            await link.publish(turn(call_uuid))


async def figures() -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for capacity in CAPACITIES:
        with stage() as made:
            found |= await _measured(made, capacity)
    return found


async def _measured(made: Stage, capacity: int) -> dict[str, Figure]:
    made.start("engines", "-m", "bench.ai.fixed_engine")
    addresses = json.loads(await made.said("engines"))
    # Wide limits: a machine that stands still for half a second must not open the circuit of what is measured.
    limits = {"first_byte_s": 2.0, "total_s": 3.0}
    rows = [
        {"name": "fixed-stt", "stage": "stt", "kind": "vosk", "url": addresses["stt"], **limits},
        {"name": "fixed-nlu", "stage": "nlu", "kind": "openai", "url": addresses["nlu"], "http2_cleartext": True, **limits},
        {"name": "fixed-tts", "stage": "tts", "kind": "openai", "url": addresses["tts"], "http2_cleartext": True, **limits},
    ]
    worker = made.start_worker("worker", turns=capacity, LIFELINE_ENGINES=json.dumps(rows))
    client = connect_async(made.volatile_url)
    counted = Counted()
    try:
        await made.workers_ready(client, 1)
        async with bridge(made, counted.hear) as link:
            filling = asyncio.create_task(counted.keep_full(link, client, capacity * 2))
            await asyncio.sleep(WARM_S)
            before, since, used_s = counted.done, time.perf_counter(), cpu_s(worker)
            await asyncio.sleep(MEASURED_S)
            taken_s, turns, used_s = time.perf_counter() - since, counted.done - before, cpu_s(worker) - used_s
            counted.over = True
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
    finally:
        await client.aclose()
    most = capacity / FIXED_S
    suffix = "" if capacity == NAMED else f"_holding_{capacity}"
    return {
        f"turns_per_s_per_worker{suffix}": Figure(round(turns / taken_s, 1), f"a second, {capacity} held; {most:.0f} possible"),
        f"turn_cpu_ms{suffix}": Figure(round(used_s / max(1, turns) * 1000, 1), "ms of the worker's CPU a turn"),
        f"turns_failed{suffix}": Figure(counted.failed, "turns", "at most 0"),
    }

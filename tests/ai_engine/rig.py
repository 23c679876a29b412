"""The bridge's and the gateway's end of a worker's queue, with fake engines behind it. For tests."""

from __future__ import annotations

from typing import cast

import redis.exceptions

import espeak.voice
from ai_engine.caches.store import Cache
from ai_engine.circuits.board import CircuitBoard
from ai_engine.drills.watch import DrillWatch
from ai_engine.engines.build import Engines
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.messages import (
    FIELD,
    AudioChunk,
    BridgeMessage,
    SpeakReply,
    TurnDone,
    TurnFailed,
    decode_bridge_message,
    decode_media_message,
    media_stream,
    results_stream,
)
from ai_engine.redis_clients import connect_async
from ai_engine.turn_queue import publish_chunks, publish_turn
from ai_engine.worker import Worker
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.flows import demo_snapshot
from tests.ai_engine.test_turn_queue import request
from tests.ai_engine.waiting import eventually
from tests.redis_server import RedisServer

SPEECH = espeak.voice.render("what are your opening hours")
Entry = tuple[bytes, dict[bytes, bytes]]


class Rig:
    """The bridge's and the gateway's end of everything."""

    def __init__(
        self, durable: RedisServer, volatile: RedisServer, vosk: FakeVosk, nlu: FakeOpenAI, tts: FakeOpenAI
    ) -> None:
        self.durable, self.volatile = durable, volatile
        self.vosk, self.nlu, self.tts = vosk, nlu, tts
        self.client = connect_async(volatile.url)
        self.told: list[BridgeMessage] = []
        self.position = "0"

    def worker(
        self, name: str = "w1", capacity: int = 16, open_s: float = 0.3, caches: tuple[Cache, ...] = ()
    ) -> Worker:
        limits = {"first_byte_s": 0.6, "total_s": 1.0}
        http2 = {"http2_cleartext": True, **limits}
        configs = (
            EngineConfig("stt-1", Stage.STT, EngineKind.VOSK, self.vosk.url, **limits),  # type: ignore[arg-type]
            EngineConfig("nlu-1", Stage.NLU, EngineKind.OPENAI, self.nlu.url, **http2),  # type: ignore[arg-type]
            EngineConfig("tts-1", Stage.TTS, EngineKind.OPENAI, self.tts.url, **http2),  # type: ignore[arg-type]
        )
        board = CircuitBoard(self.durable.url, configs, name, threshold=3, open_s=open_s)
        return Worker(
            name, self.volatile.url, board, Engines(configs), demo_snapshot, capacity=capacity, drain_s=5, caches=caches,
            drills=DrillWatch(self.durable.url, configs, name, threshold=3, open_s=open_s),
        )  # fmt: skip

    def break_stage(self, stage: str, fault: str) -> None:
        match stage:
            case "stt":
                self.vosk.fault = fault
            case "nlu":
                self.nlu.fault = fault
            case _:
                self.tts.fault = fault

    def chunks(self, pcm: bytes) -> list[AudioChunk]:
        pieces = [pcm[start : start + 1600] for start in range(0, len(pcm), 1600)]
        end = AudioChunk(1, len(pieces), b"", end=True)
        return [*(AudioChunk(1, seq, piece) for seq, piece in enumerate(pieces)), end]

    async def say(self, call_uuid: str = "call-1", *, pcm: bytes = SPEECH, simulated: bool = False) -> None:
        await publish_turn(self.client, request(call_uuid, simulated=simulated))
        await publish_chunks(self.client, call_uuid, self.chunks(pcm))

    async def spoken(self) -> list[SpeakReply]:
        entries = cast("list[Entry]", await self.client.xrange(media_stream("gateway-1")))
        return [decode_media_message(fields[FIELD]) for _id, fields in entries]

    async def alive(self) -> bool:
        return bool(await self.client.keys("worker:*"))

    async def queue_is_empty(self) -> bool:
        return not await self.client.xlen("turns")

    async def pending_is(self, count: int) -> bool:
        try:
            return bool((await self.client.xpending("turns", "workers"))["pending"] == count)
        except redis.exceptions.ResponseError:
            return count == 0

    async def listen(self) -> None:
        found = await self.client.xread({results_stream("bridge-1"): self.position})
        for _stream, entries in cast("list[tuple[bytes, list[Entry]]]", found):
            for entry_id, fields in entries:
                self.position = entry_id.decode()
                self.told.append(decode_bridge_message(fields[FIELD]))

    async def outcome(self, call_uuid: str = "call-1", *, within_s: float = 6) -> TurnDone | TurnFailed:
        found: list[TurnDone | TurnFailed] = []

        async def there() -> bool:
            await self.listen()
            results = (message for message in self.told if isinstance(message, TurnDone | TurnFailed))
            found.extend(message for message in results if message.call_uuid == call_uuid)
            return bool(found)

        await eventually(there, within_s=within_s, what=f"the outcome of {call_uuid}")
        return found[0]

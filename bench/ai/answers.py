"""How long a caller hears nothing: end of speech to the reply's first audio, by the local engine, with and without each cache.

The utterances are spoken by espeak-ng and sent in real time, as the gateway sends them; the silence begins with the chunk
that ends the speech and ends when the reply's audio has arrived where the gateway reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import redis.asyncio

import espeak.voice
from ai_engine.caches.store import Cache
from ai_engine.messages import AudioChunk, BridgeMessage, SpeakReply, TurnDone, TurnFailed
from ai_engine.redis_clients import connect_async
from ai_engine.turn_queue import publish_chunks
from bench.ai.processes import Stage, bridge, gateway, stage, turn
from bench.esl.percentile import percentile
from bench.results_file import Figure
from esl_bridge.turn_link import TurnLink

UTTERANCES = ("what are your opening hours", "when are you open", "what is my balance")
VOICES = ("en-us+m6", "en-us+f2")
# So many callers speak at once; the recogniser's two processes keep up with more.
CALLERS = 3
TURNS_EACH = 14
CHUNK_S = 0.1
CHUNK_BYTES = 1600
OUTCOME_S = 8.0
# One more switch a line: by the name in the figures, the caches in use.
VARIANTS: dict[str, tuple[Cache, ...]] = {
    "": (),
    "_cache_intents": (Cache.INTENTS,),
    "_cache_speech": (Cache.SPEECH,),
    "_all_caches": tuple(Cache),
}


@dataclass(slots=True)
class Silences:
    """What became of the turns of one variant."""

    ended_at: dict[str, float] = field(default_factory=dict)
    audio_at: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, TurnDone | TurnFailed] = field(default_factory=dict)
    _known: dict[str, asyncio.Event] = field(default_factory=dict)

    def hear(self, message: BridgeMessage) -> None:
        if isinstance(message, TurnDone | TurnFailed):
            self.outcomes[message.call_uuid] = message
            self._told(message.call_uuid).set()

    def _told(self, call_uuid: str) -> asyncio.Event:
        return self._known.setdefault(call_uuid, asyncio.Event())

    async def outcome(self, call_uuid: str) -> None:
        """Returns when it is known, or when no caller would still wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTCOME_S):
                await self._told(call_uuid).wait()

    def hear_reply(self, reply: SpeakReply) -> None:
        self.audio_at.setdefault(reply.call_uuid, time.perf_counter())

    def taken_ms(self) -> list[float]:
        return [(self.audio_at[call] - ended_at) * 1000 for call, ended_at in self.ended_at.items() if call in self.audio_at]

    def from_cache(self, cache: Cache) -> int:
        return sum(any(stage.cache == cache for stage in outcome.stages) for outcome in self.outcomes.values())


async def figures() -> dict[str, Figure]:
    said = [spoken(words, voice) for words in UTTERANCES for voice in VOICES]
    found: dict[str, Figure] = {}
    with stage() as made:
        made.start("engine", "manage.py", "run_local_engine")
        made.listening(made.stt_port)
        made.listening(made.http_port)
        for suffix, caches in VARIANTS.items():
            found |= await _variant(made, suffix, caches, said)
        found |= await _catching_up(made, said)
    return found


async def _variant(made: Stage, suffix: str, caches: tuple[Cache, ...], said: list[bytes]) -> dict[str, Figure]:
    worker = made.start_worker(f"worker{suffix}", caches=",".join(caches) or "none")
    client = connect_async(made.volatile_url)
    try:
        await client.flushall()  # The variant before has filled its caches; its worker is gone.
        await made.workers_ready(client, 1)
        warm, measured = Silences(), Silences()
        await _speak_all(made, warm, said, turns_each=-(-len(said) // CALLERS))
        await _speak_all(made, measured, said, turns_each=TURNS_EACH)
    finally:
        await client.aclose()
        made.stop(worker)
    taken = measured.taken_ms()
    turns = len(measured.ended_at)
    p50, p95, p99 = (round(percentile(taken, share), 1) for share in (50, 95, 99))
    aim = "under 4000" if not caches else "none"
    found = {
        f"first_audio_p50_ms{suffix}": Figure(p50, "ms"),
        f"first_audio_p95_ms{suffix}": Figure(p95, "ms, end of speech to the reply's audio at the gateway", aim),
        f"first_audio_p99_ms{suffix}": Figure(p99, "ms"),
        f"first_audio_missing{suffix}": Figure(turns - len(taken), f"of {turns} turns had no audio", "at most 2"),
    }
    for cache in caches:
        found[f"cache_hits_{cache}{suffix}"] = Figure(measured.from_cache(cache), f"of {turns} turns")
    return found


async def _catching_up(made: Stage, said: list[bytes]) -> dict[str, Figure]:
    """A recogniser that is asked when the caller has spoken already, as the next one is after one that broke."""
    worker = made.start_worker("worker-late")
    client = connect_async(made.volatile_url)
    try:
        await client.flushall()
        await made.workers_ready(client, 1)
        heard = Silences()
        async with bridge(made, heard.hear) as link, gateway(made, heard.hear_reply) as audio:
            times = []
            for number, pcm in enumerate(said * 3):
                await _speak(link, audio, heard, f"late-{number}", pcm, pause_s=0.0)
                (recognised,) = (one for one in heard.outcomes[f"late-{number}"].stages if one.stage == "stt")
                times.append(len(pcm) / CHUNK_BYTES * CHUNK_S / (recognised.total_ms / 1000))
    finally:
        await client.aclose()
        made.stop(worker)
    return {
        "catching_up_times": Figure(
            round(statistics.median(times), 1), "times as fast as it was spoken: a whole utterance at once", "at least 2"
        )
    }


async def _speak_all(made: Stage, silences: Silences, said: list[bytes], turns_each: int) -> None:
    async with bridge(made, silences.hear) as link, gateway(made, silences.hear_reply) as audio:

        async def caller(number: int) -> None:
            await asyncio.sleep(number * CHUNK_S / CALLERS)
            for count in range(turns_each):
                pcm = said[(number * turns_each + count) % len(said)]
                await _speak(link, audio, silences, f"call-{number}-{count}", pcm)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))


async def _speak(
    link: TurnLink, audio: redis.asyncio.Redis, silences: Silences, call_uuid: str, pcm: bytes, pause_s: float = CHUNK_S
) -> None:
    """One turn, until its outcome is known."""
    await link.publish(turn(call_uuid))
    pieces = [pcm[start : start + CHUNK_BYTES] for start in range(0, len(pcm), CHUNK_BYTES)]
    began = time.perf_counter()
    for seq, piece in enumerate(pieces):
        await asyncio.sleep(max(0.0, began + seq * pause_s - time.perf_counter()))
        await publish_chunks(audio, call_uuid, [AudioChunk(1, seq, piece, end=seq == len(pieces) - 1)])
    silences.ended_at[call_uuid] = time.perf_counter()
    await silences.outcome(call_uuid)


def spoken(words: str, voice: str) -> bytes:
    """With the quiet of a line before and after it: 20 steps of a sample, as much as a quiet exchange adds."""
    speech = np.frombuffer(espeak.voice.render(words, voice=voice, rate_wpm=150), dtype="<i2")
    samples = np.concatenate([np.zeros(1600), speech, np.zeros(2400)])
    samples += np.random.default_rng(8021).integers(-20, 20, samples.size, endpoint=True)
    return bytes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())

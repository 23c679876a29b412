"""How often what callers want is found when they say it in words of their own, and what becomes of it when it is not.

Every sentence of a list in ``bench/utterances`` is said in six voices and speeds of espeak-ng at 8 kHz, with noise 20 dB below
the voice, to the local engine over its real sockets, by the product's own clients. Then it is judged as a turn judges it: acted
on, asked back, or asked to be said again.

Run with ``python -m bench.spoken_wishes FLOWS.json LIST …``; writes ``bench/results/spoken_wishes.json``. FLOWS.json is the
published demonstration flow's snapshot; the list ``flow`` is that flow's own sentences.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.metadata
import os
import socket
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from msgspec.structs import replace

import espeak.voice
from ai_engine.engines.config import local_engines
from ai_engine.engines.openai_compatible import OpenAIUnderstanding
from ai_engine.engines.roles import Context
from ai_engine.engines.trace import Trace
from ai_engine.engines.vosk import VoskRecogniser
from ai_engine.local.engine import EngineConfig, LocalEngine
from ai_engine.turn import LEAST_CONFIDENCE
from bench.results_file import FOLDER, Figure, machine, write_results
from callflows.definition.certainty import acts_at_once
from callflows.definition.flow import FlowVersion, decode_snapshot

RESULT = FOLDER / "spoken_wishes.json"
LISTS = Path(__file__).with_name("utterances")
VOICES = (
    ("en-us+klatt", 150), ("en-us+m1", 135), ("en-us+m6", 165), ("en-us+f1", 150), ("en-us+f2", 140), ("en-us+m3", 175),
)  # fmt: skip
NOISE_DB = -20
CHUNK_BYTES = 1600
AT_ONCE, ASKED, WRONG_ASKED = "right at once", "right after a yes", "wrong and asked"
AGAIN, WRONG = "asked again", "wrong and acted on"


def said(words: str, voice: str, rate_wpm: int, seed: int) -> bytes:
    """Half a second of line before it and 0.8 s after, noise under all of it."""
    speech = np.frombuffer(espeak.voice.render(words, voice=voice, rate_wpm=rate_wpm), dtype="<i2").astype(np.float64)
    line = np.concatenate([np.zeros(4000), speech, np.zeros(6400)])
    noise = np.sqrt(np.mean(speech**2)) * 10 ** (NOISE_DB / 20)
    line += np.random.default_rng(seed).normal(0, noise, line.size)
    return bytes(np.clip(line, -32768, 32767).astype("<i2").tobytes())


def wishes(name: str, flow: FlowVersion) -> list[tuple[str, str]]:
    """Intent and sentence."""
    if name == "flow":
        return [(intent.name, words) for intent in flow.intents for words in intent.utterances]
    with (LISTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["intent"], row["words"]) for row in csv.DictReader(file)]


class Ears:
    """The local engine's recogniser and its understanding, as a worker asks them."""

    def __init__(self, config: EngineConfig, flow: FlowVersion) -> None:
        stt, nlu, _ = (  # What is measured is the hearing: a busy machine must not spoil it.
            replace(one, first_byte_s=30.0, total_s=30.0)
            for one in local_engines(config.host, config.stt_port, config.http_port)
        )
        self._recogniser, self._understanding = VoskRecogniser(stt), OpenAIUnderstanding(nlu)
        self._flow = flow

    async def verdict(self, intent: str, pcm: bytes) -> tuple[str, str]:
        """What became of it, and the words that were heard."""
        async with self._recogniser.open("en", lambda _: None, Trace()) as stream:
            for start in range(0, len(pcm), CHUNK_BYTES):
                await stream.send(pcm[start : start + CHUNK_BYTES])
            heard = await stream.finish()
        if not heard.transcript:
            return AGAIN, ""
        meant = await self._understanding.understand(heard.transcript, Context(self._flow, "en", "intent"), Trace())
        found, confidence = self._flow.intent(meant.intent), min(meant.confidence, heard.confidence)
        if found is None or confidence < LEAST_CONFIDENCE:
            return AGAIN, heard.transcript
        if acts_at_once(self._flow, found, confidence):
            return AT_ONCE if found.name == intent else WRONG, heard.transcript
        return ASKED if found.name == intent else WRONG_ASKED, heard.transcript

    async def close(self) -> None:
        await self._understanding.close()


async def measure(snapshot: Path, flow: FlowVersion, names: list[str]) -> dict[str, Figure]:
    config = EngineConfig("127.0.0.1", _free_port(), _free_port(), snapshot)
    engine = LocalEngine(config)
    running = asyncio.create_task(engine.run())
    serving = asyncio.create_task(engine.serving.wait())
    await asyncio.wait((running, serving), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    ears = Ears(config, flow)
    figures: dict[str, Figure] = {}
    for name in names:
        verdicts: Counter[str] = Counter()
        for number, (intent, words) in enumerate(wishes(name, flow)):
            for voice, (spoken_by, rate_wpm) in enumerate(VOICES):
                became, heard = await ears.verdict(intent, said(words, spoken_by, rate_wpm, 10 * number + voice))
                verdicts[became] += 1
                if became not in (AT_ONCE, ASKED):
                    sys.stdout.write(f"{became}: {words!r} by {spoken_by} heard as {heard!r}\n")
        total = verdicts.total()
        right = 100 * (verdicts[AT_ONCE] + verdicts[ASKED]) / total
        figures[f"{name}, right"] = Figure(round(right, 1), f"% of {total}", "at least 90")
        figures[f"{name}, {WRONG}"] = Figure(verdicts[WRONG], f"of {total}", "at most 0")
        for became in (AT_ONCE, ASKED, WRONG_ASKED, AGAIN):
            figures[f"{name}, {became}"] = Figure(verdicts[became], f"of {total}")
    await ears.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return figures


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    snapshot, names = Path(sys.argv[1]), sys.argv[2:]
    flow = decode_snapshot(snapshot.read_bytes()).flows[0]
    parts = ("pocketsphinx", "moonshine-voice", "onnxruntime")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in parts)
    on_machine = machine(packages)
    figures = asyncio.run(measure(snapshot, flow, names))
    write_results(RESULT, f"python -m bench.spoken_wishes FLOWS.json {' '.join(names)}", on_machine, figures)
    sys.stdout.write(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    os.environ.setdefault("LIFELINE_DEMO", "true")
    main()

"""How many callers the local recogniser hears at once: streams that all begin in the same moment, at the pace of speech.

Run with ``python -m bench.recogniser_load FLOWS.json``; writes ``bench/results/recogniser_load.json``. A stream is well when
no answer to 100 ms of audio, nor the final one, took longer than a client waits (1.2 s).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import espeak.voice
from ai_engine.local.engine import EngineConfig, LocalEngine
from bench.results_file import FOLDER, Figure, machine, write_results

RESULT = FOLDER / "recogniser_load.json"
STREAMS = (4, 8, 12, 16)
CHUNK_BYTES, CHUNK_S = 1600, 0.1
CLIENT_WAITS_S = 1.2
WORDS = (
    "what are your opening hours", "where is my order", "four two one seven", "i would like to make an appointment",
    "let me talk to a human", "could you look up my balance for me",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
    """Seconds; a stream that was refused or lost has no final answer."""

    open_s: float
    answers_s: Sequence[float]
    final_s: float | None

    @property
    def well(self) -> bool:
        return self.final_s is not None and max((self.open_s, self.final_s, *self.answers_s)) <= CLIENT_WAITS_S


def speech(number: int) -> bytes:
    said = np.frombuffer(espeak.voice.render(WORDS[number % len(WORDS)], voice="en-us+m6", rate_wpm=150), dtype="<i2")
    heard = np.concatenate([np.zeros(8000), said, np.zeros(4000)])
    heard += np.random.default_rng(number).integers(-20, 20, heard.size, endpoint=True)
    return bytes(np.clip(heard, -32768, 32767).astype("<i2").tobytes())


async def caller(url: str, pcm: bytes) -> Stream:
    began = time.monotonic()
    answers: list[float] = []
    opened = CLIENT_WAITS_S * 10
    try:
        async with connect(url, compression=None, ping_interval=None) as line:
            await line.send('{"config": {"sample_rate": 8000}}')
            for number, start in enumerate(range(0, len(pcm), CHUNK_BYTES)):
                await asyncio.sleep(max(0.0, began + (number + 1) * CHUNK_S - time.monotonic()))
                answers.append(await _answered(line, pcm[start : start + CHUNK_BYTES]))
                opened = answers[0]
            return Stream(opened, answers, await _answered(line, '{"eof": 1}'))
    except (ConnectionClosed, OSError):
        return Stream(opened, answers, None)


async def _answered(line: ClientConnection, message: str | bytes) -> float:
    sent = time.monotonic()
    await line.send(message)
    await line.recv()
    return time.monotonic() - sent


async def measure(snapshot: Path) -> dict[str, Figure]:
    config = EngineConfig("127.0.0.1", _free_port(), _free_port(), snapshot)
    engine = LocalEngine(config)
    running = asyncio.create_task(engine.run())
    figures: dict[str, Figure] = {}
    try:
        async with asyncio.timeout(60):
            await engine.serving.wait()
        for count in STREAMS:
            spoken = [await asyncio.to_thread(speech, number) for number in range(count)]
            streams = await asyncio.gather(*(caller(f"ws://127.0.0.1:{config.stt_port}", pcm) for pcm in spoken))
            figures |= _figures(count, streams)
    finally:
        running.cancel()
        await asyncio.wait((running,))
    return figures


def _figures(count: int, streams: Sequence[Stream]) -> dict[str, Figure]:
    first = [stream.open_s for stream in streams]
    others = [answer for stream in streams for answer in stream.answers_s[1:]]
    finals = [stream.final_s for stream in streams if stream.final_s is not None]
    name = f"{count} at once"
    return {
        f"{name}: well": Figure(sum(stream.well for stream in streams), f"of {count}", f"at least {count}"),
        f"{name}: first answer, slowest": Figure(round(max(first) * 1000), "ms", "at most 1200"),
        f"{name}: further answers, P95": Figure(round(statistics.quantiles(others, n=20)[-1] * 1000), "ms"),
        f"{name}: final, slowest": Figure(round(max(finals, default=0.0) * 1000), "ms", "at most 1200"),
    }


def main() -> None:
    packages = f"pocketsphinx {importlib.metadata.version('pocketsphinx')}"
    on_machine = machine(packages)
    figures = asyncio.run(measure(Path(sys.argv[1])))
    write_results(RESULT, "python -m bench.recogniser_load FLOWS.json", on_machine, figures)
    sys.stdout.write(RESULT.read_text(encoding="utf-8"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

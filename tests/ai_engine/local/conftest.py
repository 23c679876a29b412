"""One engine for the module's tests, on free ports, with a small flow and its faults in a folder of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from msgspec.structs import replace

import espeak.voice
from ai_engine.engines.config import EngineConfig as ClientConfig
from ai_engine.engines.config import local_engines
from ai_engine.local.engine import EngineConfig, LocalEngine
from callflows.definition.flow import FlowVersion, Snapshot, encode_snapshot
from tests.ai_engine.flows import demo_flow

# A client's patience on a machine that runs other things as well.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Rig:
    engine: LocalEngine
    stt: ClientConfig
    nlu: ClientConfig
    tts: ClientConfig
    folder: Path
    flow: FlowVersion


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    tmp_path = tmp_path_factory.mktemp("engine")
    flow = demo_flow()
    # Exactly four digits, as in the demonstration: an open length lets a recogniser add digits in a pause.
    flow = replace(flow, slots=(replace(flow.slots[0], max_length=4), *flow.slots[1:]))
    path = tmp_path / "flows.json"
    path.write_bytes(encode_snapshot(Snapshot((flow,))))
    config = EngineConfig("127.0.0.1", free_port(), free_port(), path, tmp_path)
    engine = LocalEngine(config)
    running = asyncio.create_task(engine.run())
    serving = asyncio.create_task(engine.serving.wait())
    try:
        async with asyncio.timeout(90):  # two models in two processes, on a machine that does other things too
            await asyncio.wait((running, serving), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        stt, nlu, tts = local_engines(config.host, config.stt_port, config.http_port)
        yield Rig(engine, stt, nlu, tts, tmp_path, flow)
    finally:
        serving.cancel()
        running.cancel()
        await asyncio.gather(running, serving, return_exceptions=True)


@pytest.fixture(scope="session")
def spoken() -> Callable[[str], bytes]:
    """Words as a caller says them: half a second of line noise before and after, and under them."""
    noise = np.random.default_rng(5)

    def say(words: str) -> bytes:
        speech = np.frombuffer(espeak.voice.render(words, voice="en-us+m6", rate_wpm=150), dtype="<i2")
        padded = np.concatenate([np.zeros(4000), speech, np.zeros(4000)])
        heard = padded + noise.integers(-20, 20, padded.size, endpoint=True)
        return bytes(np.clip(heard, -32768, 32767).astype("<i2").tobytes())

    return say

"""Every adapter, every way in which an engine fails: no call is dropped, and nobody hears nothing for longer than the budget.

A few kinds run with the slow tests; all of them when ENGINE_FAILURES_TABLE names the page that shall hold the table.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from ai_engine.engines.build import load_adapters
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from simulator.records import Outcome
from tests.ai_engine.fake_anthropic import FakeAnthropic
from tests.ai_engine.fake_deepgram import FakeDeepgram
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.fake_server import FAULTS
from tests.engine_failures.table import Table, words
from tests.engine_failures.world import GRACE_S, Came, database, one_call
from tests.published import Flows
from tests.redis_server import RedisServer

ALL = FAULTS[1:]
ADAPTERS = {
    "Vosk": (EngineKind.VOSK, Stage.STT),
    "Deepgram": (EngineKind.DEEPGRAM, Stage.STT),
    "OpenAI transcription": (EngineKind.OPENAI, Stage.STT),
    "OpenAI chat": (EngineKind.OPENAI, Stage.NLU),
    "Anthropic messages": (EngineKind.ANTHROPIC, Stage.NLU),
    "OpenAI speech": (EngineKind.OPENAI, Stage.TTS),
}
Cell = tuple[str, str, str]
# Worlds at the same time: each costs a twentieth of a core, and the times are real. A Redis has sixteen databases.
SIDE_BY_SIDE = 12


def batches() -> list[list[Cell]]:
    """What is tried at once: each adapter's every failure for the table, else one of each."""
    if os.environ.get("ENGINE_FAILURES_TABLE"):
        return [[(adapter, fault, others) for fault in ALL for others in ("second", "alone")] for adapter in ADAPTERS]
    few = itertools.cycle((("hang", "second"), ("garbage", "alone")))
    return [[(adapter, *next(few)) for adapter in ADAPTERS]]


def server(kind: EngineKind) -> FakeVosk | FakeDeepgram | FakeOpenAI | FakeAnthropic:
    match kind:
        case EngineKind.VOSK:
            return FakeVosk()
        case EngineKind.DEEPGRAM:
            return FakeDeepgram()
        case EngineKind.ANTHROPIC:
            return FakeAnthropic()
        case _:
            return FakeOpenAI()


@pytest.fixture(scope="session", autouse=True)
def adapters() -> None:
    """Imported before any call, as a worker does."""
    load_adapters([EngineConfig("x", stage, kind, "http://x") for kind, stage in ADAPTERS.values()])


@contextlib.asynccontextmanager
async def engine(name: str, kind: EngineKind, stage: Stage, fault: str) -> AsyncIterator[EngineConfig]:
    """A server of the wire format that fails as told, and how a worker is told of it."""
    async with server(kind).running() as fake:
        await fake.break_with(fault)
        http2 = kind in (EngineKind.OPENAI, EngineKind.ANTHROPIC)
        yield EngineConfig(name, stage, kind, fake.url, model="m", http2_cleartext=http2, first_byte_s=0.8, total_s=2.0)


@contextlib.asynccontextmanager
async def engines(adapter: str, fault: str, others: str) -> AsyncIterator[Sequence[EngineConfig]]:
    """All three stages; the broken adapter first in its own, and behind it a sound one if there is to be one."""
    kind, stage = ADAPTERS[adapter]
    sound = {Stage.STT: EngineKind.VOSK, Stage.NLU: EngineKind.OPENAI, Stage.TTS: EngineKind.OPENAI}
    async with contextlib.AsyncExitStack() as stack:
        configs = [await stack.enter_async_context(engine("broken", kind, stage, fault))]
        for one in Stage:
            if one is not stage or others == "second":
                config = await stack.enter_async_context(engine(f"sound-{one}", sound[one], one, "none"))
                configs.append(config)
        yield configs


async def call(adapter: str, fault: str, others: str, flows: Flows, free: asyncio.Queue[int], urls: Sequence[str]) -> Came:
    async with database(free, *urls) as (durable, volatile), engines(adapter, fault, others) as configs:
        return await one_call(configs, flows, durable, volatile)


# The mark is for the fixture: without one, no database is made in which to publish the flow.
@pytest.mark.django_db
@pytest.mark.slow
@pytest.mark.parametrize("cells", batches(), ids=lambda cells: cells[0][0])
@pytest.mark.timeout(600)
async def test_no_failure_of_an_engine_drops_a_call(
    cells: list[Cell], flows: Flows, table: Table, durable_server: RedisServer, volatile_server: RedisServer
) -> None:
    free: asyncio.Queue[int] = asyncio.Queue()
    for number in range(SIDE_BY_SIDE):
        free.put_nowait(number)
    urls = (durable_server.url, volatile_server.url)
    calls = await asyncio.gather(*(call(*cell, flows, free, urls) for cell in cells))
    budget_s = flows.snapshot.flows[0].turn_budget_ms / 1000
    wrong = []
    for (adapter, fault, others), came in zip(cells, calls, strict=True):
        table.note(adapter, fault, others, came)
        kept = came.record.outcome is Outcome.FINISHED and came.ended and came.settled
        # With a second engine nobody needs the keypad; alone, a failure is an incident, and the keypad serves.
        served = not came.record.in_fallback if others == "second" else bool(came.opened) and came.record.in_fallback
        # A model that drips has said its first sentence before its time is over: the turn goes on with that.
        served = served or (fault == "drip" and came.record.understood and not came.opened)
        if not kept or not served or came.silence_s > budget_s + GRACE_S:
            incidents = [msgspec.to_builtins(event) for event in (*came.opened, *came.closed)]
            said = f"{words(came)}, {came.silence_s:.1f} s of silence, {incidents}"
            wrong.append(f"{adapter}, {fault}, {others}: {said}")
    assert not wrong, "\n".join(wrong)

"""Anthropic's wire over real sockets, with every way of failing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ai_engine.engines.anthropic_messages import AnthropicUnderstanding
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.engines.roles import Context, Understanding
from ai_engine.engines.trace import Trace
from ai_engine.errors import EngineError, Kind
from ai_engine.messages import Exchange
from tests.ai_engine.fake_anthropic import FakeAnthropic
from tests.ai_engine.flows import demo_flow

FLOW = demo_flow()
GREETED = (Exchange("lifeline", "How can I help?"),)
CONTEXT = Context(FLOW, "en", "intent", GREETED)
LATER = Context(
    FLOW, "en", "account_number", (*GREETED, Exchange("caller", "my balance"), Exchange("lifeline", "Which account?"))
)


@pytest.fixture
async def server() -> AsyncIterator[FakeAnthropic]:
    async with FakeAnthropic().running() as server:
        yield server


@pytest.fixture
async def nlu(server: FakeAnthropic, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnthropicUnderstanding]:
    monkeypatch.setenv("LIFELINE_SECRET_ANTHROPIC", "k")
    engine = AnthropicUnderstanding(
        EngineConfig(
            "a", Stage.NLU, EngineKind.ANTHROPIC, server.url, model="m", secret="LIFELINE_SECRET_ANTHROPIC",
            http2_cleartext=True, first_byte_s=0.4,
        )
    )  # fmt: skip
    yield engine
    await engine.close()


async def test_the_answer_is_a_tools_input_and_comes_sentence_by_sentence(
    server: FakeAnthropic, nlu: AnthropicUnderstanding
) -> None:
    trace, said = Trace(), list[Understanding]()
    understood = await nlu.understand("when do you open", CONTEXT, trace, said.append)
    assert understood.intent == "opening_hours"
    assert understood.reply == "We are open from nine to five. On Sundays we are closed!"
    assert [one.reply for one in said] == ["We are open from nine to five.", "On Sundays we are closed!"]
    assert {one.intent for one in said} == {"opening_hours"}
    request = server.requests[0]
    assert request["stream"] is True
    assert request["tool_choice"]["name"] == request["tools"][0]["name"] == "answer"
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert server.headers[0]["x-api-key"] == "k"
    assert trace.first_byte_ms is not None
    assert trace.connect_ms is not None


async def test_the_second_turn_of_a_call_reads_the_first_ones_prefix_from_the_cache(
    server: FakeAnthropic, nlu: AnthropicUnderstanding
) -> None:
    first, second = Trace(), Trace()
    await nlu.understand("when do you open", CONTEXT, first)
    await nlu.understand("four two one seven", LATER, second)
    assert first.usage.tokens_cached == 0
    marked = [block for block in server.requests[0]["system"] if "cache_control" in block]
    assert [block["text"][:8] for block in marked] == ['{"flow":']
    assert second.usage.tokens_cached > 200
    assert second.usage.tokens_cached < second.usage.tokens_read
    assert second.usage.tokens_written == 42
    # Of the second call of another customer only what comes before the customer is cached.
    third = Trace()
    await nlu.understand("hola", Context(FLOW, "es", "intent", GREETED), third)
    assert 0 < third.usage.tokens_cached < second.usage.tokens_cached


async def test_a_server_that_does_not_stream_is_understood(server: FakeAnthropic, nlu: AnthropicUnderstanding) -> None:
    server.streams = False
    trace = Trace()
    assert (await nlu.understand("x", CONTEXT, trace)).intent == "opening_hours"
    assert trace.usage.tokens_read > 0


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        ("refuse", Kind.REFUSED, True),
        ("reset", Kind.RESET, True),
        ("delay", Kind.HANG, False),
        ("hang", Kind.HANG, False),
        ("mute", Kind.NO_TOKEN, False),
        ("stall", Kind.STALLED, False),
        ("silent", Kind.EMPTY, True),
        ("401", Kind.HTTP_401, False),
        ("429", Kind.HTTP_429, True),
        ("500", Kind.HTTP_500, True),
        ("overloaded", Kind.HTTP_500, True),
        ("garbage", Kind.GARBAGE, True),
        ("wrong_schema", Kind.WRONG_SCHEMA, True),
        ("foreign_intent", Kind.WRONG_SCHEMA, True),
        ("empty", Kind.EMPTY, True),
    ],
)
async def test_each_failure_has_its_kind(
    server: FakeAnthropic, nlu: AnthropicUnderstanding, fault: str, kind: Kind, retryable: bool
) -> None:
    await server.break_with(fault)
    with pytest.raises(EngineError) as caught:
        await nlu.understand("x", CONTEXT, Trace())
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)
    assert caught.value.retry_after_s == (2.0 if fault == "429" else None)


async def test_a_drip_ends_with_the_time_of_the_attempt(server: FakeAnthropic, nlu: AnthropicUnderstanding) -> None:
    server.fault = "drip"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await nlu.understand("x", CONTEXT, Trace())

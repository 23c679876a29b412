"""mod_audio_stream beside what was recorded: who starts and ends it, and what a gateway sees."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import Gateway, Peer
from tests.conformance.lines import ControlledLine
from tests.conformance.script import Call, a_call, needs_audio_stream

REFUSED = "-ERR Operation Failed\n"


@contextlib.asynccontextmanager
async def a_streamed_call(line: ControlledLine) -> AsyncIterator[tuple[Call, Gateway, str]]:
    """With the command that starts its stream."""
    await needs_audio_stream(line)
    async with line.gateway() as media, a_call(line) as call:
        metadata = json.dumps({"call": call.uuid}, separators=(",", ":"))
        yield call, media, f"uuid_audio_stream {call.uuid} start {media.url} mono 8k {metadata}"


async def stream_event(peer: Peer, name: str) -> str:
    return (await peer.until_kind(f"mod_audio_stream::{name}")).body


async def test_metadata_first_then_frames_of_320_bytes_and_a_good_bye_with_the_call(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        assert await call.peer.api(start) == "+OK Success\n"
        assert await stream_event(call.peer, "connect") == '{"status":"connected"}'
        await media.until(lambda: len(media.frames.get(call.uuid, ())) >= 25)
        assert media.metadata == [json.dumps({"call": call.uuid}, separators=(",", ":"))]
        await line.hang_up(call.uuid)
        await media.until(lambda: bool(media.closed_with))
        assert media.closed_with == [1000]
        assert {len(frame) for frame in media.frames[call.uuid]} == {320}


async def test_a_second_start_is_refused_while_the_first_lives(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        assert await call.peer.api(start) == "+OK Success\n"
        await stream_event(call.peer, "connect")
        assert await call.peer.api(start) == REFUSED
        assert await call.peer.api(f"uuid_audio_stream {call.uuid} stop") == "+OK Success\n"
        await media.until(lambda: media.closed_with == [1000])
        assert await call.peer.api(start) == "+OK Success\n"
        await media.until(lambda: len(media.metadata) == 2)


async def test_a_paused_stream_sends_nothing(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        await call.peer.api(start)
        await media.until(lambda: len(media.frames.get(call.uuid, ())) >= 5)
        assert await call.peer.api(f"uuid_audio_stream {call.uuid} pause") == "+OK Success\n"
        await line.wait(0.3)
        count = len(media.frames[call.uuid])
        await line.wait(0.5)
        assert len(media.frames[call.uuid]) == count
        assert await call.peer.api(f"uuid_audio_stream {call.uuid} resume") == "+OK Success\n"
        await media.until(lambda: len(media.frames[call.uuid]) > count + 3)


async def test_text_is_sent_on_the_stream_and_with_its_end(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        await call.peer.api(start)
        await media.until(lambda: bool(media.frames.get(call.uuid)))
        assert await call.peer.api(f'uuid_audio_stream {call.uuid} send_text {{"turn":1}}') == "+OK Success\n"
        await media.until(lambda: media.metadata[-1] == '{"turn":1}')
        assert await call.peer.api(f'uuid_audio_stream {call.uuid} stop {{"bye":1}}') == "+OK Success\n"
        await media.until(lambda: media.metadata[-1] == '{"bye":1}')


async def test_a_gateway_that_closes_is_an_event(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        await call.peer.api(start)
        await media.until(lambda: bool(media.frames.get(call.uuid)))
        await media.calls[call.uuid].close(1001, "going away")
        found = json.loads(await stream_event(call.peer, "disconnect"))
        assert found["status"] == "disconnected"
        assert found["message"]["code"] == 1001
        await call.peer.execute("set", "after=1")


@pytest.mark.parametrize("what", ["stop", "pause", "resume", "send_text x"])
async def test_without_a_stream_nothing_can_be_done_to_it(line: ControlledLine, what: str) -> None:
    await needs_audio_stream(line)
    async with a_call(line) as call:
        assert await call.peer.api(f"uuid_audio_stream {call.uuid} {what}") == REFUSED


async def test_what_cannot_be_started(line: ControlledLine) -> None:
    await needs_audio_stream(line)
    async with a_call(line) as call:
        stream = f"uuid_audio_stream {call.uuid} start"
        assert await line.api("uuid_audio_stream nobody start ws://127.0.0.1:9/x mono 8k") == REFUSED
        assert await call.peer.api(f"{stream} http://127.0.0.1:9/x mono 8k") == REFUSED
        assert await call.peer.api(f"{stream} ws://127.0.0.1:9/x loud 8k") == "-ERR no reply\n"
        assert (await line.api("uuid_audio_stream")).startswith("-USAGE")


async def test_a_larger_buffer_makes_larger_messages(line: ControlledLine) -> None:
    async with a_streamed_call(line) as (call, media, start):
        await line.api(f"uuid_setvar {call.uuid} STREAM_BUFFER_SIZE 100")
        await call.peer.api(start)
        await media.until(lambda: len(media.frames.get(call.uuid, ())) >= 3)
        assert {len(frame) for frame in media.frames[call.uuid]} == {1600}

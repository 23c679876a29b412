"""The recorder's scripts about files and the audio stream."""

from __future__ import annotations

import pytest

from tests.conformance.lines import ControlledLine, Line
from tests.conformance.recorded import RecordedLine
from tests.conformance.script import TONES, assert_as_recorded, begin, finish, needs_audio_stream

STREAM_EVENTS = "CUSTOM " + " ".join(
    f"mod_audio_stream::{name}" for name in ("json", "connect", "disconnect", "error", "play")
)


@pytest.mark.recording("files")
async def test_files(line: Line) -> None:
    hello = line.sound("hello", 31_713 / 8000)  # as long as the recorded one
    missing = hello.replace("hello", "missing")
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer = await peers.get()
        uuid = (await peer.send("connect")).headers["Unique-ID"]
        await peer.send("linger 5")
        await peer.send(f"filter Unique-ID {uuid}")
        await peer.send("event plain PLAYBACK_START PLAYBACK_STOP CHANNEL_EXECUTE_COMPLETE DTMF CHANNEL_HANGUP_COMPLETE")
        await peer.execute("set", "playback_terminators=none")
        answers = []
        for name in (hello, missing, "http://127.0.0.1:9/x.wav", "say:hello", f"file_string://{missing}!{hello}"):
            complete = await peer.execute("playback", name)
            answers.append(complete.headers["Application-Response"])
        since = len(peer.received)
        event_uuid = await peer.post("playback", hello)
        await peer.until_kind("PLAYBACK_START", since=since)
        await peer.api(f"uuid_break {uuid} all")
        await peer.executed(event_uuid)
        since = len(peer.received)
        event_uuid = await peer.post(
            "play_and_get_digits", f"1 1 1 1500 # {hello} silence_stream://100 choice [1-3] 1500"
        )
        await peer.until_kind("PLAYBACK_START", since=since)
        await line.press(uuid, "2")
        digits = await peer.executed(event_uuid)
        await finish(peer)
    assert answers == ["FILE PLAYED", "FILE NOT FOUND", "FILE NOT FOUND", "FILE PLAYED", "FILE PLAYED"]
    assert digits.headers["variable_choice"] == "2"
    stops = [m.headers["Playback-Status"] for m in peer.received if m.event == "PLAYBACK_STOP"]
    assert stops == ["done", "done", "break", "break"]
    assert_as_recorded(line, "files", peer)


@pytest.mark.recording("audio-stream")
async def test_audio_stream(line: Line) -> None:
    await needs_audio_stream(line)
    async with line.listening() as (port, peers), line.gateway() as media:
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)
        await peer.send(f"event plain {STREAM_EVENTS}")
        added = await peer.send(f"filter Unique-ID {uuid}")
        assert added.headers["Reply-Text"] == f"+OK filter added. [Unique-ID]=[{uuid}]"
        stream = f"uuid_audio_stream {uuid}"
        assert await peer.api(f'{stream} start {media.url} mono 8k {{"call":"{uuid}"}}') == "+OK Success\n"
        connected = await peer.until_kind("mod_audio_stream::connect")
        assert connected.body == '{"status":"connected"}'
        await peer.execute("playback", f"{TONES}3")
        for command in ("pause", "resume", 'stop {"bye":1}'):
            assert await peer.api(f"{stream} {command}") == "+OK Success\n"
        if isinstance(line, ControlledLine):
            await media.until(lambda: bool(media.closed_with))
        assert await peer.api(f"{stream} start ws://127.0.0.1:9/nobody mono 8k") == "+OK Success\n"
        failed = await peer.until_kind("mod_audio_stream::error")
        assert failed.body == (
            '{"status":"error","message":{"code":6,"error":"Connection refused (system error 111)"}}'
        )
        await finish(peer)
    assert_as_recorded(line, "audio-stream", peer)
    if isinstance(line, RecordedLine):
        return
    assert media.closed_with == [1000]
    assert media.metadata == [f'{{"call":"{uuid}"}}', '{"bye":1}']
    assert {len(frame) for frame in media.frames[uuid]} == {320}


@pytest.mark.recording("audio-reply")
async def test_audio_reply_becomes_a_file_that_plays_for_its_real_length(line: Line) -> None:
    await needs_audio_stream(line)
    async with line.listening() as (port, peers), line.gateway() as media:
        await line.place(line.where(port))
        peer = await peers.get()
        uuid = (await peer.send("connect")).headers["Unique-ID"]
        await peer.send("linger 5")
        await peer.send(f"filter Unique-ID {uuid}")
        names = "CHANNEL_EXECUTE_COMPLETE PLAYBACK_START PLAYBACK_STOP CHANNEL_HANGUP_COMPLETE"
        await peer.send(f"event plain {names} {STREAM_EVENTS}")
        await peer.api(f'uuid_audio_stream {uuid} start {media.url} mono 8k {{"call":"{uuid}"}}')
        await peer.until_kind("mod_audio_stream::connect")
        if isinstance(line, ControlledLine):
            await media.speak(uuid, b"\x00\x10" * 8000)
            await media.calls[uuid].send('{"type": "partial", "text": "hello"}')
        played = await peer.until_kind("mod_audio_stream::play")
        path = played.body.rpartition('"file":"')[2].removesuffix('"}')
        assert played.body == f'{{"audioDataType":"raw","sampleRate":8000,"file":"{path}"}}'
        assert path.endswith(f"/{uuid}_0.tmp.r8")
        assert (await peer.until_kind("mod_audio_stream::json")).body == '{"type": "partial", "text": "hello"}'
        complete = await peer.execute("playback", path)
        assert complete.headers["variable_playback_ms"] == "1000"
        await peer.send(f"bgapi uuid_audio_stream {uuid} stop")
        await finish(peer)
    assert_as_recorded(line, "audio-reply", peer)

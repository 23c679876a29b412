"""mod_audio_stream beside what the recordings show: buffering, pausing, texts, peers that freeze or refuse."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from simulator import audio_stream
from simulator.media import FRAME_S
from tests.conformance.client import Gateway, gateway, listening, loudness
from tests.simulator.conftest import RECORDED, Listener, StartSwitch, place, tone

PARKED = RECORDED.replace('application="socket" data="$${lifeline_bridges} async full"', 'application="park"')


def metadata(uuid: str) -> str:
    return json.dumps({"call": uuid})


async def enough(media: Gateway, uuid: str, count: int) -> list[bytes]:
    await media.until(lambda: len(media.frames.get(uuid, ())) >= count)
    return media.frames[uuid]


async def test_frames_come_at_the_calls_pace_and_carry_what_the_caller_says(start_switch: StartSwitch) -> None:
    switch = await start_switch(PARKED, speed=2.0)
    session = place(switch)
    uuid = session.channel.uuid
    async with gateway() as media:
        began_s = switch.clock.now_s()
        await switch.api(f"uuid_audio_stream {uuid} start {media.url} mono 8k {metadata(uuid)}")
        await enough(media, uuid, 10)
        session.microphone.say(tone(0.2), switch.clock.now_s())
        frames = await enough(media, uuid, 50)
        elapsed_s = switch.clock.now_s() - began_s
        assert len(frames) == pytest.approx(elapsed_s / FRAME_S, abs=8)
        assert sum(loudness(frame) > 1000 for frame in frames) in range(8, 13)
        assert all(any(frame) for frame in frames), "an idle line is never digital silence"


async def test_the_stream_and_its_files_go_with_the_call(start_switch: StartSwitch) -> None:
    caller = Listener()
    switch = await start_switch(PARKED, speed=10.0)
    session = place(switch, caller)
    uuid = session.channel.uuid
    async with gateway() as media:
        await switch.api(f"uuid_audio_stream {uuid} start {media.url} mono 8k {metadata(uuid)}")
        await enough(media, uuid, 1)
        await media.calls[uuid].send("not json")
        await media.calls[uuid].send('{"type":"streamAudio","data":{"audioDataType":"raw","audioData":"!"}}')
        await media.calls[uuid].send('{"type":"streamAudio","data":{"audioDataType":"mp3","audioData":"AAAA"}}')
        await media.speak(uuid, tone(0.1))
        path = switch.config.temp_dir / f"{uuid}_0.tmp.r8"
        await media.until(lambda: path.exists() and path.stat().st_size == len(tone(0.1)))
        assert path.read_bytes() == tone(0.1)
        session.hang_up("NORMAL_CLEARING")
        await media.until(lambda: media.closed_with == [1000])
        assert uuid in switch.sessions, "the audio's peer knows of the end before the call's own events tell it"
        async with asyncio.timeout(5):
            while path.exists():
                await asyncio.sleep(0.01)
        assert uuid not in switch.sessions


async def test_a_caller_who_puts_us_on_hold_sends_nothing_until_they_take_us_back(start_switch: StartSwitch) -> None:
    """Seen on a real switch: re-INVITE with sendonly and back. A hold is the caller's own, and `PLAYBACK` goes on."""
    switch = await start_switch(PARKED, speed=10.0)
    session = place(switch)
    uuid = session.channel.uuid
    told: list[str] = []
    taken: list[int] = []
    fire, frame = switch.fire, session.microphone.frame

    def noting(name: str, *args: Any, **more: Any) -> None:
        if name in ("CHANNEL_CALLSTATE", "CHANNEL_HOLD", "CHANNEL_UNHOLD"):
            told.append(f"{name} {session.channel.call_state}")
        fire(name, *args, **more)

    def taking(number: int) -> bytes:
        taken.append(number)
        return frame(number)

    async with gateway() as media:
        await switch.api(f"uuid_audio_stream {uuid} start {media.url} mono 8k {metadata(uuid)}")
        await enough(media, uuid, 1)
        switch.fire = noting  # type: ignore[method-assign]
        session.microphone.frame = taking  # type: ignore[method-assign]
        session.put_on_hold(held=True)
        await switch.clock.sleep(1.0)
        assert not taken
        session.put_on_hold(held=True)
        session.put_on_hold(held=False)
        await media.until(lambda: bool(taken))
    assert told == [
        "CHANNEL_CALLSTATE HELD", "CHANNEL_HOLD HELD",
        "CHANNEL_CALLSTATE UNHELD", "CHANNEL_UNHOLD UNHELD", "CHANNEL_CALLSTATE ACTIVE",
    ]  # fmt: skip


@pytest.mark.parametrize("moves", [True, False])
async def test_a_hold_outlives_a_transfer_and_its_end_is_told_only_in_a_call_that_has_not_moved(
    start_switch: StartSwitch, moves: bool
) -> None:
    """Seen on a real switch: the call state is ACTIVE again, the offer still says sendonly, and no second hold is told of."""
    switch = await start_switch(PARKED, speed=10.0)
    session = place(switch)
    uuid = session.channel.uuid
    await switch.clock.sleep(1.0)
    session.put_on_hold(held=True)
    if moves:
        assert await switch.api(f"uuid_transfer {uuid} 9000 XML public") == "+OK\n"
    await switch.clock.sleep(1.0)
    assert session.channel.leg_holding
    assert session.channel.call_state == ("ACTIVE" if moves else "HELD")
    assert session.channel.get("switch_r_sdp").endswith("a=sendonly\r\n")
    told: list[str] = []
    fire = switch.fire

    def noting(name: str, *args: Any, **more: Any) -> None:
        told.append(f"{name} {session.channel.answer_state}")
        fire(name, *args, **more)

    switch.fire = noting  # type: ignore[method-assign]
    session.caller_hangs_up()
    before, _, _ = "|".join(told).partition("|CHANNEL_HANGUP")
    assert before.split("|") == ["CHANNEL_CALLSTATE answered", *([] if moves else ["CHANNEL_UNHOLD answered"])]


async def test_a_call_that_is_hung_up_is_denied_from_that_moment_on(start_switch: StartSwitch) -> None:
    """The audio's end is how a bridge hears first of the hang-up; what it then asks must not say that the call is up."""
    switch = await start_switch(PARKED)
    session = place(switch)
    uuid = session.channel.uuid
    asked = {
        f"uuid_getvar {uuid} destination_number": "-ERR No such channel!\n",
        f"uuid_exists {uuid}": "false",
        f"uuid_kill {uuid}": "-ERR No such channel!\n",
        f"uuid_audio_stream {uuid} stop": "-ERR Operation Failed\n",
        f"sched_transfer +5 {uuid} 9000": "-ERR No such channel!\n",
    }
    async with gateway() as media:
        await switch.api(f"uuid_audio_stream {uuid} start {media.url} mono 8k {metadata(uuid)}")
        await enough(media, uuid, 1)
        assert await switch.api(f"uuid_exists {uuid}") == "true"
        session.hang_up("NORMAL_CLEARING")
        assert {command: await switch.api(command) for command in asked} == asked
        assert uuid in switch.sessions, "its end has not been told yet"


async def test_stopping_a_peer_that_never_answers_does_not_take_for_ever(
    start_switch: StartSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_stream, "_CLOSE_TIMEOUT_S", 0.05)
    switch = await start_switch(PARKED)
    session = place(switch)
    async with listening() as (port, _peers):
        await switch.api(f"uuid_audio_stream {session.channel.uuid} start ws://127.0.0.1:{port}/x mono 8k")
        stream = session.audio_stream
        assert stream is not None
        assert await switch.api(f"uuid_audio_stream {session.channel.uuid} stop") == "+OK Success\n"
        async with asyncio.timeout(5):
            await asyncio.wait([stream._task])
        assert stream.has_ended

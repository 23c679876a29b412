"""Callers against a small bridge of the tests: they speak real audio, press keys, are satisfied, lose patience."""

from __future__ import annotations

import asyncio
import json

import pytest

from simulator.callers import Patience
from simulator.records import CallRecord, Outcome
from simulator.switch import Switch
from simulator.traffic import Traffic, TrafficConfig
from tests.conformance.client import Gateway, Peer, gateway, listening, loudness
from tests.simulator.conftest import Prompts, StartSwitch

SPEED = 4.0
SPEECH_LOUDNESS = 200.0


async def take_call(peer: Peer, media: Gateway) -> str:
    """Connect, subscribe, answer, start the audio stream; the call's uuid."""
    connected = await peer.send("connect")
    uuid = connected.headers["Unique-ID"]
    await peer.send("linger 1")
    await peer.send(f"filter Unique-ID {uuid}")
    await peer.send("event plain CHANNEL_EXECUTE_COMPLETE PLAYBACK_START DTMF CUSTOM mod_audio_stream::play")
    await peer.execute("answer")
    await peer.api(f"sched_del {uuid}")
    metadata = json.dumps({"call": uuid})
    assert await peer.api(f"uuid_audio_stream {uuid} start {media.url} mono 8k {metadata}") == "+OK Success\n"
    await media.until(lambda: uuid in media.frames)
    return uuid


async def listen_to_caller(media: Gateway, uuid: str) -> float:
    """Wait for speech and its end; how long it was."""
    frames = media.frames[uuid]
    start = len(frames)

    def over() -> bool:
        new = frames[start:]
        loud = [index for index, frame in enumerate(new) if loudness(frame) > SPEECH_LOUDNESS]
        return bool(loud) and len(new) - loud[-1] > 30

    await media.until(over)
    return sum(loudness(frame) > SPEECH_LOUDNESS for frame in frames[start:]) * 0.02


async def run_one(switch: Switch, prompts: Prompts, scenario: str, silence_s: float = 12.0) -> CallRecord:
    config = TrafficConfig(
        rate=100, limit=1, scenario=scenario, prompt_dir=prompts.folder, patience=Patience(silence_s=silence_s), seed=7
    )
    totals = await Traffic(switch, config).run()
    return totals.records[0]


async def test_a_caller_speaks_gives_their_number_and_is_satisfied_by_the_answer(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    greeting = prompts.add("greeting", "Welcome to Lifeline. How can I help you?")
    ask = prompts.add("ask", "Please tell me your account number.")
    answer = prompts.add("answer", "Your balance is fifty three pounds.")
    more = prompts.add("more", "Is there anything else I can help you with?")
    spoken_s: list[float] = []
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            uuid = await take_call(peer, media)
            await peer.execute("playback", greeting)
            spoken_s.append(await listen_to_caller(media, uuid))
            await peer.execute("playback", ask)
            spoken_s.append(await listen_to_caller(media, uuid))
            await peer.execute("playback", answer)
            await peer.execute("playback", more)

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            record = await run_one(switch, prompts, "balance")
    assert record.outcome is Outcome.FINISHED, record
    assert record.understood
    assert not record.in_fallback
    assert [words for _at, words in record.said][1] == "four two one seven"
    assert all(0.5 < length_s < 5 for length_s in spoken_s), spoken_s
    assert record.longest_silence_s < 3


async def test_a_caller_in_the_menu_presses_their_option_and_enters_their_number(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    team = prompts.add("team", "Let me transfer you to our team.")
    menu = prompts.add("menu", "For opening hours, press 1. For your balance, press 2. To speak to a person, press 0.")
    enter = prompts.add("enter", "Please enter your account number, followed by the hash key.")
    answer = prompts.add("answer", "Your balance is ten pounds.")
    more = prompts.add("more", "For anything else, press 1. Otherwise you may hang up.")
    pressed: list[str] = []
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            uuid = await take_call(peer, media)
            await peer.execute("playback", team)
            await peer.execute("play_and_get_digits", f"1 1 1 5000 # {menu} silence_stream://100 choice [0-9] 3000")
            pressed.append(await peer.api(f"uuid_getvar {uuid} choice"))
            await peer.execute("play_and_get_digits", rf"1 12 1 5000 # {enter} silence_stream://100 account \d+ 3000")
            pressed.append(await peer.api(f"uuid_getvar {uuid} account"))
            await peer.execute("playback", answer)
            await peer.execute("playback", more)

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            record = await run_one(switch, prompts, "balance")
    assert pressed == ["2", "4217"]
    assert record.outcome is Outcome.FINISHED, record
    assert record.in_fallback
    assert not record.understood


async def test_a_caller_left_in_silence_hangs_up_and_counts_as_disconnected(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    greeting = prompts.add("greeting", "Welcome. How can I help you?")
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            uuid = await take_call(peer, media)
            await peer.execute("playback", greeting)
            await listen_to_caller(media, uuid)
            await asyncio.Event().wait()

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            record = await run_one(switch, prompts, "opening_hours", silence_s=3.0)
    assert record.outcome is Outcome.DISCONNECTED
    assert record.ended_because == "silence"
    assert record.longest_silence_s == pytest.approx(3.0, abs=0.5)


async def test_a_reply_streamed_as_audio_is_heard_as_speech_and_taken_for_the_answer(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    greeting = prompts.add("greeting", "How can I help you?")
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            uuid = await take_call(peer, media)
            await peer.execute("playback", greeting)
            await listen_to_caller(media, uuid)
            await media.speak(uuid, b"\x00\x20\x00\xe0" * 8000)
            played = await peer.until_kind("mod_audio_stream::play")
            await peer.execute("playback", json.loads(played.body)["file"])

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            record = await run_one(switch, prompts, "opening_hours")
    assert record.outcome is Outcome.FINISHED
    assert record.understood
    assert (record.heard[-1][1], record.ended_because) == ("(speech)", "satisfied")


async def test_with_no_bridge_at_all_the_dialplan_joins_the_caller_to_a_person(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    switch = await start_switch(bridges="127.0.0.1:9", speed=SPEED)
    record = await run_one(switch, prompts, "person")
    assert record.talked_to_person
    assert record.outcome is Outcome.FINISHED


async def test_callers_cut_off_because_the_simulator_stops_are_not_counted(
    start_switch: StartSwitch, prompts: Prompts
) -> None:
    greeting = prompts.add("greeting", "Welcome.", seconds=20)
    playing = asyncio.Event()
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            await take_call(peer, media)
            await peer.post("playback", greeting)
            await peer.until_kind("PLAYBACK_START")
            playing.set()

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            traffic = Traffic(switch, TrafficConfig(prompt_dir=prompts.folder))
            traffic.place()
            async with asyncio.timeout(10):
                await playing.wait()
            assert traffic.live == 1
            await switch.stop()
    assert traffic.live == 0
    assert traffic.totals.counts()["calls"] == 0


async def test_an_impatient_caller_counts_as_given_up(start_switch: StartSwitch, prompts: Prompts) -> None:
    greeting = prompts.add("greeting", "Welcome. How can I help you?", seconds=20)
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            await take_call(peer, media)
            await peer.execute("playback", greeting)

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=10)
            record = await run_one(switch, prompts, "impatient")
    assert record.outcome is Outcome.GAVE_UP


@pytest.mark.parametrize("by", ["voice", "key"])
async def test_a_caller_who_interrupts_measures_how_soon_the_prompt_stops(
    start_switch: StartSwitch, prompts: Prompts, by: str
) -> None:
    greeting = prompts.add("greeting", "Welcome to Lifeline. How can I help you?", seconds=8)
    answer = prompts.add("answer", "Your balance is ten pounds. Your order has been dispatched.")
    more = prompts.add("more", "Is there anything else I can help you with?")
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            uuid = await take_call(peer, media)
            await peer.post("playback", greeting)
            await peer.until_kind("PLAYBACK_START")
            frames = media.frames[uuid]
            if by == "voice":
                await media.until(lambda: any(loudness(frame) > SPEECH_LOUDNESS for frame in frames))
            else:
                await peer.until_kind("DTMF")
            await peer.api(f"uuid_break {uuid} all")
            if by == "voice":
                await listen_to_caller(media, uuid)
            await peer.execute("playback", answer)
            await peer.execute("playback", more)

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=2)
            record = await run_one(switch, prompts, f"interrupts_by_{by}")
    assert record.outcome is Outcome.FINISHED, record
    (barge_in,) = record.barge_ins
    assert barge_in.by == by
    assert barge_in.barge_in_ms is not None
    assert barge_in.barge_in_ms < 700
    assert [words for _at, words in record.said] != []
    assert len(record.said) == 1, "what was interrupted is not answered again"


async def test_a_prompt_that_plays_on_over_its_caller_is_counted(start_switch: StartSwitch, prompts: Prompts) -> None:
    greeting = prompts.add("greeting", "Welcome to Lifeline. How can I help you?", seconds=4)
    answer = prompts.add("answer", "Your balance is ten pounds. Your order has been dispatched.")
    async with gateway() as media:

        async def app(peer: Peer) -> None:
            await take_call(peer, media)
            await peer.execute("playback", greeting)
            await peer.execute("playback", answer)

        async with listening(app) as (port, _peers):
            switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=SPEED)
            record = await run_one(switch, prompts, "interrupts_by_key")
    assert [one.barge_in_ms for one in record.barge_ins] == [None]

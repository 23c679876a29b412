"""The same scripted client as in the recordings: the simulator's messages in the same order and of the same kind."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulator import recordings
from tests.simulator.conftest import RECORDED, Listener, Prompts, StartSwitch, place
from tests.simulator.recordings import comparable
from tests.conformance.client import Peer, gateway, listening

TONES = "tone_stream://%(300,100,440);loops="


async def begin(peer: Peer, *, linger: bool = True) -> str:
    connected = await peer.send("connect")
    if linger:
        assert (await peer.send("linger 1")).headers["Reply-Text"] == "+OK will linger 1 seconds"
    assert (await peer.send("myevents")).headers["Reply-Text"] == "+OK Events Enabled"
    return connected.headers["Unique-ID"]


async def finish(peer: Peer) -> None:
    await peer.hang_up()
    await peer.until_kind("notice:disconnect")
    await peer.until_closed()


async def test_answer_play_hangup(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        await begin(peer)
        complete = await peer.execute("playback", f"{TONES}2")
        await finish(peer)
    assert comparable(peer.kinds()) == recordings.ANSWER_PLAY_HANGUP
    assert complete.headers["Application-Response"] == "FILE PLAYED"
    assert complete.headers["variable_playback_ms"] == "800"
    lingering = next(m for m in peer.received if m.kind() == "notice:linger")
    assert lingering.headers["Linger-Time"] == "1"
    assert peer.received[-1].body.startswith("Disconnected, goodbye.")


async def test_an_event_has_the_recorded_headers_in_the_recorded_order(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        await begin(peer)
        complete = await peer.execute("playback", f"{TONES}1")
        await finish(peer)
    expected = [*recordings.STANDARD_HEADERS, *recordings.CHANNEL_HEADERS]
    expected += [f"Caller-{name}" for name in recordings.PROFILE_HEADERS]
    assert complete.order[: len(expected)] == expected
    assert complete.order[-4:] == recordings.APPLICATION_HEADERS
    assert all(name.startswith("variable_") for name in complete.order[len(expected) : -4])
    assert 5_000 < sum(len(name) + len(value) for name, value in complete.headers.items()) < 7_000
    connected = peer.received[0]
    assert connected.order[-4:] == ["Content-Type", "Reply-Text", "Socket-Mode", "Control"]
    assert connected.headers["Reply-Text"] == "+OK\n"
    assert connected.order[13:43] == [f"Channel-{name}" for name in recordings.PROFILE_HEADERS]


async def test_menu_dtmf(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        session = place(switch)
        peer = await peers.get()
        uuid = await begin(peer)

        async def ask(argument: str, *keys: str) -> None:
            dtmf_before = peer.kinds().count("DTMF")
            event_uuid = await peer.post("play_and_get_digits", argument)
            await peer.started(event_uuid)
            for number, several in enumerate(keys):
                await peer.until_count("DTMF", dtmf_before + number)
                for key in several:
                    session.press(key)
            await peer.executed(event_uuid)

        tones = "tone_stream://%(200,100,600);loops=10 tone_stream://%(100,100,200)"
        await ask(f"1 1 2 3000 # {tones} menu_choice [1-3] 2000", "9", "2")
        found = peer.received[-1].headers
        assert (found["variable_menu_choice"], found["variable_menu_choice_invalid"]) == ("2", "9")
        assert found["variable_read_result"] == "success"
        await ask(r"4 12 1 1500 # tone_stream://%(200,100,600) silence_stream://100 account_number \d+ 1500", "4711#")
        found = peer.received[-1].headers
        assert (found["variable_account_number"], found["variable_read_terminator_used"]) == ("4711", "#")
        began_s = switch.clock.now_s()
        await ask("1 1 1 1000 # tone_stream://%(200,100,600) silence_stream://100 no_input [1-3] 1000")
        assert switch.clock.now_s() - began_s == pytest.approx(1.4, abs=0.25)
        assert peer.received[-1].headers["variable_read_result"] == "failure"
        assert await peer.api(f"uuid_getvar {uuid} no_input") == "_undef_"
        await finish(peer)
    kinds = [kind for kind in comparable(peer.kinds()) if kind != "api/response"]
    assert kinds == recordings.MENU_DTMF
    assert peer.received[-3].headers.get("variable_digits_dialed", "924711#") == "924711#"


async def test_caller_hangs_up_in_the_middle_of_a_prompt(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        session = place(switch)
        peer = await peers.get()
        await begin(peer)
        await peer.post("playback", f"{TONES}30")
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        session.hang_up("ORIGINATOR_CANCEL")
        await peer.until_closed()
    assert comparable(peer.kinds()) == recordings.CALLER_HANGS_UP
    over = next(m for m in peer.received if m.event == "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["Hangup-Cause"] == over.headers["variable_hangup_cause"] == "ORIGINATOR_CANCEL"


async def test_barge_in_and_nested_execution_without_a_lock(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        uuid = await begin(peer)
        await peer.post("playback", f"{TONES}30", lock=True)
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        assert await peer.api(f"uuid_break {uuid} all") == "+OK\n"
        await peer.until_kind("CHANNEL_EXECUTE_COMPLETE:playback")
        first = await peer.post("playback", f"{TONES}2")
        second = await peer.post("playback", "tone_stream://%(300,100,880);loops=2")
        order = [await peer.executed(second), await peer.executed(first)]
        assert peer.received.index(order[0]) < peer.received.index(order[1]), "the second ran inside the first"
        last = await peer.post("playback", f"{TONES}30")
        await peer.started(last)
        answer = await peer.send(f"bgapi uuid_break {uuid}")
        assert answer.headers["Reply-Text"] == f"+OK Job-UUID: {answer.headers['Job-UUID']}"
        await peer.executed(last)
        await finish(peer)
    assert comparable(peer.kinds()) == recordings.BARGE_IN


async def test_locked_executions_run_in_order(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        await begin(peer)
        first = await peer.post("playback", f"{TONES}2", lock=True)
        second = await peer.post("playback", f"{TONES}1", lock=True)
        await peer.executed(second)
        done = [m.headers["Application-UUID"] for m in peer.received if m.event == "CHANNEL_EXECUTE_COMPLETE"]
        assert done == [first, second]
        await finish(peer)


async def test_audio_stream(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers), gateway() as media:
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        uuid = await begin(peer)
        names = " ".join(f"mod_audio_stream::{name}" for name in ("json", "connect", "disconnect", "error", "play"))
        await peer.send(f"event plain CUSTOM {names}")
        added = await peer.send(f"filter Unique-ID {uuid}")
        assert added.headers["Reply-Text"] == f"+OK filter added. [Unique-ID]=[{uuid}]"
        stream = f"uuid_audio_stream {uuid}"
        assert await peer.api(f'{stream} start {media.url} mono 8k {{"call":"{uuid}"}}') == "+OK Success\n"
        connected = await peer.until_kind("mod_audio_stream::connect")
        assert connected.body == '{"status":"connected"}'
        assert connected.order[0] == "Event-Subclass"
        await peer.execute("playback", f"{TONES}3")
        for command in ("pause", "resume", 'stop {"bye":1}'):
            assert await peer.api(f"{stream} {command}") == "+OK Success\n"
        assert await peer.api(f"{stream} start ws://127.0.0.1:9/nobody mono 8k") == "+OK Success\n"
        failed = await peer.until_kind("mod_audio_stream::error")
        assert failed.body == (
            '{"status":"error","message":{"code":6,"error":"Connection refused (system error 111)"}}'
        )
        await finish(peer)
        await media.until(lambda: bool(media.closed_with))
    assert comparable(peer.kinds()) == recordings.AUDIO_STREAM
    assert media.closed_with == [1000]
    assert media.metadata == [f'{{"call":"{uuid}"}}', '{"bye":1}']
    assert {len(frame) for frame in media.frames[uuid]} == {320}


async def test_files(start_switch: StartSwitch, prompts: Prompts) -> None:
    hello = prompts.add("hello", "Hello.", 2.0)
    missing = str(prompts.folder / "missing.wav")
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        session = place(switch)
        peer = await peers.get()
        uuid = (await peer.send("connect")).headers["Unique-ID"]
        await peer.send("linger 1")
        await peer.send(f"filter Unique-ID {uuid}")
        names = "PLAYBACK_START PLAYBACK_STOP CHANNEL_EXECUTE_COMPLETE DTMF CHANNEL_HANGUP_COMPLETE"
        await peer.send(f"event plain {names}")
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
        await peer.post("play_and_get_digits", f"1 1 1 1500 # {hello} silence_stream://100 choice [1-3] 1500")
        await peer.until_kind("PLAYBACK_START", since=since)
        session.press("2")
        digits = await peer.until_kind("CHANNEL_EXECUTE_COMPLETE:play_and_get_digits")
        await finish(peer)
    assert answers == ["FILE PLAYED", "FILE NOT FOUND", "FILE NOT FOUND", "FILE PLAYED", "FILE PLAYED"]
    assert digits.headers["variable_choice"] == "2"
    assert comparable(peer.kinds()) == recordings.FILES
    stops = [m.headers["Playback-Status"] for m in peer.received if m.event == "PLAYBACK_STOP"]
    assert stops == ["done", "done", "break", "break"]
    started = next(m for m in peer.received if m.event == "PLAYBACK_START")
    assert started.headers["Playback-File-Path"] == hello


async def test_resume_and_transfer_bring_the_call_back_on_a_second_socket(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        first = await peers.get()
        uuid = await begin(first, linger=False)
        await first.execute("set", "lifeline_step=menu")
        await first.send("resume")
        await first.post("transfer", "9000 XML default")
        second = await peers.get()
        connected = await second.send("connect")
        assert connected.headers["Unique-ID"] == uuid
        assert connected.headers["variable_lifeline_step"] == "menu"
        assert connected.headers["Channel-Context"] == "default"
        assert connected.headers["Channel-RDNIS"] == "9000"
        await second.send("myevents")
        await second.hang_up()
        await asyncio.gather(first.until_closed(), second.until_closed())
    assert comparable(first.kinds()) == recordings.RESUME_FIRST_SOCKET
    assert comparable(second.kinds()) == recordings.RESUME_SECOND_SOCKET


async def test_app_dies_and_the_dialplan_goes_on_within_a_frame_or_two(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}", speed=1.0)
        session = place(switch, caller)
        peer = await peers.get()
        await begin(peer, linger=False)
        await peer.post("playback", f"{TONES}60")
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        died_s = switch.clock.now_s()
        await peer.close()
        await caller.until("answered", "start tone", "end tone", "start tone")
        assert switch.clock.now_s() - died_s < 0.06
        assert session.channel.get("went_on") == "yes"
        await caller.until("hung up NORMAL_CLEARING")


async def test_errors(start_switch: StartSwitch) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        uuid = await begin(peer)

        async def reply(command: str) -> str:
            return (await peer.send(command)).headers["Reply-Text"]

        assert await reply("nonsense") == "-ERR command not found"
        assert await peer.api("nosuchcommand") == "-ERR nosuchcommand Command not found!\n"
        assert await peer.api(f"uuid_break {nobody}") == "-ERR No such channel!\n"
        assert await reply(f"sendmsg {nobody}\ncall-command: execute\nexecute-app-name: playback") == (
            f"-ERR invalid session id [{nobody}]"
        )
        assert await reply("sendmsg") == "+OK"
        assert await reply("getvar destination_number") == "9000"
        assert await reply("getvar no_such_variable") == "-ERR command not found"
        assert await peer.api(f"uuid_getvar {uuid} no_such_variable") == "_undef_"
        assert await peer.api(f"uuid_exists {uuid}") == "true"
        assert await reply("event plain NO_SUCH_EVENT") == "-ERR no keywords supplied"
        assert await reply("filter") == "-ERR command not found"
        assert await reply("divert_events on") == "+OK events diverted"
        assert await reply("noevents") == "+OK no longer listening for events"
        job = (await peer.send("bgapi status")).headers["Job-UUID"]
        assert await reply("event plain all") == "+OK event listener enabled plain"
        await peer.post("nosuchapp", "x")
        hung_up = await peer.until_kind("CHANNEL_HANGUP")
        await peer.until_kind("notice:linger")
        assert await reply("exit") == "+OK bye"
        await peer.until_closed()
    assert hung_up.headers["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
    jobs = [m for m in peer.received if m.event == "BACKGROUND_JOB"]
    assert [m.headers["Job-UUID"] for m in jobs] in ([job], [])  # it may be over before the subscription
    assert not [m for m in peer.received if m.kind() == "CHANNEL_EXECUTE:nosuchapp"]
    assert peer.received[-1].kind() == "notice:disconnect"


async def test_dead_man_fires_while_the_app_is_frozen_and_not_once_called_off(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        first = await peers.get()
        uuid = await begin(first, linger=False)
        assert await first.api(f"sched_transfer +60 {uuid} 9000 XML default") == "+OK\n"
        added = await first.api(f"sched_api +90 ll-{uuid} uuid_transfer {uuid} 9000 XML default")
        assert added == "+OK Added: 2\n"
        assert await first.api(f"sched_del ll-{uuid}") == "+OK Deleted: 1\n"
        assert await first.api(f"sched_del {uuid}") == "+OK Deleted: 1\n"
        assert await first.api(f"sched_del {uuid}") == "+OK Deleted: 0\n"
        began_s = switch.clock.now_s()
        await first.api(f"sched_transfer +3 {uuid} 9000 XML default")
        await first.post("playback", f"{TONES}60")
        second = await peers.get()
        assert 1.9 <= switch.clock.now_s() - began_s <= 3.6
        assert (await second.send("connect")).headers["Unique-ID"] == uuid
        await second.hang_up()
        await second.until_closed()


async def test_audio_reply_becomes_a_file_that_plays_for_its_real_length(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers), gateway() as media:
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        session = place(switch)
        peer = await peers.get()
        uuid = (await peer.send("connect")).headers["Unique-ID"]
        await peer.send(f"filter Unique-ID {uuid}")
        await peer.send(
            "event plain CHANNEL_EXECUTE_COMPLETE PLAYBACK_START PLAYBACK_STOP CHANNEL_HANGUP_COMPLETE CUSTOM "
            "mod_audio_stream::json mod_audio_stream::connect mod_audio_stream::play mod_audio_stream::disconnect"
        )
        await peer.api(f'uuid_audio_stream {uuid} start {media.url} mono 8k {{"call":"{uuid}"}}')
        await peer.until_kind("mod_audio_stream::connect")
        await media.speak(uuid, b"\x00\x10" * 8000)
        await media.calls[uuid].send('{"type": "partial", "text": "hello"}')
        played = await peer.until_kind("mod_audio_stream::play")
        path = f"{switch.config.temp_dir}/{uuid}_0.tmp.r8"
        assert played.body == f'{{"audioDataType":"raw","sampleRate":8000,"file":"{path}"}}'
        assert (await peer.until_kind("mod_audio_stream::json")).body == '{"type": "partial", "text": "hello"}'
        complete = await peer.execute("playback", path)
        assert complete.headers["variable_playback_ms"] == "1000"
        await media.calls[uuid].close()
        gone = await peer.until_kind("mod_audio_stream::disconnect")
        assert '"status":"disconnected"' in gone.body
        session.hang_up("NORMAL_CLEARING")
        await peer.until_closed()


async def test_unicode_and_large_variables_are_in_every_event_from_then_on(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch)
        peer = await peers.get()
        uuid = await begin(peer)
        values = {
            "greeting": "Grüß Gott — 你好 😀",
            "multi": "line one\nline two: with colon\n\nblank above",
            "pct": "100%25 sure; a=b",
            "big": "x" * 70_000,
        }
        for name, value in values.items():
            complete = await peer.execute("set", f"{name}={value}")
            assert complete.headers[f"variable_{name}"] == value
        assert await peer.api(f"uuid_setvar {uuid} note café") == "+OK\n"
        assert (await peer.send("getvar greeting")).headers["Reply-Text"] == values["greeting"]
        assert len(await peer.api(f"uuid_dump {uuid}")) > 140_000
        await finish(peer)
    over = next(m for m in peer.received if m.event == "CHANNEL_HANGUP_COMPLETE")
    assert {name: over.headers[f"variable_{name}"] for name in values} == values
    assert over.headers["variable_note"] == "café"

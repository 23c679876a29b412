"""The recorder's own scripts, command for command: on the recordings, the simulator and a real switch.

On the two latter the whole conversation is then compared with the recorded one.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.compare import CHANCE
from tests.conformance.lines import ControlledLine, Line, seconds
from tests.conformance.recorded import RecordedLine
from tests.conformance.script import TONES, assert_as_recorded, begin, finish


@pytest.mark.recording("answer-play-hangup")
async def test_answer_play_hangup(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, _ = await begin(line, peers)
        complete = await peer.execute("playback", f"{TONES}2")
        await peer.hang_up()
        await peer.until_kind("notice:linger")
        lingers_s = line.now_s()
        await peer.until_closed()
    if isinstance(line, ControlledLine):
        assert 4.9 <= line.now_s() - lingers_s <= 7.0 + line.late_s
    assert complete.headers["Application-Response"] == "FILE PLAYED"
    assert int(complete.headers["variable_playback_ms"]) == pytest.approx(800, abs=40)
    lingering = next(m for m in peer.received if m.kind() == "notice:linger")
    assert lingering.headers["Linger-Time"] == "5"
    assert peer.received[-1].body.startswith("Disconnected, goodbye.")
    assert_as_recorded(line, "answer-play-hangup", peer)


@pytest.mark.speed(2.0)  # beside what is measured in it lies a second time of waiting for keys
@pytest.mark.recording("menu-dtmf")
async def test_menu_dtmf(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)

        async def ask(argument: str, *keys: str) -> dict[str, str]:
            before = peer.kinds().count("DTMF")
            event_uuid = await peer.post("play_and_get_digits", argument)
            started = await peer.started(event_uuid)
            for number, several in enumerate(keys):
                if number:
                    await peer.until_count("DTMF", before + number)
                await line.press(uuid, several)
            complete = await peer.executed(event_uuid)
            return complete.headers | {"took": str(seconds(complete) - seconds(started))}

        tones = "tone_stream://%(200,100,600);loops=10 tone_stream://%(100,100,200)"
        found = await ask(f"1 1 2 3000 # {tones} menu_choice [1-3] 2000", "9", "2")
        assert (found["variable_menu_choice"], found["variable_menu_choice_invalid"]) == ("2", "9")
        assert found["variable_read_result"] == "success"
        found = await ask(
            r"4 12 1 1500 # tone_stream://%(200,100,600) silence_stream://100 account_number \d+ 1500", "4711#"
        )
        assert (found["variable_account_number"], found["variable_read_terminator_used"]) == ("4711", "#")
        found = await ask("1 1 1 1000 # tone_stream://%(200,100,600) silence_stream://100 no_input [1-3] 1000")
        assert 1.15 <= float(found["took"]) < 2.3
        assert found["variable_read_result"] == "failure"
        assert "variable_no_input" not in found
        await finish(peer)
    over = next(m for m in peer.received if m.event == "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["variable_digits_dialed"] == "924711#"
    assert_as_recorded(line, "menu-dtmf", peer)


@pytest.mark.recording("caller-hangs-up")
async def test_caller_hangs_up_in_the_middle_of_a_prompt(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)
        await peer.post("playback", f"{TONES}30")
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        await line.hang_up(uuid, "ORIGINATOR_CANCEL")
        await peer.until_closed()
    over = next(m for m in peer.received if m.event == "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["Hangup-Cause"] == over.headers["variable_hangup_cause"] == "ORIGINATOR_CANCEL"
    assert_as_recorded(line, "caller-hangs-up", peer)


@pytest.mark.recording("barge-in")
async def test_barge_in_and_nested_execution_without_a_lock(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers)
        locked = await peer.post("playback", f"{TONES}30", lock=True)
        await peer.started(locked)
        assert await peer.api(f"uuid_break {uuid} all") == "+OK\n"
        await peer.executed(locked)
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
    assert_as_recorded(line, "barge-in", peer)


@pytest.mark.recording("bridge-to-agent")
async def test_bridge_refused(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, _ = await begin(line, peers)
        for setting in ("hangup_after_bridge=false", "continue_on_fail=true"):
            await peer.post("set", setting)
        await peer.until_count("CHANNEL_EXECUTE_COMPLETE:set", 2)
        bridge = "{sip_h_X-Intent=billing}sofia/internal/agent@127.0.0.1"
        refused = await peer.execute("bridge", f"{bridge}:5099")
        up_to = len(peer.received)
        if isinstance(line, RecordedLine):
            await peer.execute("bridge", f"{bridge}:5090")  # whose telephone knew no codec of the caller's
        await finish(peer)
    assert refused.headers["variable_originate_disposition"] == "NORMAL_TEMPORARY_FAILURE"
    assert refused.headers["variable_DIALSTATUS"] == "NORMAL_TEMPORARY_FAILURE"
    assert refused.headers["Answer-State"] == "answered", "the caller stays"
    peer.received[up_to:] = []
    assert_as_recorded(line, "bridge-to-agent", peer, up_to=sum(m.kind() not in CHANCE for m in peer.received))


@pytest.mark.recording("resume-second-socket")
async def test_resume_and_transfer_bring_the_call_back_on_a_second_socket(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        first, uuid = await begin(line, peers, linger=False)
        await first.execute("set", "lifeline_step=menu")
        await first.send("resume")
        await first.post("transfer", line.again())
        second = await peers.get()
        connected = await second.send("connect")
        assert connected.headers["Unique-ID"] == uuid
        assert connected.headers["variable_lifeline_step"] == "menu"
        await second.send("myevents")
        await second.hang_up()
        await asyncio.gather(first.until_closed(), second.until_closed())
    assert_as_recorded(line, "resume-second-socket", first, second)


@pytest.mark.recording("app-dies")
async def test_app_dies_and_the_dialplan_goes_on_within_a_frame_or_two(line: Line) -> None:
    async with line.listening() as (port, peers):
        await line.place(line.where(port))
        peer, uuid = await begin(line, peers, linger=False)
        await peer.post("set", "lifeline_step=collect_account")
        event_uuid = await peer.post("playback", f"{TONES}30")
        if isinstance(line, ControlledLine):
            await peer.started(event_uuid)
        await peer.close()
    if isinstance(line, ControlledLine):
        cut = await line.watch.until(
            lambda m: m.event == "CHANNEL_EXECUTE_COMPLETE" and m.headers.get("Application-UUID") == event_uuid
        )
        went_on = await line.seen_variable(uuid, "went_on", "yes")
        assert seconds(went_on) - seconds(cut) < 0.1 + line.late_s
        over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "NORMAL_CLEARING"

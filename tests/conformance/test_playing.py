"""Playing to the caller and collecting their keys."""

from __future__ import annotations

import pytest

from tests.conformance.client import Received
from tests.conformance.lines import ControlledLine, seconds
from tests.conformance.script import Call, a_call

TONE = "tone_stream://%(10000,0,440)"
SOON = 60_000  # samples: 7.5 of its ten seconds
QUIET = "silence_stream://100 silence_stream://10"


async def played(call: Call, keys: str, what: str = TONE) -> Received:
    """The end of a playback in whose course these keys were pressed."""
    event_uuid = await call.peer.post("playback", what)
    await call.peer.started(event_uuid)
    await call.press(keys)
    return await call.peer.executed(event_uuid)


def heard(complete: Received) -> int:
    """Samples. ``playback_ms`` would be what had been read from the file."""
    return int(complete.headers["variable_playback_last_offset_pos"])


async def test_a_star_stops_playback_by_default_and_other_keys_are_consumed(line: ControlledLine) -> None:
    async with a_call(line) as call:
        complete = await played(call, "5*")
        assert heard(complete) < SOON
        assert complete.headers["variable_playback_terminator_used"] == "*"
        assert complete.headers["Application-Response"] == "FILE PLAYED"
        await call.peer.until_count("DTMF", 2)
        stop = next(m for m in call.peer.received if m.event == "PLAYBACK_STOP")
        assert stop.headers["Playback-Status"] == "break"


async def test_no_terminators(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "playback_terminators=none")
        complete = await played(call, "*", "tone_stream://%(1000,0,440)")
        assert heard(complete) == 8_000
        stop = next(m for m in call.peer.received if m.event == "PLAYBACK_STOP")
        assert stop.headers["Playback-Status"] == "done"


async def test_any_key_and_chosen_keys_as_terminators(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "playback_terminators=any")
        assert heard(await played(call, "7")) < SOON
        await call.peer.execute("set", "playback_terminators=#9")
        complete = await played(call, "7*9")
        assert heard(complete) < SOON
        assert complete.headers["variable_playback_terminator_used"] == "9"


async def test_a_key_pressed_during_a_prompt_is_consumed_by_it(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "playback_terminators=none")
        await played(call, "3", "tone_stream://%(1000,0,440)")
        digits = await call.peer.execute("play_and_get_digits", f"1 1 1 300 # {QUIET} got [0-9]")
        assert "variable_got" not in digits.headers
        assert [m.headers["DTMF-Digit"] for m in call.peer.received if m.event == "DTMF"] == ["3"]


async def test_a_key_pressed_while_the_call_sleeps_waits_for_the_next_reader(line: ControlledLine) -> None:
    async with a_call(line) as call:
        sleeping = await call.peer.post("sleep", "1500", lock=True)
        reading = await call.peer.post("play_and_get_digits", f"1 1 1 3000 # {TONE} x got [0-9]", lock=True)
        await call.peer.started(sleeping)
        await call.press("3")
        digits = await call.peer.executed(reading)
        assert digits.headers["variable_got"] == "3"
        assert heard(digits) < 2_400


async def test_start_and_stop_come_only_for_what_opened(line: ControlledLine) -> None:
    empty = line.folder / "empty.wav"
    empty.write_bytes(b"")
    garbage = line.folder / "garbage.wav"
    garbage.write_bytes(b"no audio at all " * 100)
    async with a_call(line) as call:
        for name in (str(line.folder / "missing.wav"), str(empty), str(garbage), "http://127.0.0.1:9/x.wav"):
            complete = await call.peer.execute("playback", name)
            assert complete.headers["Application-Response"] == "FILE NOT FOUND", name
        assert not {"PLAYBACK_START", "PLAYBACK_STOP"} & set(call.peer.kinds())
        assert await line.api(f"uuid_exists {call.uuid}") == "true"


@pytest.mark.speed(1.0)
async def test_a_break_says_what_was_heard_and_what_was_read_ahead(line: ControlledLine) -> None:
    name = line.sound("six_seconds", 6.0)
    async with a_call(line) as call:
        event_uuid = await call.peer.post("playback", name)
        await call.peer.until_kind("PLAYBACK_START")
        await call.peer.api(f"uuid_break {call.uuid}")
        complete = await call.peer.executed(event_uuid)
        assert heard(complete) < 16_384
        assert complete.headers["variable_playback_samples"] == "16384"
        assert complete.headers["variable_playback_ms"] == "2048"


@pytest.mark.parametrize(
    ("arguments", "keys", "expected"),
    [
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "12", {"v": "12", "read_result": "timeout"}),
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "1", {"v": "1", "read_result": "failure"}),
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "", {"v": "_undef_", "read_result": "failure"}),
        (rf"1 4 1 1000 # {QUIET} v ^[1-3]+$ 500", "99#", {"v": "_undef_", "v_invalid": "99"}),
        (rf"1 9 1 1000 *# {QUIET} v \d+", "12*", {"v": "12", "read_terminator_used": "*"}),
        (rf"1 9 1 1000 # {QUIET} v \d+", "#", {"v": "_undef_", "read_terminator_used": "#"}),
        (rf"1 1 1 1000 none {QUIET} v .", "#", {"v": "#"}),
        # The prompt has to last until the key comes, on a slow machine too: after its end the key is a terminator.
        (r"0 1 1 500 # silence_stream://5000 silence_stream://10 v \d*", "#", {"v": "_undef_", "read_terminator_used": "_undef_"}),
        (rf"0 2 1 500 # {QUIET} v \d*", "#", {"v": "_undef_", "read_terminator_used": "#"}),
        (r"1 3 1 1000 # /no/such.wav silence_stream://10 v \d+", "1", {"v": "_undef_"}),
        (rf"1 1 2 800 # {QUIET} v [1-3]", "92", {"v": "2", "v_invalid": "9"}),
        (rf"4 12 1 1500 # {QUIET} v \d+ 1500", "4711#", {"v": "4711", "read_terminator_used": "#"}),
    ],
    ids=["fewer than most", "too few", "none", "not matching", "terminator", "only a terminator", "no terminators",
         "none needed of one", "none needed of two", "no prompt", "second try", "account number"],
)  # fmt: skip
async def test_play_and_get_digits(line: ControlledLine, arguments: str, keys: str, expected: dict[str, str]) -> None:
    async with a_call(line) as call:
        event_uuid = await call.peer.post("play_and_get_digits", arguments)
        await call.peer.started(event_uuid)
        await call.press(keys)
        complete = await call.peer.executed(event_uuid)
        assert complete.headers["Application-Response"] == "_none_"
        assert {name: await call.variable(name) for name in expected} == expected


async def test_every_try_plays_the_prompt_and_then_the_words_for_a_wrong_key(line: ControlledLine) -> None:
    prompt, wrong = "tone_stream://%(100,0,400)", "tone_stream://%(100,0,300)"
    async with a_call(line) as call:
        complete = await call.peer.execute("play_and_get_digits", f"1 1 3 300 # {prompt} {wrong} v [1-3]")
        played = [m.headers["Playback-File-Path"] for m in call.peer.received if m.event == "PLAYBACK_START"]
        assert played == [prompt, wrong] * 3
        assert complete.headers["variable_read_result"] == "failure"


@pytest.mark.speed(1.0)
async def test_a_break_does_not_end_the_wait_for_keys(line: ControlledLine) -> None:
    async with a_call(line) as call:
        event_uuid = await call.peer.post("play_and_get_digits", rf"1 4 1 2000 # {QUIET} v \d+")
        stopped = await call.peer.until_kind("PLAYBACK_STOP")
        await line.wait(1.0)
        await call.peer.api(f"uuid_break {call.uuid} all")
        complete = await call.peer.executed(event_uuid)
        assert 1.8 <= seconds(complete) - seconds(stopped) < 2.8, "neither ended at one second nor begun anew there"


async def test_a_failed_read_may_transfer(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.post("play_and_get_digits", rf"1 1 1 100 # {QUIET} v \d 100 'm:^:set:failed=yes^park inline'")
        failed = await line.seen_variable(call.uuid, "failed", "yes")
        assert failed.headers["Caller-Dialplan"] == "inline"

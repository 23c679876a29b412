"""Applications run for the app: in which order, and what breaks, blocks or expands them."""

from __future__ import annotations

import uuid

from tests.conformance.lines import ControlledLine, seconds
from tests.conformance.script import a_call

LONG = "tone_stream://%(1000,0,440);loops=30"
SHORT = "tone_stream://%(300,0,440)"


async def test_locked_executions_run_in_order(line: ControlledLine) -> None:
    async with a_call(line) as call:
        first = await call.peer.post("playback", SHORT, lock=True)
        second = await call.peer.post("playback", SHORT, lock=True)
        begun, done = await call.peer.started(second), await call.peer.executed(first)
        assert call.peer.received.index(done) < call.peer.received.index(begun)
        await call.peer.executed(second)


async def test_break_ends_the_current_one_and_the_queued_one_runs(line: ControlledLine) -> None:
    async with a_call(line) as call:
        first = await call.peer.post("playback", LONG, lock=True)
        second = await call.peer.post("playback", LONG, lock=True)
        await call.peer.started(first)
        assert await call.peer.api(f"uuid_break {call.uuid}") == "+OK\n"
        await call.peer.executed(first)
        await call.peer.started(second)


async def test_break_all_drops_what_is_queued(line: ControlledLine) -> None:
    async with a_call(line) as call:
        first = await call.peer.post("playback", LONG, lock=True)
        second = await call.peer.post("playback", LONG, lock=True)
        await call.peer.started(first)
        assert await call.peer.api(f"uuid_break {call.uuid} all") == "+OK\n"
        await call.peer.executed(first)
        await call.peer.execute("set", "after=1")
        assert second not in [m.headers.get("Application-UUID") for m in call.peer.received]


async def test_break_ends_what_runs_nested_and_what_it_runs_in(line: ControlledLine) -> None:
    async with a_call(line) as call:
        outer = await call.peer.post("playback", LONG)
        await call.peer.started(outer)
        inner = await call.peer.post("playback", LONG)
        await call.peer.started(inner)
        await call.peer.api(f"uuid_break {call.uuid}")
        done = [await call.peer.executed(inner), await call.peer.executed(outer)]
        assert call.peer.received.index(done[0]) < call.peer.received.index(done[1])


async def test_loops_end_when_one_was_too_short(line: ControlledLine) -> None:
    done = 0
    async with a_call(line) as call:
        for tone, times in (("tone_stream://%(600,0,440)", 2), (SHORT, 1)):
            since = len(call.peer.received)
            await call.peer.send(
                f"sendmsg\ncall-command: execute\nexecute-app-name: playback\nexecute-app-arg: {tone}\nloops: 2"
            )
            await call.peer.until_count("CHANNEL_EXECUTE_COMPLETE:playback", done + times)
            done += times
            await call.peer.execute("set", "after=1")
            assert [m.kind() for m in call.peer.received[since:]].count("CHANNEL_EXECUTE:playback") == times


async def test_an_unknown_application_hangs_the_call_up_and_has_no_events(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.post("no_such_application", "x")
        over = await call.peer.until_kind("CHANNEL_HANGUP")
        assert over.headers["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
        await call.peer.until_closed()
        assert not [m for m in call.peer.received if m.headers.get("Application") == "no_such_application"]


async def test_api_blocks_its_connection_events_included(line: ControlledLine) -> None:
    async with a_call(line) as call:
        since = len(call.peer.received)
        call.peer.writer.write(b"api msleep 1500\n\n")
        await call.press("5")
        seen = await line.seen(call.uuid, "DTMF")
        answered = await call.peer.until(lambda m: m.content_type == "api/response", since=since)
        pressed = await call.peer.until_kind("DTMF")
        assert call.peer.received.index(answered) < call.peer.received.index(pressed)
        assert seconds(pressed) == seconds(seen), "the event is as old as the other connection's"


async def test_bgapi_blocks_nothing_and_its_result_is_found_by_its_job(line: ControlledLine) -> None:
    async with a_call(line) as call:
        added = await call.peer.send(f"filter Job-Owner-UUID {call.uuid}")
        assert added.headers["Reply-Text"] == f"+OK filter added. [Job-Owner-UUID]=[{call.uuid}]"
        answer = await call.peer.send("bgapi msleep 500")
        job = answer.headers["Job-UUID"]
        own = str(uuid.uuid4())
        named = await call.peer.send(f"bgapi uuid_exists {call.uuid}\nJob-UUID: {own}")
        assert named.headers["Reply-Text"] == f"+OK Job-UUID: {own}"
        await call.peer.execute("set", "meanwhile=1")
        done = await call.peer.until(lambda m: m.event == "BACKGROUND_JOB" and m.headers["Job-UUID"] == job)
        assert done.headers["Job-Owner-UUID"] == call.uuid
        assert (done.headers["Job-Command"], done.headers["Job-Command-Arg"]) == ("msleep", "500")
        other = await call.peer.until(lambda m: m.event == "BACKGROUND_JOB" and m.headers["Job-UUID"] == own)
        assert other.body == "true"
        kinds = call.peer.kinds()
        assert kinds.index("CHANNEL_EXECUTE_COMPLETE:set") < call.peer.received.index(done)


async def test_without_a_filter_for_its_owner_a_job_does_not_arrive(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.send(f"bgapi uuid_exists {call.uuid}")
        await call.peer.send("bgapi uuid_exists nobody")
        await call.peer.send(f"filter Job-Owner-UUID {call.uuid}")
        answer = await call.peer.send("bgapi uuid_exists nobody")
        done = await call.peer.until_kind("BACKGROUND_JOB")
        assert done.headers["Job-UUID"] == answer.headers["Job-UUID"]
        assert done.body == "false"


async def test_text_stored_raw_is_expanded_once_it_is_used(line: ControlledLine) -> None:
    """A caller's or a model's text in a variable runs programs, where API calls are expanded: so it must never get there."""
    mark = line.folder / "the-text-ran"
    evil = f"${{system(touch {mark})}}"
    async with a_call(line) as call:
        assert await line.api(f"uuid_setvar {call.uuid} said {evil}") == "+OK\n"
        assert await call.variable("said") == evil
        assert not line.has_run(f"touch {mark}", mark), "storing alone runs nothing"
        probe = await call.peer.execute("set", "probe=x${strepoch()}")
        expands = probe.headers["variable_probe"][1:].isdecimal()  # with api-expansion off the text stays as it is
        await call.peer.execute("set", "copy=I heard: ${said}")
        assert line.has_run(f"touch {mark}", mark) == expands


async def test_setvar_multi_refuses_a_text_that_would_be_expanded_without_saying_so(line: ControlledLine) -> None:
    """So it is the one to store a stranger's text with, should a check of ours ever let one through."""
    async with a_call(line) as call:
        await line.api(f"uuid_setvar {call.uuid} a old")
        for text in ("${system(true)}", "$\\{system(true)}", "$$\\\\{x}"):
            assert await line.api(f"uuid_setvar_multi {call.uuid} a={text};b=2") == "+OK\n"
            assert [await call.variable(name) for name in "ab"] == ["old", "2"]
        assert await line.api(f"uuid_setvar {call.uuid} a $\\{{x}}") == "+OK\n"
        assert await call.variable("a") == "$\\{x}", "uuid_setvar takes anything"


async def test_variables_in_arguments_are_expanded(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "a=1")
        complete = await call.peer.execute("set", "b=${a}${nothing}2")
        assert complete.headers["variable_b"] == "12"
        assert complete.headers["Application-Data"] == "b=12"
        complete = await call.peer.execute("set", "c=${b}=${b:1}")
        assert complete.headers["variable_c"] == "12=2"


async def test_setting_and_unsetting_variables(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "a=1=2")
        await call.peer.execute("multiset", "^^:c=4:d=5")
        assert [await call.variable(name) for name in "acd"] == ["1=2", "4", "5"]
        await call.peer.execute("unset", "a")
        await call.peer.execute("set", "c=")
        complete = await call.peer.execute("set", "d,_undef_")
        assert complete.headers["variable_d"] == "_undef_", "not a word of its own here"
        assert not {"variable_a", "variable_c"} & set(complete.headers)
        assert await line.api(f"uuid_setvar_multi {call.uuid} e=6;f=two words") == "+OK\n"
        assert [await call.variable(name) for name in "aef"] == ["_undef_", "6", "two words"]
        assert await line.api(f"uuid_setvar {call.uuid} e") == "+OK\n"
        assert await call.variable("e") == "_undef_"

"""The switch's own clock: what it does later, and how that is called off."""

from __future__ import annotations

import pytest

from tests.conformance.lines import ControlledLine
from tests.conformance.script import a_call

pytestmark = pytest.mark.speed(3.0)  # whole seconds, and a stall of ours must not reach into the next


async def test_groups_and_ids_are_deleted_apart(line: ControlledLine) -> None:
    async with a_call(line) as call:
        own = f"ll-{call.uuid}"

        async def add() -> str:
            answer = await call.peer.api(f"sched_api +90 {own} uuid_transfer {call.uuid} {line.again()}")
            return answer.removeprefix("+OK Added: ").strip()

        assert await call.peer.api(f"sched_transfer +60 {call.uuid} {line.again()}") == "+OK\n"
        one, two, three = await add(), await add(), await add()
        assert int(one) < int(two) < int(three)
        assert await call.peer.api(f"sched_del {two}") == "+OK Deleted: 1\n"
        await line.wait(1.0)  # until then one that is deleted may be counted again
        assert await call.peer.api(f"sched_del {two}") == "+OK Deleted: 0\n"
        assert await call.peer.api(f"sched_del {call.uuid}") == "+OK Deleted: 1\n"
        assert await call.peer.api(f"sched_del {own}") == "+OK Deleted: 2\n"


async def test_the_tasks_in_a_calls_own_group_go_with_the_call(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await line.api(f"sched_transfer +60 {call.uuid} {line.again()}")
        await line.api(f"sched_api +60 ll-{call.uuid} uuid_exists {call.uuid}")
        await line.hang_up(call.uuid)
        await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        await call.peer.until_closed()
        assert await line.api(f"sched_del {call.uuid}") == "+OK Deleted: 0\n"
        assert await line.api(f"sched_del ll-{call.uuid}") == "+OK Deleted: 1\n"


@pytest.mark.speed(1.0)
async def test_one_second_may_be_none(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.post("playback", "tone_stream://%(1000,0,440);loops=30")
        asked_s = line.now_s()
        await line.api(f"sched_transfer +1 {call.uuid} {line.again()}")
        await call.peers.get()
        assert line.now_s() - asked_s < 1.7


async def test_the_dialplans_own_timer_and_its_calling_off(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("sched_transfer", f"+60 {line.again()}")
        assert await line.api(f"sched_del {call.uuid}") == "+OK Deleted: 1\n"
        await call.peer.execute("sched_transfer", f"+60 {line.again()}")
        await line.wait(1.0)
        await line.api(f"sched_api +60 ll-{call.uuid} uuid_exists {call.uuid}")
        await call.peer.execute("sched_cancel")
        await line.wait(1.0)
        assert await line.api(f"sched_del {call.uuid}") == "+OK Deleted: 0\n"
        await call.peer.execute("sched_cancel", "ll-${uuid}")
        await line.wait(1.0)
        assert await line.api(f"sched_del ll-{call.uuid}") == "+OK Deleted: 0\n"


async def test_hanging_up_by_the_clock(line: ControlledLine) -> None:
    async with a_call(line) as call:
        assert await line.api(f"sched_hangup +2 {call.uuid} ALLOTTED_TIMEOUT") == "+OK\n"
        over = await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "ALLOTTED_TIMEOUT"
        assert over.headers["variable_hangup_cause_q850"] == "16", "a cause of FreeSWITCH's own"


async def test_what_cannot_be_scheduled(line: ControlledLine) -> None:
    assert await line.api("sched_transfer +5 nobody 9000") == "-ERR No such channel!\n"
    assert (await line.api("sched_transfer +5")).startswith("-USAGE: [+]<time> <uuid> <extension>")
    assert (await line.api("sched_api +5")).startswith("-ERR Invalid syntax. USAGE: [+@]<time>")
    assert await line.api("sched_del nobody") == "+OK Deleted: 0\n"

"""What applications and API commands do to a call, where no recording shows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulator.config import AgentsConfig
from simulator.session import Session
from tests.conformance.client import Peer, listening
from tests.simulator.conftest import RECORDED, Listener, Prompts, StartSwitch, place

QUIET = "silence_stream://100 silence_stream://10"


@contextlib.asynccontextmanager
async def a_call(
    start_switch: StartSwitch, dialplan: str = RECORDED, caller: Listener | None = None, **options: object
) -> AsyncIterator[tuple[Peer, Session]]:
    async with listening() as (port, peers):
        switch = await start_switch(dialplan, bridges=f"127.0.0.1:{port}", **options)
        session = place(switch, caller)
        peer = await peers.get()
        await peer.send("connect")
        await peer.send("event plain all")
        yield peer, session


async def test_set_unset_export_and_multiset(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        await peer.execute("set", "a=1=2")
        await peer.execute("export", "nolocal:b=3")
        await peer.execute("multiset", "^^:c=4:d=5")
        channel = session.channel
        assert [channel.get(name) for name in "abcd"] == ["1=2", "3", "4", "5"]
        await peer.execute("unset", "a")
        await peer.execute("set", "b=")
        await peer.execute("set", "c=_undef_")
        assert [channel.get(name) for name in "abcd"] == ["", "", "", "5"]
        await peer.execute("set", "e=${d}${nothing}6")
        assert channel.get("e") == "56"


async def test_an_argument_in_a_header_is_taken_like_one_in_the_body(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        await peer.send("sendmsg\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: a=1")
        await peer.until_kind("CHANNEL_EXECUTE_COMPLETE:set")
        assert session.channel.get("a") == "1"


async def test_system_in_an_argument_runs_only_with_api_expansion_and_then_in_stored_text_too(
    start_switch: StartSwitch,
) -> None:
    async with a_call(start_switch) as (peer, session):
        await peer.execute("set", "b=${system(touch /tmp/x)}")
        assert session.switch.system_commands == []
    async with a_call(start_switch, api_expansion=True) as (peer, session):
        await peer.execute("set", "b=${system(touch /tmp/x)}")
        await peer.api(f"uuid_setvar {session.channel.uuid} stored ${{system(rm -rf /)}}")
        assert session.switch.system_commands == ["touch /tmp/x"]
        await peer.execute("set", "c=${stored}")
        assert session.switch.system_commands == ["touch /tmp/x", "rm -rf /"]


async def test_a_star_stops_playback_unless_told_otherwise_and_other_keys_are_consumed(
    start_switch: StartSwitch,
) -> None:
    async with a_call(start_switch) as (peer, session):

        async def play(*keys: str) -> str:
            event_uuid = await peer.post("playback", "tone_stream://%(1000,0,440)")
            await peer.started(event_uuid)
            for key in keys:
                session.press(key)
            return (await peer.executed(event_uuid)).headers["variable_playback_last_offset_pos"]

        assert int(await play("5", "*")) < 4000
        assert session.channel.get("playback_terminator_used") == "*"
        await peer.execute("set", "playback_terminators=none")
        assert await play("*") == "8000"
        await peer.execute("set", "playback_terminators=any")
        assert int(await play("7")) < 4000
        assert [m.headers["DTMF-Digit"] for m in peer.received if m.event == "DTMF"] == ["5", "*", "*", "7"]


async def test_keys_pressed_while_the_call_sleeps_wait_for_the_next_reader(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        sleeping = await peer.post("sleep", "500", lock=True)
        reading = await peer.post("play_and_get_digits", "1 1 1 2000 # tone_stream://%(900,0,1) x got [0-9]", lock=True)
        await peer.started(sleeping)
        session.press("3")
        done = await peer.executed(reading)
        assert done.headers["variable_got"] == "3"
        assert int(done.headers["variable_playback_last_offset_pos"]) < 2400


@pytest.mark.parametrize(
    ("arguments", "keys", "expected"),
    [
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "12", {"v": "12", "read_result": "timeout"}),
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "1", {"v": "1", "read_result": "failure"}),
        (rf"2 4 1 1000 # {QUIET} v \d+ 500", "", {"v": "", "read_result": "failure"}),
        (rf"1 4 1 1000 # {QUIET} v [1-3]+ 500", "99#", {"v": "", "v_invalid": "99"}),
        (rf"1 9 1 1000 *# {QUIET} v \d+", "12*", {"v": "12", "read_terminator_used": "*"}),
        (rf"1 9 1 1000 # {QUIET} v \d+", "#", {"v": "", "read_terminator_used": "#"}),
        (rf"1 1 1 1000 none {QUIET} v .", "#", {"v": "#"}),
        (rf"0 1 1 500 # {QUIET} v \d*", "#", {"v": "", "read_terminator_used": "#"}),
        (r"1 3 1 1000 # /no/such.wav silence_stream://10 v \d+", "1", {"v": "", "read_result": ""}),
    ],
)
async def test_play_and_get_digits(
    start_switch: StartSwitch, arguments: str, keys: str, expected: dict[str, str]
) -> None:
    async with a_call(start_switch) as (peer, session):
        event_uuid = await peer.post("play_and_get_digits", arguments)
        await peer.started(event_uuid)
        for key in keys:
            session.press(key)
        await peer.executed(event_uuid)
        assert {name: session.channel.get(name) for name in expected} == expected


async def test_a_failed_read_may_transfer(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        await peer.post(
            "play_and_get_digits", "1 1 1 100 # silence_stream://10 silence_stream://10 v x 100 '9000 XML default'"
        )
        await peer.until_kind("CHANNEL_EXECUTE:socket")
        assert session.channel.identity.context == "default"


async def test_nonsense_arguments_do_nothing(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        for application, argument in (("play_and_get_digits", "1 x"), ("sleep", "x"), ("set", "x"), ("transfer", " ")):
            await peer.execute(application, argument)
        assert session.ready()
        assert (await peer.api("uuid_audio_stream")).startswith("-USAGE")
        assert await peer.api("uuid_audio_stream nobody start ws://x mono") == "-ERR Operation Failed\n"
        uuid = session.channel.uuid
        for rest in ("start http://x mono 8k", "start ws://127.0.0.1:1 loud", "stop", "pause", "send_text x"):
            assert await peer.api(f"uuid_audio_stream {uuid} {rest}") == "-ERR Operation Failed\n"
        assert await peer.api(f"sched_transfer soon {uuid} 9000") == "-ERR Invalid time\n"
        assert await peer.api("sched_transfer +5 nobody 9000") == "-ERR No such channel!\n"
        assert (await peer.api("sched_api +5")).startswith("-ERR Invalid syntax")
        assert (await peer.api("originate nonsense")).startswith("-USAGE")
        assert (await peer.api("show nonsense")).startswith("-USAGE")
        assert (await peer.api("uuid_break")).startswith("-USAGE")


async def test_hangup_with_a_cause_and_by_the_clock(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with a_call(start_switch, caller=caller) as (peer, session):
        await peer.execute("hangup", "USER_BUSY")
        await caller.until("hung up USER_BUSY")
    late = Listener()
    async with a_call(start_switch, caller=late, speed=20) as (peer, session):
        assert await peer.api(f"sched_hangup +2 {session.channel.uuid} ALLOTTED_TIMEOUT") == "+OK\n"
        await late.until("hung up ALLOTTED_TIMEOUT")
        over = await peer.until_kind("CHANNEL_HANGUP_COMPLETE")
        assert over.headers["variable_hangup_cause_q850"] == "16", "a cause of FreeSWITCH's own"


async def test_bridge_refused_then_answered_then_the_agent_hangs_up(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with a_call(start_switch, caller=caller) as (peer, session):
        await peer.execute("set", "continue_on_fail=true")
        refused = await peer.execute("bridge", "{sip_h_X-Intent=billing}sofia/internal/agent@127.0.0.1:5099")
        assert refused.headers["variable_originate_disposition"] == "NORMAL_TEMPORARY_FAILURE"
        assert refused.headers["variable_DIALSTATUS"] == "NORMAL_TEMPORARY_FAILURE"
        answered = await peer.execute("bridge", "sofia/internal/a@127.0.0.1:5099|sofia/internal/b@127.0.0.1:5090")
        assert answered.headers["variable_originate_disposition"] == "SUCCESS"
        assert answered.headers["variable_last_bridge_hangup_cause"] == "NORMAL_CLEARING"
        assert "bridged b" in caller.notes
        bridged = next(m for m in peer.received if m.event == "CHANNEL_BRIDGE")
        assert bridged.headers["Bridge-A-Unique-ID"] == session.channel.uuid
        assert bridged.headers["Other-Leg-Unique-ID"] == bridged.headers["Bridge-B-Unique-ID"]
        assert peer.kinds().index("CHANNEL_BRIDGE") < peer.kinds().index("CHANNEL_UNBRIDGE")
        assert session.ready()


async def test_bridge_failing_hangs_up_unless_it_may_continue(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with a_call(start_switch, caller=caller) as (peer, _session):
        await peer.post("bridge", "sofia/internal/agent@127.0.0.1:5099")
        await caller.until("hung up NORMAL_TEMPORARY_FAILURE")
    other = Listener()
    async with a_call(start_switch, caller=other) as (peer, session):
        await peer.execute("set", "continue_on_fail=USER_BUSY,NO_ROUTE_DESTINATION")
        await peer.execute("bridge", "nonsense")
        assert session.ready()


async def test_hangup_after_bridge_and_killing_an_agent(start_switch: StartSwitch) -> None:
    caller = Listener()
    slow = AgentsConfig(ring_s=(0.1, 0.1), talk_s=(60, 60))
    async with a_call(start_switch, caller=caller, agents=slow) as (peer, session):
        await peer.execute("set", "hangup_after_bridge=true")
        await peer.post("bridge", "user/agent")
        await caller.until("bridged agent")
        (agent,) = session.switch.agent_legs
        assert await peer.api(f"uuid_exists {agent}") == "true"
        assert await peer.api(f"uuid_kill {agent}") == "+OK\n"
        await caller.until("unbridged", "hung up NORMAL_CLEARING")


async def test_the_caller_who_hangs_up_while_an_agent_rings_leaves_nothing_behind(start_switch: StartSwitch) -> None:
    async with a_call(start_switch, agents=AgentsConfig(ring_s=(60, 60))) as (peer, session):
        await peer.post("bridge", "user/agent")
        await peer.until_count("CHANNEL_CREATE", 1)
        session.hang_up("NORMAL_CLEARING")
        await peer.until(lambda m: m.event == "CHANNEL_HANGUP" and m.headers["Unique-ID"] != session.channel.uuid)
        await peer.until_count("CHANNEL_HANGUP_COMPLETE", 2)
        assert not session.switch.sessions
        assert not session.switch.agent_legs


async def test_busy_when_every_agent_talks(start_switch: StartSwitch) -> None:
    async with a_call(start_switch, agents=AgentsConfig(at_most=0)) as (peer, _session):
        await peer.execute("set", "continue_on_fail=true")
        failed = await peer.execute("bridge", "user/agent")
        assert failed.headers["variable_originate_disposition"] == "USER_BUSY"


async def test_playing_hears_parts_in_order(start_switch: StartSwitch, prompts: Prompts) -> None:
    caller = Listener()
    names = "!".join(prompts.add(name, name, 0.2) for name in ("one", "two"))
    async with a_call(start_switch, caller=caller) as (peer, _session):
        await peer.execute("playback", f"file_string://{names}")
        assert caller.notes[-4:] == ["start one.wav", "end one.wav", "start two.wav", "end two.wav"]


async def test_a_call_nobody_routes_is_hung_up(start_switch: StartSwitch) -> None:
    caller = Listener()
    switch = await start_switch(RECORDED)
    place(switch, caller, destination="nowhere")
    await caller.until("hung up NO_ROUTE_DESTINATION")


async def test_stopping_the_switch_ends_every_call_and_task(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with a_call(start_switch, caller=caller) as (peer, session):
        await peer.post("playback", "tone_stream://%(1000,0,440);loops=60")
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        before = asyncio.all_tasks()
        await session.switch.stop()
        assert session.switch.sessions == {}
        assert caller.notes[-1] == "hung up MANAGER_REQUEST"
        assert asyncio.all_tasks() < before

"""What applications and API commands do to a call, where no recording shows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

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


async def test_nonsense_arguments_do_nothing(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        for application, argument in (("play_and_get_digits", "1 x"), ("sleep", "x"), ("set", "x"), ("transfer", " ")):
            await peer.execute(application, argument)
        assert session.ready()
        uuid = session.channel.uuid
        refused = await peer.api(f"uuid_audio_stream {uuid} start ws://127.0.0.1:1 mixed")
        assert refused == "-ERR Operation Failed\n", "nobody may deploy it"
        assert await peer.api(f"sched_transfer soon {uuid} 9000") == "-ERR Invalid time\n"


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


async def test_export_and_a_dial_string_that_means_nothing(start_switch: StartSwitch) -> None:
    async with a_call(start_switch) as (peer, session):
        await peer.execute("export", "nolocal:b=3")
        assert session.channel.get("b") == "3"
        await peer.execute("set", "continue_on_fail=NO_ROUTE_DESTINATION")
        await peer.execute("bridge", "nonsense")
        assert session.channel.get("originate_disposition") == "NO_ROUTE_DESTINATION"
        assert session.ready()

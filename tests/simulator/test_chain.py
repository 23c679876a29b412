"""The dialplan that holds a call, on the simulated switch: each row of what was tried on a real one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from simulator.session import Session
from simulator.switch import Switch
from tests.conformance.client import Peer, listening
from tests.simulator.conftest import RECORDED, Listener, StartSwitch, place

MINUTE = "tone_stream://%(1000,0,440);loops=60"


def dial(switch: Switch, caller: Listener | None = None) -> Session:
    return place(switch, caller, destination="9200", context="lifeline")


async def own(peer: Peer) -> str:
    """What a well bridge does first."""
    connected = await peer.send("connect")
    uuid = connected.headers["Unique-ID"]
    await peer.send("myevents")
    await peer.api(f"sched_del {uuid}")
    return uuid


async def test_a_bridge_that_closes_at_once_gives_the_call_to_the_next_visit(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=1.0)
        session = dial(switch)
        began_s = switch.clock.now_s()
        for _ in range(3):
            await (await peers.get()).close()
        peer = await peers.get()
        await own(peer)
        assert switch.clock.now_s() - began_s < 0.5
        assert session.channel.get("ll_hops") == "xxxx"
        assert (await peer.execute("answer")).headers["Answer-State"] == "answered"


async def test_a_bridge_killed_in_a_prompt_is_followed_by_the_next_with_the_variables_kept(
    start_switch: StartSwitch,
) -> None:
    async with listening() as (first_port, first), listening() as (second_port, second):
        switch = await start_switch(bridges=f"127.0.0.1:{first_port}|127.0.0.1:{second_port}", speed=1.0)
        dial(switch)
        peer = await first.get()
        uuid = await own(peer)
        await peer.execute("answer")
        await peer.api(f"uuid_setvar {uuid} ll_step menu")
        await peer.post("playback", MINUTE)
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        died_s = switch.clock.now_s()
        await peer.close()
        again = await second.get()  # the first listens still; it has just lost the call, so the second is tried first
        connected = await again.send("connect")
        assert switch.clock.now_s() - died_s < 0.1
        assert connected.headers["variable_ll_step"] == "menu"
        assert connected.headers["Answer-State"] == "answered"
        assert first.empty()


async def test_a_bridge_that_accepts_and_stays_silent_is_not_tried_first_again(start_switch: StartSwitch) -> None:
    async with listening() as (first_port, first), listening() as (second_port, second):
        switch = await start_switch(bridges=f"127.0.0.1:{first_port}|127.0.0.1:{second_port}", speed=10.0)
        session = dial(switch)
        began_s = switch.clock.now_s()
        await first.get()
        owner = await second.get()
        assert 3.9 <= switch.clock.now_s() - began_s <= 6
        assert await own(owner) == session.channel.uuid
        assert first.empty()


async def test_a_bridge_that_stays_silent_loses_the_call_to_the_dead_mans_timer(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=10.0)
        session = dial(switch)
        began_s = switch.clock.now_s()
        silent = await peers.get()
        owner = await peers.get()
        assert 3.9 <= switch.clock.now_s() - began_s <= 6
        assert await own(owner) == session.channel.uuid
        assert not silent.closed


async def test_without_any_bridge_the_last_resort_plays_and_joins_an_agent(start_switch: StartSwitch) -> None:
    caller = Listener()
    switch = await start_switch(bridges="127.0.0.1:9|127.0.0.1:19", speed=20.0)
    session = dial(switch, caller)
    await caller.until("answered", "start tone")
    assert session.channel.get("ll_last_resort_visits") == "x"
    session.press("1")
    await caller.until("bridged agent", "start agent", "end agent", "unbridged")
    await caller.until("hung up NORMAL_CLEARING")


async def test_after_six_visits_the_call_goes_to_the_last_resort(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=5.0)
        dial(switch, caller)
        for _ in range(6):
            await (await peers.get()).close()
        await caller.until("answered", "start tone")
        assert peers.empty()


async def test_an_agents_conversation_survives_its_bridge_and_the_call_comes_back(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=5.0)
        session = dial(switch, caller)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.execute("answer")
        assert await peer.api(f"uuid_transfer {uuid} ll-agent-agent XML lifeline") == "+OK\n"
        await caller.until("bridged agent", "start agent")
        assert len(switch.agent_legs) == 1
        await peer.close()
        after = await peers.get()
        connected = await after.send("connect")
        assert connected.headers["variable_ll_step"] == "after_agent"
        assert connected.headers["variable_originate_disposition"] == "SUCCESS"
        assert session.channel.get("ll_hops") == "x"
        assert "bridged agent" in caller.notes
        assert "hung up" not in caller.notes[-1]


async def test_a_refused_agent_brings_the_call_back_with_the_reason(start_switch: StartSwitch) -> None:
    variables = (("lifeline_agents", "127.0.0.1:5099"),)
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", variables=variables)
        dial(switch)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.api(f"uuid_transfer {uuid} ll-agent-agent XML lifeline")
        connected = await (await peers.get()).send("connect")
        assert connected.headers["variable_originate_disposition"] == "NORMAL_TEMPORARY_FAILURE"
        assert connected.headers["variable_ll_step"] == "after_agent"


async def test_an_old_socket_that_closes_late_ejects_the_call_from_its_new_owner(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=10.0)
        dial(switch)
        frozen = await peers.get()
        await frozen.send("connect")
        owner = await peers.get()  # by the timer
        await own(owner)
        await owner.post("playback", MINUTE)
        await owner.until_kind("CHANNEL_EXECUTE:playback")
        await frozen.close()
        third = await peers.get()
        await own(third)
        await owner.until_kind("CHANNEL_EXECUTE_COMPLETE:playback")


async def test_both_sockets_are_obeyed(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=10.0)
        dial(switch)
        frozen = await peers.get()
        await frozen.send("connect")
        owner = await peers.get()
        await own(owner)
        await frozen.post("set", "said_by=the old owner")
        await owner.until_kind("CHANNEL_EXECUTE_COMPLETE:set")
        assert (await owner.send("getvar said_by")).headers["Reply-Text"] == "the old owner"


async def test_a_dead_call_stays_listed_while_its_app_holds_the_socket_and_no_longer_exists(
    start_switch: StartSwitch,
) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(bridges=f"127.0.0.1:{port}", speed=10.0)
        session = dial(switch)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.send("linger")
        session.hang_up("NORMAL_CLEARING")
        notice = await peer.until_kind("notice:linger")
        assert notice.headers["Linger-Time"] == "-1"
        assert uuid in await switch.api("show channels")
        assert await switch.api(f"uuid_exists {uuid}") == "false"
        await peer.send("exit")
        await peer.until_closed()
        assert uuid not in await switch.api("show channels")


NO_RESUME = RECORDED.replace("socket_resume=true", "socket_resume=false")


async def test_without_resume_what_runs_ends_by_itself_first(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with listening() as (port, peers):
        switch = await start_switch(NO_RESUME, bridges=f"127.0.0.1:{port}")
        session = place(switch, caller)
        peer = await peers.get()
        await peer.send("connect")
        await peer.send("myevents")
        began_s = switch.clock.now_s()
        await peer.post("playback", "tone_stream://%(2000,0,440)")
        await peer.until_kind("CHANNEL_EXECUTE:playback")
        await peer.close()
        await caller.until("start tone", "end tone", "start tone")
        assert switch.clock.now_s() - began_s == pytest.approx(2.0, abs=0.3)
        assert session.channel.get("went_on") == "yes"


async def test_without_resume_an_app_that_closes_before_connect_leaves_the_call_parked(
    start_switch: StartSwitch,
) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(NO_RESUME, bridges=f"127.0.0.1:{port}", speed=20.0)
        session = place(switch)
        await (await peers.get()).close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):  # six seconds of the call
                while not session.has_ended:
                    await switch.clock.sleep(0.5)
        assert session.channel.get("went_on") == ""
        assert not session.channel.is_hung_up


SYNC = RECORDED.replace(" async full", " full")


async def test_in_sync_mode_resume_strands_the_call_until_it_is_transferred(start_switch: StartSwitch) -> None:
    async with listening() as (port, peers):
        switch = await start_switch(SYNC, bridges=f"127.0.0.1:{port}", speed=20.0)
        session = place(switch)
        peer = await peers.get()
        connected = await peer.send("connect")
        assert connected.headers["Socket-Mode"] == "static"
        await peer.post("set", "done=inline")
        assert session.channel.get("done") == "inline", "in sync mode the answer comes after the deed"
        await peer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while not session.has_ended:
                    await switch.clock.sleep(0.5)
        assert session.channel.get("went_on") == ""
        assert await switch.api(f"uuid_transfer {session.channel.uuid} 9000 XML default") == "+OK\n"
        await (await peers.get()).send("connect")


async def test_a_dead_app_hangs_up_the_agent_it_bridged_under_resume(start_switch: StartSwitch) -> None:
    caller = Listener()
    async with listening() as (port, peers):
        switch = await start_switch(RECORDED, bridges=f"127.0.0.1:{port}")
        place(switch, caller)
        peer = await peers.get()
        await peer.send("connect")
        await peer.post("bridge", "sofia/internal/agent@127.0.0.1:5090")
        await caller.until("bridged agent", "start agent")
        await peer.close()
        await caller.until("end agent", "unbridged", "start tone")
        assert not switch.agent_legs

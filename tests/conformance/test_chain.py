"""The dialplan that holds a call, with exactly the deployed files: each row of what was tried on a real switch.

A real switch must have them loaded, and nothing else at the addresses they name (FREESWITCH_BRIDGE_PORT and
FREESWITCH_AGENT_PORT when these were changed).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

import pytest

from tests.conformance.client import Peer, Peers, Received, listening
from tests.conformance.conftest import CHAIN
from tests.conformance.lines import ControlledLine, seconds

MINUTE = "tone_stream://%(1000,0,440);loops=60"
NUMBER = "9200"
# The last address of each list.
NOBODY = "127.0.0.1:0/nobody"
pytestmark = pytest.mark.speed(3.0)
# Where "at once" is told from the chain's timer, which is due after four of the switch's seconds at the soonest.
AS_FAST_AS_REAL = pytest.mark.speed(1.0)


def test_every_socket_of_the_deployed_dialplan_is_async() -> None:
    """In sync mode `socket_resume` strands the call."""
    sockets = re.findall(r'application="socket" data="([^"]*)"', CHAIN.read_text())
    assert sockets
    assert all(data.endswith(" async full") for data in sockets)


@contextlib.asynccontextmanager
async def bridges(line: ControlledLine) -> AsyncIterator[Peers]:
    """Somebody at the address where the dialplan seeks a bridge."""
    async with listening(host=line.host, port=line.bridge_port) as (_, peers):
        yield peers


async def own(peer: Peer) -> str:
    """What a well bridge does first. The call's identifier."""
    uuid = (await peer.send("connect")).headers["Unique-ID"]
    await peer.send("myevents")
    await peer.api(f"sched_del {uuid}")
    return uuid


@contextlib.asynccontextmanager
async def several_bridges(line: ControlledLine) -> AsyncIterator[None]:
    """Behind the one address: it is written twice. Only the dialplan's conditions see it, for the rest is filled in already."""
    known = await line.api("global_getvar lifeline_bridges")
    await line.api(f"global_setvar lifeline_bridges={known}|{known}")
    try:
        yield
    finally:
        await line.api(f"global_setvar lifeline_bridges={known}")


async def freezes(peer: Peer) -> str:
    """It answers, is well, arms the timer, and says no more. The call's identifier."""
    uuid = await own(peer)
    await peer.execute("answer")
    await peer.api(f"uuid_setvar {uuid} ll_hops")
    await peer.api(f"sched_api +4 ll-{uuid} uuid_transfer {uuid} ll-silent XML lifeline")
    return uuid


async def tones(line: ControlledLine, uuid: str) -> Received:
    """The last resort without a flow's own menu begins. A switch in use has such a menu, and these scenarios not."""
    menu = await line.seen(uuid, "CHANNEL_EXECUTE:play_and_get_digits")
    if "file_string:" in menu.headers["Application-Data"]:
        await line.hang_up(uuid)
        pytest.skip("the switch plays a flow's own menu: lifeline_last_resort_dialplan names one")
    return menu


@AS_FAST_AS_REAL
async def test_a_bridge_that_closes_three_times_and_the_fourth_connection_owns(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        uuid = await line.arrive(NUMBER)
        first = await peers.get()
        began_s = line.now_s()
        await first.close()
        for _ in range(2):
            await (await peers.get()).close()
        peer = await peers.get()
        assert line.now_s() - began_s < 1.0 + line.late_s
        assert await own(peer) == uuid
        assert (await peer.execute("answer")).headers["variable_ll_hops"] == "xxxx"


@AS_FAST_AS_REAL
async def test_a_bridge_that_dies_in_a_prompt_is_followed_by_the_next_with_the_variables_kept(
    line: ControlledLine,
) -> None:
    async with bridges(line) as peers:
        await line.arrive(NUMBER)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.execute("answer")
        await peer.api(f"uuid_setvar {uuid} ll_step menu")
        await peer.started(await peer.post("playback", MINUTE))
        died_s = line.now_s()
        await peer.close()
        heir = await peers.get()
        connected = await heir.send("connect")
        assert line.now_s() - died_s < 0.5 + line.late_s
        assert connected.headers["variable_ll_step"] == "menu"
        assert connected.headers["variable_export_vars"].split(",").count("rtp_timer_name") == 1
        assert connected.headers["Answer-State"] == "answered"
        await heir.send("myevents")
        assert "variable_playback_terminators" in (await heir.execute("set", "x=1")).headers


async def test_a_call_from_which_no_audio_comes_runs_by_a_clock_of_its_own_whatever_the_profile_says(line: ControlledLine) -> None:
    """Without it a real switch waits for a caller's audio before it plays, or obeys their BYE (tried with such a profile)."""
    async with bridges(line) as peers:
        uuid = await line.arrive(NUMBER)
        peer = await peers.get()
        assert await own(peer) == uuid
        answered = (await peer.execute("answer")).headers
        assert answered["variable_rtp_timer_name"] == "soft"
        assert "rtp_timer_name" in answered["variable_export_vars"].split(","), "for the leg of a person as well"
        await line.hang_up(uuid)


async def test_a_bridge_that_stays_silent_loses_the_call_to_the_timer(line: ControlledLine) -> None:
    async with several_bridges(line), bridges(line) as peers:
        uuid = await line.arrive(NUMBER)
        silent = await peers.get()
        began_s = line.now_s()
        heir = await peers.get()
        assert 3.9 <= line.now_s() - began_s <= 5.6 + line.late_s
        assert await own(heir) == uuid
        assert not silent.closed


async def test_a_bridge_that_freezes_in_a_call_is_the_last_that_is_tried_when_it_is_the_only_one(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        await line.arrive(NUMBER)
        frozen = await peers.get()
        uuid = await freezes(frozen)
        began_s = line.now_s()
        there = await line.seen_variable(uuid, "ll_last_resort_visits", "x")
        await line.seen(uuid, "PLAYBACK_START")
        assert line.now_s() - began_s < 5.5 + line.late_s
        assert there.headers["variable_ll_holder"] == "chain"
        assert peers.empty()
        await line.hang_up(uuid)


async def test_a_bridge_that_freezes_in_a_call_is_followed_by_a_single_visit_elsewhere(line: ControlledLine) -> None:
    async with several_bridges(line), bridges(line) as peers:
        await line.arrive(NUMBER)
        uuid = await freezes(await peers.get())
        heir = await peers.get()
        assert (await heir.send("connect")).headers["variable_ll_hops"] == "xxxx"
        await line.seen_variable(uuid, "ll_last_resort_visits", "x")  # for the heir says nothing more
        assert peers.empty()
        await line.hang_up(uuid)


async def test_whom_a_bridge_names_is_asked_for_its_call_each_in_turn(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        await line.arrive(NUMBER)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.execute("answer")
        known = await line.api("global_getvar lifeline_bridges")
        named = f"127.0.0.1:1|{known}"  # where nobody listens
        await peer.api(f"uuid_setvar_multi {uuid} ll_bridges={named};ll_step=menu")
        await peer.close()
        heir = await peers.get()
        connected = (await heir.send("connect")).headers
        assert connected["variable_current_application_data"] == f"{named}|{NOBODY} async full"
        assert connected["variable_ll_step"] == "menu"
        assert connected["variable_ll_bridges"] == f"{known}|127.0.0.1:1", "for the visit after this one"
        await heir.close()
        third = (await (await peers.get()).send("connect")).headers
        assert third["variable_current_application_data"] == f"{known}|127.0.0.1:1|{NOBODY} async full"


async def test_the_heir_is_not_robbed_by_the_timers_of_the_dead(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        await line.arrive(NUMBER)
        first = await peers.get()
        uuid = await own(first)
        await first.api(f"sched_api +4 ll-{uuid} uuid_transfer {uuid} {NUMBER} XML lifeline")
        await first.close()
        heir = await peers.get()
        await own(heir)
        await heir.execute("answer")
        await line.wait(5)
        assert peers.empty()
        assert (await heir.execute("set", "still=mine")).headers["variable_still"] == "mine"


async def test_with_no_bridge_the_last_resort_answers_plays_and_rings_an_agent(line: ControlledLine) -> None:
    async with line.agent(line.agent_port) as agent:
        uuid = await line.arrive(NUMBER)
        menu = await tones(line, uuid)
        assert menu.headers["variable_ll_last_resort_visits"] == "x"
        assert menu.headers["Answer-State"] == "answered"
        await line.seen(uuid, "PLAYBACK_START")
        await line.press(uuid, "1")
        await line.seen(uuid, "CHANNEL_BRIDGE")
        ran = [m.headers["Application-Data"] for m in line.events(uuid) if m.kind() == "CHANNEL_EXECUTE:transfer"]
        assert ran[-2:] == ["ll-key-1 XML lifeline", "ll-human XML lifeline"]
        await agent.hang_up()
        over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "NORMAL_CLEARING"


async def test_where_nobody_listens_the_bridges_are_asked_once(line: ControlledLine) -> None:
    uuid = await line.arrive(NUMBER)
    menu = await tones(line, uuid)
    ran = [m.headers["Application"] for m in line.events(uuid) if m.event == "CHANNEL_EXECUTE"]
    assert ran.count("socket") == 1
    assert "variable_socket_path" not in menu.headers, "who comes back to the chain asks them again"
    await line.hang_up(uuid)


async def test_without_a_bridge_a_key_or_an_agent_the_last_resort_is_sorry_and_hangs_up(line: ControlledLine) -> None:
    """On the real switch nobody is at the agents' address; the simulator's agents are told to be away."""
    with line.agents_away():
        uuid = await line.arrive(NUMBER)
        menu = await tones(line, uuid)
        over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
        assert seconds(over) - seconds(menu) > 6, "the menu was played twice"
        ran = [m.headers["Application"] for m in line.events(uuid) if m.event == "CHANNEL_EXECUTE"]
        assert ran[-3:] == ["bridge", "playback", "hangup"]
        assert over.headers["variable_originate_disposition"] != "SUCCESS"


async def test_after_six_visits_the_call_goes_to_the_last_resort(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        uuid = await line.arrive(NUMBER)
        for _ in range(6):
            await (await peers.get()).close()
        await line.seen(uuid, "CHANNEL_EXECUTE:play_and_get_digits")
        assert peers.empty()


async def test_an_agents_conversation_survives_its_bridge_and_the_call_comes_back(line: ControlledLine) -> None:
    async with bridges(line) as peers, line.agent(line.agent_port) as agent:
        await line.arrive(NUMBER)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.execute("answer")
        await peer.api(f"sched_api +4 ll-{uuid} uuid_transfer {uuid} {NUMBER} XML lifeline")
        assert await peer.api(f"uuid_transfer {uuid} ll-agent-agent XML lifeline") == "+OK\n"
        bridged = await line.seen(uuid, "CHANNEL_BRIDGE")
        await peer.close()
        await line.wait(5)
        assert peers.empty(), "neither the death of the bridge nor its timer interrupts them"
        assert await line.api(f"uuid_exists {bridged.headers['Bridge-B-Unique-ID']}") == "true"
        await agent.hang_up()
        heir = await peers.get()
        connected = await heir.send("connect")
        assert connected.headers["variable_ll_step"] == "after_agent"
        assert connected.headers["variable_originate_disposition"] == "SUCCESS"
        assert connected.headers["variable_ll_hops"] == "x"


@pytest.mark.parametrize("number", ["colleague", "*12#"])
async def test_a_caller_whom_a_person_passes_on_is_rung_through_or_comes_back(line: ControlledLine, number: str) -> None:
    """Their telephone's REFER is a transfer within the caller's own context, where a number that nobody takes is a hang-up."""
    async with bridges(line) as peers, line.agent(line.agent_port) as agent:
        await line.arrive(NUMBER)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.execute("answer")
        await peer.api(f"uuid_setvar {uuid} ll_owner bridge-1:1")
        await peer.api(f"uuid_transfer {uuid} ll-agent-agent XML lifeline")
        await line.seen(uuid, "CHANNEL_BRIDGE")
        since = len(line.watch.received)
        await line.api(f"uuid_transfer {uuid} {number} XML lifeline")
        if number == "colleague":
            await line.seen(uuid, "CHANNEL_BRIDGE", since=since)
            rung = [m.headers["Application-Data"] for m in line.events(uuid) if m.kind() == "CHANNEL_EXECUTE:bridge"]
            assert rung[-1].startswith("sofia/internal/colleague@")
            await agent.hang_up()
        assert (await (await peers.get()).send("connect")).headers["variable_ll_step"] == "after_agent"
        await line.hang_up(uuid)


async def test_a_number_that_nobody_has_is_rung_for_no_call_that_was_never_ours(line: ControlledLine) -> None:
    """Or whoever reaches this context could ring anybody through the persons' switch."""
    uuid = await line.arrive("colleague")
    over = await line.seen(uuid, "CHANNEL_HANGUP_COMPLETE")
    assert over.headers["Hangup-Cause"] == "NO_ROUTE_DESTINATION"


async def test_a_callers_name_that_is_a_command_is_never_run(line: ControlledLine) -> None:
    """Through the chain, to an agent, and back: the switch itself defuses the profile, and drops what else SIP said."""
    mark = line.folder / "the-name-ran"
    name = f"${{system(touch {mark})}}"
    async with bridges(line) as peers, line.agent(line.agent_port) as agent:
        line.ring(NUMBER, name)
        peer = await peers.get()
        uuid = await own(peer)
        assert peer.received[0].headers["Caller-Caller-ID-Name"] == name.replace("$", "%")
        assert not {"variable_sip_from_display", "variable_sip_full_from"} & set(peer.received[0].headers)
        await peer.execute("answer")
        await peer.api(f"uuid_transfer {uuid} ll-agent-agent XML lifeline")
        await line.seen(uuid, "CHANNEL_BRIDGE")
        await agent.hang_up()
        await (await peers.get()).close()
        heir = await peers.get()
        await own(heir)
        used = await heir.execute("set", "greeting=Hello ${caller_id_name}${sip_from_display}")
        assert used.headers["variable_greeting"] == f"Hello {name.replace('$', '%')}"
        assert not line.has_run(f"touch {mark}", mark)
        await line.hang_up(uuid)


async def test_a_refused_agent_brings_the_call_back_with_the_reason(line: ControlledLine) -> None:
    async with bridges(line) as peers:
        await line.arrive(NUMBER)
        peer = await peers.get()
        uuid = await own(peer)
        await peer.api(f"uuid_transfer {uuid} ll-agent-agent@127.0.0.1:5099 XML lifeline")
        connected = await (await peers.get()).send("connect")
        assert connected.headers["variable_originate_disposition"] == "NORMAL_TEMPORARY_FAILURE"
        assert connected.headers["variable_ll_step"] == "after_agent"


async def test_two_visits_in_which_nobody_speaks_are_followed_by_the_last_resort(line: ControlledLine) -> None:
    """Bridges that are all frozen accept: the seventh visit would be half a minute of silence away."""
    async with several_bridges(line), bridges(line) as peers:
        uuid = await line.arrive(NUMBER)
        silent = [await peers.get()]
        began_s = line.now_s()
        silent.append(await peers.get())
        await line.seen_variable(uuid, "ll_last_resort_visits", "x")
        assert line.now_s() - began_s < 12 + line.late_s
        assert peers.empty()
        await line.hang_up(uuid)
        for peer in silent:
            await peer.close()


async def test_an_old_socket_that_closes_late_gives_the_call_to_a_third_visit(line: ControlledLine) -> None:
    async with several_bridges(line), bridges(line) as peers:
        await line.arrive(NUMBER)
        frozen = await peers.get()
        await frozen.send("connect")
        owner = await peers.get()  # by the timer
        await own(owner)
        event_uuid = await owner.post("playback", MINUTE)
        await owner.started(event_uuid)
        await frozen.close()
        third = await peers.get()
        await own(third)
        await owner.executed(event_uuid)

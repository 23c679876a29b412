"""Agents: somebody answers, nobody does, and who hangs up first."""

from __future__ import annotations

from tests.conformance.lines import Agent, ControlledLine
from tests.conformance.script import Call, a_call

# An agent's leg offers only the caller's codec, and a null channel's is no telephone's. Without a clock of its own it waits for
# audio, which these agents do not send, before it sees their BYE; not every profile gives it one.
CODEC = "{absolute_codec_string=PCMA,rtp_timer_name=soft}"


async def bridged(call: Call, agent: Agent, *, lock: bool = False) -> str:
    """The execution's identifier, once the two talk."""
    event_uuid = await call.peer.post("bridge", f"{CODEC}sofia/internal/{agent.address}", lock=lock)
    await call.peer.until_kind("CHANNEL_BRIDGE")
    return event_uuid


async def test_the_call_stays_when_the_agent_hangs_up_first(line: ControlledLine) -> None:
    async with a_call(line) as call, line.agent() as agent:
        await call.peer.execute("set", "hangup_after_bridge=false")
        event_uuid = await bridged(call, agent)
        bridge = await call.peer.until_kind("CHANNEL_BRIDGE")
        assert bridge.headers["Bridge-A-Unique-ID"] == call.uuid
        assert bridge.headers["Bridge-B-Unique-ID"] == bridge.headers["Other-Leg-Unique-ID"]
        await agent.hang_up()
        complete = await call.peer.executed(event_uuid)
        found = {name: complete.headers.get(f"variable_{name}") for name in (
            "originate_disposition", "DIALSTATUS", "last_bridge_hangup_cause", "bridge_hangup_cause")}  # fmt: skip
        assert found == {
            "originate_disposition": "SUCCESS", "DIALSTATUS": "SUCCESS",
            "last_bridge_hangup_cause": "NORMAL_CLEARING", "bridge_hangup_cause": "NORMAL_CLEARING",
        }  # fmt: skip
        other = bridge.headers["Bridge-B-Unique-ID"]
        assert complete.headers["variable_last_bridge_to"] == other
        assert complete.headers["variable_originate_causes"] == f"{other};NONE"
        assert complete.headers["variable_originated_legs"] == f"{other};Outbound Call;agent"
        assert complete.headers["Answer-State"] == "answered"
        kinds = call.peer.kinds()
        assert kinds.index("CHANNEL_BRIDGE") < kinds.index("CHANNEL_UNBRIDGE")
        assert (await call.peer.execute("set", "after=1")).headers["variable_after"] == "1"


async def test_hangup_after_bridge_ends_the_call_with_the_agent(line: ControlledLine) -> None:
    async with a_call(line) as call, line.agent() as agent:
        await call.peer.execute("set", "hangup_after_bridge=true")
        await bridged(call, agent)
        await agent.hang_up()
        over = await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "NORMAL_CLEARING"


async def test_the_agents_leg_ends_with_the_caller(line: ControlledLine) -> None:
    async with a_call(line) as call, line.agent() as agent:
        await bridged(call, agent)
        other = (await call.peer.until_kind("CHANNEL_BRIDGE")).headers["Bridge-B-Unique-ID"]
        await line.hang_up(call.uuid)
        await line.seen(other, "CHANNEL_HANGUP_COMPLETE")
        await call.peer.until_closed()


async def test_nobody_answers_and_the_call_ends_unless_it_may_go_on(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.post("bridge", "sofia/internal/agent@127.0.0.1:5099")
        over = await line.seen(call.uuid, "CHANNEL_HANGUP_COMPLETE")
        assert over.headers["Hangup-Cause"] == "NORMAL_TEMPORARY_FAILURE"


async def test_continue_on_fail_may_name_causes(line: ControlledLine) -> None:
    async with a_call(line) as call:
        await call.peer.execute("set", "continue_on_fail=USER_BUSY,NORMAL_TEMPORARY_FAILURE")
        await call.peer.execute("bridge", "sofia/internal/agent@127.0.0.1:5099")
        assert (await call.peer.execute("set", "after=1")).headers["variable_after"] == "1"


async def test_the_second_choice_is_rung_when_the_first_refuses(line: ControlledLine) -> None:
    async with a_call(line) as call, line.agent() as agent:
        event_uuid = await call.peer.post(
            "bridge", f"{CODEC}sofia/internal/agent@127.0.0.1:5099|sofia/internal/{agent.address}"
        )
        await call.peer.until_kind("CHANNEL_BRIDGE")
        await agent.hang_up()
        complete = await call.peer.executed(event_uuid)
        assert complete.headers["variable_originate_disposition"] == "SUCCESS"
        causes = complete.headers["variable_originate_causes"].split("|:")
        assert [cause.rpartition(";")[2] for cause in causes] == ["NORMAL_TEMPORARY_FAILURE", "NONE"]


async def test_a_dead_app_takes_its_agent_along_under_resume(line: ControlledLine) -> None:
    """Why an agent's conversation must never run under ``socket_resume=true``."""
    async with a_call(line) as call, line.agent() as agent:
        await bridged(call, agent)
        other = (await call.peer.until_kind("CHANNEL_BRIDGE")).headers["Bridge-B-Unique-ID"]
        await call.peer.close()
        await line.seen(other, "CHANNEL_HANGUP_COMPLETE")
        await line.seen_variable(call.uuid, "went_on", "yes")

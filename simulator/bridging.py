"""The `bridge` application and the simulated agents it reaches.

Owns dial strings, ringing, the conversation and its end. An agent is a channel of its own in the switch's list.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

from simulator.channel import Channel, ChannelState, Identity
from simulator.media import Part
from simulator.messages import Waited
from simulator.session import Session

_REFUSED_S: Final = 0.02  # recorded: a refused port fails within a frame
_DIAL: Final = re.compile(r"(?:sofia/[^/]+|user|loopback)/([^@/]+)(?:@([^:/]+)(?::(\d+))?)?")
_DEFAULT_SIP_PORT: Final = 5060
_SIP_FAILURES: Final = {"NORMAL_TEMPORARY_FAILURE": (503, "Service Unavailable"), "USER_BUSY": (486, "Busy Here")}
# An agent picks up and speaks; what they say has no text, but the caller hears a voice.
_VOICE: Final = "agent"


@dataclass(slots=True)
class AgentLeg:
    """The other side of a bridged call. ``ended`` is set by whoever ends it."""

    channel: Channel
    owner: Session

    def hang_up(self, cause: str) -> None:
        if not self.channel.is_hung_up:
            self.channel.hangup_cause = cause
            self.owner.interrupt()


async def bridge(session: Session, argument: str) -> None:
    """``{vars}a|b``: one after the other until one answers. Then the two talk until either hangs up."""
    channel = session.channel
    targets = re.sub(r"\{[^}]*\}|\[[^]]*\]|<[^>]*>", "", argument)
    cause = "NO_ROUTE_DESTINATION"
    for target in re.split(r"[|,]", targets):
        leg, cause = await _ring(session, target.strip())
        if leg is not None:
            await _talk(session, leg)
            return
        if not session.ready():
            return
    for name in ("originate_disposition", "DIALSTATUS", "originate_failed_cause"):
        channel.set(name, cause)
    accepted = channel.get("continue_on_fail")
    if accepted != "true" and cause not in accepted.split(","):
        session.hang_up(cause)


async def _ring(session: Session, target: str) -> tuple[AgentLeg | None, str]:
    """An answered leg, or None and why not."""
    switch, config = session.switch, session.switch.config.agents
    found = _DIAL.fullmatch(target)
    if found is None:
        return None, "NO_ROUTE_DESTINATION"
    port = int(found[3] or _DEFAULT_SIP_PORT)
    cause = ""
    if port in config.refused_ports:
        cause = "NORMAL_TEMPORARY_FAILURE"
    elif len(switch.agent_legs) >= config.at_most:
        cause = "USER_BUSY"
    who = session.channel.identity
    identity = Identity(
        caller_name=who.caller_name, caller_number=who.caller_number, destination=found[1], context=who.context,
        address=found[2] or "127.0.0.1", port=port, direction="outbound", callee_name="Outbound Call",
        callee_number=found[1],
    )  # fmt: skip
    leg = AgentLeg(switch.new_channel(identity), session)
    switch.agent_legs[leg.channel.uuid] = leg
    switch.fire("CHANNEL_CREATE", leg.channel)
    session.channel.add("originated_legs", f"{leg.channel.uuid};Outbound Call;{found[1]}")
    session.channel.set("originate_signal_bond", leg.channel.uuid)
    reason, _left_s = await session.wait(_REFUSED_S if cause else random.uniform(*config.ring_s))
    if reason is Waited.ELAPSED and not cause:
        session.channel.add("originate_causes", f"{leg.channel.uuid};NONE")
        return leg, "SUCCESS"
    if cause in _SIP_FAILURES:
        status, phrase = _SIP_FAILURES[cause]
        session.channel.set("sip_invite_failure_status", str(status))
        session.channel.set("sip_invite_failure_phrase", phrase)
        session.channel.set("sip_hangup_phrase", phrase)
        session.channel.set("last_bridge_proto_specific_hangup_cause", f"sip:{status}")
    cause = cause or "ORIGINATOR_CANCEL"
    session.channel.set("last_bridge_hangup_cause", cause)
    session.channel.add("originate_causes", f"{leg.channel.uuid};{cause}")
    _end(session, leg, cause)
    return None, cause


async def _talk(session: Session, leg: AgentLeg) -> None:
    switch, channel, agent = session.switch, session.channel, leg.channel
    now_s = switch.clock.now_s()
    agent.answered_s, agent.answer_state, agent.call_state = now_s, "answered", "ACTIVE"
    agent.state = agent.running_state = ChannelState.EXECUTE
    switch.fire("CHANNEL_ANSWER", agent)
    switch.answer(session)
    channel.bridged_s = agent.bridged_s = now_s
    channel.other_leg_uuid, agent.other_leg_uuid = agent.uuid, channel.uuid
    channel.identity.callee_name, channel.identity.callee_number = agent.identity.callee_name, agent.identity.callee_number
    channel.set("bridge_channel", agent.name)
    channel.set("bridge_uuid", agent.uuid)
    channel.set("signal_bond", agent.uuid)
    channel.set("originate_disposition", "SUCCESS")
    channel.set("DIALSTATUS", "SUCCESS")
    extra = (("Bridge-A-Unique-ID", channel.uuid), ("Bridge-B-Unique-ID", agent.uuid),
             *agent.profile_headers("Other-Leg"))  # fmt: skip
    switch.fire("CHANNEL_BRIDGE", channel, extra)
    session.far_end.on_bridged(agent.identity.destination)
    length_s = random.uniform(*switch.config.agents.talk_s)
    voice = Part(_VOICE, length_s, audible=True)
    session.far_end.on_audio_started(voice)
    _reason, left_s = await session.wait(length_s)
    session.far_end.on_audio_ended(voice, length_s - left_s)
    cause = agent.hangup_cause or "NORMAL_CLEARING"
    channel.set("last_bridge_to", agent.uuid)
    channel.set("last_bridge_hangup_cause", cause)
    channel.set("bridge_hangup_cause", cause)
    switch.fire("CHANNEL_UNBRIDGE", channel, extra)
    session.far_end.on_unbridged()
    channel.other_leg_uuid = ""
    _end(session, leg, cause)
    if session.ready() and channel.get("hangup_after_bridge") == "true":
        session.hang_up(cause)


def _end(session: Session, leg: AgentLeg, cause: str) -> None:
    switch, agent = session.switch, leg.channel
    agent.hangup_cause = agent.hangup_cause or cause
    agent.hangup_s = switch.clock.now_s()
    agent.call_state = "HANGUP"
    agent.state = agent.running_state = ChannelState.REPORTING
    switch.fire("CHANNEL_HANGUP", agent)
    switch.fire("CHANNEL_HANGUP_COMPLETE", agent, lead=(("Hangup-Cause", agent.hangup_cause),))
    switch.agent_legs.pop(agent.uuid, None)

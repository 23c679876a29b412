"""What the switch says, as inputs of a call. Pure; owns which events a call needs and what of them counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from ai_engine.messages import Exchange
from callflows.definition.errors import UNREADABLE
from callflows.definition.flow import FlowVersion
from callflows.definition.kept import PREFIX
from esl_bridge.calls import inputs as told
from esl_bridge.calls.ask_next import ask_next
from esl_bridge.protocol.messages import Event

EVENTS = (
    "CHANNEL_EXECUTE_COMPLETE",
    "PLAYBACK_START",
    "DTMF",
    "CHANNEL_BRIDGE",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_HANGUP_COMPLETE",
)
# A telephone that puts us on hold says so in its newest offer: of its audio, or of all that it offers.
_OTHER_MEDIA = re.compile(r"^m=(?!audio)", re.MULTILINE)
_DIRECTION = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", re.MULTILINE)
_ADDRESS = re.compile(r"^c=IN IP4 (\S+)\s*$", re.MULTILINE)
# Without one of these nobody is on hold, and the rest need not be read: hundreds of calls may come at once.
_HELD = ("sendonly", "inactive", "0.0.0.0")
_ICE = "a=ice-ufrag"
# The variable of the caller's newest offer.
OFFER = "switch_r_sdp"
AUDIO_EVENTS = ("mod_audio_stream::error", "mod_audio_stream::disconnect", "mod_audio_stream::play")
CUT = "FILE CUT"


class _PlayedFile(msgspec.Struct):
    file: str


def kept_variables(channel: Event) -> dict[str, str]:
    """The ``ll_…`` variables that an earlier owner left, without the prefix."""
    return dict(channel.headers.beginning_with("variable_" + PREFIX))


def connected(
    channel: Event,
    flow: FlowVersion | None,
    use: told.AiUse,
    drill: str = "",
    history: tuple[Exchange, ...] = (),
    *,
    at: datetime,
    kept: Mapping[str, str] | None = None,
    own_address: str = "",
) -> told.Connected:
    """From the reply to ``connect``; ``at`` is this moment. ``kept``: its kept variables, by whom they have been read already.
    ``own_address``: where the switch reached us."""
    kept = kept_variables(channel) if kept is None else kept
    call_uuid = channel.get("Unique-ID")
    return told.Connected(
        call_uuid=call_uuid,
        caller=channel.get("Caller-Caller-ID-Number") or channel.get("Channel-Caller-ID-Number"),
        destination=dialled_number(channel, kept),
        answered=channel.get("Answer-State") == "answered",
        kept=kept,
        agent_disposition=channel.variable("originate_disposition") or "",
        flow=flow,
        ai_use=use,
        drill=drill,
        history=history,
        # Who begins a call like that is no telephone on hold: the switch tells of no end of it.
        held="owner" in kept and is_held(channel.variable(OFFER) or ""),
        ask_next=ask_next(channel.variable("current_application_data") or "", own_address, call_uuid),
        at=at,
    )


def dialled_number(channel: Event, kept: Mapping[str, str]) -> str:
    """What the caller dialled; a call that came back through the chain still carries it in ``ll_dialled``."""
    return (
        kept.get("dialled")
        or channel.variable("sip_req_user")
        or channel.get("Caller-Destination-Number")
        or channel.get("Channel-Destination-Number")
    )


def told_by(event: Event, answer_id: str) -> told.Input | None:
    """The input that an event is, or None when it changes nothing. ``answer_id`` is the UUID our ``answer`` went out with.

    When a caller hangs up, what they were hearing still "ends", as ``FILE PLAYED``, before the end itself is told (recorded:
    ``caller-hangs-up``). They did not hear it, and nothing of that moment is a failure.
    """
    if event.get("Answer-State") == "hangup" and event.name != "CHANNEL_HANGUP_COMPLETE":
        return None
    match event.name:
        case "PLAYBACK_START":
            return told.PlaybackStarted(event.get("Playback-File-Path"))
        case "DTMF":
            return told.KeyPressed(event.get("DTMF-Digit"))
        case "CHANNEL_EXECUTE_COMPLETE":
            return _completed(event, answer_id)
        case "CHANNEL_BRIDGE":
            return told.AgentBridged()
        case "CHANNEL_HANGUP_COMPLETE":
            return told.HungUp(event.get("Hangup-Cause") or "UNKNOWN", by_switch=said_good_bye(event))
        case "CHANNEL_HOLD":
            return told.PutOnHold()
        case "CHANNEL_UNHOLD":
            return told.TakenOffHold()
        case "CUSTOM":
            return _audio_stream(event)
        case _:
            return None


def _completed(event: Event, answer_id: str) -> told.Input | None:
    application, application_uuid = event.get("Application"), event.get("Application-UUID")
    if application == "playback":
        response = event.get("Application-Response")
        return told.PlaybackEnded(application_uuid, CUT if response == "FILE PLAYED" and _was_cut(event) else response)
    if application == "answer" and application_uuid == answer_id:
        return told.Answered()
    if application == "socket":
        return told.TakenElsewhere()
    return None


def is_held(offer: str) -> bool:
    """By the caller's newest SDP: a transfer, and with it every change of bridges, makes a held call ``ACTIVE`` again, though no
    audio comes and no second ``CHANNEL_HOLD``. What the audio itself says goes before what all media are said to be."""
    if not any(sign in offer for sign in _HELD):
        return False
    before_audio, audio, rest = offer.partition("m=audio")
    session, own = (_OTHER_MEDIA.split(part, maxsplit=1)[0] for part in (before_audio, audio + rest))
    direction = _DIRECTION.findall(own) or _DIRECTION.findall(session)
    if direction:
        return direction[-1] in ("sendonly", "inactive")
    address = _ADDRESS.findall(own) or _ADDRESS.findall(session)
    # Where ICE is to find the address, one that says nothing holds nobody.
    return address[-1:] == ["0.0.0.0"] and _ICE not in offer


def said_good_bye(event: Event) -> bool:
    """``recv_bye``, ``recv_cancel`` and ``recv_refuse`` are the caller's own. An end by the SIP stack itself, as of a session
    that was not refreshed, is said by none; and a leg without SIP has none of them."""
    disposition = event.variable("sip_hangup_disposition")
    if disposition is None:
        return event.variable("sip_call_id") is not None
    return disposition.startswith("send_")


def _was_cut(event: Event) -> bool:
    """A file that was broken off is ``FILE PLAYED`` as well: how much was read tells, against how much was heard."""
    read, heard = event.variable("playback_samples"), event.variable("playback_last_offset_pos")
    return read is not None and heard is not None and read != heard


def _audio_stream(event: Event) -> told.Input | None:
    match event.get("Event-Subclass"):
        case "mod_audio_stream::play":
            try:
                return told.ReplyFileReady(msgspec.json.decode(event.body, type=_PlayedFile).file)
            except UNREADABLE:
                return told.AudioFailed("garbage")
        case "mod_audio_stream::error":
            return told.AudioFailed("refused")
        case "mod_audio_stream::disconnect":
            return told.AudioFailed("closed")
        case _:
            return None

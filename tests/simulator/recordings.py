"""Conversations recorded from a real FreeSWITCH, reduced to what a simulator must do alike.

Each list is the order of message kinds in one recording, written down from it; races that the real switch does not
decide (CHANNEL_PARK beside the first commands, the linger notice beside the last events) are left out of both sides.
"""

from __future__ import annotations

from collections.abc import Iterable

RACY = frozenset({"CHANNEL_PARK", "notice:linger"})


def comparable(kinds: Iterable[str]) -> list[str]:
    return [kind for kind in kinds if kind not in RACY]


REPLY = "command/reply"
API = "api/response"
ENDING = [
    "CHANNEL_HANGUP",
    "CHANNEL_UNPARK",
    "CHANNEL_EXECUTE_COMPLETE:socket",
    "CHANNEL_STATE:CS_HANGUP",
    "CHANNEL_STATE:CS_REPORTING",
    "CHANNEL_HANGUP_COMPLETE",
]
GOODBYE = ["notice:disconnect"]

ANSWER_PLAY_HANGUP = [
    "CHANNEL_DATA", REPLY, REPLY, REPLY, "CHANNEL_EXECUTE:playback", "CHANNEL_EXECUTE_COMPLETE:playback", REPLY,
    *ENDING, *GOODBYE,
]  # fmt: skip
MENU_DTMF = [
    "CHANNEL_DATA", REPLY, REPLY,
    REPLY, "CHANNEL_EXECUTE:play_and_get_digits", "DTMF", "DTMF", "CHANNEL_EXECUTE_COMPLETE:play_and_get_digits",
    REPLY, "CHANNEL_EXECUTE:play_and_get_digits", *["DTMF"] * 5, "CHANNEL_EXECUTE_COMPLETE:play_and_get_digits",
    REPLY, "CHANNEL_EXECUTE:play_and_get_digits", "CHANNEL_EXECUTE_COMPLETE:play_and_get_digits",
    REPLY, *ENDING, *GOODBYE,
]  # fmt: skip
CALLER_HANGS_UP = [
    "CHANNEL_DATA", REPLY, REPLY, REPLY, "CHANNEL_EXECUTE:playback", "CHANNEL_HANGUP",
    "CHANNEL_EXECUTE_COMPLETE:playback", *ENDING[1:], *GOODBYE,
]  # fmt: skip
BARGE_IN = [
    "CHANNEL_DATA", REPLY, REPLY, REPLY, "CHANNEL_EXECUTE:playback", API, "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, REPLY, *["CHANNEL_EXECUTE:playback"] * 2, *["CHANNEL_EXECUTE_COMPLETE:playback"] * 2,
    REPLY, "CHANNEL_EXECUTE:playback", REPLY, "CHANNEL_EXECUTE_COMPLETE:playback", REPLY, *ENDING, *GOODBYE,
]  # fmt: skip
AUDIO_STREAM = [
    "CHANNEL_DATA", REPLY, REPLY, REPLY, REPLY, API, "mod_audio_stream::connect", REPLY, "CHANNEL_EXECUTE:playback",
    "CHANNEL_EXECUTE_COMPLETE:playback", API, API, API, API, "mod_audio_stream::error", REPLY, *ENDING, *GOODBYE,
]  # fmt: skip
FILES = [
    "CHANNEL_DATA", REPLY, REPLY, REPLY,
    REPLY, "CHANNEL_EXECUTE_COMPLETE:set",
    REPLY, "PLAYBACK_START", "PLAYBACK_STOP", "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "PLAYBACK_START", "PLAYBACK_STOP", "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "PLAYBACK_START", API, "PLAYBACK_STOP", "CHANNEL_EXECUTE_COMPLETE:playback",
    REPLY, "PLAYBACK_START", "DTMF", "PLAYBACK_STOP", "CHANNEL_EXECUTE_COMPLETE:play_and_get_digits",
    REPLY, "CHANNEL_EXECUTE_COMPLETE:socket", "CHANNEL_HANGUP_COMPLETE", *GOODBYE,
]  # fmt: skip
RESUME_FIRST_SOCKET = [
    "CHANNEL_DATA", REPLY, REPLY, "CHANNEL_EXECUTE:set", "CHANNEL_EXECUTE_COMPLETE:set", REPLY, REPLY,
    "CHANNEL_EXECUTE:transfer", "CHANNEL_EXECUTE_COMPLETE:transfer", "CHANNEL_UNPARK",
    "CHANNEL_EXECUTE_COMPLETE:socket", "CHANNEL_STATE:CS_ROUTING", "CHANNEL_STATE:CS_EXECUTE",
    "CHANNEL_EXECUTE:set", "CHANNEL_EXECUTE_COMPLETE:set", "CHANNEL_EXECUTE:answer", "CHANNEL_EXECUTE_COMPLETE:answer",
    "CHANNEL_EXECUTE:socket", *ENDING, *GOODBYE,
]  # fmt: skip
RESUME_SECOND_SOCKET = ["CHANNEL_DATA", REPLY, REPLY, *ENDING, *GOODBYE]

# Names of headers, in order, of one recorded event (CHANNEL_EXECUTE_COMPLETE of the first playback).
STANDARD_HEADERS = [
    "Event-Name", "Core-UUID", "FreeSWITCH-Hostname", "FreeSWITCH-Switchname", "FreeSWITCH-IPv4", "FreeSWITCH-IPv6",
    "Event-Date-Local", "Event-Date-GMT", "Event-Date-Timestamp", "Event-Calling-File", "Event-Calling-Function",
    "Event-Calling-Line-Number", "Event-Sequence",
]  # fmt: skip
CHANNEL_HEADERS = [
    "Channel-State", "Channel-Call-State", "Channel-State-Number", "Channel-Name", "Unique-ID", "Call-Direction",
    "Presence-Call-Direction", "Channel-HIT-Dialplan", "Channel-Call-UUID", "Answer-State", "Channel-Read-Codec-Name",
    "Channel-Read-Codec-Rate", "Channel-Read-Codec-Bit-Rate", "Channel-Write-Codec-Name", "Channel-Write-Codec-Rate",
    "Channel-Write-Codec-Bit-Rate",
]  # fmt: skip
PROFILE_HEADERS = [
    "Direction", "Logical-Direction", "Username", "Dialplan", "Caller-ID-Name", "Caller-ID-Number",
    "Orig-Caller-ID-Name", "Orig-Caller-ID-Number", "Network-Addr", "ANI", "Destination-Number", "Unique-ID", "Source",
    "Context", "Channel-Name", "Profile-Index", "Profile-Created-Time", "Channel-Created-Time",
    "Channel-Answered-Time", "Channel-Progress-Time", "Channel-Progress-Media-Time", "Channel-Hangup-Time",
    "Channel-Transfer-Time", "Channel-Resurrect-Time", "Channel-Bridged-Time", "Channel-Last-Hold",
    "Channel-Hold-Accum", "Screen-Bit", "Privacy-Hide-Name", "Privacy-Hide-Number",
]  # fmt: skip
APPLICATION_HEADERS = ["Application", "Application-Data", "Application-Response", "Application-UUID"]

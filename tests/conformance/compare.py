"""Whether two conversations are alike: the order and kind of messages, and the headers that matter.

Owns what is compared, and what is not because two runs of one real switch differ in it too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from tests.conformance.client import Received

# Beside the first commands, by chance.
CHANCE = frozenset({"CHANNEL_PARK", "BACKGROUND_JOB"})
# Sent by another thread of the switch than what stands around it in the recording: counted, not ordered.
ELSEWHERE = re.compile(r"notice:linger|mod_audio_stream::\w+")

STATE = ("Channel-State", "Channel-Call-State", "Channel-State-Number", "Answer-State", "Hangup-Cause")
APPLICATION = ("Application", "Application-Data", "Application-UUID", "variable_current_application")
COMPLETE = (
    "Application-Response", "variable_current_application_response", "variable_playback_terminator_used",
    "variable_read_result", "variable_read_terminator_used", "variable_menu_choice", "variable_menu_choice_invalid",
    "variable_account_number", "variable_no_input", "variable_choice", "variable_originate_disposition",
    "variable_DIALSTATUS", "variable_bridge_hangup_cause", "variable_originate_failed_cause",
    "variable_continue_on_fail", "variable_hangup_after_bridge", "variable_socket_resume", "variable_lifeline_step",
)  # fmt: skip
# Only of what played to its end: a break comes a moment sooner or later.
PLAYED = tuple(f"variable_playback_{name}" for name in ("last_offset_pos", "samples", "ms", "seconds"))
PLAYBACK = ("Playback-File-Type", "Playback-File-Path", "Playback-Status")
RECORD = ("variable_hangup_cause", "variable_hangup_cause_q850", "variable_last_app", "variable_last_arg",
          "variable_digits_dialed")  # fmt: skip
HEADERS = {
    "CHANNEL_DATA": ("Content-Type", "Reply-Text", "Socket-Mode", "Control", *STATE, "variable_socket_resume"),
    "CHANNEL_EXECUTE": (*STATE, *APPLICATION, "variable_current_loop", "variable_total_loops"),
    "CHANNEL_EXECUTE_COMPLETE": (*STATE, *APPLICATION, *COMPLETE),
    "CHANNEL_STATE": STATE,
    "CHANNEL_HANGUP": STATE,
    "CHANNEL_UNPARK": STATE,
    "CHANNEL_HANGUP_COMPLETE": (*STATE, *RECORD),
    "PLAYBACK_START": (*STATE, *PLAYBACK),
    "PLAYBACK_STOP": (*STATE, *PLAYBACK),
    "DTMF": (*STATE, "DTMF-Digit", "DTMF-Source"),
    "CUSTOM": (*STATE, "Event-Subclass"),
    "BACKGROUND_JOB": ("Job-Command", "Job-Command-Arg"),
    "text/disconnect-notice": ("Content-Disposition", "Linger-Time"),
    "command/reply": ("Reply-Text",),
}
# What a SIP call or an originated one brings along, and statistics: of the endpoint, not of the Event Socket.
_ENDPOINT = re.compile(
    r"(?:Caller|Channel)-(Network-Addr|Username|Orig-Caller-ID-\w+|Callee-ID-\w+|Transfer-Source)$"
    r"|variable_(channel_cid_flipped|pre_transfer_|transfer_(history|source)|progress_media_stamp|sip_|rtp_|sofia_|switch_r_sdp|ep_codec|remote_|local_|advertised_|recovery_|(audio|video|text)_media_flow"
    r"|max_forwards|dtmf_type|.*(codec|rate)$|presence|originat|effective_|bypass_media|signal_bond|direction|is_outbound"
    r"|conf_socket|origination_|rdnis|export_vars|null_)"
)
# Of this suite, or set by the SIP stack a moment before or after the call reaches its socket.
_OURS_OR_CHANCE = {
    "variable_conf_socket", "variable_sip_cseq", "variable_sip_to_tag", "variable_last_bridge_hangup_cause",
    "variable_last_bridge_proto_specific_hangup_cause",
}  # fmt: skip
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_PLACE = re.compile(r"(?:[\d.]+:\d+(?:/\w+)?\|?)+ async full")
_FOLDER = re.compile(r"(?<![\w/])/[\w./-]+/")


def general(text: str) -> str:
    """A value without what differs from run to run: identifiers, addresses, folders, and how long a socket lingers."""
    text = _PLACE.sub("SOCKET", _UUID.sub("UUID", text))
    if text in ("9000", "caller"):
        return "DESTINATION"
    if text.startswith("Event-Name: CHANNEL_DATA"):
        return "uuid_dump"
    text = re.sub(r"(Added: )\d+", r"\1N", text)
    return _FOLDER.sub("FOLDER/", re.sub(r"5099|5090|ws://[\d.]+:\d+", "PLACE", text))


def own_messages(messages: Iterable[Received], call_uuid: str) -> list[Received]:
    """Without other calls' events and the switch's own, which ``event plain all`` brings.

    And without what becomes of an empty ``sendmsg``: a frame later, so before or after ``event plain all`` by chance.
    """
    return [
        message for message in messages
        if (not message.event or message.event == "BACKGROUND_JOB" or message.headers.get("Unique-ID") == call_uuid)
        and (message.event != "PRIVATE_COMMAND" or "call-command" in message.headers)
    ]  # fmt: skip


def order(messages: Iterable[Received]) -> list[str]:
    return [m.kind() for m in messages if m.kind() not in CHANCE and not ELSEWHERE.fullmatch(m.kind())]


def elsewhere(messages: Iterable[Received]) -> Counter[str]:
    return Counter(m.kind() for m in messages if ELSEWHERE.fullmatch(m.kind()))


def headers(message: Received, *, endpoint: bool = True) -> dict[str, str | None]:
    """Those that matter, in a form that can be compared; None for one that is not there."""
    wanted = HEADERS.get(message.event or message.content_type, ())
    left_out: tuple[str, ...] = ()
    if "Hangup-Cause" in message.headers:
        # FILE PLAYED or PLAYBACK ERROR, as the end is noticed on reading from the caller or on writing to them.
        left_out += "Application-Response", "variable_current_application_response"
    if not endpoint and message.kind() == "CHANNEL_STATE:CS_ROUTING":
        left_out += ("Channel-Call-State",)  # a call that came in rings anew, one that went out does not
    return {
        name: None if (value := message.headers.get(name)) is None else general(value)
        for name in wanted if name not in left_out
    }  # fmt: skip


def names(message: Received, *, endpoint: bool) -> set[str]:
    """Every header's name; without those of the kind of endpoint unless ``endpoint``."""
    return {name for name in message.headers if endpoint or not _ENDPOINT.match(name)} - _OURS_OR_CHANCE


def before_variables(message: Received) -> list[str]:
    """The names of the headers that are no channel variables, in their order."""
    return [name for name in message.order if not name.startswith("variable_")]


def was_played_out(message: Received) -> bool:
    """A playback that came to its end: all that had been read was heard."""
    offset = message.headers.get("variable_playback_last_offset_pos")
    return (
        message.kind() == "CHANNEL_EXECUTE_COMPLETE:playback"
        and message.headers["Application-Response"] == "FILE PLAYED"
        and offset is not None
        and offset == message.headers["variable_playback_samples"]
    )


def differences(
    recorded: list[Received],
    seen: list[Received],
    *,
    endpoint: bool,
) -> list[str]:
    """Empty when alike. Messages are paired by position among those of their kind.

    ``endpoint``: the calls came in the same way, so that the names of all headers, and their order, must agree.
    """
    found = []
    if order(recorded) != order(seen):
        found.append(f"order of messages:\n  recorded {order(recorded)}\n  seen     {order(seen)}")
    if elsewhere(recorded) != elsewhere(seen):
        found.append(f"recorded {dict(elsewhere(recorded))}, seen {dict(elsewhere(seen))}")
    for kind in dict.fromkeys(m.kind() for m in recorded if m.kind() not in CHANCE):
        pairs = zip((m for m in recorded if m.kind() == kind), (m for m in seen if m.kind() == kind), strict=False)
        for number, (old, new) in enumerate(pairs, 1):
            if was_played_out(old):
                found += [
                    f"{kind} {number}: {name} recorded {old.headers[name]}, seen {new.headers.get(name)}"
                    for name in PLAYED
                    if old.headers[name] != new.headers.get(name)
                ]
            before, after = headers(old, endpoint=endpoint), headers(new, endpoint=endpoint)
            found += [
                f"{kind} {number}: {name} recorded {before[name]!r}, seen {after[name]!r}"
                for name in before
                if before[name] != after[name]
            ]
            if general(old.body) != general(new.body):
                found.append(f"{kind} {number}: body recorded {old.body[:200]!r}, seen {new.body[:200]!r}")
            if endpoint and before_variables(old) != before_variables(new):
                pair = zip(before_variables(old), before_variables(new), strict=False)
                found.append(f"{kind} {number}: order {next((both for both in pair if both[0] != both[1]), 'length')}")
            known, given = names(old, endpoint=endpoint), names(new, endpoint=endpoint)
            if known != given:
                missing, extra = known - given, given - known
                found.append(f"{kind} {number}: headers missing {sorted(missing)}, not recorded {sorted(extra)}")
    return found

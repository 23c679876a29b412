"""One leg of a call as FreeSWITCH sees it: identity, states, variables, and the headers it puts into events.

Owns the data and its names as recorded. Decides nothing and runs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Final
from urllib.parse import quote

from simulator.events import Block, Headers
from simulator.expand import would_expand


class ChannelState(StrEnum):
    NEW = "CS_NEW"
    INIT = "CS_INIT"
    ROUTING = "CS_ROUTING"
    EXECUTE = "CS_EXECUTE"
    HANGUP = "CS_HANGUP"
    REPORTING = "CS_REPORTING"


STATE_NUMBERS: Final = {
    ChannelState.NEW: 0,
    ChannelState.INIT: 2,
    ChannelState.ROUTING: 2,
    ChannelState.EXECUTE: 4,
    ChannelState.HANGUP: 10,
    ChannelState.REPORTING: 11,
}

Q850: Final = {
    "NORMAL_CLEARING": 16, "USER_BUSY": 17, "NO_USER_RESPONSE": 18, "NO_ANSWER": 19, "CALL_REJECTED": 21,
    "DESTINATION_OUT_OF_ORDER": 27, "NORMAL_TEMPORARY_FAILURE": 41, "NO_ROUTE_DESTINATION": 3,
    "UNALLOCATED_NUMBER": 1, "INCOMPATIBLE_DESTINATION": 88, "RECOVERY_ON_TIMER_EXPIRE": 102,
}  # fmt: skip
_ARRAY: Final = "ARRAY::"
NO_Q850: Final = 16  # FreeSWITCH's own causes, ORIGINATOR_CANCEL or MANAGER_REQUEST, count as normal clearing


@dataclass(slots=True)
class Identity:
    """Who calls what, and where from. Values are made up; their names and sizes are as recorded."""

    caller_name: str = "sipp"
    caller_number: str = "1000"
    destination: str = "9200"
    context: str = "lifeline"
    dialplan: str = "XML"
    address: str = "127.0.0.1"
    port: int = 5075
    direction: str = "inbound"
    source: str = "mod_sofia"
    transfer_source: str = ""
    rdnis: str = ""
    profile_index: int = 1
    callee_name: str = ""
    callee_number: str = ""


def microseconds(unix_s: float) -> int:
    return int(unix_s * 1_000_000)


def stamp(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s)) if unix_s else ""


@dataclass(slots=True)
class Channel:
    identity: Identity
    created_s: float
    session_number: int
    uuid: str
    state: ChannelState = ChannelState.INIT
    running_state: ChannelState = ChannelState.INIT
    call_state: str = "DOWN"
    answer_state: str = "ringing"
    hangup_cause: str = ""
    caller_went: bool = False  # as opposed to a call that the switch ended
    leg_holding: bool = False  # outlives transfers, unlike the call state
    answered_s: float = 0.0
    progress_s: float = 0.0
    bridged_s: float = 0.0
    hangup_s: float = 0.0
    profile_created_s: float = 0.0
    digits_dialed: str = ""
    other_leg_uuid: str = ""
    bytes_heard: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    _told: Headers = ()
    _told_headers: Block = field(default_factory=Block)
    _basics: tuple[object, Block] = ((), Block())
    _profiles: dict[str, tuple[object, Block]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.profile_created_s = self.created_s
        found = initial_variables(self)
        self.variables = {name: value for name, value in found.items() if not would_expand(value)}

    @property
    def name(self) -> str:
        who = self.identity
        if who.source == "mod_loopback":
            return f"null/{who.caller_number}"
        user = who.caller_number if who.direction == "inbound" else who.destination
        return f"sofia/internal/{user}@{who.address}:{who.port}"

    @property
    def is_hung_up(self) -> bool:
        return bool(self.hangup_cause)

    def set(self, name: str, value: str | None) -> None:
        """An empty value removes, as switch_channel_set_variable does; a changed one moves to the end."""
        self.variables.pop(name, None)
        if value:
            self.variables[name] = value

    def add(self, name: str, value: str) -> None:
        """One more value under a name, as ``ARRAY::one|:two``."""
        old = self.variables.get(name)
        self.set(name, value if not old else f"{old if old.startswith(_ARRAY) else _ARRAY + old}|:{value}")

    def get(self, name: str) -> str:
        """A variable, or a field of the caller's profile, which FreeSWITCH answers under the same names."""
        value = self.variables.get(name)
        if value is not None:
            return value
        field_of = _PROFILE.get(name)
        return "" if field_of is None else str(field_of(self))

    def basic_headers(self) -> Block:
        """The same object as before while nothing of it has changed, like all three: most events repeat them."""
        key = _basics_of(self)
        if self._basics[0] != key:
            self._basics = (key, Block(self._basic_headers()))
        return self._basics[1]

    def _basic_headers(self) -> Iterator[tuple[str, str]]:
        yield "Channel-State", self.running_state.value
        yield "Channel-Call-State", self.call_state
        yield "Channel-State-Number", str(STATE_NUMBERS[self.state])
        yield "Channel-Name", self.name
        yield "Unique-ID", self.uuid
        yield "Call-Direction", self.identity.direction
        yield "Presence-Call-Direction", self.identity.direction
        yield "Channel-HIT-Dialplan", "true" if self.identity.direction == "inbound" else "false"
        yield "Channel-Call-UUID", self.variables.get("call_uuid", self.uuid)
        yield "Answer-State", "hangup" if self.is_hung_up else self.answer_state
        if self.hangup_cause:
            yield "Hangup-Cause", self.hangup_cause
        for side in ("Read", "Write"):
            yield f"Channel-{side}-Codec-Name", "PCMA"
            yield f"Channel-{side}-Codec-Rate", "8000"
            yield f"Channel-{side}-Codec-Bit-Rate", "64000"

    def profile_headers(self, prefix: str) -> Block:
        """``Caller-…``, ``Channel-…`` (in the reply to ``connect``) or ``Other-Leg-…``."""
        key = (_IDENTITY(self.identity), _MOMENTS(self))
        known = self._profiles.get(prefix)
        if known is None or known[0] != key:
            known = self._profiles[prefix] = (key, Block(self._profile_headers(prefix)))
        return known[1]

    def _profile_headers(self, prefix: str) -> Iterator[tuple[str, str]]:
        who = self.identity
        yield f"{prefix}-Direction", who.direction
        yield f"{prefix}-Logical-Direction", who.direction
        yield f"{prefix}-Username", who.caller_number
        yield f"{prefix}-Dialplan", who.dialplan
        yield f"{prefix}-Caller-ID-Name", who.caller_name
        yield f"{prefix}-Caller-ID-Number", who.caller_number
        yield f"{prefix}-Orig-Caller-ID-Name", who.caller_name
        yield f"{prefix}-Orig-Caller-ID-Number", who.caller_number
        if who.callee_number:
            yield f"{prefix}-Callee-ID-Name", who.callee_name
            yield f"{prefix}-Callee-ID-Number", who.callee_number
        yield f"{prefix}-Network-Addr", who.address
        yield f"{prefix}-ANI", who.caller_number
        yield f"{prefix}-Destination-Number", who.destination
        yield f"{prefix}-Unique-ID", self.uuid
        yield f"{prefix}-Source", who.source
        if who.transfer_source:
            yield f"{prefix}-Transfer-Source", who.transfer_source
        yield f"{prefix}-Context", who.context
        if who.rdnis:
            yield f"{prefix}-RDNIS", who.rdnis
        yield f"{prefix}-Channel-Name", self.name
        yield f"{prefix}-Profile-Index", str(who.profile_index)
        yield from self._times(prefix)
        yield f"{prefix}-Screen-Bit", "true"
        yield f"{prefix}-Privacy-Hide-Name", "false"
        yield f"{prefix}-Privacy-Hide-Number", "false"

    def _times(self, prefix: str) -> Iterator[tuple[str, str]]:
        times = {
            "Profile-Created": self.profile_created_s,
            "Channel-Created": self.created_s,
            "Channel-Answered": self.answered_s,
            "Channel-Progress": self.progress_s,
            "Channel-Progress-Media": self.answered_s,
            "Channel-Hangup": self.hangup_s,
            "Channel-Transfer": 0.0,
            "Channel-Resurrect": 0.0,
            "Channel-Bridged": self.bridged_s,
        }
        for name, unix_s in times.items():
            yield f"{prefix}-{name}-Time", str(microseconds(unix_s))
        yield f"{prefix}-Channel-Last-Hold", "0"
        yield f"{prefix}-Channel-Hold-Accum", "0"

    def variable_headers(self) -> Block:
        found = tuple(self.variables.items())
        if found != self._told:
            self._told = found
            self._told_headers = Block(map(_variable_header, found))
        return self._told_headers


@lru_cache(maxsize=65_536)
def _variable_header(variable: tuple[str, str]) -> tuple[str, str]:
    """One of a call's variables is new from event to event, and a hundred are as before."""
    return f"variable_{variable[0]}", variable[1]


# What FreeSWITCH answers of a caller's profile under the names of variables.
_PROFILE: Final = {
    "destination_number": attrgetter("identity.destination"),
    "caller_id_number": attrgetter("identity.caller_number"),
    "caller_id_name": attrgetter("identity.caller_name"),
    "ani": attrgetter("identity.caller_number"),
    "context": attrgetter("identity.context"),
    "dialplan": attrgetter("identity.dialplan"),
    "network_addr": attrgetter("identity.address"),
    "rdnis": attrgetter("identity.rdnis"),
    "source": attrgetter("identity.source"),
    "username": attrgetter("identity.caller_number"),
    "chan_name": attrgetter("name"),
    "channel_name": attrgetter("name"),
    "uuid": attrgetter("uuid"),
    "state": attrgetter("running_state.value"),
}
# All that the headers are made of.
_IDENTITY: Final = attrgetter(*(one.name for one in fields(Identity)))
_MOMENTS: Final = attrgetter(
    "uuid", "profile_created_s", "created_s", "answered_s", "progress_s", "hangup_s", "bridged_s"
)
_CALL: Final = attrgetter(
    "running_state", "call_state", "state", "uuid", "hangup_cause", "answer_state", "identity.direction", "identity.source",
    "identity.caller_number", "identity.destination", "identity.address", "identity.port",
)  # fmt: skip


def _basics_of(channel: Channel) -> object:
    return _CALL(channel), channel.variables.get("call_uuid")


_SDP: Final = (
    "v=0\r\no={who}\r\ns={name}\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n{tail}"
)


def initial_variables(channel: Channel) -> dict[str, str]:
    """What an answered SIP call carries before the dialplan has set anything of its own."""
    who = channel.identity
    here, there = "127.0.0.1", f"{who.address}:{who.port}"
    tag, created = f"{channel.session_number}SIPp1", str(microseconds(channel.created_s))
    media_port = str(16384 + 2 * (channel.session_number % 8000))
    caller, callee = f"{who.caller_number}@{there}", f"{quote(who.destination)}@{here}:5060"
    remote_sdp = _SDP.format(who=f"user1 53655765 2353687637 IN IP4 {here}", name="-", address=here, port=6000, tail="")
    local_sdp = _SDP.format(
        who=f"FreeSWITCH 1795326578 1795326579 IN IP4 {here}", name="FreeSWITCH", address=here, port=media_port,
        tail="a=sendrecv\r\n",
    )  # fmt: skip
    return {
        "direction": who.direction, "uuid": channel.uuid, "session_id": str(channel.session_number),
        "sip_from_user": who.caller_number, "sip_from_port": str(who.port), "sip_from_uri": caller,
        "sip_from_host": who.address, "video_media_flow": "disabled", "text_media_flow": "disabled",
        "channel_name": channel.name, "sip_local_network_addr": here, "sip_network_ip": who.address,
        "sip_network_port": str(who.port), "sip_invite_stamp": created, "sip_received_ip": who.address,
        "sip_received_port": str(who.port), "sip_via_protocol": "udp", "sip_from_user_stripped": who.caller_number,
        "sofia_profile_name": "internal", "sofia_profile_url": f"sip:mod_sofia@{here}:5060",
        "recovery_profile_name": "internal", "sip_req_user": who.destination, "sip_req_port": "5060",
        "sip_req_uri": callee, "sip_req_host": here, "sip_to_user": who.destination, "sip_to_port": "5060",
        "sip_to_uri": callee, "sip_to_host": here, "sip_contact_user": who.caller_name,
        "sip_contact_port": str(who.port), "sip_contact_uri": f"{who.caller_name}@{there}",
        "sip_contact_host": who.address, "sip_via_host": who.address, "sip_via_port": str(who.port),
        "max_forwards": "70", "switch_r_sdp": remote_sdp,
        "ep_codec_string": "CORE_PCM_MODULE.PCMA@8000h@20i@64000b", "call_uuid": channel.uuid,
        "rtp_use_codec_string": "PCMU,PCMA,G722,OPUS", "remote_video_media_flow": "inactive",
        "remote_text_media_flow": "inactive", "remote_audio_media_flow": "sendrecv", "audio_media_flow": "sendrecv",
        "rtp_audio_recv_pt": "8", "rtp_use_codec_name": "PCMA", "rtp_use_codec_rate": "8000",
        "rtp_use_codec_ptime": "20", "rtp_use_codec_channels": "1",
        "rtp_last_audio_codec_string": "PCMA@8000h@20i@1c", "read_codec": "PCMA", "original_read_codec": "PCMA",
        "read_rate": "8000", "original_read_rate": "8000", "write_codec": "PCMA", "write_rate": "8000",
        "dtmf_type": "rfc2833", "local_media_ip": here, "local_media_port": media_port, "advertised_media_ip": here,
        "rtp_use_timer_name": "soft", "rtp_use_pt": "8", "rtp_use_ssrc": str(319_000_000 + channel.session_number),
        "rtp_2833_send_payload": "101", "rtp_2833_recv_payload": "101", "remote_media_ip": who.address,
        "remote_media_port": "6000", "rtp_local_sdp_str": local_sdp, "sip_to_tag": channel.uuid[:13],
        "sip_from_tag": tag, "sip_cseq": "1", "sip_call_id": f"1-{channel.session_number}@{who.address}",
        "sip_full_via": f"SIP/2.0/UDP {there};branch=z9hG4bK-{channel.session_number}-1-5",
        "sip_from_display": who.caller_name, "sip_full_from": f"{who.caller_name} <sip:{caller}>;tag={tag}",
        "sip_full_to": f"<sip:{callee}>;tag={channel.uuid[:13]}",
    }  # fmt: skip


def record_variables(channel: Channel, last_application: str, last_argument: str) -> dict[str, str]:
    """What CHANNEL_HANGUP_COMPLETE adds: the call's record."""
    ended_s, answered_s = channel.hangup_s, channel.answered_s
    duration_s = ended_s - channel.created_s
    talked_s = ended_s - answered_s if answered_s else 0.0
    who = channel.identity
    found = {
        "hangup_cause": channel.hangup_cause,
        "hangup_cause_q850": str(Q850.get(channel.hangup_cause, NO_Q850)),
        "digits_dialed": channel.digits_dialed or "none",
        "start_stamp": stamp(channel.created_s), "profile_start_stamp": stamp(channel.profile_created_s),
        "answer_stamp": stamp(answered_s), "progress_media_stamp": stamp(answered_s), "end_stamp": stamp(ended_s),
    }  # fmt: skip
    moments = {"start": channel.created_s, "profile_start": channel.profile_created_s, "answer": answered_s,
               "bridge": channel.bridged_s, "last_hold": 0.0, "resurrect": 0.0, "progress": channel.progress_s,
               "progress_media": answered_s, "end": ended_s}  # fmt: skip
    for name, unix_s in moments.items():
        found[f"{name}_epoch"] = str(int(unix_s))
        found[f"{name}_uepoch"] = str(microseconds(unix_s))
    found |= {"hold_accum_seconds": "0", "hold_accum_usec": "0", "hold_accum_ms": "0",
              "last_app": last_application, "last_arg": last_argument,
              "caller_id": f'"{who.caller_name}" <{who.caller_number}>'}  # fmt: skip
    for unit, per_s in (("", 1), ("m", 1_000), ("u", 1_000_000)):
        found[f"{unit}duration"] = str(round(duration_s * per_s))
        suffix = {"": "sec", "m": "msec", "u": "usec"}[unit]
        for name in ("progress", "answer", "wait", "progress_media"):
            found[f"{name}{suffix}"] = "0"
        for name in ("bill", "flow_bill"):
            found[f"{name}{suffix}"] = str(round(talked_s * per_s))
    found["sip_hangup_disposition"] = "recv_bye" if channel.caller_went else "send_bye"
    return found | _media_statistics(channel)


def _media_statistics(channel: Channel) -> dict[str, str]:
    zeroes = ("in_jitter_packet_count", "in_dtmf_packet_count", "in_cng_packet_count", "in_flush_packet_count",
              "in_skip_packet_count", "in_largest_jb_size", "in_flaw_total", "out_skip_packet_count", "out_dtmf_packet_count",
              "out_cng_packet_count", "rtcp_packet_count", "rtcp_octet_count")  # fmt: skip
    ratios = ("in_jitter_min_variance", "in_jitter_max_variance", "in_jitter_loss_rate", "in_jitter_burst_rate",
              "in_mean_interval")  # fmt: skip
    packets = channel.bytes_heard // 160
    return (
        {f"rtp_audio_{name}": "0" for name in zeroes}
        | {f"rtp_audio_{name}": "0.00" for name in ratios}
        | {"rtp_audio_in_quality_percentage": "100.00", "rtp_audio_in_mos": "4.50"}
        | {f"rtp_audio_in_{unit}": "0" for unit in ("raw_bytes", "media_bytes", "packet_count", "media_packet_count")}
        | {f"rtp_audio_out_{unit}": str(channel.bytes_heard) for unit in ("raw_bytes", "media_bytes")}
        | {f"rtp_audio_out_{unit}": str(packets) for unit in ("packet_count", "media_packet_count")}
    )

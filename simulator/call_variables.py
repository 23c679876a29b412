"""What FreeSWITCH itself puts among a call's variables: those of an answered SIP call, and the record of one that is over. Pure.

Values are made up where they do not follow from the call; names and sizes are as recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from simulator.clock import microseconds, stamp

if TYPE_CHECKING:
    from simulator.channel import Channel

Q850: Final = {
    "NORMAL_CLEARING": 16, "USER_BUSY": 17, "NO_USER_RESPONSE": 18, "NO_ANSWER": 19, "CALL_REJECTED": 21,
    "DESTINATION_OUT_OF_ORDER": 27, "NORMAL_TEMPORARY_FAILURE": 41, "NO_ROUTE_DESTINATION": 3,
    "UNALLOCATED_NUMBER": 1, "INCOMPATIBLE_DESTINATION": 88, "RECOVERY_ON_TIMER_EXPIRE": 102,
}  # fmt: skip
NO_Q850: Final = 16  # FreeSWITCH's own causes, ORIGINATOR_CANCEL or MANAGER_REQUEST, count as normal clearing
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

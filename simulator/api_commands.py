"""The API commands of the switch, as text in and text out.

Owns their syntax and answers. The table at the end is every command this switch knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from simulator import wire
from simulator.api_files import file_exists, reload_xml, xml_locate
from simulator.arguments import separate
from simulator.audio_stream import AudioStream
from simulator.channel import Channel
from simulator.clock import stamp
from simulator.events import Origin
from simulator.expand import would_expand
from simulator.moments import strftime_tz
from simulator.originating import originate

if TYPE_CHECKING:
    from simulator.session import Session
    from simulator.switch import Switch

_MODULES: Final = ("mod_audio_stream", "mod_commands", "mod_dptools", "mod_event_socket", "mod_sofia")
OK: Final = "+OK\n"
NO_CHANNEL: Final = "-ERR No such channel!\n"
VERSION: Final = "FreeSWITCH Version 1.11.3-dev~64bit ( 64bit)\n"
_STREAM_OK: Final = "+OK Success\n"
_STREAM_FAILED: Final = "-ERR Operation Failed\n"


def _usage(text: str) -> str:
    return f"-USAGE: {text}\n"


async def status(switch: Switch, _argument: str) -> str:
    up_ms = int((switch.clock.now_s() - switch.started_s) * 1000)
    seconds, milliseconds = divmod(up_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    up = f"0 years, {days} days, {hours} hours, {minutes} minutes, {seconds} seconds, {milliseconds} milliseconds"
    now, peak = switch.session_count, switch.peak_sessions
    return (
        f"UP {up}, 0 microseconds\nFreeSWITCH (Version 1.11.3-dev  64bit) is ready\n"
        f"{switch.sessions_since_startup} session(s) since startup\n{now} session(s) - peak {peak}, last 5min {peak} \n"
        f"0 session(s) per Sec out of max 1000, peak {peak}, last 5min {peak} \n"
        f"{switch.config.max_sessions} session(s) max\nmin idle cpu 0.00/95.77\nCurrent Stack Size/Max 240K/240K\n"
    )


async def time_in_zone(switch: Switch, argument: str) -> str:
    return strftime_tz(argument, datetime.fromtimestamp(switch.clock.now_s(), UTC))


async def version(_switch: Switch, _argument: str) -> str:
    return VERSION


async def show(switch: Switch, argument: str) -> str:
    words = argument.lower().split()
    if not words or words[0] not in ("channels", "calls"):
        return _usage("codec|channels [count]|calls [count]")
    calls = [*switch.sessions.values(), *switch.held_dead.values()]
    channels = [*(call.channel for call in calls), *(leg.channel for leg in switch.agent_legs.values())]
    rows = [_channel_row(channel) for channel in channels]
    if "count" in words:
        return f"\n{len(rows)} total.\n"
    if words[-2:] == ["as", "json"]:
        found = {"row_count": len(rows)} | ({"rows": rows} if rows else {})
        return json.dumps(found) + "\n"
    lines = [",".join(rows[0])] + [",".join(row.values()) for row in rows] if rows else []
    return "\n".join([*lines, "", f"{len(rows)} total.", ""])


def _channel_row(channel: Channel) -> dict[str, str]:
    who, variables = channel.identity, channel.variables
    return {
        "uuid": channel.uuid, "direction": who.direction, "created": stamp(channel.created_s),
        "created_epoch": str(int(channel.created_s)), "name": channel.name, "state": channel.running_state.value,
        "cid_name": who.caller_name, "cid_num": who.caller_number, "ip_addr": who.address, "dest": who.destination,
        "application": variables.get("current_application", ""),
        "application_data": variables.get("current_application_data", ""), "dialplan": who.dialplan,
        "context": who.context, "read_codec": "PCMA", "read_rate": "8000", "read_bit_rate": "64000",
        "write_codec": "PCMA", "write_rate": "8000", "write_bit_rate": "64000", "secure": "", "hostname": "vm",
        "presence_id": "", "presence_data": "", "accountcode": "", "callstate": channel.call_state,
        "callee_name": who.callee_name, "callee_num": who.callee_number, "callee_direction": "",
        "call_uuid": variables.get("call_uuid", channel.uuid), "sent_callee_name": "", "sent_callee_num": "",
        "initial_cid_name": who.caller_name, "initial_cid_num": who.caller_number, "initial_ip_addr": who.address,
        "initial_dest": who.destination, "initial_dialplan": "XML", "initial_context": who.context,
    }  # fmt: skip


def _on_session(
    run: Callable[[Switch, Session, str], str], usage: str, *, says_usage_too: bool = False
) -> Callable[[Switch, str], Awaitable[str]]:
    """A command whose first word names a call."""
    missing = NO_CHANNEL + (_usage(usage) if says_usage_too else "")

    async def command(switch: Switch, argument: str) -> str:
        uuid, _, rest = argument.strip().partition(" ")
        if not uuid:
            return _usage(usage)
        session = switch.located(uuid)
        return missing if session is None else run(switch, session, rest)

    return command


def _set_variable(_switch: Switch, session: Session, rest: str) -> str:
    name, _, value = rest.partition(" ")
    session.channel.set(name, value)
    return OK


def _set_variables(_switch: Switch, session: Session, rest: str) -> str:
    for pair in rest.split(";"):
        name, separator, value = pair.partition("=")
        if separator and not would_expand(value):  # which `uuid_setvar` and the `set` application store
            session.channel.set(name.strip(), value)
    return OK


def _get_variable(_switch: Switch, session: Session, rest: str) -> str:
    return session.channel.get(rest.strip()) or "_undef_"


def _break(_switch: Switch, session: Session, rest: str) -> str:
    session.break_application(everything=rest.strip() in ("all", "both"))
    return OK


def _transfer(_switch: Switch, session: Session, rest: str) -> str:
    words = [word for word in separate(rest) if word not in ("-bleg", "-both")]
    if not words:
        return _usage("<uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]")
    session.transfer(words[0], words[1] if len(words) > 1 else "XML", words[2] if len(words) > 2 else "")
    return OK


def _dump(switch: Switch, session: Session, _rest: str) -> str:
    place = Origin("mod_commands.c", "uuid_dump_function", 6495)
    return wire.dump_text(switch.dispatcher.channel_data(session.channel, place=place))


def _receive_dtmf(_switch: Switch, session: Session, rest: str) -> str:
    for digit in rest.split("@")[0].strip():
        session.press(digit)
    return OK


async def uuid_exists(switch: Switch, argument: str) -> str:
    uuid = argument.strip()
    return "true" if switch.located(uuid) is not None or uuid in switch.agent_legs else "false"


async def uuid_kill(switch: Switch, argument: str) -> str:
    uuid, _, cause = argument.strip().partition(" ")
    leg = switch.located(uuid) or switch.agent_legs.get(uuid)
    if leg is None:
        return NO_CHANNEL
    leg.hang_up(cause.strip() or "NORMAL_CLEARING")
    return OK


async def hupall(switch: Switch, argument: str) -> str:
    cause = argument.split()[0] if argument.split() else "MANAGER_REQUEST"
    for session in list(switch.sessions.values()):
        session.hang_up(cause)
    return f"+OK hangup all channels with cause {cause}\n"


async def uuid_audio_stream(switch: Switch, argument: str) -> str:
    """``<uuid> start <url> mono [8k] [metadata] | stop [text] | pause | resume | send_text <text>``"""
    words = argument.split(None, 2)
    if len(words) < 2:
        return _usage("<uuid> [start | stop | send_text | pause | resume | graceful-shutdown ] [wss-url | path] …")
    session = switch.located(words[0])
    if session is None:
        return _STREAM_FAILED
    rest = words[2] if len(words) > 2 else ""
    if words[1] == "start":
        return _start_stream(session, rest)
    stream = session.audio_stream
    if stream is None or stream.has_ended:
        return _STREAM_FAILED
    if words[1] == "stop":
        session.audio_stream = None
        stream.stop(rest)
    elif words[1] in ("pause", "resume"):
        stream.pause(paused=words[1] == "pause")
    elif words[1] == "send_text" and rest:
        stream.send_text(rest)
    else:
        return _STREAM_FAILED
    return _STREAM_OK


def _start_stream(session: Session, rest: str) -> str:
    words = rest.split(None, 3)
    if len(words) < 2 or not re.match(r"wss?://", words[0]):
        return _STREAM_FAILED
    if words[1] != "mono":
        # "mixed" flows only while the switch plays; nobody may deploy it, so it is not simulated.
        return _STREAM_FAILED if words[1] in ("mixed", "stereo") else ""
    if len(words) > 2 and words[2] not in ("8k", "8000"):
        return _STREAM_FAILED
    if session.audio_stream is not None and not session.audio_stream.has_ended:
        return _STREAM_FAILED  # the module: "bug already attached"
    stream = AudioStream(session, words[0], words[3] if len(words) > 3 else "")
    session.audio_stream = stream
    session.on_over.append(stream.stop)
    return _STREAM_OK


async def sched_api(switch: Switch, argument: str) -> str:
    """``[+@]<seconds> <group> <command> …``"""
    words = argument.split(None, 2)
    if len(words) < 3:
        return "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n"
    task_id = switch.schedule(words[0], words[1], words[2])
    return "-ERR Invalid time\n" if task_id is None else f"+OK Added: {task_id}\n"


async def sched_transfer(switch: Switch, argument: str) -> str:
    """``[+]<seconds> <uuid> <extension> [<dialplan> [<context>]]``"""
    words = argument.split(None, 2)
    if len(words) < 3:
        return _usage("[+]<time> <uuid> <extension> [<dialplan>] [<context>]")
    if switch.located(words[1]) is None:
        return NO_CHANNEL
    return OK if switch.schedule(words[0], words[1], f"uuid_transfer {words[1]} {words[2]}") else "-ERR Invalid time\n"


async def sched_hangup(switch: Switch, argument: str) -> str:
    words = argument.split()
    if len(words) < 2:
        return _usage("[+]<time> <uuid> [<cause>]")
    if switch.located(words[1]) is None:
        return NO_CHANNEL
    return OK if switch.schedule(words[0], words[1], f"uuid_kill {' '.join(words[1:])}") else "-ERR Invalid time\n"


async def sched_del(switch: Switch, argument: str) -> str:
    count = switch.scheduler.delete(argument.strip())
    return f"+OK Deleted: {count}\n"


async def global_getvar(switch: Switch, argument: str) -> str:
    return switch.variables.get(argument.strip(), "")


async def global_setvar(switch: Switch, argument: str) -> str:
    """What a dialplan's conditions read from then on; what stands in its actions was filled in when it was read."""
    name, _, value = argument.partition("=")
    if not name.strip():
        return _usage("<var>=<value> [=<value2>]")
    switch.variables[name.strip()] = value.strip()
    return "+OK"


async def msleep(switch: Switch, argument: str) -> str:
    if argument.strip().isdecimal():
        await switch.clock.sleep(int(argument) / 1000)
    return "+OK"


async def system(switch: Switch, argument: str) -> str:
    """Never runs anything: what a real switch would have run is kept where tests can see it."""
    switch.system_commands.append(argument)
    return OK


async def module_exists(_switch: Switch, argument: str) -> str:
    return "true" if argument.strip() in _MODULES else "false"


async def echo(_switch: Switch, argument: str) -> str:
    return argument


ApiCommand = Callable[["Switch", str], Awaitable[str]]
API_COMMANDS: Final[dict[str, ApiCommand]] = {
    "echo": echo,
    "file_exists": file_exists,
    "global_getvar": global_getvar,
    "global_setvar": global_setvar,
    "hupall": hupall,
    "module_exists": module_exists,
    "msleep": msleep,
    "originate": originate,
    "reloadxml": reload_xml,
    "sched_api": sched_api,
    "sched_del": sched_del,
    "sched_hangup": sched_hangup,
    "sched_transfer": sched_transfer,
    "show": show,
    "status": status,
    "strftime_tz": time_in_zone,
    "system": system,
    "uuid_audio_stream": uuid_audio_stream,
    "uuid_break": _on_session(_break, "<uuid> [all]"),
    "uuid_dump": _on_session(_dump, "<uuid> [format]"),
    "uuid_exists": uuid_exists,
    "uuid_getvar": _on_session(_get_variable, "<uuid> <var>"),
    "uuid_kill": uuid_kill,
    "uuid_recv_dtmf": _on_session(_receive_dtmf, "<uuid> <dtmf_data>"),
    "uuid_setvar": _on_session(_set_variable, "<uuid> <var> [value]"),
    "uuid_setvar_multi": _on_session(_set_variables, "<uuid> <var>=<value>;<var>=<value>...", says_usage_too=True),
    "uuid_transfer": _on_session(_transfer, "<uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]"),
    "version": version,
    "xml_locate": xml_locate,
}

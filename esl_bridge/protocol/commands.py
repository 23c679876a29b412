"""Commands to FreeSWITCH as safe values: typed builders in, bytes out.

Owns what may be sent on a call's socket. A control character never goes out in a line; application names come from
:class:`Application`; text from outside reaches FreeSWITCH only as a channel variable, after :func:`safe_value`,
because FreeSWITCH expands ``${…}`` in every argument, API calls included (behaviour 21).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from esl_bridge.protocol.errors import UnsafeArgument


class Application(StrEnum):
    """Every application Lifeline ever executes: an unknown one hangs the call up (behaviour 5)."""

    ANSWER = "answer"
    PLAYBACK = "playback"
    SET = "set"
    HANGUP = "hangup"


class ReplyKind(StrEnum):
    COMMAND = "command/reply"
    API = "api/response"


class Command(msgspec.Struct, frozen=True, gc=False):
    """Bytes to send and the kind of message that answers them. Never sent twice.

    ``in_background``: the answer only names a job, and its result is a ``BACKGROUND_JOB`` event of that ``Job-UUID``
    (behaviour 12); it comes where that event is subscribed to, with a filter on ``Job-Owner-UUID``.
    """

    data: bytes
    reply: ReplyKind
    in_background: bool = False


_UUID = re.compile(r"[0-9A-Fa-f-]{8,64}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
# No `$ { } \`, which expand; no `;` or `=`, which separate in uuid_setvar_multi; no quotes, spaces or control characters.
_VALUE = re.compile(r"[A-Za-z0-9_.:@+,#*/-]{0,256}")
# HOST:PORT|HOST:PORT, as `socket` takes them.
_ADDRESSES = re.compile(r"(?=.{1,256}$)[A-Za-z0-9_.-]+:[0-9]{1,5}(\|[A-Za-z0-9_.-]+:[0-9]{1,5})*")
# A header's value, or as mod_event_socket takes it between strokes, a pattern that is ours.
_FILTER = re.compile(r"[A-Za-z0-9_.:@+/-]{1,256}|/\^[A-Za-z0-9_]{1,64}/")
_WORD = re.compile(r"[A-Za-z0-9_.:@+/-]{1,256}")
_URL = re.compile(r"wss?://[A-Za-z0-9_.:@+/%=?&-]{1,500}")
_PATH = re.compile(r"[A-Za-z0-9_.:@+/ -]{1,1024}")
_TEXT = re.compile(r"[A-Za-z0-9_.:@+/%={}\"\[\],-]{1,1024}")
_EVENT = re.compile(r"[A-Z_]{2,64}|[a-z_]+::[a-z_]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _checked(pattern: re.Pattern[str], what: str, text: str) -> str:
    if not pattern.fullmatch(text):
        # The value itself stays out of the error: it may be a caller's.
        raise UnsafeArgument(f"{what} holds a character that FreeSWITCH could act on, or is too long ({len(text)})")
    return text


def can_name(call_uuid: str) -> bool:
    """Whether commands may name this call. With ``inbound-use-callid-as-uuid`` the identifier is a caller's text."""
    return _UUID.fullmatch(call_uuid) is not None


def safe_value(text: str) -> bool:
    """Whether a text may become a channel variable."""
    return _VALUE.fullmatch(text) is not None


def safe_addresses(text: str) -> bool:
    """Whether a text, as a channel variable, may be given to ``socket``."""
    return _ADDRESSES.fullmatch(text) is not None


def _line(text: str, reply: ReplyKind = ReplyKind.COMMAND) -> Command:
    if _CONTROL.search(text):
        raise UnsafeArgument("a command holds a control character")
    return Command(text.encode() + b"\n\n", reply)


def connect() -> Command:
    return _line("connect")


def authenticate(password: str) -> Command:
    """On the control port, after its challenge."""
    return _line(f"auth {password}")


def ask_version() -> Command:
    """A question that costs the switch nothing: only whether an answer comes matters."""
    return _api("version")


def linger(seconds: int) -> Command:
    """Always with a time: bare ``linger`` keeps the socket open until we close it (behaviour 9)."""
    return _line(f"linger {int(seconds)}")


def filter_header(header: str, value: str) -> Command:
    """Send it before :func:`events`: in the other order other calls' events arrive meanwhile (behaviour 19)."""
    return _line(f"filter {_checked(_WORD, 'filter header', header)} {_checked(_FILTER, 'filter value', value)}")


def events(names: Iterable[str], custom: Iterable[str] = ()) -> Command:
    listed = [_checked(_EVENT, "event name", name) for name in names]
    subclasses = [_checked(_EVENT, "event subclass", name) for name in custom]
    tail = ["CUSTOM", *subclasses] if subclasses else []
    return _line(" ".join(["event plain", *listed, *tail]))


def execute(application: Application, argument: str, *, event_uuid: str, lock: bool = True) -> Command:
    """``sendmsg`` in body form. ``event_uuid`` comes back as ``Application-UUID`` (behaviour 4).

    ``lock`` keeps two executes in order: without it the second runs inside the first (behaviour 3).
    """
    if argument:
        _checked(_PATH, "application argument", argument)
    body = argument.encode()
    lines = ["sendmsg", "call-command: execute", f"execute-app-name: {application.value}"]
    lines.append(f"Event-UUID: {_checked(_UUID, 'event UUID', event_uuid)}")
    if lock:
        lines.append("event-lock: true")
    if body:
        lines += ["content-type: text/plain", f"content-length: {len(body)}"]
    head = "\n".join(lines).encode() + b"\n\n"
    return Command(head + body + (b"\n\n" if body else b""), ReplyKind.COMMAND)


def hangup(cause: str = "NORMAL_CLEARING") -> Command:
    _checked(_NAME, "hangup cause", cause)
    return Command(f"sendmsg\ncall-command: hangup\nhangup-cause: {cause}\n\n".encode(), ReplyKind.COMMAND)


def _api(text: str) -> Command:
    return _line("api " + text, ReplyKind.API)


def set_variables(call_uuid: str, values: Mapping[str, str]) -> Command:
    """Several channel variables at once; an empty value unsets. All of ours together stay under 2 KB (behaviour 20)."""
    pairs = (
        f"{_checked(_NAME, 'variable', name)}={_checked(_ADDRESSES if '|' in value else _VALUE, name, value)}"
        for name, value in values.items()
    )
    return _api(f"uuid_setvar_multi {_checked(_UUID, 'call', call_uuid)} " + ";".join(pairs))


def get_variable(call_uuid: str, name: str) -> Command:
    return _api(f"uuid_getvar {_checked(_UUID, 'call', call_uuid)} {_checked(_NAME, 'variable', name)}")


def dump(call_uuid: str) -> Command:
    """All that ``connect`` told of a call, as it is now: the same block, as an API response (recorded: ``unicode-and-large``)."""
    return _api(f"uuid_dump {_checked(_UUID, 'call', call_uuid)}")


def break_playback(call_uuid: str) -> Command:
    """Stops what plays and what is queued; takes about 22 ms."""
    return _api(f"uuid_break {_checked(_UUID, 'call', call_uuid)} all")


def transfer(call_uuid: str, extension: str, context: str) -> Command:
    words = _checked(_WORD, "extension", extension), _checked(_NAME, "context", context)
    return _api(f"uuid_transfer {_checked(_UUID, 'call', call_uuid)} {words[0]} XML {words[1]}")


def timer_group(call_uuid: str) -> str:
    return f"ll-{call_uuid}"


def arm_timer(call_uuid: str, seconds: int, extension: str, context: str) -> Command:
    """The dead man's timer in a group of its own. Answers ``+OK Added: <id>``. Fires up to a second early: at least 4."""
    if seconds < 4:
        raise UnsafeArgument("a dead man's timer under 4 s can fire at once")
    uuid = _checked(_UUID, "call", call_uuid)
    words = _checked(_WORD, "extension", extension), _checked(_NAME, "context", context)
    return _api(f"sched_api +{seconds} {timer_group(uuid)} uuid_transfer {uuid} {words[0]} XML {words[1]}")


def delete_timer(name: str) -> Command:
    """``name``: a task's id, or a group (a call's UUID deletes the dialplan's own timer of that call)."""
    return _api(f"sched_del {_checked(_WORD, 'timer', name)}")


def start_audio_stream(call_uuid: str, url: str, metadata: str) -> Command:
    """mod_audio_stream: our ``metadata`` is the first text message. ``mono`` is the caller alone; ``+OK`` proves nothing (6)."""
    uuid = _checked(_UUID, "call", call_uuid)
    words = _checked(_URL, "media URL", url), _checked(_TEXT, "metadata", metadata)
    return _api(f"uuid_audio_stream {uuid} start {words[0]} mono 8k {words[1]}")


def send_stream_text(call_uuid: str, text: str) -> Command:
    """One text message on the call's WebSocket, in order with its audio."""
    return _api(f"uuid_audio_stream {_checked(_UUID, 'call', call_uuid)} send_text {_checked(_TEXT, 'text', text)}")


def stop_audio_stream(call_uuid: str) -> Command:
    """By ``bgapi``: with a frozen gateway it would block the call's socket."""
    line = _line(f"bgapi uuid_audio_stream {_checked(_UUID, 'call', call_uuid)} stop")
    return Command(line.data, line.reply, in_background=True)


def exit_socket() -> Command:
    return _line("exit")

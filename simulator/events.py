"""An event of the switch as a value: ordered, decoded headers and a body. Knows nothing of its form on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple


class Origin(NamedTuple):
    """Where in FreeSWITCH's source the event is fired; the real switch says so in every event."""

    file: str
    function: str
    line: int


_EXEC: Final = "switch_core_session_exec"
ORIGINS: Final[dict[str, Origin]] = {
    "CHANNEL_DATA": Origin("mod_event_socket.c", "parse_command", 2029),
    "CHANNEL_CREATE": Origin("switch_core_state_machine.c", "switch_core_session_run", 626),
    "CHANNEL_ANSWER": Origin("switch_channel.c", "switch_channel_perform_mark_answered", 3873),
    "CHANNEL_EXECUTE": Origin("switch_core_session.c", _EXEC, 2949),
    "CHANNEL_EXECUTE_COMPLETE": Origin("switch_core_session.c", _EXEC, 2972),
    "CHANNEL_PARK": Origin("switch_ivr.c", "switch_ivr_park", 970),
    "CHANNEL_UNPARK": Origin("switch_ivr.c", "switch_ivr_park", 1181),
    "CHANNEL_STATE": Origin("switch_channel.c", "switch_channel_perform_set_running_state", 2409),
    "CHANNEL_CALLSTATE": Origin("switch_channel.c", "switch_channel_perform_set_callstate", 305),
    "CHANNEL_HOLD": Origin("switch_channel.c", "switch_channel_mark_hold", 876),
    "CHANNEL_UNHOLD": Origin("switch_channel.c", "switch_channel_mark_hold", 876),
    "CHANNEL_HANGUP": Origin("switch_channel.c", "switch_channel_perform_hangup", 3409),
    "CHANNEL_HANGUP_COMPLETE": Origin("switch_core_state_machine.c", "switch_core_session_reporting_state", 943),
    "CHANNEL_BRIDGE": Origin("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1862),
    "CHANNEL_UNBRIDGE": Origin("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1996),
    "PLAYBACK_START": Origin("switch_ivr_play_say.c", "switch_ivr_play_file", 1670),
    "PLAYBACK_STOP": Origin("switch_ivr_play_say.c", "switch_ivr_play_file", 2049),
    "DTMF": Origin("switch_channel.c", "switch_channel_dequeue_dtmf", 688),
    "PRIVATE_COMMAND": Origin("switch_ivr.c", "switch_ivr_parse_next_event", 895),
    "BACKGROUND_JOB": Origin("mod_event_socket.c", "api_exec", 1580),
    "CUSTOM": Origin("mod_audio_stream.c", "responseHandler", 16),
    "HEARTBEAT": Origin("switch_core.c", "send_heartbeat", 95),
}

# Events whose recordings carry no channel variables.
WITHOUT_VARIABLES: Final = frozenset({"DTMF", "CHANNEL_STATE", "CHANNEL_CALLSTATE", "PRIVATE_COMMAND"})

EVENT_NAMES: Final = frozenset(ORIGINS) | frozenset(
    {
        "API", "CALL_UPDATE", "CHANNEL_APPLICATION", "CHANNEL_DESTROY", "CHANNEL_GLOBAL", "CHANNEL_HOLD",
        "CHANNEL_ORIGINATE", "CHANNEL_OUTGOING", "CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_UNHOLD",
        "CHANNEL_UUID", "CODEC", "DETECTED_SPEECH", "DETECTED_TONE", "ALL", "LOG", "MESSAGE", "MODULE_LOAD",
        "NOTALK", "PRESENCE_IN", "RECORD_START", "RECORD_STOP", "RELOADXML", "RE_SCHEDULE", "SHUTDOWN", "STARTUP",
        "TALK", "TRAP", "ADD_SCHEDULE", "DEL_SCHEDULE", "EXE_SCHEDULE",
    }
)  # fmt: skip


Headers = tuple[tuple[str, str], ...]


class Block:
    """Headers as the ``text`` that they are on the wire. As pairs only JSON and some filters ask for them: ``pairs`` makes
    them then, and has to know them as they were."""

    __slots__ = ("_headers", "_pairs", "text")

    def __init__(self, text: str, pairs: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self.text = text
        self._pairs = pairs
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = tuple(self._pairs())
        return self._headers

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.headers)

    def get(self, header: str) -> str | None:
        """By its name in small letters. What is not in the text need not be sought among a hundred pairs."""
        return _first(self.headers, header) if f"{header}: " in self.text.lower() else None


@dataclass(frozen=True, slots=True)
class Event:
    """``blocks`` of headers in the order FreeSWITCH would send them, values decoded; ``subclass`` only for CUSTOM.

    ``call_uuid``: what a call's event carries as Unique-ID, for whoever need not look further.
    """

    name: str
    blocks: tuple[Headers | Block, ...]
    body: str = ""
    subclass: str = ""
    call_uuid: str = ""

    @property
    def headers(self) -> Headers:
        return tuple(header for block in self.blocks for header in block)

    def get(self, header: str) -> str | None:
        wanted = header.lower()
        if wanted == "unique-id" and self.call_uuid:
            return self.call_uuid
        for block in self.blocks:
            value = block.get(wanted) if isinstance(block, Block) else _first(block, wanted)
            if value is not None:
                return value
        return None


def _first(headers: Headers, wanted: str) -> str | None:
    for name, value in headers:
        if name.lower() == wanted:
            return value
    return None

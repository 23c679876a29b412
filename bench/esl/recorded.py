"""What the bench sends: messages recorded from a real FreeSWITCH, with the places in them where each call differs.

Owns the taking apart of recordings. Everything is bytes ready to be joined, so that the sender costs little.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from esl_bridge.protocol.messages import ContentType, Message
from esl_bridge.protocol.reader import Reader

FOLDER = Path(__file__).parents[2] / "tests" / "esl_bridge" / "recordings"
READ_VARIABLE = "account_number"
"""Of the recorded event: what ``play_and_get_digits`` put there, the reason for which an application reads such an event."""


def from_freeswitch(name: str) -> bytes:
    rows = (json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    said = (row["data"] for row in rows if row["from"] == "freeswitch" and row.get("socket", 1) == 1)
    return "".join(said).encode("latin-1")


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%b" % (len(body), body)


def execute_complete() -> bytes:
    """The recorded 6.4 KB CHANNEL_EXECUTE_COMPLETE, framed."""
    return framed(_event("menu-dtmf", "CHANNEL_EXECUTE_COMPLETE", READ_VARIABLE).body)


def _event(recording: str, name: str, variable: str = "uuid") -> Message:
    for message in Reader().feed(from_freeswitch(recording)):
        if message.content_type == ContentType.EVENT_PLAIN:
            event = message.event()
            if event.name == name and (name == "DTMF" or event.variable(variable) is not None):
                return message
    raise LookupError(f"{recording} has no {name}")


@dataclass(frozen=True, slots=True)
class Template:
    """A recorded event with the call's UUID and one more value left open."""

    before: tuple[bytes, ...]
    after: tuple[bytes, ...]

    def event(self, call_uuid: bytes, value: bytes) -> bytes:
        return framed(call_uuid.join(self.before) + value + call_uuid.join(self.after))


# What a call of ours has on its channel: FreeSWITCH repeats it in every event of the channel.
OURS = (
    b"variable_ll_owner: bridge-1%3A1\nvariable_ll_flow: demo%3A3\nvariable_ll_lang: en\nvariable_ll_mode: fallback\n"
    b"variable_ll_intent: balance\nvariable_ll_visit: 1\nvariable_ll_step: slot%3Aaccount\n"
)


def template(recording: str, name: str, open_header: str, *, ours_before: str = "") -> Template:
    """``ours_before`` names the header before which our own variables are put."""
    message = _event(recording, name)
    body, call_uuid = message.body, message.event().get("Unique-ID").encode()
    if ours_before:
        at = body.index(b"\n%b: " % ours_before.encode()) + 1
        body = body[:at] + OURS + body[at:]
    start = body.index(b"\n%b: " % open_header.encode()) + len(open_header) + 3
    end = body.index(b"\n", start)
    return Template(tuple(body[:start].split(call_uuid)), tuple(body[end:].split(call_uuid)))


def channel_data() -> tuple[bytes, ...]:
    """The recorded reply to ``connect``, taken apart at the call's UUID."""
    data = from_freeswitch("audio-reply")
    block = data[: data.index(b"\n\n") + 2]
    [message] = Reader().feed(block)
    return tuple(block.split(message.event().get("Unique-ID").encode()))

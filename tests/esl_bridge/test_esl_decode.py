"""``manage.py esl_decode``: every recording becomes one JSON object a message, and a broken one says where."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.esl_bridge.recorded import FOLDER, NAMES


def decode(path: Path) -> tuple[list[dict[str, Any]], str]:
    out, err = StringIO(), StringIO()
    call_command("esl_decode", str(path), stdout=out, stderr=err)
    return [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(data: str, socket: int | None = None) -> dict[str, Any]:
    return {"t": 0.1, "from": "freeswitch", "data": data, **({} if socket is None else {"socket": socket})}


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_is_printed_with_the_four_fields(name: str) -> None:
    messages, complaints = decode(FOLDER / f"{name}.jsonl")
    assert complaints == ""
    assert messages
    assert {tuple(message) for message in messages} == {("content_type", "event_name", "headers", "body")}
    events = [message for message in messages if message["content_type"] == "text/event-plain"]
    assert all(message["event_name"] == message["headers"]["Event-Name"] for message in events)


def test_the_second_socket_follows_the_first() -> None:
    messages, _ = decode(FOLDER / "resume-second-socket.jsonl")
    begun = [number for number, message in enumerate(messages) if message["event_name"] == "CHANNEL_DATA"]
    assert len(begun) == 2
    assert messages[begun[1] - 1]["content_type"] == "text/disconnect-notice"
    assert messages[begun[1]]["headers"]["variable_lifeline_step"] == "menu"


def test_values_are_decoded_and_large_ones_whole() -> None:
    messages, _ = decode(FOLDER / "unicode-and-large.jsonl")
    last = next(message["headers"] for message in messages if message["event_name"] == "CHANNEL_HANGUP_COMPLETE")
    assert last["variable_greeting"] == "Grüß Gott — 你好 😀"
    assert last["variable_multi"] == "line one\nline two: with colon\n\nblank above"
    assert last["variable_big"] == "x" * 70_000


def test_an_event_carries_its_own_body() -> None:
    messages, _ = decode(FOLDER / "audio-reply.jsonl")
    assert '{"status":"connected"}' in [message["body"] for message in messages]


def test_rows_are_bytes_and_not_messages(tmp_path: Path) -> None:
    text = "Content-Length: 18\nContent-Type: text/event-plain\n\nEvent-Name: DTMF\n\nContent-Type: auth/request\n\n"
    path = write(tmp_path / "cut.jsonl", *(said(letter) for letter in text), {"t": 1, "from": "app", "data": "exit\n\n"})
    messages, complaints = decode(path)
    assert [message["content_type"] for message in messages] == ["text/event-plain", "auth/request"]
    assert complaints == ""


def test_invalid_utf8_is_shown_and_never_an_error(tmp_path: Path) -> None:
    body = "Event-Name: DTMF\nvariable_x: %FF%0AEvent-Name: FORGED\nvariable_y: \xff\n\n"
    path = write(tmp_path / "bad.jsonl", said(f"Content-Length: {len(body)}\nContent-Type: text/event-plain\n\n{body}"))
    (message,), _ = decode(path)
    assert message["event_name"] == "DTMF"
    assert message["headers"]["variable_x"] == "\ufffd\nEvent-Name: FORGED"
    assert message["headers"]["variable_y"] == "\ufffd"


def test_a_recording_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.jsonl", said("Content-Type: auth/request\n\nContent-Ty"))
    messages, complaints = decode(path)
    assert [message["content_type"] for message in messages] == ["auth/request"]
    assert "socket 1 ends with 10 bytes that are no whole message" in complaints


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("not json\n", "line 1 is not of a recording"),
        ('{"from": "freeswitch", "data": "Content-Type: auth/request\\n\\n"}\n{"from": "nobody", "data": ""}\n', "line 2"),
        ('{"from": "freeswitch", "data": "\\u20ac"}\n', "line 1"),
        ('{"from": "freeswitch", "data": "HTTP/1.1 200 OK\\n\\n"}\n', "no Content-Type"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_place(tmp_path: Path, rows: str, complaint: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(rows)
    with pytest.raises(CommandError, match=complaint):
        decode(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.jsonl cannot be read: No such file"):
        decode(tmp_path / "nowhere.jsonl")

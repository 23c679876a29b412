"""Bytes: commands in at any split, FreeSWITCH's own encoding out."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import wire
from simulator.errors import WireError
from simulator.events import Event

SENT = (
    b"connect\n\n"
    b"sendmsg\ncall-command: execute\nexecute-app-name: playback\ncontent-type: text/plain\ncontent-length: 36\n\n"
    b"tone_stream://%(300,100,440);loops=2\n\n"
    b"api uuid_exists x\r\n\r\n"
)


def lines(commands: list[wire.Command]) -> list[tuple[str, str]]:
    return [(command.line, command.body) for command in commands]


EXPECTED = [("connect", ""), ("sendmsg", "tone_stream://%(300,100,440);loops=2"), ("api uuid_exists x", "")]


@given(st.lists(st.integers(0, len(SENT)), max_size=8))
def test_commands_are_found_however_the_bytes_are_split(cuts: list[int]) -> None:
    parser = wire.CommandParser()
    edges = [0, *sorted(cuts), len(SENT)]
    found = [command for start, end in itertools.pairwise(edges) for command in parser.feed(SENT[start:end])]
    assert lines(found) == EXPECTED


def test_headers_are_found_whatever_their_case() -> None:
    (command,) = wire.CommandParser().feed(b"sendmsg abc\nEvent-UUID: 42\n\n")
    assert (command.get("event-uuid"), command.get("nothing")) == ("42", "")


def test_a_body_is_text_even_when_it_is_not_utf8() -> None:
    (command,) = wire.CommandParser().feed(b"sendmsg\ncontent-length: 2\n\n\xff\xfe")
    assert command.body == "\ufffd\ufffd"


def test_endless_headers_and_huge_bodies_are_refused() -> None:
    with pytest.raises(WireError, match="headers"):
        wire.CommandParser().feed(b"x" * (wire.MAX_HEADER_BYTES + 1))
    with pytest.raises(WireError, match="body"):
        wire.CommandParser().feed(b"sendmsg\ncontent-length: 99999999\n\n")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("tone_stream://%(300,100,440);loops=2", "tone_stream%3A//%25(300,100,440)%3Bloops%3D2"),
        ("Sun, 22 Nov 2026 10:53:56 GMT", "Sun,%2022%20Nov%202026%2010%3A53%3A56%20GMT"),
        ("Grüß Gott — 你好 😀", "Gr%C3%BC%C3%9F%20Gott%20%E2%80%94%20%E4%BD%A0%E5%A5%BD%20%F0%9F%98%80"),
        ("multi=line one\nline two: x", "multi%3Dline%20one%0Aline%20two%3A%20x"),
        ("1 1 [1-3] \\d+ #", "1%201%20%5B1-3%5D%20%5Cd%2B%20%23"),
        ('"sipp" <1000>', "%22sipp%22%20%3C1000%3E"),
        ("missing.wav!/usr/x", "missing.wav!/usr/x"),
    ],
)
def test_values_are_encoded_as_recorded(value: str, encoded: str) -> None:
    assert wire.url_encode(value) == encoded
    assert wire.url_encode(value * 300) == encoded * 300


def test_a_plain_event_counts_its_inner_block_and_keeps_its_body_raw() -> None:
    data = wire.encode_plain(Event("CUSTOM", ((("Event-Name", "CUSTOM"), ("a", "b c")),), '{"é":1}'))
    head, _, inner = data.partition(b"\n\n")
    assert head == b"Content-Length: %d\nContent-Type: text/event-plain" % len(inner)
    assert inner == 'Event-Name: CUSTOM\na: b%20c\nContent-Length: 8\n\n{"é":1}'.encode()


def test_an_event_without_a_body_ends_in_a_blank_line() -> None:
    data = wire.encode_plain(Event("DTMF", ((("Event-Name", "DTMF"),),)))
    assert data.endswith(b"\n\nEvent-Name: DTMF\n\n")


def test_a_json_event_is_one_flat_object() -> None:
    data = wire.encode_json(Event("X", ((("Event-Name", "X"), ("v", "a:b")),), "body"))
    assert json.loads(data.partition(b"\n\n")[2]) == {
        "Event-Name": "X", "v": "a:b", "Content-Length": "4", "_body": "body",
    }  # fmt: skip


def test_notices_and_replies() -> None:
    assert wire.encode_reply("+OK") == b"Content-Type: command/reply\nReply-Text: +OK\n\n"
    assert wire.encode_reply("+OK", Job_UUID="7").endswith(b"Reply-Text: +OK\nJob-UUID: 7\n\n")
    assert b"Content-Disposition: linger\nChannel-Name: sofia/internal/1@h:5\nLinger-Time: 5\n" in (
        wire.encode_linger_notice("u", "sofia/internal/1@h:5", 5)
    )
    assert wire.encode_disconnect_notice("u").startswith(
        b"Content-Type: text/disconnect-notice\nControlled-Session-UUID: u\nContent-Disposition: disconnect\n"
    )
    assert b"Controlled" not in wire.encode_disconnect_notice()

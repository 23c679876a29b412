"""The framing answers to recorded conversations, however the bytes arrive, and refuses what is not the protocol."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esl_bridge.protocol.errors import MalformedStream, TooLarge
from esl_bridge.protocol.messages import ContentType, Message
from esl_bridge.protocol.reader import MAX_BODY, MAX_HEADER_BLOCK, Reader
from tests.esl_bridge.recorded import from_freeswitch, sockets

SOCKETS = sockets()


def read(pieces: list[bytes]) -> tuple[list[tuple[str, str, bytes]], int]:
    reader = Reader()
    messages = [message for piece in pieces for message in reader.feed(piece)]
    return [(message.content_type, name_of(message), message.body) for message in messages], reader.pending_bytes


def name_of(message: Message) -> str:
    return message.event().name if message.content_type == ContentType.EVENT_PLAIN else ""


@pytest.mark.parametrize(("name", "socket"), SOCKETS)
def test_a_recording_reads_the_same_whole_and_one_byte_at_a_time(name: str, socket: int) -> None:
    data = from_freeswitch(name, socket)
    whole = read([data])
    assert whole == read([data[at : at + 1] for at in range(len(data))])
    assert whole[1] == 0
    # Each event and reply says its type once; bodies of `api` do not.
    assert len(whole[0]) == data.count(b"Content-Type: ") - data.count(b"Content-Type: text/plain")


@given(st.sampled_from(SOCKETS), st.lists(st.floats(0, 1), max_size=20))
@settings(max_examples=60, deadline=None)
def test_a_recording_reads_the_same_at_random_splits(which: tuple[str, int], cuts: list[float]) -> None:
    data = from_freeswitch(*which)
    edges = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    assert read([data[a:b] for a, b in itertools.pairwise(edges)]) == read([data])


def test_the_reply_to_connect_is_decoded_and_plain_replies_are_not() -> None:
    messages = list(Reader().feed(from_freeswitch("audio-reply")))
    channel = messages[0].event()
    assert channel.get("Channel-Destination-Number") == "9000"
    assert channel.get("channel-destination-NUMBER") == "9000"
    assert "\n" in (channel.variable("switch_r_sdp") or "")
    assert messages[0].reply_text == "+OK"
    assert messages[2].reply_text.startswith("+OK filter added. [Unique-ID]=[")


def test_an_event_may_carry_a_body_of_its_own() -> None:
    bodies = [m.event().body for m in Reader().feed(from_freeswitch("audio-reply")) if m.content_type == ContentType.EVENT_PLAIN]
    assert b'{"status":"connected"}' in bodies


def test_an_encoded_newline_cannot_forge_a_header() -> None:
    body = b"Event-Name: DTMF\nvariable_x: a%0AEvent-Name: HACKED\n\n"
    block = b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(body)
    [message] = Reader().feed(block + body)
    event = message.event()
    assert event.name == "DTMF"
    assert event.variable("x") == "a\nEvent-Name: HACKED"


def test_a_json_event_reads_like_a_plain_one() -> None:
    body = b'{"Event-Name": "DTMF", "DTMF-Digit": "5", "variable_p": "100%25\\nx", "_body": "tail"}'
    [message] = Reader().feed(b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body)
    event = message.event()
    assert (event.get("DTMF-Digit"), event.variable("p"), event.body) == ("5", "100%25\nx", b"tail")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"Content-Length: many\n\n", MalformedStream),
        (b"Content-Length: -5\nContent-Type: api/response\n\n", MalformedStream),
        (b"Content-Length: %d\nContent-Type: api/response\n\n" % (MAX_BODY + 1), TooLarge),
        (b"GET / HTTP/1.1\nHost: x\n\n", MalformedStream),
        (b"x" * (MAX_HEADER_BLOCK + 1), TooLarge),
    ],
)
def test_what_is_not_the_protocol_is_refused_and_stays_refused(data: bytes, error: type[Exception]) -> None:
    reader = Reader()
    with pytest.raises(error):
        list(reader.feed(data))
    with pytest.raises(MalformedStream):
        list(reader.feed(b"Content-Type: api/response\n\n"))


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_the_protocols_own(data: bytes) -> None:
    reader = Reader()
    try:
        for message in reader.feed(data):
            message.headers.get("Reply-Text")
    except MalformedStream:
        pass

"""The quick ways of reading an event say what the slow ones say, and what nobody took of a piece is not lost."""

from __future__ import annotations

from collections.abc import Generator
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_bridge.protocol.errors import MalformedStream
from esl_bridge.protocol.messages import TAIL, ContentType, Headers, parse_plain_event
from esl_bridge.protocol.reader import Reader
from tests.esl_bridge.recorded import from_freeswitch, sockets


def one_by_one(block: bytes) -> list[tuple[str, str]]:
    lines = (line.partition(b": ") for line in block.split(b"\n"))
    return [(name.decode("utf-8", "replace"), Headers(b"x: " + value, encoded=True)["x"]) for name, colon, value in lines if colon]


@pytest.mark.parametrize(("name", "socket"), sockets())
def test_every_recorded_header_is_found_by_name_and_in_the_list_with_the_same_value(name: str, socket: int) -> None:
    for message in Reader().feed(from_freeswitch(name, socket)):
        if message.content_type == ContentType.EVENT_PLAIN:
            event = message.event()
            assert list(event.headers.items()) == one_by_one(event.headers.block)
            for header, value in event.headers.items():
                assert event.headers.get(header) == event.headers.get(header.swapcase()) == value


LINES = [b"a: 1", b"b: %41%0A", b"c: ", b"d: x y: z", b"e: %zz", b"f: %00", b"g: \\x41", b"%41: 1", b"i: %C3%A9%FF", b"j: \xff"]


@given(st.lists(st.sampled_from(LINES)))
def test_blocks_of_named_values_list_what_reading_line_by_line_lists(lines: list[bytes]) -> None:
    block = b"\n".join(lines)
    if b"%41: 1" in lines:  # a name is decoded with the rest; FreeSWITCH encodes none
        assert len(list(Headers(block, encoded=True).items())) == len(lines)
    else:
        assert list(Headers(block, encoded=True).items()) == one_by_one(block)


@given(st.binary(max_size=200))
def test_no_block_is_too_strange_to_list(block: bytes) -> None:
    assert all(isinstance(value, str) for _, value in Headers(block, encoded=True).items())


@given(st.one_of(st.binary(max_size=200), st.lists(st.sampled_from(LINES)).map(b"\n".join)), st.sampled_from(["a", "b", "i", "%"]))
def test_those_that_begin_alike_are_those_of_the_list(block: bytes, prefix: str) -> None:
    found = [(prefix + name, value) for name, value in Headers(block, encoded=True).beginning_with(prefix)]
    assert found == [one for one in Headers(block, encoded=True)._one_by_one() if one[0].startswith(prefix)]


@pytest.mark.parametrize("filler", [0, TAIL, 4 * TAIL])
def test_a_header_is_found_wherever_it_stands(filler: int) -> None:
    headers = Headers(b"First: 1\nsecond: 2\nfiller: %b\nLast: %%33" % (b"x" * filler), encoded=True)
    assert (headers["First"], headers["Second"], headers["Last"], headers["last"]) == ("1", "2", "3", "3")
    assert "irst" not in headers
    assert headers.get("Missing", "none") == "none"


def test_lines_of_an_events_own_body_are_no_headers() -> None:
    inner = b"Reply: yes\nSecret: no\n\n"
    event = parse_plain_event(b"Event-Name: BACKGROUND_JOB\nContent-Length: %d\n\n%b" % (len(inner), inner))
    assert (event.name, event.body, "Secret" in event.headers) == ("BACKGROUND_JOB", inner, False)
    key = parse_plain_event(b"Event-Name: DTMF\nDTMF-Digit: 5\nContent-Length: 4\n\ntail")
    assert (key.name, key.get("DTMF-Digit"), key.body) == ("DTMF", "5", b"tail")


def test_messages_that_were_not_taken_come_with_the_next_piece() -> None:
    reader = Reader()
    reply = b"Content-Type: command/reply\nReply-Text: +OK %d\n\n"
    first = reader.feed(reply % 1 + reply % 2 + (reply % 3)[:20])
    assert next(first).reply_text == "+OK 1"
    assert isinstance(first, Generator)
    first.close()
    assert [message.reply_text for message in reader.feed((reply % 3)[20:])] == ["+OK 2", "+OK 3"]


def test_what_came_whole_before_the_fault_is_given_first() -> None:
    messages = Reader().feed(b"Content-Type: command/reply\nReply-Text: +OK\n\nContent-Length: x\n\n")
    assert next(messages).reply_text == "+OK"
    with pytest.raises(MalformedStream):
        next(messages)


PIECES = [b"%", b"\\", b"x", b"4", b"1", b"N{", b"u", b"%41", b"%5C", b"%00", b"%C3%A9", b"\xc3", b"\xff", b" "]


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_a_value_is_decoded_as_the_standard_library_does_whatever_stands_in_it(raw: bytes) -> None:
    value = Headers(b"Name: " + raw, encoded=True).get("Name")
    assert value == unquote_to_bytes(raw).decode("utf-8", "replace")

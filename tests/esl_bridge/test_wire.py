"""What one input makes goes to the switch in one piece; what it does not read, or answer, ends the connection."""

from __future__ import annotations

from typing import Any

from esl_bridge.expecting import Expecting, Tag
from esl_bridge.protocol import commands
from esl_bridge.protocol.conversation import MAX_PENDING, Conversation
from esl_bridge.wire import MAX_UNSENT_BYTES, Wire

TAG = Tag(Expecting.NOTHING, "test")


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unread = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def opened() -> tuple[Wire, Transport, list[str]]:
    given_up: list[str] = []
    wire = Wire(Conversation(), given_up.append)
    transport: Any = Transport()
    wire.opened(transport)
    wire.send(commands.connect(), TAG)
    wire.flush()
    transport.written.clear()
    return wire, transport, given_up


def test_commands_go_out_together_and_in_order() -> None:
    wire, transport, _ = opened()
    wire.send(commands.linger(10), TAG)
    wire.send(commands.ask_version(), TAG)
    assert transport.written == []
    wire.flush()
    wire.flush()
    assert transport.written == [b"linger 10\n\napi version\n\n"]


def test_what_was_said_before_the_end_goes_out() -> None:
    wire, transport, _ = opened()
    wire.send(commands.linger(10), TAG)
    wire.close()
    wire.send(commands.linger(11), TAG)
    wire.flush()
    assert transport.written == [b"linger 10\n\n"]
    assert transport.closed


def test_a_switch_that_reads_nothing_is_given_up() -> None:
    wire, transport, given_up = opened()
    transport.unread = MAX_UNSENT_BYTES + 1
    wire.send(commands.linger(10), TAG)
    wire.flush()
    assert (given_up, transport.written) == (["not_reading"], [])


def test_a_switch_that_answers_nothing_is_given_up() -> None:
    wire, _, given_up = opened()
    for _number in range(MAX_PENDING):
        wire.send(commands.ask_version(), TAG)
    assert given_up == ["not_answering"]

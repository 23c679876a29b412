"""What a session says to its switch: all commands that one input makes go out in one piece, in their order.

Owns the transport while it is there, and how much may lie in it unread. Each write is a way through the loop and the kernel, and a
call that is resumed says a dozen things at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

import structlog

from esl_bridge.expecting import Tag
from esl_bridge.protocol.commands import Command
from esl_bridge.protocol.conversation import Conversation
from esl_bridge.protocol.errors import ConnectionLost, TooLarge

log = structlog.get_logger(__name__)

# A switch that takes nothing while we write this much is gone; its calls are in the dialplan's hands.
MAX_UNSENT_BYTES = 1 << 20


# struct tcp_info of linux/tcp.h: eight bytes, then numbers of 32 bits, of which this one is tcpi_last_ack_recv.
TCP_INFO_BYTES, LAST_ACK_AT = 104, 8 + 4 * 12


def queued_s(transport: asyncio.BaseTransport) -> float:
    """How long ago the peer opened this connection, which has just been accepted and on which it has said nothing: it may have
    waited in the kernel's queue. 0 where the kernel does not tell."""
    opened = transport.get_extra_info("socket")
    if opened is None or sys.platform != "linux":
        return 0.0
    told = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    (last_ack_ms,) = struct.unpack_from("=I", told, LAST_ACK_AT)
    return float(last_ack_ms) / 1000


class Wire:
    """``send`` collects, ``flush`` writes. ``give_up(why)`` is called when the switch does not read or does not answer."""

    def __init__(self, conversation: Conversation[Tag], give_up: Callable[[str], None]) -> None:
        self._conversation = conversation
        self._give_up = give_up
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    @property
    def is_there(self) -> bool:
        return self._transport is not None

    @property
    def own_address(self) -> str:
        """Where the switch reached us, as a dialplan's ``socket`` has it; empty when there is no such address."""
        told = None if self._transport is None else self._transport.get_extra_info("sockname")
        return f"{told[0]}:{told[1]}" if isinstance(told, tuple) else ""

    def opened(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it.

    def lost(self) -> None:
        self._transport = None
        self._unsent.clear()

    def send(self, command: Command, tag: Tag) -> None:
        """Nothing on a connection that is being closed."""
        if self._transport is None or self._transport.is_closing():
            return
        try:
            self._unsent.append(self._conversation.send(command, tag))
        except (TooLarge, ConnectionLost) as error:
            log.warning("a command was not sent", what=tag.what, error=str(error))
            self._give_up("not_answering")

    def flush(self) -> None:
        if not self._unsent:
            return
        unsent, self._unsent = self._unsent, []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._give_up("not_reading")
            return
        transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def close(self) -> None:
        """What was said before goes out still."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

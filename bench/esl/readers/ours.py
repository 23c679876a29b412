"""Our reader, as the bridge uses it: a protocol of uvloop around :class:`Conversation`. Three headers, or (``full``) all."""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop

from bench.esl.recorded import READ_VARIABLE
from esl_bridge.protocol import commands
from esl_bridge.protocol.commands import Command, ReplyKind
from esl_bridge.protocol.conversation import Conversation, Happened
from esl_bridge.protocol.messages import Event
from esl_bridge.protocol.states import State


class Client(asyncio.Protocol):
    def __init__(self, count: int, full: bool, done: asyncio.Future[float]) -> None:
        self._left = count
        self._password = str(count)
        self._read = read_all if full else read_three
        self._done = done
        self._conversation: Conversation[str] = Conversation()
        self._began_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for received in self._conversation.receive(data):
            if isinstance(received, Happened):
                self._read(received.event)
                self._left -= 1
            elif not self._began_s:
                self._began_s = time.process_time()
                self._say(commands.events(["CHANNEL_EXECUTE_COMPLETE"]))
        if self._conversation.state is State.CHALLENGED and not self._conversation.unanswered():
            self._say(Command(f"auth {self._password}\n\n".encode(), ReplyKind.COMMAND))
        if not self._left and not self._done.done():
            self._done.set_result(time.process_time() - self._began_s)

    def _say(self, command: Command) -> None:
        self._transport.write(self._conversation.send(command, ""))


def read_three(event: Event) -> None:
    if event.name != "CHANNEL_EXECUTE_COMPLETE" or not event.get("Application-UUID") or event.variable(READ_VARIABLE) != "4711":
        raise AssertionError("the event reads wrongly")


def read_all(event: Event) -> None:
    if dict(event.headers.items())["variable_" + READ_VARIABLE] != "4711":
        raise AssertionError("the event reads wrongly")


async def main(port: int, count: int, how: str) -> float:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()
    transport, _ = await loop.create_connection(lambda: Client(count, how == "full", done), "127.0.0.1", port)
    took_s = await done
    transport.close()
    return took_s


if __name__ == "__main__":
    sys.stdout.write(f"{uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))}\n")

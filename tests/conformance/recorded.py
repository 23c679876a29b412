"""A recorded FreeSWITCH as a :class:`Line`: it plays one conversation back to the client that drives it.

Owns the replay: each answer waits for its command, which must be the one the recorder sent. Nothing else is awaited, so
what happened by itself comes as fast as the client reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simulator.wire import Command, CommandParser
from tests.conformance.client import DEADLINE_S, Parser, Peer, Received
from tests.conformance.lines import BEFORE_A_SOCKET, GOES_ON, Agent, Line

FOLDER = Path(__file__).parents[1] / "esl_bridge/recordings"
ANSWERS = ("command/reply", "api/response")


@dataclass
class Conversation:
    """One connection of a recording: what FreeSWITCH said, message by message, and what the app had said."""

    messages: list[tuple[Received, bytes]] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    begins_after: int = 0  # commands of the connection before it

    def received(self) -> list[Received]:
        return [message for message, _ in self.messages]


def conversations(name: str) -> list[Conversation]:
    """A new one begins with each ``socket`` number and with each ``auth/request``."""
    found: dict[int, Conversation] = {}
    talks: list[Conversation] = []
    readers: dict[int, tuple[Parser, CommandParser]] = {}
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        number, data = row.get("socket", 1), row["data"].encode("latin-1")
        if number not in found or data.startswith(b"Content-Type: auth/request"):
            found[number] = Conversation(begins_after=len(talks[-1].commands) if talks else 0)
            readers[number] = Parser(), CommandParser()
            talks.append(found[number])
        messages, commands = readers[number]
        if row["from"] == "app":
            found[number].commands += commands.feed(data)
        else:
            found[number].messages += messages.feed_raw(data)
    return talks


def comparable(command: Command) -> tuple[object, ...]:
    """A command without what each client chooses for itself."""
    line = re.sub(r"ws://[\d.]+:(?!9/)\d+/", "ws://gateway/", command.line)
    headers = [(name, value) for name, value in command.headers if name != "Event-UUID"]
    return line, tuple(headers), command.body


class _RecordedAgent:
    address = "agent@127.0.0.1:5090"

    async def hang_up(self) -> None:
        return None  # they did, in the recording


class RecordedLine(Line):
    name = "recording"
    host = "127.0.0.1"
    speed = 1.0

    def __init__(self, recording: str) -> None:
        self.talks = conversations(recording)
        self.folder = Path("/usr/share/freeswitch/sounds")
        self.faults: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._obeyed = [asyncio.Semaphore(0) for _ in self.talks]
        self._servers: list[asyncio.Server] = []
        self._dialled_in = 0

    async def place(
        self,
        where: str,
        *,
        before: Sequence[str] = BEFORE_A_SOCKET,
        after: Sequence[str] = GOES_ON,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        port = int(where.split()[0].rpartition(":")[2])
        self._tasks = [asyncio.create_task(self._call(number, port)) for number in range(len(self.talks))]
        return self.talks[0].received()[0].headers["Unique-ID"]

    async def api(self, command: str) -> str:
        return ""  # whatever the caller or the control port did is in the recording

    def sound(self, name: str, seconds: float) -> str:
        return str(self.folder / f"{name}.wav")

    def again(self) -> str:
        return "9000 XML default"

    @contextlib.asynccontextmanager
    async def agent(self, port: int = 0) -> AsyncIterator[Agent]:
        yield _RecordedAgent()

    async def wait(self, seconds: float) -> None:
        return None

    async def dial_in(self) -> Peer:
        """The next connection to the recorded control port."""
        number, self._dialled_in = self._dialled_in, self._dialled_in + 1

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._play(number, reader, writer)

        server = await asyncio.start_server(accept, self.host, 0)
        self._servers.append(server)
        return Peer(*await asyncio.open_connection(self.host, server.sockets[0].getsockname()[1]))

    async def _call(self, number: int, port: int) -> None:
        for _ in range(self.talks[number].begins_after):
            await self._obeyed[number - 1].acquire()
        await self._play(number, *await asyncio.open_connection(self.host, port))

    async def _play(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk, parser, waiting = self.talks[number], CommandParser(), list[Command]()
        expected = iter(talk.commands)
        same: dict[bytes, bytes] = {}
        try:
            for message, data in talk.messages:
                if message.content_type in ANSWERS:
                    while not waiting:
                        waiting += parser.feed(await reader.read(65_536) or self._gone(message))
                    self._check(next(expected), waiting.pop(0), same)
                    self._obeyed[number].release()
                for old, new in same.items():
                    data = data.replace(old, new)
                writer.write(data)
            if message.content_type != "text/disconnect-notice":
                await reader.read()
        except (ConnectionError, StopIteration) as error:
            self.faults.append(f"connection {number + 1} of the recording: {error}")
        writer.close()

    def _gone(self, message: Received) -> bytes:
        raise ConnectionError(f"the client went before the answer {message.headers}")

    def _check(self, recorded: Command, sent: Command, same: dict[bytes, bytes]) -> None:
        if comparable(recorded) != comparable(sent):
            self.faults.append(f"recorded {comparable(recorded)}, the client sent {comparable(sent)}")
        old, new = recorded.get("Event-UUID").encode(), sent.get("Event-UUID").encode()
        if old and len(old) == len(new):  # of one length, so that no Content-Length changes
            same[old] = new

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DEADLINE_S)
            for task in late:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*self._tasks)
        assert not self.faults, self.faults

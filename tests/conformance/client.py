"""The scripted client: an app for the switch's outbound socket, and a small media gateway.

Not the product's bridge, nor its parser: simulator and real switch are judged without them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

DEADLINE_S = 20.0


@dataclass
class Received:
    """One message of the switch: outer headers raw; an event's own headers decoded, with its body."""

    content_type: str
    headers: dict[str, str]
    body: str = ""
    order: list[str] = field(default_factory=list)

    @property
    def event(self) -> str:
        return self.headers.get("Event-Name", "")

    def kind(self) -> str:
        """A short name, for comparing the order of messages."""
        if self.event == "CUSTOM":
            return self.headers["Event-Subclass"]
        if self.event in ("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE"):
            return f"{self.event}:{self.headers['Application']}"
        if self.event == "CHANNEL_STATE":
            return f"CHANNEL_STATE:{self.headers['Channel-State']}"
        if self.event:
            return self.event
        if self.content_type == "text/disconnect-notice":
            return f"notice:{self.headers.get('Content-Disposition', '')}"
        return self.content_type


def parse_headers(text: str, *, decode: bool) -> tuple[dict[str, str], list[str]]:
    pairs = [line.split(":", 1) for line in text.split("\n") if line]
    found = {name: unquote(value.strip()) if decode else value.strip() for name, value in pairs}
    return found, [name for name, _ in pairs]


class Parser:
    """Bytes of the switch in, messages out. Written apart from the product's own parser on purpose."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Received]:
        return [message for message, _ in self.feed_raw(data)]

    def feed_raw(self, data: bytes) -> list[tuple[Received, bytes]]:
        """Each message, and its bytes."""
        self._buffer += data
        found = []
        before = self._buffer
        while (message := self._next()) is not None:
            found.append((message, before[: len(before) - len(self._buffer)]))
            before = self._buffer
        return found

    def _next(self) -> Received | None:
        head, separator, rest = self._buffer.partition(b"\n\n")
        if not separator:
            return None
        outer, order = parse_headers(head.decode(), decode=False)
        if "Event-Name" in outer:  # the reply to `connect`: its own values are encoded and it has no body
            self._buffer = rest
            decoded, order = parse_headers(head.decode(), decode=True)
            return Received("command/reply", decoded, "", order)
        size = int(outer.get("Content-Length", 0))
        if len(rest) < size:
            return None
        self._buffer = rest[size:]
        body = rest[:size].decode()
        content_type = outer["Content-Type"]
        if content_type == "text/event-plain":
            inner, _, inner_body = body.partition("\n\n")
            headers, order = parse_headers(inner, decode=True)
            return Received(content_type, headers, inner_body, order)
        if content_type == "text/event-json":
            headers = json.loads(body)
            return Received(content_type, headers, headers.pop("_body", ""), list(headers))
        return Received(content_type, outer, body, order)


class Peers(asyncio.Queue["Peer"]):
    """Connections as they come; waiting for one that never comes fails."""

    async def get(self) -> Peer:
        async with asyncio.timeout(DEADLINE_S):
            return await super().get()


class Peer:
    """The app's end of one Event Socket connection: send commands, wait for what comes, keep everything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._parser = Parser()
        self._arrived = asyncio.Condition()
        self.received: list[Received] = []
        self.sent: list[str] = []
        self.closed = False
        self.variables: dict[str, str] = {}
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                async with self._arrived:
                    self.received += self._parser.feed(data)
                    self._arrived.notify_all()
        async with self._arrived:
            self.closed = True
            self._arrived.notify_all()

    async def until(self, wanted: Callable[[Received], bool], *, since: int = 0) -> Received:
        """The first message from position ``since`` on that fits; fails when the switch closes or time runs out."""
        async with asyncio.timeout(DEADLINE_S), self._arrived:
            while True:
                for message in self.received[since:]:
                    if wanted(message):
                        return message
                if self.closed:
                    raise AssertionError(f"the switch closed; got {[m.kind() for m in self.received]}")
                await self._arrived.wait()

    async def until_kind(self, kind: str, *, since: int = 0) -> Received:
        return await self.until(lambda message: message.kind() == kind, since=since)

    async def until_closed(self) -> None:
        async with asyncio.timeout(DEADLINE_S), self._arrived:
            await self._arrived.wait_for(lambda: self.closed)

    async def send(self, command: str) -> Received:
        """The command's own answer."""
        self.sent.append(command)
        since = len(self.received)
        self.writer.write(command.encode() + b"\n\n")
        return await self.until(lambda m: m.content_type in ("command/reply", "api/response"), since=since)

    async def api(self, line: str) -> str:
        return (await self.send(f"api {line}")).body

    async def post(self, application: str, argument: str = "", *, lock: bool = False) -> str:
        """Send `execute` and return the Event-UUID it will come back under."""
        event_uuid = str(uuid.uuid4())
        locked = "event-lock: true\n" if lock else ""
        body = f"content-type: text/plain\ncontent-length: {len(argument.encode())}\n\n{argument}" if argument else ""
        await self.send(
            f"sendmsg\ncall-command: execute\nexecute-app-name: {application}\nEvent-UUID: {event_uuid}\n{locked}{body}"
        )
        return event_uuid

    async def execute(self, application: str, argument: str = "", *, lock: bool = False) -> Received:
        """Run it to its CHANNEL_EXECUTE_COMPLETE."""
        return await self.executed(await self.post(application, argument, lock=lock))

    async def started(self, event_uuid: str) -> Received:
        return await self.until(
            lambda m: m.event == "CHANNEL_EXECUTE" and m.headers["Application-UUID"] == event_uuid
        )

    async def executed(self, event_uuid: str) -> Received:
        return await self.until(
            lambda m: m.event == "CHANNEL_EXECUTE_COMPLETE" and m.headers["Application-UUID"] == event_uuid
        )

    async def until_count(self, kind: str, count: int) -> None:
        await self.until(lambda _message: self.kinds().count(kind) >= count)

    async def hang_up(self) -> None:
        await self.send("sendmsg\ncall-command: hangup\nhangup-cause: NORMAL_CLEARING")

    def kinds(self) -> list[str]:
        return [message.kind() for message in self.received]

    async def close(self) -> None:
        self.writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def listening(
    app: Callable[[Peer], Awaitable[None]] | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[int, Peers]]:
    """A server for the dialplan's `socket`: its port, and every connection as a :class:`Peer`."""
    peers = Peers()
    everyone: list[Peer] = []
    running: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        everyone.append(peer)
        await peers.put(peer)
        if app is not None:
            running.append(asyncio.ensure_future(app(peer)))

    server = await asyncio.start_server(accept, host, port)
    try:
        yield server.sockets[0].getsockname()[1], peers
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for peer in everyone:
            await peer.close()


@dataclass
class Gateway:
    """A media gateway: keeps each call's metadata and audio, and can send a reply's audio."""

    url: str = ""
    calls: dict[str, ServerConnection] = field(default_factory=dict)
    metadata: list[str] = field(default_factory=list)
    frames: dict[str, list[bytes]] = field(default_factory=dict)
    closed_with: list[int | None] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, peer: ServerConnection) -> None:
        # In a call whose audio already flows, some of it may overtake the metadata.
        while not isinstance(first := await peer.recv(), str):
            pass
        self.metadata.append(first)
        call = json.loads(first)["call"]
        self.calls[call] = peer
        heard = self.frames.setdefault(call, [])
        async for message in peer:
            async with self.arrived:
                if isinstance(message, bytes):
                    heard.append(message)
                else:
                    self.metadata.append(message)
                self.arrived.notify_all()
        async with self.arrived:
            self.closed_with.append(peer.close_code)
            self.arrived.notify_all()

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S), self.arrived:
            await self.arrived.wait_for(wanted)

    async def speak(self, call: str, pcm: bytes) -> None:
        data = {"audioDataType": "raw", "sampleRate": 8000, "audioData": base64.b64encode(pcm).decode()}
        await self.calls[call].send(json.dumps({"type": "streamAudio", "data": data}))


@contextlib.asynccontextmanager
async def gateway(host: str = "127.0.0.1") -> AsyncIterator[Gateway]:
    found = Gateway()
    async with serve(found.handle, host, 0) as server:
        found.url = f"ws://{host}:{server.sockets[0].getsockname()[1]}/stream"
        yield found


def loudness(frame: bytes) -> float:
    samples = np.frombuffer(frame, dtype="<i2").astype(float)
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0

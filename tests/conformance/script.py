"""What every scripted conversation shares: how the recorder's app began and ended, and the comparison with its recording."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from tests.conformance.client import Peer, Peers, Received
from tests.conformance.compare import CHANCE, differences, own_messages
from tests.conformance.lines import BEFORE_A_SOCKET, ControlledLine, Line, SimulatedLine
from tests.conformance.recorded import RecordedLine, conversations

TONES = "tone_stream://%(300,100,440);loops="


@dataclass(frozen=True, slots=True)
class Call:
    """A call that an app has taken, with every event of its own."""

    line: Line
    uuid: str
    peer: Peer
    peers: Peers

    async def press(self, keys: str) -> None:
        await self.line.press(self.uuid, keys)

    async def variable(self, name: str) -> str:
        return await self.line.api(f"uuid_getvar {self.uuid} {name}")


@contextlib.asynccontextmanager
async def a_call(line: Line, *, mode: str = "async full", before: Sequence[str] = BEFORE_A_SOCKET) -> AsyncIterator[Call]:
    async with line.listening() as (port, peers):
        where = line.where(port).replace("async full", mode)
        uuid = await line.place(where, before=before)
        peer = await peers.get()
        await peer.send("connect")
        await listen(peer, uuid)
        yield Call(line, uuid, peer, peers)


async def listen(peer: Peer, uuid: str) -> None:
    """To everything of this call."""
    await peer.send(f"filter Unique-ID {uuid}")
    await peer.send("event plain all")


async def begin(line: Line, peers: Peers, *, linger: bool = True) -> tuple[Peer, str]:
    """As the recorder's app began."""
    peer = await peers.get()
    connected = await peer.send("connect")
    if linger:
        assert (await peer.send("linger 5")).headers["Reply-Text"] == "+OK will linger 5 seconds"
    assert (await peer.send("myevents")).headers["Reply-Text"] == "+OK Events Enabled"
    return peer, connected.headers["Unique-ID"]


async def needs_audio_stream(line: Line) -> None:
    if isinstance(line, ControlledLine) and "true" not in await line.api("module_exists mod_audio_stream"):
        pytest.skip("this switch has no mod_audio_stream")


async def finish(peer: Peer) -> None:
    await peer.hang_up()
    await peer.until_closed()


def assert_as_recorded(line: Line, recording: str, *peers: Peer, up_to: int | None = None) -> None:
    """One ``peer`` for each connection of the recording; ``up_to``: only so many of its messages (but CHANCE)."""
    if isinstance(line, RecordedLine):
        return
    for talk, peer in zip(conversations(recording), peers, strict=True):
        recorded = [m for m in talk.received() if m.kind() not in CHANCE][:up_to]
        stopped_reading = recorded[-1].content_type != "text/disconnect-notice"
        call_uuid = recorded[0].headers["Unique-ID"]
        seen = own_messages(peer.received, peer.received[0].headers["Unique-ID"])
        if stopped_reading:
            seen = [m for m in seen if m.kind() not in CHANCE][: len(recorded)]
        with_endpoint = isinstance(line, SimulatedLine)  # which pretends to be the recorded one: SIP
        found = differences(
            _without_targets(own_messages(recorded, call_uuid)), _without_targets(seen), endpoint=with_endpoint
        )  # fmt: skip
        assert not found, "\n".join(found)


def _without_targets(messages: list[Received]) -> list[Received]:
    """The destination of the transfer is each line's own."""
    for message in messages:
        headers = message.headers
        for name in ("Caller-RDNIS", "Channel-RDNIS"):
            headers.pop(name, None)
        message.order = [name for name in message.order if name in headers]
        if "transfer" in (headers.get("Application"), headers.get("variable_current_application")):
            for name in ("Application-Data", "variable_last_arg"):
                headers.pop(name, None)
    return messages

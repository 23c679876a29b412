"""Listening to a switch that is there, away, back again, of another password, or frozen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from esl_bridge.journal.events import CallEnded, JournalEvent, LastResortHeard, LastResortLeft
from esl_bridge.last_resort.watch import ControlPort, Watch
from simulator.channel import Identity
from simulator.config import AgentsConfig, SwitchConfig
from simulator.switch import Switch

CHAIN = Path(__file__).resolve().parents[3] / "deploy/freeswitch/dialplan/lifeline.xml"
LIMIT_S = 10.0


class Notes:
    def __init__(self) -> None:
        self.found: list[tuple[str, int, JournalEvent]] = []
        self._changed = asyncio.Event()

    def __call__(self, call_uuid: str, epoch: int, event: JournalEvent) -> None:
        self.found.append((call_uuid, epoch, event))
        self._changed.set()

    async def until(self, kind: type[JournalEvent]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not any(isinstance(event, kind) for _, _, event in self.found):
                self._changed.clear()
                await self._changed.wait()


def switch_at(folder: Path, port: int = 0) -> Switch:
    bridges = "127.0.0.1:1"
    agents = AgentsConfig(ring_s=(0.1, 0.1), talk_s=(0.1, 0.1))
    variables = (("lifeline_bridges_next", bridges),)
    config = SwitchConfig(
        dialplan=CHAIN, bridges=bridges, inbound_port=port, temp_dir=folder, agents=agents, variables=variables
    )  # fmt: skip
    return Switch(config)


@asynccontextmanager
async def watching(port: int, notes: Notes, password: str = "ClueCon", silent_s: float = 10.0) -> AsyncIterator[Watch]:
    watch = Watch(ControlPort("main", "127.0.0.1", port, password), notes, silent_s)
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def listening(watch: Watch) -> None:
    async with asyncio.timeout(LIMIT_S):
        await watch.is_listening.wait()


async def test_a_call_that_no_bridge_takes_is_heard_of_from_its_first_prompt_to_its_end(tmp_path: Path) -> None:
    switch, notes = switch_at(tmp_path), Notes()
    await switch.start()
    try:
        async with watching(switch.inbound_port, notes) as watch:
            await listening(watch)
            session = switch.place_call(Identity(destination="9200"), switch.answering(""))
            await notes.until(LastResortHeard)
            session.press("1")
            await notes.until(CallEnded)
    finally:
        await switch.stop()
    assert {call_uuid for call_uuid, _, _ in notes.found} == {session.channel.uuid}
    assert [type(event) for _, _, event in notes.found] == [LastResortHeard, LastResortLeft, CallEnded]


async def test_a_switch_that_was_away_is_listened_to_again(tmp_path: Path) -> None:
    first, notes = switch_at(tmp_path), Notes()
    await first.start()
    port = first.inbound_port
    async with watching(port, notes) as watch:
        await listening(watch)
        await first.stop()
        async with asyncio.timeout(LIMIT_S):
            while watch.is_listening.is_set():
                await asyncio.sleep(0.01)
        second = switch_at(tmp_path, port)
        await second.start()
        try:
            await listening(watch)
        finally:
            await second.stop()


async def test_a_wrong_password_is_no_listening(tmp_path: Path) -> None:
    switch, notes = switch_at(tmp_path), Notes()
    await switch.start()
    try:
        async with watching(switch.inbound_port, notes, "wrong") as watch:
            refused = asyncio.create_task(watch.is_listening.wait())
            done, _ = await asyncio.wait([refused], timeout=0.3)
            assert not done
            refused.cancel()
    finally:
        await switch.stop()


async def test_a_switch_that_stands_still_is_left_and_tried_again() -> None:
    connections: asyncio.Queue[None] = asyncio.Queue()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(None)
        writer.write(b"Content-Type: auth/request\n\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, watching(server.sockets[0].getsockname()[1], Notes(), silent_s=0.1), asyncio.timeout(LIMIT_S):
        await connections.get()
        await connections.get()

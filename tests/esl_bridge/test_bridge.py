"""The bridge on a real socket: strangers and malformed peers cost only themselves, and a call is taken as the chain expects."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import msgspec
import pytest

from ai_engine.circuits.board import CircuitBoard
from ai_engine.circuits.guard import turns_name
from ai_engine.engines.config import EngineConfig, EngineKind, Stage
from ai_engine.messages import (
    FIELD,
    TURNS_STREAM,
    Exchange,
    MediaConnected,
    MediaReport,
    SpeechStarted,
    TurnDone,
    TurnRequest,
    TurnTaken,
    decode_request,
    encode,
    results_stream,
)
from ai_engine.redis_clients import connect, connect_async
from ai_engine.turn_queue import publish_result
from callflows.definition.flow import FlowVersion, Snapshot
from callflows.definition.hours import Hours, Span
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.bridge import Bridge, BridgeConfig
from esl_bridge.calls import inputs as told
from esl_bridge.calls.listening import MEDIA_SILENCE_S
from esl_bridge.calls.to_switch import SwitchSettings
from esl_bridge.journal.events import CallEnded, CallStarted, Cause, Entry, IncidentClosed, IncidentOpened, JournalEvent, Outcome
from esl_bridge.journal.sender import Journal
from esl_bridge.journal.spool import Spool
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.recorded import from_freeswitch

UUID = "67f4668d-b17d-4b43-a9e9-a79e324546cd"


ENGINES = [EngineConfig(stage, stage, EngineKind.VOSK, "ws://127.0.0.1:1") for stage in Stage]

SWITCH = SwitchSettings("lifeline", "/prompts", "ws://127.0.0.1:1/stream")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def channel_data() -> bytes:
    """The recorded reply to ``connect``, to its blank line."""
    data = from_freeswitch("audio-reply")
    return data[: data.index(b"\n\n") + 2]


def commands_in(sent: bytes) -> list[bytes]:
    """The whole commands among the bytes; the body of a sendmsg is part of its command."""
    found = []
    while (end := sent.find(b"\n\n")) >= 0:
        length = re.search(rb"content-length: (\d+)", sent[:end])
        size = end + 2 + (int(length[1]) + 2 if length else 0)
        if len(sent) < size:
            break
        found.append(sent[:size])
        sent = sent[size:]
    return found


class LateBridge(Bridge):
    """A bridge whose clock can jump, as after a SIGSTOP, and whose wall clock can be set."""

    skipped_s = 0.0
    moment: datetime | None = None

    def wall_clock(self) -> datetime:
        return self.moment or super().wall_clock()

    def now(self) -> float:
        return super().now() + self.skipped_s


class Peer:
    """A switch that says what the test wants, and collects what the bridge sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.sent = b""

    async def until(self, text: bytes, *, after: int = 0) -> None:
        """It has sent it, beyond its first ``after`` bytes."""
        async with asyncio.timeout(5):
            while text not in self.sent[after:]:
                piece = await self.reader.read(65536)
                assert piece, f"the bridge closed; it had sent {self.sent!r}"
                self.sent += piece

    async def answer_everything(self, offer: str = "", *, until: bytes = b"api sched_del", answered: int = 1) -> int:
        """Reply to each command as a switch does, until ``until`` is among them: the bridge has deleted the dialplan's timer.
        ``offer``: their SDP. ``answered``: how many commands have been, `connect` for one. Returns how many are by now."""
        already = answered
        while True:
            sent = commands_in(self.sent)
            for command in sent[answered:]:
                if command.startswith(b"api sched_api"):
                    self.writer.write(answer("+OK Added: 4\n"))
                elif command.startswith(b"api uuid_getvar") and command.endswith(b" switch_r_sdp\n\n"):
                    self.writer.write(answer(offer))
                elif command.startswith(b"api "):
                    self.writer.write(answer("+OK\n"))
                else:
                    self.writer.write(b"Content-Type: command/reply\nReply-Text: +OK\n\n")
            answered = len(sent)
            if any(until in command for command in sent[already:]):
                return answered
            async with asyncio.timeout(5):
                self.sent += await self.reader.read(65536)

    async def finish_what_plays(self) -> None:
        """The prompt that was asked for last has been heard."""
        play_id = re.findall(rb"execute-app-name: playback\nEvent-UUID: (\S+)", self.sent)[-1].decode()
        file = re.findall(rb"\n\n(/prompts/\S+)", self.sent)[-1].decode()
        self.writer.write(event("PLAYBACK_START", "bridge-1:1", f"Playback-File-Path: {file}\n"))
        more = f"Application: playback\nApplication-UUID: {play_id}\nApplication-Response: FILE PLAYED\n"
        self.writer.write(event("CHANNEL_EXECUTE_COMPLETE", "bridge-1:1", more))

    async def cut_what_plays(self) -> None:
        play_id = re.findall(rb"execute-app-name: playback\nEvent-UUID: (\S+)", self.sent)[-1].decode()
        file = re.findall(rb"\n\n(/prompts/\S+)", self.sent)[-1].decode()
        self.writer.write(event("PLAYBACK_START", "bridge-1:1", f"Playback-File-Path: {file}\n"))
        heard = "variable_playback_samples: 16384\nvariable_playback_last_offset_pos: 4000\n"
        more = f"{heard}Application: playback\nApplication-UUID: {play_id}\nApplication-Response: FILE PLAYED\n"
        self.writer.write(event("CHANNEL_EXECUTE_COMPLETE", "bridge-1:1", more))

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                while piece := await self.reader.read(65536):
                    self.sent += piece
            except ConnectionResetError:
                pass
        await self.leave()
        return True

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Running:
    def __init__(
        self, tmp_path: Path, durable: str, volatile: str, *, allow: list[str], max_calls: int = 10, ai: bool = False,
        at: tuple[str, int] | None = None, switch: SwitchSettings = SWITCH, per_address: int = 0,
    ) -> None:  # fmt: skip
        self.host, self.port = at or ("127.0.0.1", free_port())
        self._client = connect_async(durable)
        self.board = CircuitBoard(durable, ENGINES if ai else [], "bridge-1", local=[turns_name("bridge-1")])
        self._journals = tmp_path
        self.journal = Journal(tmp_path, self._client)
        config = BridgeConfig("bridge-1", self.host, self.port, allow, "secret", volatile, max_calls, switch, per_address)
        self._stop = asyncio.Event()
        self._bridge = LateBridge(config, lambda: Snapshot((demonstration(),)), self.board, self.journal, ActionRunner())
        self._task = asyncio.create_task(self._bridge.run(self._stop, 0.1))

    async def listening(self) -> None:
        await (await self.connect()).leave()

    def serve(self, flow: FlowVersion, at: datetime) -> None:
        """This flow, at this moment by the bridge's wall clock."""
        self._bridge._flows = lambda: Snapshot((flow,))
        self._bridge.moment = at

    def skip(self, seconds: float) -> None:
        self._bridge.skipped_s += seconds

    def time_passes(self) -> None:
        """Its alarm rings by the real clock, which has not been skipped."""
        self._bridge._by_call[UUID].feed(told.TimePassed())

    async def has_read_the_answer_to(self, what: str) -> None:
        conversation = self._bridge._by_call[UUID]._conversation
        async with asyncio.timeout(5):
            while any(tag.what == what for _command, tag in conversation._pending):
                await asyncio.sleep(0.001)

    async def has_guests(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self._bridge._guests) != count:
                await asyncio.sleep(0.001)

    async def has_read_of(self, call_uuid: str) -> None:
        async with asyncio.timeout(5):
            while all(session.call_uuid != call_uuid for session in self._bridge._guests):
                await asyncio.sleep(0.001)

    @property
    def is_held(self) -> bool:
        return self._bridge._by_call[UUID].call.is_held

    async def has_put_off(self, events: int) -> None:
        session = self._bridge._by_call[UUID]
        async with asyncio.timeout(5):
            while len(session._held or ()) != events:
                await asyncio.sleep(0.001)

    async def has_read_every_answer(self) -> None:
        conversation = self._bridge._by_call[UUID]._conversation
        async with asyncio.timeout(5):
            while conversation._pending:
                await asyncio.sleep(0.001)

    def journalled(self) -> list[JournalEvent]:
        """What its spool holds of the call, in order."""
        return [entry.event for entry in self.journal_entries()]

    def journal_entries(self) -> list[Entry]:
        (folder,) = (path for path in self._journals.iterdir() if path.is_dir())
        spool = Spool(folder, os.open(os.devnull, os.O_RDONLY))
        try:
            return [entry for entry in spool.read_after(0, 1000) if entry.call_uuid == UUID]
        finally:
            spool.close()

    async def connect(self) -> Peer:
        async with asyncio.timeout(5):
            while True:
                try:
                    return Peer(*await asyncio.open_connection(self.host, self.port))
                except OSError:
                    await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()

    def has_stopped(self) -> bool:
        return self._task.done()

    async def close(self) -> None:
        self.stop()
        await self._task
        await self.board.close()
        self.journal.close()
        await self._client.aclose()


@pytest.fixture
async def bridge_with_ai(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], ai=True)
    yield running
    await running.close()


@pytest.fixture
async def bridge(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"])
    yield running
    await running.close()


async def test_a_call_is_taken_as_the_chain_expects(bridge: Running) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    # The recorded call dialled 9000; this flow takes 9200.
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(b"execute-app-name")
    sent = peer.sent
    assert sent.index(b"linger 120") < sent.index(f"filter Unique-ID {UUID}".encode()) < sent.index(b"event plain")
    assert b"ll_owner=bridge-1:1" in sent
    assert f"api sched_api +6 ll-{UUID} uuid_transfer {UUID} ll-silent XML lifeline".encode() in sent
    await peer.leave()


@pytest.mark.parametrize(("hour", "greeted"), [(12, b"/greeting.wav"), (20, b"/closed_greeting.wav")])
async def test_opening_hours_go_by_the_wall_clock_at_which_the_call_came(bridge: Running, hour: int, greeted: bytes) -> None:
    hours = Hours("UTC", ((Span(9 * 60, 17 * 60),),) * 7)
    bridge.serve(msgspec.structs.replace(demonstration(), hours=hours), datetime(2026, 11, 24, hour, tzinfo=UTC))
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(greeted)
    await peer.leave()


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\n\n", b"Content-Length: many\n\n", b"Content-Type: api/response\n\n"]
)
async def test_a_malformed_peer_is_closed_and_the_next_call_is_served(bridge: Running, garbage: bytes) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(garbage)
    assert await peer.closed()
    following = await bridge.connect()
    await following.until(b"connect\n\n")
    await following.leave()


async def test_a_call_that_no_flow_takes_goes_to_the_last_resort(bridge: Running) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data())
    await peer.until(f"api uuid_transfer {UUID} ll-last-resort XML lifeline".encode())
    await peer.leave()


async def test_an_address_that_is_not_listed_is_refused(tmp_path: Path, durable_redis: str, volatile_redis: str) -> None:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["10.0.0.0/8"])
    peer = await running.connect()
    assert await peer.closed()
    assert peer.sent == b""
    await running.close()


async def test_a_full_bridge_refuses_so_that_the_dialplan_goes_on(tmp_path: Path, durable_redis: str, volatile_redis: str) -> None:
    running = Running(tmp_path, durable_redis, volatile_redis, allow=["127.0.0.0/8"], max_calls=1)
    peers = []
    for _ in range(2):
        peer = await running.connect()
        await peer.until(b"connect\n\n")
        peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
        await peer.until(b"execute-app-name")
        peers.append(peer)
    refused = await running.connect()
    assert await refused.closed()
    assert refused.sent == b""
    for peer in peers:
        await peer.leave()
    await running.close()


# --- After a stall: whose call is it? ---

EVENT = "Event-Name: {name}\nUnique-ID: {uuid}\nvariable_ll_holder: {owner}\n{more}\n"


# No engine is usable here, so that the call begins in the menu.
TAKEN = ["CallStarted", "FellBack", "StepEntered"]


def event(name: str, owner: str, more: str = "") -> bytes:
    body = EVENT.format(name=name, uuid=UUID, owner=owner, more=more).encode()
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n" % len(body) + body


def answer(text: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode()


async def taken_call(bridge: Running) -> Peer:
    """A call whose every command was answered, so that the next answer is that to the next question."""
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(b"execute-app-name")
    await peer.answer_everything()
    return peer


async def test_two_visits_of_a_call_that_come_here_at_once_have_an_epoch_each_and_one_incident(bridge: Running) -> None:
    """The switch tells both of the owner before, since it has read of neither."""
    kept = b"variable_sip_req_user: 9200\nvariable_ll_owner: bridge-2%3A1\nvariable_ll_mode: fallback\nvariable_ll_step: menu"
    offered = channel_data().replace(b"variable_sip_req_user: 9000", kept)
    peers = [await bridge.connect(), await bridge.connect()]
    for number, peer in enumerate(peers, 2):
        await peer.until(b"connect\n\n")
        peer.writer.write(offered)
        await peer.until(f"ll_owner=bridge-1:{number};".encode())
    entries = bridge.journal_entries()
    assert [entry.epoch for entry in entries if isinstance(entry.event, CallStarted)] == [2, 3]
    assert [entry.epoch for entry in entries if isinstance(entry.event, IncidentOpened)] == [2]
    peers[1].writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-1:3", "Hangup-Cause: NORMAL_CLEARING\n"))
    for peer in peers:
        peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
        assert await peer.closed()
    ended = [entry for entry in bridge.journal_entries() if isinstance(entry.event, IncidentClosed | CallEnded)]
    assert [(entry.epoch, type(entry.event)) for entry in ended] == [(3, IncidentClosed), (3, CallEnded)]


async def test_who_takes_a_call_says_whom_to_ask_for_it_next_and_names_itself_last(bridge: Running) -> None:
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    asked = f"127.0.0.1%3A{bridge.port}|10.0.0.9%3A8084%20async%20full"
    offered = re.sub(rb"(?<=variable_current_application_data: )\S+", asked.encode(), channel_data())
    peer.writer.write(offered.replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(f";ll_bridges=10.0.0.9:8084|127.0.0.1:{bridge.port}".encode())
    await peer.leave()


async def asks_after_a_stall(bridge: Running) -> Peer:
    """It stood still for longer than its timer takes, a key is told, and it asks the switch whose the call is."""
    peer = await taken_call(bridge)
    bridge.skip(7.0)
    peer.writer.write(event("DTMF", "bridge-1:1", "DTMF-Digit: 1\n"))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    return peer


async def test_after_a_stall_a_call_that_another_bridge_has_is_left_alone(bridge: Running) -> None:
    peer = await asks_after_a_stall(bridge)
    already = len(peer.sent)
    peer.writer.write(answer("chain"))
    peer.writer.write(event("DTMF", "bridge-2:2", "DTMF-Digit: 1\n"))
    peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-2:2", "Hangup-Cause: NORMAL_CLEARING\n"))
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    assert peer.sent[already:] == b""
    assert [type(made).__name__ for made in bridge.journalled()] == TAKEN


@pytest.mark.parametrize(("stands", "stays"), [("bridge-1:1", True), ("bridge-2:1", False)])
async def test_of_two_that_took_a_call_for_the_same_the_one_whose_name_stands_keeps_it(
    bridge: Running, stands: str, *, stays: bool
) -> None:
    peer = await taken_call(bridge)
    peer.writer.write(event("DTMF", "bridge-2:1", "DTMF-Digit: *\n"))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    asked = len(peer.sent)
    peer.writer.write(answer(stands))
    peer.writer.write(event("DTMF", stands, "DTMF-Digit: *\n"))
    if stays:
        await peer.until(b"uuid_break")
    else:
        peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", stands, "Hangup-Cause: NORMAL_CLEARING\n"))
        peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
        assert await peer.closed()
        said = commands_in(peer.sent[asked:])
        assert all(command.startswith(b"api sched_del 4") for command in said), said
    await peer.leave()


async def test_after_a_stall_a_call_that_is_still_ours_goes_on_and_its_timer_comes_first(bridge: Running) -> None:
    peer = await asks_after_a_stall(bridge)
    already = len(peer.sent)
    peer.writer.write(answer("bridge-1:1"))
    await peer.until(b"ll_visit=")
    assert peer.sent[already:].startswith(f"api sched_api +6 ll-{UUID}".encode())
    await peer.leave()


async def test_a_timer_armed_for_a_call_that_was_ours_when_the_switch_was_asked_is_taken_back(bridge: Running) -> None:
    peer = await asks_after_a_stall(bridge)
    already = len(peer.sent)
    peer.writer.write(answer("bridge-1:1"))
    await peer.until(b"sched_api +6", after=already)
    # Until here the old timer has fired, and another has the call: its sound is told before the answer.
    peer.writer.write(event("PLAYBACK_START", "bridge-2:2", "Playback-File-Path: /prompts/theirs.wav\n"))
    peer.writer.write(answer("+OK Added: 77\n"))
    await peer.until(b"api sched_del 77\n\n")
    await peer.leave()


async def test_a_caller_who_went_during_the_stall_is_recorded_by_the_bridge_the_switch_names(bridge: Running) -> None:
    peer = await asks_after_a_stall(bridge)
    peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-1:1", "Hangup-Cause: NORMAL_CLEARING\n"))
    peer.writer.write(answer("-ERR No such channel!\n"))
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    made = [type(one).__name__ for one in bridge.journalled()]
    assert made[: len(TAKEN)] == TAKEN
    assert made[len(TAKEN)] == "StepEntered", "the key came before the end, and it was ours"
    assert made[-3:] == ["IncidentOpened", "IncidentClosed", "CallEnded"], "they went in a silence of ours: that is a drop"
    (closed,) = [one for one in bridge.journalled() if isinstance(one, IncidentClosed)]
    assert closed.outcome is Outcome.DROPPED


async def test_reports_that_waited_in_the_queue_during_a_stall_are_read_before_anybody_is_blamed(
    bridge_with_ai: Running, volatile_redis: str
) -> None:
    client, at_once = connect_async(volatile_redis), connect(volatile_redis)
    await client.delete(TURNS_STREAM)
    peer = await taken_call(bridge_with_ai)
    await publish_result(client, "bridge-1", MediaConnected(UUID, "gateway-1", 1))
    await peer.finish_what_plays()
    await peer.until(b'send_text {"listen":')
    turn = int(re.findall(rb'{"listen":(\d+)', peer.sent)[-1])
    await publish_result(client, "bridge-1", TurnTaken(UUID, turn, "worker-1", 1.0))
    await peer.until(b"api sched_del")
    already = len(peer.sent)
    at_once.xadd(results_stream("bridge-1"), {FIELD: encode(MediaReport(UUID, turn, 12))})
    at_once.close()
    time.sleep(MEDIA_SILENCE_S + 0.5)  # noqa: ASYNC251 - this process stands still: that is the test
    await publish_result(client, "bridge-1", TurnDone(UUID, turn, "words", "", 0.9, {}, "", False, ()))
    while b"execute-app-name: playback" not in peer.sent[already:]:
        async with asyncio.timeout(5):
            peer.sent += await peer.reader.read(65536)
    assert "IncidentOpened" not in [type(one).__name__ for one in bridge_with_ai.journalled()]
    await peer.leave()
    await client.aclose()


# --- After a failure: is the call still up? ---

STREAM_GONE = "Event-Subclass: mod_audio_stream::disconnect\n"


async def test_a_caller_who_hangs_up_is_no_failure_of_the_audio_that_ends_with_them(bridge_with_ai: Running) -> None:
    """Seen on a real switch: the audio's connection closes some milliseconds before the hang-up is told."""
    peer = await taken_call(bridge_with_ai)
    peer.writer.write(event("CUSTOM", "bridge-1:1", STREAM_GONE))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    await peer.finish_what_plays()
    peer.writer.write(answer("-ERR No such channel!\n"))
    peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-1:1", "Hangup-Cause: NORMAL_CLEARING\n"))
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    made = [type(one).__name__ for one in bridge_with_ai.journalled()]
    assert made[-1] == "CallEnded"
    assert {"IncidentOpened", "FellBack"}.isdisjoint(made)


async def test_an_end_that_is_told_long_after_the_call_was_denied_is_no_stall_of_ours(bridge_with_ai: Running) -> None:
    """A switch writes its call records before it tells the end: over HTTP that may take longer than any timer of ours stands."""
    peer = await taken_call(bridge_with_ai)
    peer.writer.write(event("CUSTOM", "bridge-1:1", STREAM_GONE))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    peer.writer.write(answer("-ERR No such channel!\n"))
    await bridge_with_ai.has_read_every_answer()
    bridge_with_ai.skip(7.0)
    peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-1:1", "Hangup-Cause: NORMAL_CLEARING\n"))
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    made = [type(one).__name__ for one in bridge_with_ai.journalled()]
    assert made[-1] == "CallEnded"
    assert {"IncidentOpened", "FellBack"}.isdisjoint(made)


LINGERS = b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nLinger-Time: 120\nContent-Length: 0\n\n"


@pytest.mark.parametrize("is_told", [True, False])
async def test_between_a_call_s_end_and_the_word_of_it_nothing_is_decided(bridge_with_ai: Running, is_told: bool) -> None:
    """A switch tells of it when its call records are written; their server may take minutes, or never answer."""
    peer = await taken_call(bridge_with_ai)
    peer.writer.write(LINGERS)
    await peer.cut_what_plays()
    await bridge_with_ai.has_put_off(2)
    already = len(peer.sent)
    bridge_with_ai.skip(60.0)
    if is_told:
        peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-1:1", "Hangup-Cause: NORMAL_CLEARING\n"))
    else:
        peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed(), "with the last event, or with the last notice"
    assert peer.sent[already:] == b""
    made = bridge_with_ai.journalled()
    assert made[-1] == (CallEnded("NORMAL_CLEARING", "caller") if is_told else CallEnded("FOUND_GONE", "unknown"))
    assert not any(isinstance(one, IncidentOpened) for one in made)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_caller_who_went_before_the_call_was_ours_is_no_call_that_was_lost(bridge_with_ai: Running, answers: bool) -> None:
    """Seen in a chaos run: who hangs up between `connect` and our asking for events was looked up later, and taken for lost."""
    peer = await bridge_with_ai.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.until(b"execute-app-name")
    if answers:
        for command in commands_in(peer.sent)[1:]:
            gone = command.startswith(b"api ")
            reply = answer("-ERR No such channel!\n") if gone else b"Content-Type: command/reply\nReply-Text: +OK\n\n"
            peer.writer.write(reply)
        await bridge_with_ai.has_read_every_answer()
        bridge_with_ai.skip(9.0)
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    made = bridge_with_ai.journalled()
    assert made[-1] == CallEnded("FOUND_GONE", "unknown")
    assert not any(isinstance(one, IncidentOpened) for one in made)


async def test_a_prompt_cut_by_the_loss_of_the_call_was_not_heard_and_is_no_failure(bridge_with_ai: Running) -> None:
    """An old socket of the call closes: the switch takes it from us, ends what plays, and only then enters the chain."""
    peer = await taken_call(bridge_with_ai)
    await peer.cut_what_plays()
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    already = len(peer.sent)
    peer.writer.write(answer("chain"))
    peer.writer.write(event("CHANNEL_HANGUP_COMPLETE", "bridge-2:2", "Hangup-Cause: NORMAL_CLEARING\n"))
    peer.writer.write(b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n")
    assert await peer.closed()
    assert peer.sent[already:] == b""
    assert [type(one).__name__ for one in bridge_with_ai.journalled()] == ["CallStarted", "StepEntered"]


async def test_a_prompt_cut_by_somebody_who_moves_the_call_is_followed_by_nothing_of_ours(bridge_with_ai: Running) -> None:
    peer = await taken_call(bridge_with_ai)
    await peer.cut_what_plays()
    peer.writer.write(event("CHANNEL_EXECUTE_COMPLETE", "bridge-1:1", "Application: socket\nAnswer-State: answered\n"))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    already = len(peer.sent)
    peer.writer.write(answer("bridge-1:1"))
    peer.writer.write(event("CHANNEL_BRIDGE", "bridge-1:1", ""))
    await peer.until(b"api uuid_setvar_multi " + UUID.encode() + b" socket_resume=false;originate_disposition=SUCCESS")
    said = peer.sent[already:]
    assert b"execute-app-name" not in said
    assert b"uuid_break" not in said
    assert b"api sched_del 4" in said
    await peer.leave()
    assert [type(one).__name__ for one in bridge_with_ai.journalled()][2:] == ["AgentJoined", "StepEntered"]


async def test_audio_that_ends_in_a_call_that_is_up_takes_the_caller_to_the_menu(bridge_with_ai: Running) -> None:
    peer = await taken_call(bridge_with_ai)
    peer.writer.write(event("CUSTOM", "bridge-1:1", STREAM_GONE))
    await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    peer.writer.write(answer("bridge-1:1"))
    await peer.finish_what_plays()
    await peer.until(b"ll_mode=fallback")
    await peer.leave()
    made = [type(one).__name__ for one in bridge_with_ai.journalled()]
    assert made[3:5] == ["IncidentOpened", "FellBack"]


# --- Slow and dead peers ---


async def test_a_switch_that_stops_reading_costs_only_its_own_call(bridge: Running) -> None:
    """What it does not take piles up to a bound; then its call is the dialplan's, and others never noticed."""
    deaf = await taken_call(bridge)
    cast("asyncio.Transport", deaf.writer.transport).pause_reading()
    flood = event("DTMF", "bridge-1:1", "DTMF-Digit: 1\n") + event("DTMF", "bridge-1:1", "DTMF-Digit: *\n")

    async def press_keys() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                deaf.writer.write(flood * 200)
                await deaf.writer.drain()

    pressing = asyncio.create_task(press_keys())
    other = await bridge.connect()
    await other.until(b"connect\n\n")
    other.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await other.until(b"execute-app-name")
    await other.leave()
    async with asyncio.timeout(20):
        await pressing
    await deaf.leave()


async def test_a_voice_over_the_greeting_breaks_it_off_on_the_wire_and_the_turn_is_published(
    bridge_with_ai: Running, volatile_redis: str
) -> None:
    client = connect_async(volatile_redis)
    await client.delete(TURNS_STREAM)
    peer = await bridge_with_ai.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.answer_everything()
    await peer.until(b"execute-app-name: playback")
    file = re.findall(rb"\n\n(/prompts/\S+)", peer.sent)[-1].decode()
    peer.writer.write(event("PLAYBACK_START", "bridge-1:1", f"Playback-File-Path: {file}\n"))
    await publish_result(client, "bridge-1", MediaConnected(UUID, "gateway-1", 1))
    await peer.until(b'send_text {"watch":')
    turn = int(re.findall(rb'{"watch":(\d+)}', peer.sent)[-1])
    assert b"uuid_break" not in peer.sent
    assert await client.xlen(TURNS_STREAM) == 0
    await publish_result(client, "bridge-1", SpeechStarted(UUID, turn))
    await peer.until(b"uuid_break")
    entries: Any = []
    async with asyncio.timeout(5):
        while not entries:
            entries = await client.xrange(TURNS_STREAM)
    assert decode_request(entries[0][1][FIELD]).turn == turn
    await peer.leave()
    await client.aclose()


async def test_a_turn_that_redis_does_not_take_in_time_fails_itself(bridge_with_ai: Running, volatile_redis: str) -> None:
    peer = await bridge_with_ai.connect()
    await peer.until(b"connect\n\n")
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await peer.answer_everything()
    answered = len(commands_in(peer.sent))
    await peer.until(b"execute-app-name: playback")
    file = re.findall(rb"\n\n(/prompts/\S+)", peer.sent)[-1].decode()
    peer.writer.write(event("PLAYBACK_START", "bridge-1:1", f"Playback-File-Path: {file}\n"))
    client = connect_async(volatile_redis)
    await publish_result(client, "bridge-1", MediaConnected(UUID, "gateway-1", 1))
    await peer.until(b'send_text {"watch":')
    turn = int(re.findall(rb'{"watch":(\d+)}', peer.sent)[-1])
    await publish_result(client, "bridge-1", SpeechStarted(UUID, turn))
    await client.client_pause(5000, all=False)
    try:
        await peer.until(f"api uuid_getvar {UUID} ll_holder".encode())
    finally:
        await client.client_unpause()
        await client.aclose()
    for command in commands_in(peer.sent)[answered:]:
        told = answer("bridge-1:1" if b"ll_holder" in command else "+OK\n")
        peer.writer.write(told if command.startswith(b"api ") else b"Content-Type: command/reply\nReply-Text: +OK\n\n")
    await peer.until(b"ll_mode=fallback")
    (opened,) = [made for made in bridge_with_ai.journalled() if isinstance(made, IncidentOpened)]
    assert (opened.cause, opened.kind, opened.turn) == (Cause.QUEUE, "not_published", turn)
    await peer.leave()


@pytest.mark.parametrize("end", ["before it could be told", "told", "never told"])
async def test_who_is_back_from_a_hold_is_not_left_in_silence_by_the_heir(bridge: Running, end: str) -> None:
    """Of a hold that began before the call moved FreeSWITCH tells no end (tried); the newest offer says it."""
    peer = await bridge.connect()
    await peer.until(b"connect\n\n")
    held = "v=0\r\nm=audio 6000 RTP/AVP 8\r\na=sendonly\r\n"
    kept = b"variable_sip_req_user: 9200\nvariable_ll_owner: bridge-2%3A1\nvariable_ll_holder: chain\nvariable_ll_step: listening"
    kept += b"\nvariable_switch_r_sdp: " + quote(held).encode()
    peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", kept))
    await peer.until(b"switch_r_sdp\n\n")
    assert b"execute-app-name: playback" not in peer.sent, "as far as is known they hear nothing"
    back = held.replace("sendonly", "sendrecv")
    answered = await peer.answer_everything(back if end == "before it could be told" else held, until=b" switch_r_sdp")
    if end != "before it could be told":
        await bridge.has_read_the_answer_to("offer")
        assert bridge.is_held
    if end == "told":
        peer.writer.write(event("CHANNEL_UNHOLD", "bridge-1:2", ""))
    elif end == "never told":
        # With the timer, which is armed anew every few seconds, their offer is asked for.
        answered = await peer.answer_everything(held, answered=answered)
        await bridge.has_read_every_answer()
        bridge.skip(4.2)
        bridge.time_passes()
        await peer.answer_everything(back, until=b" switch_r_sdp", answered=answered)
    await peer.until(b"execute-app-name: playback")
    await peer.leave()


async def test_what_was_said_before_is_kept_on_the_switch_and_the_next_owner_goes_on_with_it(
    bridge_with_ai: Running, volatile_redis: str
) -> None:
    client = connect_async(volatile_redis)
    await client.delete(TURNS_STREAM)
    first = await bridge_with_ai.connect()
    await first.until(b"connect\n\n")
    first.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
    await first.answer_everything()
    await first.until(b"execute-app-name: playback")
    await publish_result(client, "bridge-1", MediaConnected(UUID, "gateway-1", 1))
    await first.finish_what_plays()
    await first.until(b"ll_said_1=")
    while (found := re.search(rb"ll_said_1=([\w-]+);", first.sent)) is None:
        await first.until(b"\n\n")
    await first.leave()

    kept = b"\nvariable_ll_owner: bridge-1%3A1\nvariable_ll_holder: chain\nvariable_ll_step: intent\nvariable_ll_mode: ai"
    kept += b"\nvariable_ll_said_1: " + found[1]
    second = await bridge_with_ai.connect()
    await second.until(b"connect\n\n")
    dialled = b"variable_sip_req_user: 9200"
    second.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", dialled + kept))
    await second.answer_everything()
    await second.until(b"execute-app-name: playback")
    await publish_result(client, "bridge-1", MediaConnected(UUID, "gateway-1", 2))
    await second.finish_what_plays()
    asked: list[TurnRequest] = []
    async with asyncio.timeout(5):
        while not asked:
            entries: Any = await client.xrange(TURNS_STREAM)
            asked = [turn for turn in (decode_request(entry[1][FIELD]) for entry in entries) if turn.epoch == 2]
    # What the first owner said, and then what this one did.
    assert len(asked[0].history) == 2
    assert asked[0].history[0] == Exchange("lifeline", demonstration().system.greeting.text)
    await second.leave()
    await client.aclose()

"""A bridge with nothing but its disk: no database, no Redis of either kind, no AI."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from esl_bridge.journal.events import CallEnded, CallStarted, IncidentClosed, IntentServed, Outcome
from simulator.records import Outcome as Came
from tests.bridge_process.bridges import BridgeProcess, Calls
from tests.esl_bridge.test_bridge import UUID, Peer, channel_data
from tests.published import Flows


@pytest.mark.django_db
async def test_it_takes_a_call_and_stops_in_good_order_with_the_journal_on_its_disk(flows: Flows, tmp_path: Path) -> None:
    bridge = BridgeProcess("bridge-1", tmp_path, flows, LIFELINE_DRAIN_S="0")
    try:
        await bridge.listening()
        peer = Peer(*await asyncio.open_connection("127.0.0.1", bridge.port))
        await peer.until(b"connect\n\n")
        peer.writer.write(channel_data().replace(b"variable_sip_req_user: 9000", b"variable_sip_req_user: 9200"))
        await peer.until(b"execute-app-name: playback")
        await peer.until(str(flows.prompt_dir).encode())
    finally:
        bridge.stop()
    assert await peer.closed()
    assert bridge.process.returncode == 0, bridge.log
    assert "Traceback" not in bridge.log
    started = [entry for entry in bridge.journalled() if isinstance(entry.event, CallStarted)]
    assert [entry.call_uuid for entry in started] == [UUID]


@pytest.mark.slow
@pytest.mark.django_db
async def test_it_serves_a_caller_to_the_end(flows: Flows, tmp_path: Path) -> None:
    bridge = BridgeProcess("bridge-1", tmp_path, flows)
    try:
        await bridge.listening()
        here = f"127.0.0.1:{bridge.port}"
        (record,) = await Calls(flows, tmp_path, [here], scenario="keys_opening_hours").place()
    finally:
        bridge.stop()
    assert record.outcome is Came.FINISHED, (record, bridge.log)
    events = [entry.event for entry in bridge.journalled()]
    assert any(isinstance(event, IntentServed) for event in events), "the action runs in the bridge, without anybody"
    assert len([event for event in events if isinstance(event, CallEnded)]) == 1
    assert {event.outcome for event in events if isinstance(event, IncidentClosed)} <= {Outcome.FAILED_OVER}

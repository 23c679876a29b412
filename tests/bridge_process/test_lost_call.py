"""A bridge that stands still loses its call, and wakes while another has it: it says nothing more, and the end is told once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from esl_bridge.journal.events import CallEnded, CallStarted, IncidentClosed, Outcome
from simulator.records import CallRecord
from simulator.records import Outcome as Came
from tests.bridge_process.bridges import BridgeProcess, Calls, Tap
from tests.esl_bridge.test_bridge import commands_in
from tests.published import Flows

# The dead man's timer (6 s at most) and what a busy machine adds.
TAKEN_LIMIT_S = 15.0
SETTLED_S = 60.0


async def until(condition: Callable[[], object], what: str, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {limit_s:g} s: {what}") from None


def heirs(bridge: BridgeProcess) -> list[int]:
    return [entry.epoch for entry in bridge.journalled() if isinstance(entry.event, CallStarted)]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.timeout(180)
async def test_it_asks_whose_the_call_is_and_sends_nothing_else(flows: Flows, tmp_path: Path) -> None:
    first, second = (BridgeProcess(name, tmp_path, flows) for name in ("bridge-1", "bridge-2"))
    tap = Tap(first.port)
    try:
        await asyncio.gather(first.listening(), second.listening())
        async with tap.open():
            # The dead man's timer sends the call to the second list, as the deployed dialplan has it.
            lists = [f"127.0.0.1:{tap.port}|127.0.0.1:{second.port}", f"127.0.0.1:{second.port}|127.0.0.1:{tap.port}"]
            calls = Calls(flows, tmp_path, lists, scenario="keys_balance")
            placed: asyncio.Task[list[CallRecord]] = asyncio.create_task(calls.place())
            await until(lambda: b"ll_mode=fallback" in tap.sent, "the caller in the menu", SETTLED_S)
            first.freeze()
            await until(lambda: heirs(second), "the second bridge has the call", TAKEN_LIMIT_S)
            already = len(tap.sent)
            first.thaw()
            # Its first word after the stall; then it has every occasion to say more, until the call is over.
            await until(lambda: len(tap.sent) > already, "it asks", SETTLED_S)
            (record,) = await placed
            said = [command.split(b"\n")[0] for command in commands_in(tap.sent[already:])]
            await until(lambda: any(isinstance(one.event, CallEnded) for one in second.journalled()), "the end", SETTLED_S)
    finally:
        first.stop()
        second.stop()
    assert record.outcome is Came.FINISHED, (record, first.log, second.log)
    assert {line.split()[1] for line in said} == {b"uuid_getvar"}, said
    assert len(said) == 1, said

    entries = first.journalled() + second.journalled()
    ends = [entry for entry in entries if isinstance(entry.event, CallEnded)]
    assert [entry.epoch for entry in ends] == [2]
    assert heirs(first) == [1]
    assert heirs(second) == [2]
    closed = [entry for entry in entries if isinstance(entry.event, IncidentClosed)]
    assert {entry.event.outcome for entry in closed} <= {Outcome.FAILED_OVER, Outcome.RECOVERED}  # type: ignore[union-attr]
    assert len({entry.event.incident_id for entry in closed}) == len(closed), "an incident ends once"  # type: ignore[union-attr]
    # Nothing of the first one's is later than what the second began with.
    taken_at = min(entry.at_us for entry in entries if entry.epoch == 2)
    assert all(entry.at_us < taken_at for entry in entries if entry.epoch == 1)

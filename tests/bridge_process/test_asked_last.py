"""Whoever had a call is asked last for it, also where the dialplan's next list begins with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from esl_bridge.journal.events import Mode, StepEntered
from simulator.records import CallRecord
from simulator.records import Outcome as Came
from tests.bridge_process.bridges import BridgeProcess, Calls
from tests.bridge_process.test_lost_call import SETTLED_S, TAKEN_LIMIT_S, heirs, until
from tests.free_ports import free_port
from tests.published import Flows


def is_in_the_menu(bridge: BridgeProcess) -> bool:
    return any(isinstance(one.event, StepEntered) and one.event.mode is Mode.FALLBACK for one in bridge.journalled())


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.timeout(180)
async def test_the_next_has_the_call_of_a_bridge_that_froze_and_was_not_the_first_of_its_list(flows: Flows, tmp_path: Path) -> None:
    """By the lists alone the frozen one is asked again, for five seconds, and then it is the last resort that has the call."""
    first, second = (BridgeProcess(name, tmp_path, flows) for name in ("bridge-1", "bridge-2"))
    try:
        await asyncio.gather(first.listening(), second.listening())
        nobody, one, other = (f"127.0.0.1:{port}" for port in (free_port(), first.port, second.port))
        calls = Calls(flows, tmp_path, [f"{nobody}|{one}|{other}", f"{one}|{other}|{nobody}"], scenario="keys_balance")
        placed: asyncio.Task[list[CallRecord]] = asyncio.create_task(calls.place())
        await until(lambda: is_in_the_menu(first), "the caller in the menu", SETTLED_S)
        first.freeze()
        await until(lambda: heirs(second), "the second bridge has the call", TAKEN_LIMIT_S)
        (record,) = await placed
    finally:
        first.stop()
        second.stop()
    assert record.outcome is Came.FINISHED, (record, first.log, second.log)
    assert (heirs(first), heirs(second)) == ([1], [2])

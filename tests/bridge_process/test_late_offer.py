"""A bridge that stands still between `connect` and its answer: another has the call when it wakes, and keeps it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from esl_bridge.journal.events import CallEnded
from simulator.records import CallRecord
from simulator.records import Outcome as Came
from tests.bridge_process.bridges import BridgeProcess, Calls, Tap
from tests.bridge_process.test_lost_call import SETTLED_S, TAKEN_LIMIT_S, heirs, until
from tests.esl_bridge.test_bridge import commands_in
from tests.published import Flows

# The dialplan's own timer takes the call within five.
STALL_S = 5.5


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.timeout(180)
async def test_it_asks_again_and_neither_takes_the_call_back_nor_closes_its_socket(flows: Flows, tmp_path: Path) -> None:
    first, second = (BridgeProcess(name, tmp_path, flows) for name in ("bridge-1", "bridge-2"))
    frozen_at: list[float] = []

    def freeze() -> None:
        first.freeze()
        frozen_at.append(time.monotonic())

    tap = Tap(first.port, at_first_word=freeze)
    try:
        await asyncio.gather(first.listening(), second.listening())
        async with tap.open():
            lists = [f"127.0.0.1:{tap.port}|127.0.0.1:{second.port}", f"127.0.0.1:{second.port}|127.0.0.1:{tap.port}"]
            calls = Calls(flows, tmp_path, lists, scenario="keys_balance")
            placed: asyncio.Task[list[CallRecord]] = asyncio.create_task(calls.place())
            await until(lambda: heirs(second), "the second bridge has the call", TAKEN_LIMIT_S)
            assert tap.sent == b"connect\n\n", "the first has read no answer"
            await until(lambda: time.monotonic() - frozen_at[0] > STALL_S, "a long stall", TAKEN_LIMIT_S)
            first.thaw()
            # It has every occasion to say more, until the call is over.
            await until(lambda: tap.sent != b"connect\n\n", "it asks", SETTLED_S)
            (record,) = await placed
            said = [command.split(b"\n")[0] for command in commands_in(tap.sent)[1:]]
            await until(lambda: any(isinstance(one.event, CallEnded) for one in second.journalled()), "the end", SETTLED_S)
    finally:
        first.stop()
        second.stop()
    assert record.outcome is Came.FINISHED, (record, first.log, second.log)
    assert [line.split()[1] for line in said] == [b"uuid_dump"], said
    assert first.journalled() == []
    assert heirs(second) == [1], "a socket that had been closed would have brought the call back into the chain"

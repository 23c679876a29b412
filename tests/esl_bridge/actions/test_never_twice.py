"""An action is done once and its caller hears of it, wherever its bridge is killed (-9): real bridges, real HTTP, real counting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ai_engine.circuits import operators
from ai_engine.circuits.guard import turns_name
from ai_engine.circuits.states import CircuitState
from callflows.definition.flow import Snapshot, encode_snapshot
from esl_bridge.actions import runner
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.journal.events import ActionFinished, CallEnded
from tests.esl_bridge.actions.counting_server import CountingServer
from tests.esl_bridge.actions.scripted_switch import ScriptedSwitch
from tests.esl_bridge.actions.web_bridge import WebBusiness
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.test_bridge import UUID, Running
from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[3]
BRIDGES = 2
START_LIMIT_S = 40.0
KEY = f"{UUID}:balance:1"
ANSWER, QUESTION = "your_balance_is.wav", "key_account.wav"


class BridgeProcesses:
    """Real bridges of one fleet, at ports of their own, that can be killed."""

    def __init__(self, folder: Path, url: str, durable: str, volatile: str) -> None:
        (folder / "flows.json").write_bytes(encode_snapshot(Snapshot((demonstration(),))))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
        env = {
            **clean, "LIFELINE_DEMO": "1", "LIFELINE_DATA_DIR": str(folder), "DATABASE_URL": "sqlite://:memory:",
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "LIFELINE_REDIS_DURABLE_URL": durable, "LIFELINE_REDIS_VOLATILE_URL": volatile,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.esl_bridge.actions.web_bridge", url]
        self.ports = [free_port() for _ in range(BRIDGES)]
        self._log = (folder / "log").open("wb")
        self._processes = [
            subprocess.Popen(
                command, cwd=ROOT, stdout=self._log, stderr=self._log,
                env={**env, "LIFELINE_ESL_PORT": str(port), "LIFELINE_BRIDGE_ID": f"bridge-{number}"},
            )
            for number, port in enumerate(self.ports, 1)
        ]  # fmt: skip

    async def listening(self) -> None:
        async with asyncio.timeout(START_LIMIT_S):
            for port in self.ports:
                while True:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        await writer.wait_closed()
                        break
                    await asyncio.sleep(0.05)

    def kill(self, place: int) -> None:
        self._processes[place].send_signal(signal.SIGKILL)
        self._processes[place].wait(10)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)
        self._log.close()


def stop_at(moment: str, server: CountingServer, switch: ScriptedSwitch) -> Callable[[], bool]:
    """Prepares the stop; the answer says whether the call has come there."""
    if moment == "before the switch has the key":
        switch.obeys = lambda command: b"ll_action=" not in command
        return lambda: bool(switch.withheld)
    if moment == "before it is booked":
        server.may_book.clear()
        return server.reached["asked"].is_set
    if moment == "before it is answered":
        server.may_answer.clear()
        return server.reached["booked"].is_set
    switch.stays_in = ANSWER
    return lambda: ANSWER in switch.played


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not in time: {what}") from None


@pytest.fixture
async def switch() -> AsyncIterator[ScriptedSwitch]:
    made = ScriptedSwitch()
    yield made
    await made.lose()


MOMENTS = ["before the switch has the key", "before it is booked", "before it is answered", "while the caller hears of it"]


@pytest.mark.parametrize(
    "moment", [pytest.param(moment, marks=() if moment == "before it is answered" else pytest.mark.slow) for moment in MOMENTS]
)
async def test_a_bridge_that_is_killed_around_an_action_has_it_done_once(
    moment: str, switch: ScriptedSwitch, tmp_path: Path, durable_redis: str, volatile_redis: str
) -> None:
    operators.force("turns", CircuitState.FORCED_OPEN, "test", "keys only", redis_url=durable_redis)
    with (
        CountingServer() as server,
        contextlib.closing(BridgeProcesses(tmp_path, server.url, durable_redis, volatile_redis)) as bridges,
    ):
        await bridges.listening()
        await switch.offer(bridges.ports[0])
        await ask(switch, stop_at(moment, server, switch))
        bridges.kill(0)
        switch.obeys = lambda command: True
        switch.withheld.clear()
        switch.stays_in = ""
        server.may_book.set()
        server.may_answer.set()
        already = len(switch.played)
        await switch.offer(bridges.ports[1])
        await switch.until_played(ANSWER, after=already)
        assert QUESTION not in switch.played[already:], "what the caller had said was asked again"
        assert (server.bookings, server.charges) == ([KEY], [KEY])


async def ask(switch: ScriptedSwitch, is_there: Callable[[], bool]) -> None:
    """The caller wants it, by keys, up to the moment that was chosen."""
    await switch.until_played("balance_press_1.wav")
    switch.press("1")
    await switch.until_played(QUESTION)
    switch.press("4217")
    await until(is_there, "the moment at which the bridge is to die")


# --- In one process ---


@pytest.fixture
async def bridge(tmp_path: Path, durable_redis: str, volatile_redis: str) -> AsyncIterator[Running]:
    operators.force("turns", CircuitState.FORCED_OPEN, "test", "keys only", redis_url=durable_redis)
    running = Running(tmp_path / "a", durable_redis, volatile_redis, allow=["127.0.0.0/8"])
    running.board.guard(turns_name("bridge-1"))
    await running.board.refresh()
    yield running
    await running.close()


async def asked(bridge: Running, switch: ScriptedSwitch, server: CountingServer, moment: str) -> None:
    """The bridge has the call, acts by that server, and the caller's wish has come to ``moment``."""
    bridge._bridge._actions = ActionRunner(WebBusiness(server.url))
    await bridge.listening()
    await switch.offer(bridge.port)
    await ask(switch, stop_at(moment, server, switch))


async def test_nothing_is_asked_of_the_business_before_the_switch_has_the_key(bridge: Running, switch: ScriptedSwitch) -> None:
    with CountingServer() as server:
        await asked(bridge, switch, server, "before the switch has the key")
        await bridge_is_idle(bridge)
        assert server.asked == []
        switch.release()
        await switch.until_played(ANSWER)
        assert server.asked == [KEY]


async def test_an_action_whose_key_the_switch_refuses_is_not_begun_and_a_person_takes_over(
    bridge: Running, switch: ScriptedSwitch
) -> None:
    with CountingServer() as server:
        await asked(bridge, switch, server, "before the switch has the key")
        switch.refuse()
        await switch.until_played("action_failed.wav")
        assert server.asked == []


async def test_an_action_that_was_done_but_not_answered_in_time_is_not_done_again_when_its_caller_comes_back(
    bridge: Running, switch: ScriptedSwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TIMEOUT_S", 0.3)
    with CountingServer() as server:
        await asked(bridge, switch, server, "before it is answered")
        await switch.until_played("action_failed.wav")
        await until(lambda: switch.variables.get("ll_step") == "after_agent", "on the way to a person")
        server.may_answer.set()
        switch.variables["originate_disposition"] = "USER_BUSY"
        await switch.offer(bridge.port)
        await switch.until_played("anything_else_menu.wav")
        switch.press("1")
        await switch.until_played(ANSWER)
        assert server.asked == [KEY, KEY]
        assert (server.bookings, server.charges) == ([KEY], [KEY])


@pytest.mark.parametrize("answers", [True, False], ids=["the switch answers", "its socket closes"])
async def test_an_action_for_whose_key_nobody_waits_any_more_is_not_begun_and_that_is_recorded(
    answers: bool, bridge: Running, switch: ScriptedSwitch
) -> None:
    with CountingServer() as server:
        await asked(bridge, switch, server, "before the switch has the key")
        switch.hang_up()
        await until(lambda: any(isinstance(one, CallEnded) for one in bridge.journalled()), "the call's end in the records")
        if answers:
            switch.release()
        else:
            await switch.lose()
        await until(lambda: any(isinstance(one, ActionFinished) for one in bridge.journalled()), "the action's end in the records")
        (ended,) = [one for one in bridge.journalled() if isinstance(one, ActionFinished)]
        assert (ended.key, ended.outcome) == (KEY, "failed:call_over")
        assert server.asked == []


async def test_an_action_that_ends_after_its_caller_has_hung_up_is_recorded(bridge: Running, switch: ScriptedSwitch) -> None:
    with CountingServer() as server:
        await asked(bridge, switch, server, "before it is answered")
        switch.hang_up()
        await until(lambda: any(isinstance(one, CallEnded) for one in bridge.journalled()), "the call's end in the records")
        await switch.lose()
        server.may_answer.set()
        await until(lambda: any(isinstance(one, ActionFinished) for one in bridge.journalled()), "the action's end in the records")
        assert server.charges == [KEY]


async def test_a_bridge_that_stops_lets_the_action_end_of_a_caller_who_has_hung_up(bridge: Running, switch: ScriptedSwitch) -> None:
    with CountingServer() as server:
        await asked(bridge, switch, server, "before it is booked")
        switch.hang_up()
        await until(lambda: any(isinstance(one, CallEnded) for one in bridge.journalled()), "the call's end in the records")
        await switch.lose()
        bridge.stop()
        await until(lambda: not bridge._bridge._sessions, "no call is left")
        server.may_book.set()
        await until(bridge.has_stopped, "the bridge has stopped")
        (ended,) = [one for one in bridge.journalled() if isinstance(one, ActionFinished)]
        assert (ended.key, ended.outcome, server.charges) == (KEY, "ok", [KEY])


async def bridge_is_idle(bridge: Running) -> None:
    """It has read all that it was told and done all that followed: no task of it waits for a business."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert not bridge._bridge._tasks

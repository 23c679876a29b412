"""A drill met by a worker with a real Redis: only covered calls fail, on circuits of their own, and it ends by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from ai_engine import retries
from ai_engine.circuits import keys, operators
from ai_engine.drills import store
from ai_engine.drills.drill import KEY, Drill, Failure, Scope
from ai_engine.engines.config import Stage
from ai_engine.messages import TurnDone, TurnFailed, TurnTaken
from ai_engine.redis_clients import connect
from ai_engine.worker import Worker
from tests.ai_engine.drills.examples import drill
from tests.ai_engine.fake_engines import FakeOpenAI, FakeVosk
from tests.ai_engine.rig import Rig
from tests.ai_engine.test_worker import running
from tests.ai_engine.waiting import until
from tests.redis_server import RedisServer


@pytest.fixture
async def rig(durable_server: RedisServer, volatile_server: RedisServer) -> AsyncIterator[Rig]:
    async with FakeVosk().running() as vosk, FakeOpenAI().running() as nlu, FakeOpenAI().running() as tts:
        rig = Rig(durable_server, volatile_server, vosk, nlu, tts)
        yield rig
        await rig.client.aclose()


@contextlib.asynccontextmanager
async def drilling(rig: Rig, one: Drill, *, open_s: float = 0.4) -> AsyncIterator[Worker]:
    async with running(worker := rig.worker(open_s=open_s)):
        store.start(rig.durable.url, one)
        assert worker._drills is not None
        drills = worker._drills
        await until(lambda: drills.active is not None, what="the worker sees the drill")
        yield worker


def met(rig: Rig, call_uuid: str) -> str:
    return next(m.drill for m in rig.told if isinstance(m, TurnTaken) and m.call_uuid == call_uuid)


@pytest.mark.parametrize(
    ("failure", "stage", "kind"),
    [
        (Failure.HANG, Stage.STT, "hang"),
        (Failure.SLOW, Stage.STT, "timeout"),
        (Failure.ERROR, Stage.NLU, "http_500"),
        (Failure.SLOW, Stage.NLU, "timeout"),
        (Failure.SILENT, Stage.TTS, "silent"),
    ],
)
async def test_each_failure_costs_what_the_real_one_costs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, failure: Failure, stage: Stage, kind: str
) -> None:
    monkeypatch.setattr(retries, "RETRY_DELAYS_S", (0.02, 0.03))
    async with drilling(rig, drill(failure, stage)):
        began = time.monotonic()
        await rig.say(simulated=True)
        failed = await rig.outcome()
        took_s = time.monotonic() - began
        assert isinstance(failed, TurnFailed)
        assert (failed.stage, failed.kind) == (stage, kind)
        assert failed.stages[-1].engine == f"{stage}-1"
        if failure in (Failure.HANG, Failure.SLOW):
            assert took_s > 0.55  # The engines' own limits, waited for.
        assert met(rig, "call-1") == "d1"


async def test_who_is_not_covered_notices_nothing(rig: Rig) -> None:
    async with drilling(rig, drill(), open_s=60) as worker:
        for n in range(3):
            await rig.say(f"drilled-{n}", simulated=True)
        for n in range(3):
            assert isinstance(await rig.outcome(f"drilled-{n}"), TurnFailed)
        asked = len(rig.nlu.requests)
        await rig.say("real")
        assert isinstance(await rig.outcome("real"), TurnDone)
        assert met(rig, "real") == ""
        assert asked == 0
        assert all(view.failures == 0 for view in worker._board.views())


async def test_its_own_circuit_opens_stays_open_while_it_fails_and_closes_afterwards(rig: Rig) -> None:
    one = drill(Failure.ERROR, duration_s=30, recovery_s=20)
    async with drilling(rig, one) as worker:
        for n in range(3):
            await rig.say(f"drilled-{n}", simulated=True)
        for n in range(3):
            assert isinstance(await rig.outcome(f"drilled-{n}"), TurnFailed)
        await rig.say("later", simulated=True)
        later = await rig.outcome("later", within_s=1)
        assert isinstance(later, TurnFailed)
        assert (later.stage, later.kind, later.attempts) == ("nlu", "no_engine", 0)
        with connect(rig.durable.url) as client:
            # Probes fail while it does: open, half-open, open again.
            await until(lambda: len(_moves(rig, one)) >= 3, what="a probe has failed")
            assert _moves(rig, one)[:3] == [("closed", "open"), ("open", "half_open"), ("half_open", "open")]
            client.pexpire(KEY, 15_000)  # Its failure is over; 15 s are left for the circuits.
        await until(lambda: _moves(rig, one)[-1] == ("half_open", "closed"), what="a probe closes it")
        await rig.say("after", simulated=True)
        assert isinstance(await rig.outcome("after"), TurnDone)
        assert met(rig, "after") == ""
        assert [view.name for view in operators.views(rig.durable.url)] == ["stt-1", "nlu-1", "tts-1"]
        assert all(view.failures == 0 and view.state == "closed" for view in worker._board.views())


def _moves(rig: Rig, one: Drill) -> list[tuple[str, str]]:
    told = reversed(operators.moves(rig.durable.url, 50))
    return [(move.before, move.after) for move in told if move.circuit == one.circuit("nlu-1")]


async def test_whoever_ends_it_ends_it_at_once_with_its_circuits(rig: Rig) -> None:
    one = drill(Failure.REFUSE)
    async with drilling(rig, one, open_s=60) as worker:
        for n in range(3):
            await rig.say(f"drilled-{n}", simulated=True)
        for n in range(3):
            assert isinstance(await rig.outcome(f"drilled-{n}"), TurnFailed)
        store.end(rig.durable.url, "d1")
        assert worker._drills is not None
        drills = worker._drills
        took_s = await until(lambda: drills.active is None, what="the worker sees its end")
        assert took_s < 1
        await rig.say("after", simulated=True)
        assert isinstance(await rig.outcome("after"), TurnDone)
        with connect(rig.durable.url) as client:
            await until(lambda: one.circuit("nlu-1").encode() not in client.hkeys(keys.ENGINES), what="it is forgotten")
            assert 0 < client.pttl(keys.state_key(one.circuit("nlu-1"))) <= 600_000


async def test_without_redis_there_is_no_drill(rig: Rig) -> None:
    async with drilling(rig, drill(Failure.REFUSE, scope=Scope.PERCENT, percent=100)) as worker:
        await rig.say("drilled")
        assert isinstance(await rig.outcome("drilled"), TurnFailed)
        rig.durable.kill()
        assert worker._drills is not None
        drills = worker._drills
        await until(lambda: drills.active is None, what="the worker misses Redis")
        await rig.say("after")
        assert isinstance(await rig.outcome("after"), TurnDone)


async def test_its_end_is_kept_in_time_without_being_told(rig: Rig) -> None:
    async with drilling(rig, drill(Failure.REFUSE, duration_s=10, recovery_s=0)) as worker:
        assert worker._drills is not None
        active = worker._drills.active
        assert active is not None
        assert active.is_failing
        assert 0 < active.ends_at - time.monotonic() <= 10
        active.ends_at = active.works_again_at = time.monotonic()
        assert not active.is_failing

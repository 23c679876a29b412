"""Random interleavings of everything that can die between a call's event and its row: each event is stored exactly once.

Real spool files, a real Redis (killed, restarted with its data, without it, or without the last of it), the real sender,
adoption, recorder and database. Deaths come at injected points on the way to Redis, in the files, and around the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from unittest.mock import patch

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from ai_engine.redis_clients import connect, connect_async
from console import intake
from console.models import Call, Incident, JournalLine, Producer, RecorderPosition, Turn
from console.recorder import GAP_LIMIT_S, Recorder
from esl_bridge.journal import delivery, sender
from esl_bridge.journal import spool as spool_module
from esl_bridge.journal.delivery import RESEND_AT_MOST_S
from esl_bridge.journal.events import Mode, StepEntered, watermark_key
from esl_bridge.journal.sender import Journal
from esl_bridge.journal.spool import SUFFIX
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

CALLS = 3
# Rounds of everybody doing their work once: a backlog in windows, then what has to be sent again.
SETTLED_ROUNDS = 200


class Killed(BaseException):
    """What a process does after kill -9: nothing, whatever it would catch."""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class DyingClient:
    """A client whose process dies at its n-th exchange from now: before Redis had it, or after, without hearing of it."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self.dies_after: int | None = None
        self.had_it = False

    async def _exchange(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self.dies_after is None:
            return await work()
        self.dies_after -= 1
        if self.dies_after >= 0:
            return await work()
        if self.had_it:
            await work()
        raise Killed

    async def xadd(self, *args: Any) -> Any:
        return await self._exchange(lambda: cast("Awaitable[Any]", self._client.xadd(*args)))

    def pipeline(self, **options: Any) -> Any:
        pipe = self._client.pipeline(**options)
        execute = pipe.execute
        cast("Any", pipe).execute = lambda: self._exchange(execute)
        return pipe


@dataclass
class Bridge:
    journal: Journal
    client: DyingClient
    raw: redis.asyncio.Redis


@dataclass
class Told:
    """What one event was, and where it lies on disk: behind how many bytes of which segment."""

    call: str
    epoch: int
    step: str
    segment: Path
    behind: int


@dataclass
class Model:
    told: dict[tuple[str, int], Told] = field(default_factory=dict)
    # Cut off the disk by a power cut: these may be stored, if they had been sent, and need not.
    excused: set[tuple[str, int]] = field(default_factory=set)
    owner: dict[str, tuple[int, int]] = field(default_factory=dict)


class Crashes(RuleBasedStateMachine):
    server: RedisServer
    aof_sizes: list[int]

    @initialize()
    def begin(self) -> None:
        with contextlib.suppress(redis.exceptions.ConnectionError), connect(self.server.url) as client:
            client.flushall()
        for model in (Turn, Incident, Call, JournalLine, Producer, RecorderPosition):
            model._default_manager.all().delete()
        self.folder = TemporaryDirectory(prefix="ll-spool-")
        self.root = Path(self.folder.name)
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.model = Model()
        self.steps = 0
        self.bridges = [self.new_bridge(), self.new_bridge()]
        self.recorder = Recorder(self.server.url, lambda: None, clock=self.clock)
        self.aof_sizes = [self.aof.stat().st_size]

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.settle()
            self.check()
        finally:
            for bridge in self.bridges:
                bridge.journal.close()
                self.runner.run(bridge.raw.aclose())
            self.recorder._redis.close()
            self.runner.close()
            self.folder.cleanup()

    # --- Parts ---

    @property
    def aof(self) -> Path:
        return self.server.folder / "appendonly.aof"

    def new_bridge(self) -> Bridge:
        raw = connect_async(self.server.url)
        client = DyingClient(raw)
        return Bridge(Journal(self.root, cast("redis.asyncio.Redis", client), clock=self.clock), client, raw)

    def bury(self, place: int) -> None:
        """The process is gone: its files are closed, its locks are free, and another one starts."""
        dead = self.bridges[place]
        dead.journal.close()
        self.runner.run(dead.raw.aclose())
        self.bridges[place] = self.new_bridge()

    def work(self, place: int, doing: Callable[[Bridge], Awaitable[None]]) -> None:
        bridge = self.bridges[place]

        async def do() -> None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await doing(bridge)

        try:
            self.runner.run(do())
        except Killed:
            self.bury(place)
        else:
            bridge.client.dies_after = None
        self.aof_sizes.append(self.aof.stat().st_size)

    # --- What happens ---

    @rule(place=st.sampled_from([0, 1]), call=st.integers(0, CALLS - 1), count=st.integers(1, 12))
    def say(self, place: int, call: int, count: int) -> None:
        """Events of a call; a bridge that did not have it takes it with the next epoch."""
        name = f"call-{call}"
        epoch, owner = self.model.owner.get(name, (0, -1))
        journal = self.bridges[place].journal
        if owner != id(journal):
            epoch += 1
            self.model.owner[name] = epoch, id(journal)
        for _ in range(count):
            self.steps += 1
            journal.append(name, epoch, StepEntered(str(self.steps), Mode.AI))
            segment = journal._spool._segments[-1]
            told = Told(name, epoch, str(self.steps), segment, segment.stat().st_size)
            self.model.told[journal.boot_id, journal._seq] = told

    @rule(place=st.sampled_from([0, 1]), dies_after=st.none() | st.integers(0, 3), had_it=st.booleans())
    def send(self, place: int, dies_after: int | None, had_it: bool) -> None:
        async def doing(bridge: Bridge) -> None:
            bridge.client.dies_after, bridge.client.had_it = dies_after, had_it
            await bridge.journal._send_all()
            await bridge.journal._check_watermark()

        self.work(place, doing)

    @rule(place=st.sampled_from([0, 1]), dies_after=st.none() | st.integers(0, 4), had_it=st.booleans())
    def adopt(self, place: int, dies_after: int | None, had_it: bool) -> None:
        async def doing(bridge: Bridge) -> None:
            bridge.client.dies_after, bridge.client.had_it = dies_after, had_it
            bridge.journal._adopter.look()
            await bridge.journal._adopter.deliver()

        self.work(place, doing)

    @rule(
        what=st.sampled_from(["kill", "power cut", "redis", "redis without data", "redis without the last"]),
        place=st.sampled_from([0, 1]), cut=st.integers(1, 400), zeros=st.integers(0, 40), back=st.integers(1, 6),
    )  # fmt: skip
    def break_something(self, what: str, place: int, cut: int, zeros: int, back: int) -> None:
        match what:
            case "kill":
                self.bury(place)
            case "power cut":
                self.power_cut(place, cut, zeros)
            case "redis":
                self.restart_redis(self.aof.stat().st_size)
            case "redis without data":
                self.restart_redis(0)
                self.aof_sizes = [0]
            case _:  # What comes before the first is of another example.
                self.restart_redis(max(self.aof_sizes[0], self.aof_sizes[-min(back, len(self.aof_sizes))] - cut // 8))

    def power_cut(self, place: int, cut: int, zeros: int) -> None:
        """The last bytes of the last segment never reached the disk, or only as zeros."""
        journal = self.bridges[place].journal
        if not journal._spool._segments:
            return
        segment = journal._spool._segments[-1]
        kept = max(0, segment.stat().st_size - cut)
        with segment.open("rb+") as file:
            file.truncate(kept)
            file.truncate(kept + zeros)
        for name, told in self.model.told.items():
            if told.segment == segment and told.behind > kept:
                self.model.excused.add(name)
        self.bury(place)

    def restart_redis(self, kept: int) -> None:
        """Its append-only file is as long as that: what came behind is lost."""
        self.server.kill()
        with self.aof.open("rb+") as file:
            file.truncate(min(kept, self.aof.stat().st_size))
        self.server.start()
        self.aof_sizes = [size for size in self.aof_sizes if size <= kept] or [kept]

    @rule()
    def record(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError):
            self.recorder.step()
        self.aof_sizes.append(self.aof.stat().st_size)

    @rule(where=st.sampled_from(["before the commit", "after the commit", "while confirming"]))
    def record_and_die(self, where: str) -> None:
        def die(*_: Any) -> None:
            raise Killed

        def confirm_half(marks: dict[str, int], _last: str) -> None:
            with connect(self.server.url) as client:
                for boot, seq in list(marks.items())[:1]:
                    client.set(watermark_key(boot), seq)
            raise Killed

        with contextlib.ExitStack() as stack:
            if where == "before the commit":
                stack.enter_context(patch.object(intake, "_save", die))
            else:
                stack.enter_context(patch.object(self.recorder, "_confirm", die if where == "after the commit" else confirm_half))
            with contextlib.suppress(Killed, redis.exceptions.RedisError):
                self.recorder.step()
        self.recorder._redis.close()
        self.recorder = Recorder(self.server.url, lambda: None, clock=self.clock)

    @rule(seconds=st.sampled_from([1.0, RESEND_AT_MOST_S + 1, GAP_LIMIT_S + 1]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    # --- What must be true ---

    def settle(self) -> None:
        """Everything is mended and runs; more rounds than needed are no harm, too few would show."""
        for _ in range(SETTLED_ROUNDS):
            for place in (0, 1):
                self.adopt(place, None, had_it=False)
                self.send(place, None, had_it=False)
            self.record()
            self.clock.now += 2.0
            living = [bridge.journal for bridge in self.bridges]
            if len(list(self.root.iterdir())) == len(living) and all(one._delivery.stored == one._seq for one in living):
                return

    def check(self) -> None:
        stored = {(line.boot_id, line.seq): line for line in JournalLine.objects.all()}
        assert JournalLine.objects.count() == len(stored)
        lost = set(self.model.told) - set(stored) - self.model.excused
        assert not lost, f"lost: {sorted(lost)}"
        assert set(stored) <= set(self.model.told), "stored and never told"
        for name, line in stored.items():
            told = self.model.told[name]
            assert (line.call_uuid, line.epoch, line.data["step"]) == (told.call, told.epoch, told.step)
        in_order: dict[str, list[str]] = defaultdict(list)
        for line in JournalLine.objects.order_by("epoch", "seq"):
            in_order[line.call_uuid].append(line.data["step"])
        for call, steps in in_order.items():
            assert [int(step) for step in steps] == sorted(int(step) for step in steps)
            assert Call.objects.get(call_uuid=call).step == steps[-1]
        for bridge in self.bridges:
            assert bridge.journal._delivery.stored == bridge.journal._seq, "its spool would never be dropped"
        left = {folder.name for folder in self.root.iterdir()} - {bridge.journal.boot_id for bridge in self.bridges}
        assert not left, "spools of the dead that are never taken away"
        assert all(len(list((self.root / bridge.journal.boot_id).glob(f"*{SUFFIX}"))) <= 1 for bridge in self.bridges)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, durable_server: RedisServer) -> None:
    """Segments, memory, batches and windows of a few events, so that a short run meets every edge of them."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(sender, "MAX_IN_MEMORY", 7)
    monkeypatch.setattr(delivery, "BATCH", 4)
    monkeypatch.setattr(delivery, "WINDOW", 6)
    monkeypatch.setattr(Crashes, "server", durable_server, raising=False)


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Crashes,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.usefixtures("small")
def test_each_event_is_stored_exactly_once_whatever_dies_and_when() -> None:
    run(examples=6, steps=25)


@pytest.mark.soak
@pytest.mark.usefixtures("small")
def test_each_event_is_stored_exactly_once_in_long_runs() -> None:
    run(examples=50, steps=40)

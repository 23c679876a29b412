"""What only a database with writers at once can show. ``test_on_postgres.py`` runs this, with LIFELINE_TEST_DATABASE_URL set."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, connections, transaction
from django.test import Client
from django.utils import timezone

from ai_engine.circuits import operators
from ai_engine.circuits.states import CircuitState
from ai_engine.redis_clients import connect
from callflows import claims, demo, publishing
from callflows.models import FlowVersion, Prompt
from console import tallies
from console.circuit_moves import MoveRecorder
from console.figures import figures
from console.intake import store
from console.lost_calls import end_found_gone
from console.models import Call, CircuitMove, Incident, JournalLine, Producer, RecorderPosition, StageTally, TallyRound, Turn
from console.recorder import Recorder
from console.tally import By
from esl_bridge.journal.events import JOURNAL_STREAM, CallStarted, Outcome, TurnFinished, TurnOutcome
from tests.callflows.test_publishing import Counting
from tests.console.journal import Boot, send, started, whole_call
from tests.console.test_tallies import timing
from tests.on_postgres.day import records

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT_S = 20.0
CALLS = 10


def nobody() -> None:
    pass


class AtOnce:
    """Runs each piece of work in a thread with connections of its own; what one raises, ``join`` raises."""

    def __init__(self, *work: Callable[[], object]) -> None:
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in work]
        for thread in self._threads:
            thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 — handed to the test
            self._errors.append(error)
        finally:
            connections.close_all()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        if self._errors:
            raise self._errors[0]


@pytest.fixture(autouse=True)
def on_postgres() -> None:
    assert connection.vendor == "postgresql"


def timed_turn(turn: int) -> TurnFinished:
    stages = (timing(total_ms=50.0 + turn),)
    return TurnFinished(turn, TurnOutcome.UNDERSTOOD, "my balance", "balance", 0.9, {}, stages, 120.0, "worker-1")


@pytest.mark.django_db  # Before those that empty the tables after themselves, the migrations' rows too.
def test_login_groups_and_permissions_are_made_by_the_migrations() -> None:
    """Each group's people can do what the groups' table says, as the console asks for it."""
    assert set(Group.objects.values_list("name", flat=True)) == {"admins", "supervisors", "ops"}
    may = {}
    for group in Group.objects.all():
        user = User.objects.create_user(f"one-of-{group.name}", password="a long enough one")
        user.groups.add(group)
        client = Client()
        answer = client.post("/login/", {"username": user.username, "password": "a long enough one"})
        assert answer["Location"] == "/"
        assert client.get("/calls/").status_code == 200
        may[group.name] = (user.has_perm("console.toggle_circuit"), user.has_perm("callflows.publish_flow"))
    assert may == {"supervisors": (False, False), "ops": (True, False), "admins": (True, True)}


def test_two_recorders_of_one_journal_store_each_event_once(durable_redis: str) -> None:
    """Their first look finds no position yet; then each reads what the other may be storing."""
    boots = [Boot(f"boot-{number}") for number in range(4)]
    batches = [whole_call(boot, f"{boot.boot_id}-{call}", Outcome.FAILED_OVER) for call in range(30) for boot in boots]
    send(durable_redis, *batches, *batches[::7])
    start = threading.Barrier(2)

    def record() -> None:
        recorder = Recorder(durable_redis, nobody)
        start.wait(LIMIT_S)
        while recorder.step():
            tallies.tally_turns()

    AtOnce(record, record).join()
    assert JournalLine.objects.count() == sum(boot.seq for boot in boots) == sum(map(len, batches))
    assert {one.boot_id: one.stored_seq for one in Producer.objects.all()} == {boot.boot_id: boot.seq for boot in boots}
    assert RecorderPosition.objects.count() == 1
    assert Call.objects.filter(ended_at__isnull=False).count() == Incident.objects.filter(outcome="failed_over").count() == 120


def test_entries_are_stored_once_by_whoever_stores_them_first() -> None:
    entries = whole_call(Boot(), "call-1", None)
    start, counts = threading.Barrier(4), []

    def take() -> None:
        start.wait(LIMIT_S)
        counts.append(store(entries, "1-1").count)

    AtOnce(*[take] * 4).join()
    assert sorted(counts) == [0, 0, 0, len(entries)]
    assert Call.objects.get().served_by_ai == 1


def test_turns_are_tallied_once_by_two_at_once_and_never_read_as_a_mixture() -> None:
    boot = Boot()
    turns = 3 * tallies.MOST_TURNS
    store([boot.entry(started()), *(boot.entry(timed_turn(number)) for number in range(turns))], "1-1")
    finished = Turn.objects.order_by("finished_at").values_list("finished_at", flat=True)[0]
    assert finished is not None
    since = finished - timedelta(hours=1)
    start, over = threading.Barrier(3), threading.Event()
    read: list[int] = []

    def tally() -> None:
        start.wait(LIMIT_S)
        while tallies.tally_turns():
            pass

    def watch() -> None:
        start.wait(LIMIT_S)
        while not over.is_set():
            try:
                found = tallies.read(since, tallies.FIVE_MINUTES_S, By("stt", "local-stt"), since)
            except tallies.MixedReadingError:
                continue
            read.append(found.whole[By("stt", "local-stt")].uses)

    watcher = AtOnce(watch)
    AtOnce(tally, tally).join()
    over.set()
    watcher.join()
    assert set(read) == {turns}
    assert sum(StageTally.objects.filter(span_s=tallies.HOUR_S, stage="stt").values_list("uses", flat=True)) == turns
    assert TallyRound.objects.get().number >= 3


def test_a_call_that_is_heard_of_while_it_is_given_up_is_settled_by_one_of_the_two(settings: Any, durable_redis: str) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    boot = Boot(at_us=int(timezone.now().timestamp() * 1e6))
    for number in range(CALLS):
        entries = whole_call(boot, f"call-{number}", Outcome.FAILED_OVER)
        store(entries[:4], f"{number + 1}-1")
        call = Call.objects.get(call_uuid=f"call-{number}")
        start = threading.Barrier(2)

        def give_up(call: Call = call, start: threading.Barrier = start) -> None:
            start.wait(LIMIT_S)
            with transaction.atomic():
                end_found_gone(call, timezone.now())

        def hear(rest: Any = entries[4:], start: threading.Barrier = start, at: str = f"{number + 1}-2") -> None:
            start.wait(LIMIT_S)
            store(rest, at)

        AtOnce(give_up, hear).join()
    found = figures()
    assert (found.ai_failures_failed_over, found.ai_failures_dropped, found.ai_failures_open) == (CALLS, 0, 0)
    assert (found.live_calls, found.calls_total, found.calls_ended) == (0, CALLS, CALLS)
    assert not Call.objects.exclude(ended_by="caller").exists()
    assert Incident.objects.count() == CALLS


def test_a_callers_name_with_a_nul_in_it_puts_nothing_aside(durable_redis: str) -> None:
    boot = Boot()
    hostile = CallStarted("10\x0000", "9200", "demo", 1, "en", "bridge-1", False)
    turn = TurnFinished(1001, TurnOutcome.UNDERSTOOD, "a\0b", "balance", 0.9, {"na\0me": "c\\u0000\0d"}, (), 120.0, "worker-1")
    send(durable_redis, [boot.entry(hostile), boot.entry(turn), *whole_call(boot, "call-2", None)])
    recorder = Recorder(durable_redis, nobody)
    while recorder.step():
        pass
    assert JournalLine.objects.count() == boot.seq
    assert Call.objects.get(call_uuid="call-1").caller == "1000"
    assert Turn.objects.get(call__call_uuid="call-1").transcript == "ab"
    line = JournalLine.objects.get(call_uuid="call-1", kind="turn_finished")
    assert line.data["slots"] == {"name": "c\\u0000d"}


def test_an_address_with_a_nul_in_it_is_not_found() -> None:
    admin = User.objects.create_superuser("someone", password="a long enough one")
    client = Client()
    client.force_login(admin)
    assert client.get("/calls/%00/").status_code == 404
    assert client.get(f"/calls/{uuid.uuid4()}/").status_code == 404


def test_publishers_at_once_render_each_piece_once_and_make_one_version() -> None:
    draft, _ = demo.ensure_draft()
    renders = [Counting(), Counting()]
    start = threading.Barrier(2)

    def publish(render: Counting) -> None:
        start.wait(LIMIT_S)
        publishing.publish(draft, render=render)

    AtOnce(*[lambda render=render: publish(render) for render in renders]).join()
    texts = [text for render in renders for text in render.texts]
    assert sorted(texts) == sorted(set(texts))
    assert Prompt.objects.count() == len(texts)
    assert FlowVersion.objects.filter(flow=draft).count() == 1


def test_a_claim_is_one_publishers_however_many_ask_at_once() -> None:
    names = [f"{number:064d}" for number in range(1000)]
    start, taken = threading.Barrier(4), []

    def take(owner: str, wanted: list[str]) -> None:
        start.wait(LIMIT_S)
        taken.append(claims.take(wanted, owner))

    # In opposite orders, in which row locks could wait for each other.
    AtOnce(*[lambda at=at: take(f"owner-{at}", names[:: -1 if at % 2 else 1]) for at in range(4)]).join()
    assert sorted(name for mine in taken for name in mine) == names


def test_circuits_moves_are_stored_once_by_two_recorders(durable_redis: str) -> None:
    for _ in range(20):
        operators.force("turns", CircuitState.FORCED_OPEN, "ann", "drill\0", redis_url=durable_redis)
        operators.release("turns", redis_url=durable_redis, by="bob", why="over")
    start = threading.Barrier(2)

    def record() -> None:
        with connect(durable_redis) as client:
            start.wait(LIMIT_S)
            MoveRecorder(client, nobody).step()

    AtOnce(record, record).join()
    assert CircuitMove.objects.count() == 40
    assert RecorderPosition.objects.exclude(stream=JOURNAL_STREAM).count() == 1


def test_the_records_of_a_day_are_told_for_comparison() -> None:
    Path(os.environ["LIFELINE_TEST_RECORDS"]).write_text(records())

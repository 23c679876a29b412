"""Drills from the console: who may, what is confirmed, what is kept, and a report that the records bear out."""

from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ai_engine.drills import store
from ai_engine.drills.drill import KEY
from ai_engine.redis_clients import connect
from callflows.definition.codec import encode_version
from callflows.models import Flow, FlowVersion
from console import circuit_words, drill_words, drills
from console.models import Call, CircuitMove, Drill, Incident, OperatorAction, Turn
from console.projection import Projection
from esl_bridge.journal.events import (
    JOURNAL_STREAM,
    CallStarted,
    Cause,
    FallbackReason,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    Outcome,
    TurnFinished,
    TurnOutcome,
)
from tests.console.journal import Boot
from tests.console.test_pages import browser_of
from tests.ivr_fallback.flows import whole_flow
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db
ORDER = {"failure": "refuse", "stage": "nlu", "scope": "simulated", "seconds": "60"}


@pytest.fixture(autouse=True)
def durable(settings: Any, durable_server: RedisServer, tmp_path: Path) -> RedisServer:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_server.url
    settings.LIFELINE_REDIS_VOLATILE_URL = durable_server.url
    settings.LIFELINE_DATA_DIR = tmp_path
    return durable_server


def ops() -> Client:
    return browser_of("view_call", "run_drill")


def begin(client: Client, **more: str) -> str:
    """What the page says afterwards."""
    return client.post("/drills/begin/", ORDER | more, follow=True).content.decode()


def test_an_operator_begins_one_and_ends_it(durable: RedisServer) -> None:
    client = ops()
    assert "ends by itself after 60 s" in begin(client, why="weekly")
    running = store.current(durable.url)
    drill = Drill.objects.get()
    assert running is not None
    assert (running.drill.drill_id, running.drill.scope, drill.why) == (drill.drill_id, "simulated", "weekly")
    assert drill.began_at is not None
    assert "Not begun: another drill is under way" in begin(client)
    assert Drill.objects.count() == 1
    live = client.get("/").content.decode()
    assert "A drill is running:" in live
    assert "End it now" in live
    assert "End it now" not in browser_of("view_call").get("/").content.decode()
    assert "A drill is running:" in browser_of("view_call").get("/").content.decode()
    page = client.post("/drills/end/", {"drill": drill.drill_id}, follow=True).content.decode()
    assert "No drill is under way" in page
    assert store.current(durable.url) is None
    drill.refresh_from_db()
    assert drill.ended_by.startswith("user")
    assert [one.what for one in OperatorAction.objects.order_by("pk")] == ["drill begun", "drill ended"]


def test_only_who_may_run_drills_does(durable: RedisServer) -> None:
    watcher = browser_of("view_call")
    assert watcher.post("/drills/begin/", ORDER).status_code == 403
    assert watcher.post("/drills/end/", {"drill": "x"}).status_code == 403
    assert "Begin the drill" not in watcher.get("/drills/").content.decode()
    assert browser_of().get("/drills/").status_code == 403
    assert Client().post("/drills/begin/", ORDER).status_code == 302
    assert store.current(durable.url) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scope": "percent", "percent": "10"}, "type the name of this site, testserver"),
        ({"scope": "percent", "percent": "10", "confirm": "yes"}, "type the name of this site"),
        ({"scope": "percent", "confirm": "testserver"}, "how many percent"),
        ({"seconds": "5"}, "seconds"),
        ({"seconds": "99999"}, "seconds"),
        ({"stage": "all"}, "stage"),
        ({"scope": "percent", "percent": "101", "confirm": "testserver"}, "percent"),
    ],
)
def test_what_is_not_said_or_not_confirmed_does_not_begin(durable: RedisServer, more: dict[str, str], said: str) -> None:
    page = begin(ops(), **more)
    assert "Not begun" in page
    assert said in page
    assert store.current(durable.url) is None
    assert not Drill.objects.exists()


def test_real_calls_are_met_once_that_is_confirmed(durable: RedisServer) -> None:
    assert "Begun" in begin(ops(), scope="percent", percent="10", confirm="testserver")
    running = store.current(durable.url)
    assert running is not None
    assert (running.drill.scope, running.drill.percent) == ("percent", 10)


def test_without_redis_nothing_is_said_to_have_begun(durable: RedisServer) -> None:
    client = ops()
    durable.kill()
    assert "Not confirmed" in begin(client)
    assert "Redis does not answer" in client.get("/drills/state/").content.decode()
    durable.start()
    drills.settle(timezone.now() + timedelta(minutes=1))
    assert Drill.objects.get().verdict == drills.NEVER_BEGAN


def test_a_console_that_died_between_finds_its_drill_again(durable: RedisServer) -> None:
    begin(ops())
    Drill.objects.update(began_at=None, ends_at=None)
    drills.settle(timezone.now())
    assert Drill.objects.get().ends_at is not None


def met(
    boot: Boot, drill_id: str, call: str, outcome: Outcome | None, silence_ms: float | None = 700.0, flow: str = "demo"
) -> list[Any]:
    finished = TurnFinished(1001, TurnOutcome.FAILED, "", "", 0.0, {}, (), 600.0, "w", drill=drill_id)
    events: list[Any] = [CallStarted("1", "9200", flow, 1, "en", "b", simulated=True), finished]
    if outcome is not None:
        events.append(IncidentOpened(f"{call}-i", Cause.AI, "nlu", "refused", 4, 1001, drill_id))
        events.append(IncidentClosed(f"{call}-i", outcome, "PLAYBACK_START menu.wav", silence_ms))
    return [boot.entry(event, call) for event in events]


def over(durable: RedisServer, *entries: Any) -> Drill:
    """One that met these, and is over."""
    drill = Drill.objects.get(settled_at=None)
    projection = Projection(entries)
    projection.apply()
    projection.save()
    Call.objects.update(started_at=timezone.now())
    with connect(durable.url) as client:
        client.delete(KEY)
    Drill.objects.filter(pk=drill.pk).update(
        began_at=timezone.now() - timedelta(seconds=120), ends_at=timezone.now() - timedelta(seconds=60)
    )
    drill.refresh_from_db()
    return drill


def published(slug: str = "demo", number: int = 1, *, turn_budget_ms: int) -> Flow:
    flow, _ = Flow.objects.get_or_create(slug=slug, defaults={"destination_number": slug})
    words = encode_version(msgspec.structs.replace(whole_flow(), slug=slug, number=number, turn_budget_ms=turn_budget_ms))
    FlowVersion.objects.create(flow=flow, number=number, published=words, published_at=timezone.now())
    return flow


def moved(drill: Drill, before: str, after: str, at: datetime) -> None:
    CircuitMove.objects.create(
        entry_id=f"{at.timestamp()}", circuit=f"drill:{drill.drill_id}:nlu-1", how="automatic", before=before, after=after, at=at
    )


def test_the_report_says_what_the_records_say(durable: RedisServer) -> None:
    begin(ops())
    boot, name = Boot(), Drill.objects.get().drill_id
    straight = [boot.entry(FellBack(FallbackReason.NO_ENGINE, "", name), "call-4")]
    drill = over(
        durable, *met(boot, name, "call-1", Outcome.FAILED_OVER, 900.0), *met(boot, name, "call-2", Outcome.FAILED_OVER, 500.0),
        *met(boot, name, "call-3", None), *straight, *met(boot, "another", "call-5", Outcome.DROPPED),
    )  # fmt: skip
    assert drill.began_at is not None
    assert drill.ends_at is not None
    moved(drill, "closed", "open", drill.began_at + timedelta(seconds=8))
    moved(drill, "half_open", "closed", drill.ends_at + timedelta(seconds=12))
    drills.settle(timezone.now())
    drill.refresh_from_db()
    assert (drill.verdict, drill.calls, drill.failed_over, drill.dropped, drill.sent_straight) == (drills.PASSED, 4, 2, 0, 1)
    assert (drill.silence_p50_ms, drill.silence_most_ms) == (500.0, 900.0)
    assert (drill.open_after_s, drill.closed_after_s) == (8.0, 12.0)
    drills.settle(timezone.now() + timedelta(minutes=1))
    assert Drill.objects.get().settled_at is not None
    assert Call.objects.get(call_uuid="call-1").is_simulated
    assert Turn.objects.filter(drill=name).count() == 3


@pytest.mark.parametrize(("outcome", "silence_ms", "why"), [
    (Outcome.DROPPED, 700.0, "one caller was lost"), (Outcome.FAILED_OVER, 60_000.0, "somebody heard nothing for 60.00 s"),
])  # fmt: skip
def test_a_lost_caller_or_a_long_silence_fails_it(
    durable: RedisServer, outcome: Outcome, silence_ms: float, why: str
) -> None:
    published(turn_budget_ms=4000)
    begin(ops())
    over(durable, *met(Boot(), Drill.objects.get().drill_id, "call-1", outcome, silence_ms))
    page = ops().get("/drills/").content.decode()
    assert Drill.objects.get().verdict == drills.FAILED
    assert why in page


def test_silence_is_held_against_the_version_that_the_calls_had(durable: RedisServer) -> None:
    """Neither the draft, nor a version published since, nor another flow with more time."""
    published(turn_budget_ms=3000)
    draft = published(number=2, turn_budget_ms=9000)
    published("other", turn_budget_ms=9000)
    Flow.objects.filter(pk=draft.pk).update(turn_budget_ms=10_000)
    begin(ops())
    over(durable, *met(Boot(), Drill.objects.get().drill_id, "call-1", Outcome.FAILED_OVER, 5000.0))
    drills.settle(timezone.now())
    drill = Drill.objects.get()
    assert (drill.silence_budget_ms, drill.verdict) == (3000, drills.FAILED)


@pytest.mark.parametrize(("silences_ms", "worst", "verdict"), [
    ((5400.0, 700.0), (5400.0, 3000), drills.FAILED),
    ((3400.0, 5400.0), (3400.0, 3000), drills.PASSED),
    ((700.0, 5600.0), (5600.0, 5000), drills.FAILED),
])  # fmt: skip
def test_each_silence_is_held_against_its_own_flow(
    durable: RedisServer, silences_ms: tuple[float, float], worst: tuple[float, int], verdict: str
) -> None:
    published(turn_budget_ms=3000)
    published("patient", turn_budget_ms=5000)
    begin(ops())
    boot, name = Boot(), Drill.objects.get().drill_id
    hasty, patient = silences_ms
    over(
        durable, *met(boot, name, "call-1", Outcome.FAILED_OVER, hasty),
        *met(boot, name, "call-2", Outcome.FAILED_OVER, patient, flow="patient"),
    )  # fmt: skip
    page = ops().get("/drills/").content.decode()
    drill = Drill.objects.get()
    assert (drill.silence_most_ms, drill.silence_budget_ms, drill.verdict) == (*worst, verdict)
    assert (f"allowed are {worst[1] + drills.ALLOWANCE_MS} ms" in page) is (verdict == drills.FAILED)


def test_one_that_met_nobody_proves_nothing(durable: RedisServer) -> None:
    begin(ops())
    over(durable)
    assert "it proves nothing" in ops().get("/drills/").content.decode()


def test_while_something_waits_to_be_recorded_it_is_not_settled(durable: RedisServer) -> None:
    begin(ops())
    over(durable)
    hour_ago_ms = int((timezone.now() - timedelta(hours=1)).timestamp() * 1000)
    with connect(durable.url) as client:
        client.xadd(JOURNAL_STREAM, {"batch": b""}, id=f"{hour_ago_ms}-0")
        drills.settle(timezone.now() + timedelta(minutes=30))
        drill = Drill.objects.get()
        assert (drill.settled_at, drill_words.verdict(drill)) == (None, "Met no call so far")
        client.delete(JOURNAL_STREAM)
    drills.settle(timezone.now() + timedelta(minutes=30))
    assert Drill.objects.get().settled_at is not None


def test_what_came_in_after_it_was_over_does_not_keep_it_open(durable: RedisServer) -> None:
    """On a busy site something always waits."""
    begin(ops())
    over(durable)
    with connect(durable.url) as client:
        client.xadd(JOURNAL_STREAM, {"batch": b""})
    drills.settle(timezone.now())
    assert Drill.objects.get().settled_at is not None


def test_it_is_not_settled_before_its_calls_are(durable: RedisServer) -> None:
    begin(ops())
    boot, name = Boot(), Drill.objects.get().drill_id
    opened = boot.entry(IncidentOpened("i", Cause.AI, "nlu", "refused", 4, 1, name), "call-1")
    over(durable, *met(boot, name, "call-1", None), opened)
    drills.settle(timezone.now() + timedelta(minutes=1))
    drill = Drill.objects.get()
    assert (drill.unsettled, drill.settled_at, drill_words.verdict(drill)) == (1, None, "Not known yet")
    Incident.objects.update(outcome=Outcome.DROPPED.value)
    drills.settle(timezone.now() + timedelta(minutes=1))
    drill.refresh_from_db()
    assert (drill.dropped, drill.verdict) == (1, drills.FAILED)
    assert drill.settled_at is not None


def test_a_loss_that_is_told_after_the_verdict_changes_it(durable: RedisServer) -> None:
    begin(ops())
    boot, name = Boot(), Drill.objects.get().drill_id
    over(durable, *met(boot, name, "call-1", Outcome.FAILED_OVER))
    drills.settle(timezone.now() + timedelta(minutes=1))
    drill = Drill.objects.get()
    assert (drill.verdict, drill.settled_at is None) == (drills.PASSED, False)
    late = Projection(met(boot, name, "call-2", Outcome.DROPPED))
    late.apply()
    late.save()
    drills.settle(timezone.now() + timedelta(minutes=1))
    drill.refresh_from_db()
    assert (drill.calls, drill.dropped, drill.verdict) == (2, 1, drills.FAILED)


@pytest.mark.parametrize(("outcome", "after"), [(Outcome.FAILED_OVER, drills.PASSED), (Outcome.DROPPED, drills.FAILED)])
def test_a_call_of_which_nothing_is_told_for_long_makes_it_not_known_until_it_is(
    durable: RedisServer, outcome: Outcome, after: str
) -> None:
    begin(ops())
    boot, name = Boot(), Drill.objects.get().drill_id
    opened = boot.entry(IncidentOpened("i", Cause.AI, "nlu", "refused", 4, 1, name), "call-1")
    over(durable, *met(boot, name, "call-1", None), opened)
    drills.settle(timezone.now() + timedelta(minutes=20))
    drill = Drill.objects.get()
    assert (drill.verdict, drill.settled_at is None) == (drills.NOT_KNOWN, False)
    assert "Not known: what became of some of its calls" in ops().get("/drills/").content.decode()
    Incident.objects.update(outcome=outcome.value, silence_ms=900.0)
    drills.settle(timezone.now() + timedelta(minutes=25))
    drill.refresh_from_db()
    assert (drill.verdict, drill.unsettled, drill.silence_most_ms) == (after, 0, 900.0)


def test_a_report_is_compared_with_the_last_of_its_kind(durable: RedisServer) -> None:
    client = ops()
    for silence_ms in (900.0, 600.0):
        begin(client)
        name = Drill.objects.get(settled_at=None).drill_id
        over(durable, *met(Boot(f"boot-{name}"), name, f"call-{name}", Outcome.FAILED_OVER, silence_ms))
        drills.settle(timezone.now() + timedelta(minutes=1))
    page = client.get("/drills/").content.decode()
    assert "better than 900 ms last time" in page
    newest = Drill.objects.first()
    assert newest is not None
    earlier = drills.before([newest])[newest.pk]
    assert earlier == Drill.objects.last()
    figures = {one.name: one for one in drill_words.report(newest, earlier)}
    assert figures["Lost"].kind == "same"


def test_a_drilled_failure_is_marked_in_the_lists_and_counts_in_the_figures(durable: RedisServer) -> None:
    begin(ops())
    over(durable, *met(Boot(), Drill.objects.get().drill_id, "call-1", Outcome.FAILED_OVER))
    client = ops()
    assert ">Drill</span>" in client.get("/incidents/").content.decode()
    assert ">Drill</span>" in client.get("/calls/call-1/").content.decode()


def test_the_page_asks_the_database_little_however_many_drills_there_were(durable: RedisServer) -> None:
    client = ops()
    now = timezone.now()
    for number in range(12):
        Drill.objects.create(
            drill_id=f"d{number}", failure="hang", stage="stt", scope="simulated", duration_s=60, recovery_s=20, user="anna",
            asked_at=now - timedelta(hours=number), began_at=now, ends_at=now, over_at=now, settled_at=now, verdict=drills.PASSED,
        )  # fmt: skip
    client.get("/drills/")
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/drills/").status_code == 200
    assert len(queries) <= 15


def test_the_command_begins_lists_and_ends(durable: RedisServer) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match="--confirm 5"):
        call_command("drill", "start", "hang", "stt", "--percent", "5", stdout=out)
    call_command("drill", "start", "hang", "stt", "--for", "30", stdout=out)
    call_command("drill", "list", stdout=out)
    call_command("drill", "end", stdout=out)
    call_command("drill", "end", stdout=out)
    said = out.getvalue()
    assert "ends by itself after 30 s" in said
    assert "under way:" in said
    assert "no drill is under way" in said
    assert store.current(durable.url) is None


def test_the_list_of_moves_tells_a_drills_circuit_from_an_engines(durable: RedisServer) -> None:
    begin(ops())
    drill = Drill.objects.get()
    moved(drill, "closed", "open", timezone.now())
    page = ops().get("/circuits/moves/").content.decode()
    assert f"nlu-1 (drill {drill.drill_id})" in page
    assert circuit_words.name("nlu-1") == "nlu-1"

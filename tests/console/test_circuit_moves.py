"""Circuits' moves: from the stream into the database once each, and told in plain words."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from ai_engine.circuits import keys, operators
from ai_engine.circuits.history import How
from ai_engine.circuits.states import CircuitState
from ai_engine.redis_clients import connect
from console import circuit_words
from console.circuit_moves import MoveRecorder
from console.models import CircuitMove, RecorderPosition
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db


class Nudges:
    count = 0

    def __call__(self) -> None:
        self.count += 1


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def record(url: str, nudges: Nudges | None = None) -> int:
    """What one look stores, in a recorder that has just started."""
    with connect(url) as client:
        return MoveRecorder(client, nudges or Nudges(), Clock()).step()


def hold_and_release(url: str, times: int = 1) -> None:
    for _ in range(times):
        operators.force("turns", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=url)
        operators.release("turns", redis_url=url, by="bob", why="over")


def test_each_move_is_stored_once_whoever_reads_again(durable_redis: str) -> None:
    hold_and_release(durable_redis)
    nudges = Nudges()
    assert record(durable_redis, nudges) == 2
    assert record(durable_redis, nudges) == 0
    assert nudges.count == 1
    RecorderPosition.objects.all().delete()
    record(durable_redis)
    moves = CircuitMove.objects.order_by("pk")
    assert [(move.how, move.after, move.by, move.why) for move in moves] == [
        ("forced", "forced_open", "ann", "drill"), ("released", "", "bob", "over"),
    ]  # fmt: skip
    assert abs((datetime.now(UTC) - moves[0].at).total_seconds()) < 30


def test_a_stream_that_was_lost_and_begun_anew_is_read_from_its_beginning(durable_redis: str) -> None:
    RecorderPosition.objects.create(stream=keys.MOVES, entry_id=f"{int(time.time() * 1000) + 60_000}-0")
    hold_and_release(durable_redis)
    assert record(durable_redis) == 2


def test_what_cannot_be_read_or_kept_does_not_stop_what_comes_after(durable_redis: str) -> None:
    whole = {
        "circuit": "local-nlu", "how": "forced", "before": "", "after": "open", "lasted": "0", "by": "a" * 999,
        "why": "nul \0 in it", "until": "", "at": "0",
    }  # fmt: skip
    with connect(durable_redis) as client:
        client.xadd(keys.MOVES, {"shape": "unknown"})
        client.xadd(keys.MOVES, {**whole, "at": str(10**18)})
        client.xadd(keys.MOVES, {**whole, "how": "unknown"})
        client.xadd(keys.MOVES, whole)
    assert record(durable_redis) == 1
    assert CircuitMove.objects.get().why == "nul  in it"
    assert record(durable_redis) == 0


def test_it_looks_seldom(durable_redis: str) -> None:
    hold_and_release(durable_redis)
    with connect(durable_redis) as client:
        recorder = MoveRecorder(client, Nudges(), lambda: 5.0)
        assert recorder.step() == 2
        hold_and_release(durable_redis)
        assert recorder.step() == 0


def test_redis_away_is_for_the_recorder_to_wait_for(durable_server: RedisServer) -> None:
    durable_server.kill()
    with pytest.raises(redis.ConnectionError):
        record(durable_server.url)


@pytest.fixture
def watcher(settings: Any, durable_redis: str) -> Client:
    settings.LIFELINE_REDIS_DURABLE_URL = durable_redis
    settings.LIFELINE_REDIS_VOLATILE_URL = durable_redis
    user = User.objects.create_user("watcher")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="console", codename="view_call"))
    client = Client()
    client.force_login(user)
    return client


def make_move(how: How, before: str, after: str, **fields: Any) -> CircuitMove:
    defaults: dict[str, Any] = {
        "entry_id": uuid.uuid4().hex[:32], "circuit": "local-nlu", "how": how.value, "before": before, "after": after,
        "at": datetime.now(UTC),
    }  # fmt: skip
    return CircuitMove.objects.create(**{**defaults, **fields})


def test_moves_are_told_in_plain_words_on_their_page_and_the_last_beside_the_circuits(watcher: Client) -> None:
    make_move(How.AUTOMATIC, "closed", "open", why="timeout", lasted_s=183)
    make_move(How.AUTOMATIC, "half_open", "closed", why="probe", lasted_s=31)
    make_move(How.FORCED, "closed", "forced_open", by="ann", why="<b>vendor</b> at work")
    for url in ("/circuits/moves/", "/"):
        page = watcher.get(url).content.decode()
        assert "Closed → open" in page
        assert "the last failure: it did not answer in time" in page
        assert "was in use for 3 min 3 s" in page
        assert "Half-open → closed" in page
        assert "out of use for 31 s" in page
        assert "by ann, until released: &lt;b&gt;vendor&lt;/b&gt; at work" in page
    assert watcher.get("/circuits/moves/").content.decode().count("by hand") == 1


def test_the_page_is_for_who_may_watch() -> None:
    assert Client().get("/circuits/moves/")["Location"].startswith("/login/")
    client = Client()
    client.force_login(User.objects.create_user("nobody"))
    assert client.get("/circuits/moves/").status_code == 403


def test_the_page_costs_as_many_queries_for_thirty_moves_as_for_three(watcher: Client) -> None:
    counts = []
    for more in (3, 27):
        for number in range(more):
            make_move(How.AUTOMATIC, "closed", "open", at=datetime.now(UTC) - timedelta(minutes=number))
        with CaptureQueriesContext(connection) as queries:
            assert watcher.get("/circuits/moves/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 10


def test_an_order_from_the_page_stands_in_the_history_with_its_user_and_reason(watcher: Client, durable_redis: str) -> None:
    user = User.objects.get(username="watcher")
    user.user_permissions.add(Permission.objects.get(codename="toggle_circuit"))
    watcher.post("/circuits/", {"order": "open nlu", "why": "vendor", "minutes": "5"})
    watcher.post("/circuits/", {"order": "release nlu", "why": "mended"})
    assert record(durable_redis) == 2
    held, released = CircuitMove.objects.order_by("pk")
    assert (held.circuit, held.by, held.why) == ("local-nlu", "watcher", "vendor")
    assert held.until is not None
    assert (released.how, released.by, released.why) == ("released", "watcher", "mended")


@pytest.mark.parametrize(
    ("how", "before", "after", "why", "by", "said"),
    [
        (How.AUTOMATIC, "open", "half_open", "timeout", "", "its open time is over, and one test is let through"),
        (How.AUTOMATIC, "half_open", "open", "refused", "", "the test failed: it refused the connection"),
        (How.AUTOMATIC, "half_open", "open", "probe", "", "the test failed"),
        (How.AUTOMATIC, "half_open", "closed", "probe", "", "the test succeeded"),
        (How.AUTOMATIC, "closed", "open", "", "", "too many failures in a row"),
        (How.AUTOMATIC, "closed", "open", "of_a_later_version", "", "the last failure: it of a later version"),
        (How.RELEASED, "forced_open", "closed", "", "", "released by an operator"),
        (How.RELEASED, "forced_open", "closed", "over", "ann", "released by ann: over"),
        (How.EXPIRED, "forced_open", "open", "", "ann", "the time that ann chose has come"),
        (How.FORCED, "", "forced_open", "", "", "by an operator, until released: no reason given"),
    ],
)
def test_every_move_has_its_words(how: How, before: str, after: str, why: str, by: str, said: str) -> None:
    assert circuit_words.reason(how.value, before, after, why=why, by=by, until_s=None) == said


def test_how_long_is_said_of_what_ended() -> None:
    assert circuit_words.span("forced", "closed", lasted_s=90) == ""
    assert circuit_words.span("released", "forced_open", lasted_s=90) == "held for 1 min 30 s"
    assert circuit_words.span("automatic", "open", lasted_s=0.4) == ""
    assert circuit_words.states("", "forced_open") == "Automatic → held open"

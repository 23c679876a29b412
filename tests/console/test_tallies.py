"""The tallies hold each finished turn once, whatever comes twice, is told anew or dies in between, and are exact."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import DataError, OperationalError, transaction

from ai_engine.circuits import operators
from ai_engine.circuits.states import CircuitState
from ai_engine.messages import StageTiming, Usage
from console import recorder as recorder_module
from console import tallies
from console.models import Call, CircuitMove, StageTally, Turn
from console.recorder import Recorder
from console.tallies import FIVE_MINUTES_S, HOUR_S, KEPT, MixedReadingError, prune, read, tally_turns
from console.tally import (
    ANSWER,
    COUNTERS,
    MEASURES,
    MOST_RETRIES,
    NO_RESULT,
    QUEUE,
    By,
    Tallies,
    Tally,
    TurnResult,
    count_into,
    floor,
    percentiles,
    tally,
)
from esl_bridge.journal.events import TurnFinished, TurnOutcome
from tests.console.journal import Boot, send, started

BEGINNING = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
LOCAL = By("stt", "local-stt")


def timing(stage: str = "stt", engine: str = "local-stt", **fields: Any) -> StageTiming:
    defaults: dict[str, Any] = {"attempts": 1, "total_ms": 300.0, "first_byte_ms": 90.0, "queue_ms": 2.0}
    return StageTiming(stage, engine, **{**defaults, **fields})


def result(*stages: StageTiming, at: datetime = BEGINNING, outcome: str = "understood", **fields: Any) -> TurnResult:
    defaults: dict[str, Any] = {"answer_ms": 700.0, "queue_ms": 4.0}
    return TurnResult(at, outcome, stages=[msgspec.to_builtins(stage) for stage in stages], **{**defaults, **fields})


def told(turn: int, *stages: StageTiming, answer_ms: float = 700.0) -> TurnFinished:
    outcome = TurnOutcome.UNDERSTOOD
    return TurnFinished(turn, outcome, "my balance", "balance", 0.9, {}, stages, answer_ms, "worker-1", 4.0)


def plain(found: Mapping[Any, Tally]) -> dict[Any, Any]:
    """Comparable: every counter, failures by kind, and every bar of every histogram."""
    shown = {}
    for key, one in found.items():
        bars = {name: bytes(whole.counts) for name, whole in one.histograms.items() if whole.get_total_count()}
        shown[key] = ({name: getattr(one, name) for name in COUNTERS}, one.kinds, bars)
    return shown


def from_the_rows(span_s: int) -> Tallies:
    rows = Turn.objects.filter(finished_at__isnull=False)
    return tally([tallies.result_of(turn) for turn in rows], span_s)


def stored(span_s: int) -> Tallies:
    assert not Turn.objects.filter(tallies.NOT_IN_YET).exists()
    rows = StageTally.objects.filter(span_s=span_s)
    return {(row.start, By(row.stage, row.engine, row.cache)): tallies._add_row(Tally(), row) for row in rows}


def merged(found: Tallies) -> dict[By, Tally]:
    whole: dict[By, Tally] = {}
    for (_, by), one in found.items():
        whole.setdefault(by, Tally()).merge(one)
    return whole


def recorder_of(url: str) -> Recorder:
    recorder = Recorder(url, lambda: None)
    while recorder.step():
        pass
    return recorder


# --- What counts as what ---


def test_times_are_those_of_answers_and_failures_count_by_kind() -> None:
    found = tally([result(timing(), timing(kind="timeout", total_ms=9.0, attempts=3), timing(kind="timeout"))], FIVE_MINUTES_S)
    one = found[BEGINNING, LOCAL]
    assert (one.uses, one.answers, one.failures, one.kinds, one.retries) == (3, 1, 2, {"timeout": 2}, 2)
    assert percentiles(one.histograms["total"]) == (300.0, 300.0, 300.0, 1)
    assert percentiles(one.histograms["first_byte"])[0] == 90.0


def test_answer_and_queue_are_measured_beside_the_stages_and_an_abandoned_turn_only_by_what_it_used() -> None:
    used = timing("nlu", "vendor", usage=Usage(100, 60, 20), cost=0.0001)
    turns = [result(), result(outcome="failed", answer_ms=4000.0), result(used, outcome="abandoned"), result(queue_ms=None)]
    found = tally(turns, FIVE_MINUTES_S)
    assert (found[BEGINNING, By(ANSWER)].uses, found[BEGINNING, By(ANSWER)].kinds) == (3, {NO_RESULT: 1})
    assert percentiles(found[BEGINNING, By(ANSWER)].histograms["total"]) == (700.0, 700.0, 700.0, 2)
    assert found[BEGINNING, By(QUEUE)].uses == 3
    one = found[BEGINNING, By("nlu", "vendor")]
    assert (one.tokens_read, one.tokens_cached, one.tokens_written, one.cost_nano) == (100, 60, 20, 100_000)


def test_a_connection_that_was_there_and_a_cache_are_told_apart() -> None:
    found = tally([result(timing(connect_ms=12.0)), result(timing()), result(timing(engine="", cache="intents"))], HOUR_S)
    assert percentiles(found[BEGINNING, LOCAL].histograms["connect"]) == (12.0, 12.0, 12.0, 1)
    assert found[BEGINNING, By("stt", "", "intents")].uses == 1


def test_what_lasts_longer_than_the_histogram_counts_as_its_longest_and_is_not_lost() -> None:
    one = Tally()
    one.count("", {"total": 3_600_000.0})
    one.count("", {"total": -5.0})
    p50, _, p99, count = percentiles(one.histograms["total"])
    assert (p50, count) == (0.0, 2)
    assert p99 == pytest.approx(60_000, rel=0.001)


@pytest.mark.parametrize(
    "usage", [Usage(heard_s=1e300), Usage(tokens_read=10**19), Usage(tokens_written=-5), Usage(heard_s=math.nan)]
)
def test_a_usage_that_cannot_be_counts_as_none_and_the_rest_of_its_turn_counts(usage: Usage) -> None:
    turn = result(timing(usage=usage, cost=1e300, attempts=2**63), timing("nlu", "vendor", usage=Usage(5), cost=math.inf))
    found = tally([turn], FIVE_MINUTES_S)
    one, other = found[BEGINNING, LOCAL], found[BEGINNING, By("nlu", "vendor")]
    assert (one.uses, one.tokens_read, one.tokens_written, one.heard_ms, one.cost_nano) == (1, 0, 0, 0, 0)
    assert one.retries == MOST_RETRIES
    assert (other.tokens_read, other.cost_nano) == (5, 0)
    assert percentiles(one.histograms["total"])[0] == 300.0
    count_into(found, [turn], FIVE_MINUTES_S, -1)
    assert all(tally == Tally(histograms=tally.histograms) for tally in found.values())


def test_a_time_that_is_no_number_is_left_out() -> None:
    one = Tally()
    one.count("", {"total": math.nan, "queue": math.inf})
    assert percentiles(one.histograms["total"])[3] == 0
    assert percentiles(one.histograms["queue"])[0] == pytest.approx(60_000, rel=0.001)


def test_a_stage_in_a_form_unknown_here_is_left_out_and_the_turn_still_counts() -> None:
    turn = TurnResult(BEGINNING, "understood", 700.0, None, [{"stage": "stt", "engine": 7}])
    assert list(tally([turn], FIVE_MINUTES_S)) == [(BEGINNING, By(ANSWER))]


def test_percentiles_of_merged_tallies_are_those_of_all_values_whoever_counted_them() -> None:
    values = [random.Random(7).lognormvariate(6, 0.8) for _ in range(3000)]
    whole, together = Tally(), Tally()
    parts = [Tally() for _ in range(5)]
    for number, value in enumerate(values):
        whole.count("", {"total": value})
        parts[number % 5].count("", {"total": value})
    for part in parts:
        copy = Tally(part.uses)
        copy.add_encoded("total", part.encoded("total"))  # As it comes from another machine.
        together.merge(copy)
    assert together.uses == 3000
    assert percentiles(together.histograms["total"]) == percentiles(whole.histograms["total"])
    p50, p95, p99, _ = percentiles(together.histograms["total"])
    ordered = sorted(values)
    for found, place in ((p50, 0.5), (p95, 0.95), (p99, 0.99)):
        assert found == pytest.approx(ordered[round(place * 3000) - 1], rel=0.002)


def test_what_is_taken_back_leaves_nothing_behind() -> None:
    turn = result(timing(cost=0.1, usage=Usage(3, 2, 1, 5, 0.3)), timing(kind="hang"))
    found = tally([turn], FIVE_MINUTES_S)
    count_into(found, [turn], FIVE_MINUTES_S, -1)
    assert all(one == Tally(histograms=one.histograms) for one in found.values())
    assert all(one.encoded(name) == b"" for one in found.values() for name in MEASURES)


# --- In the database ---


@pytest.fixture
def busy_hours(durable_redis: str) -> str:
    """Three hundred turns over three hours, of two engines and a cache, some of which fail."""
    dice = random.Random(4)
    boot = Boot(at_us=int(BEGINNING.timestamp() * 1e6))
    batch = [boot.entry(started())]
    for number in range(300):
        boot.at_us += dice.randrange(72_000_000)
        kind = dice.choice(["", "", "", "timeout", "http_429"])
        stages = [timing(total_ms=dice.uniform(50, 3000), kind=kind, attempts=dice.randint(1, 4), cost=dice.random() / 100)]
        if kind:
            stages.append(timing(engine="second", total_ms=dice.uniform(50, 3000), connect_ms=dice.uniform(1, 80)))
        stages.append(timing("nlu", "", cache="intents", total_ms=0.2) if dice.random() < 0.4 else timing("nlu", "vendor"))
        batch.append(boot.entry(told(1000 + number, *stages, answer_ms=dice.uniform(300, 4000))))
    send(durable_redis, *(batch[at : at + 40] for at in range(0, len(batch), 40)))
    return durable_redis


@pytest.mark.django_db(transaction=True)
def test_the_tallies_are_exactly_what_the_rows_say(busy_hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TURNS", 70)
    recorder_of(busy_hours)
    rounds = [tally_turns() for _ in range(6)]
    assert rounds == [70, 70, 70, 70, 20, 0]
    for span_s in KEPT:
        assert plain(stored(span_s)) == plain(from_the_rows(span_s))
    assert len({start for start, _ in stored(FIVE_MINUTES_S)}) > 20


@pytest.mark.django_db(transaction=True)
def test_what_is_not_tallied_yet_is_read_all_the_same(busy_hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder_of(busy_hours)
    monkeypatch.setattr(tallies, "MOST_TURNS", 110)
    rows = from_the_rows(HOUR_S)
    for _ in range(4):
        reading = read(BEGINNING, HOUR_S, By(ANSWER), BEGINNING)
        assert plain(reading.whole) == plain(merged(rows))
        assert plain(reading.spans) == plain({start: one for (start, by), one in rows.items() if by == By(ANSWER)})
        for by, one in merged(rows).items():
            assert {name: getattr(one, name) for name in COUNTERS} == {name: getattr(reading.sums[by], name) for name in COUNTERS}
        tally_turns()


@pytest.mark.django_db(transaction=True)
def test_a_recorder_that_dies_in_a_round_and_replays_counts_nothing_twice(
    busy_hours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder_of(busy_hours)

    def dies() -> None:
        raise OSError("killed here")

    with monkeypatch.context() as patched:
        patched.setattr(tallies, "_next_round", dies)  # The last statement before the commit.
        with pytest.raises(OSError, match="killed here"):
            tally_turns()
    assert not StageTally.objects.exists()
    tally_turns()
    assert plain(stored(HOUR_S)) == plain(from_the_rows(HOUR_S))
    entries = [Boot().entry(started())]
    send(busy_hours, entries, entries)
    recorder_of(busy_hours)
    assert tally_turns() == 0
    assert plain(stored(HOUR_S)) == plain(from_the_rows(HOUR_S))


@pytest.mark.django_db(transaction=True)
def test_a_turn_that_another_owner_tells_anew_counts_as_it_was_told_last(durable_redis: str) -> None:
    old, new = Boot("old"), Boot("new", at_us=1_795_000_400_000_000)
    send(durable_redis, [old.entry(started()), old.entry(told(1001, timing(total_ms=2500.0), answer_ms=3000.0))])
    recorder_of(durable_redis)
    tally_turns()
    send(durable_redis, [new.entry(told(1001, timing(engine="second"), answer_ms=400.0), epoch=2)])
    recorder_of(durable_redis)
    assert not StageTally.objects.exists()
    tally_turns()
    for span_s in KEPT:
        assert plain(stored(span_s)) == plain(from_the_rows(span_s))
    assert {by.engine for _, by in stored(HOUR_S)} == {"", "second"}


@pytest.mark.django_db(transaction=True)
def test_the_recorder_tallies_by_itself(busy_hours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TURNS", 120)
    recorder = recorder_of(busy_hours)
    recorder.tally()
    assert Turn.objects.filter(is_tallied=True).count() == 120
    recorder.tally()
    recorder.tally()
    assert plain(stored(HOUR_S)) == plain(from_the_rows(HOUR_S))


@pytest.mark.django_db(transaction=True)
def test_an_absurd_figure_of_one_engine_stops_no_recorder_and_costs_only_itself(durable_redis: str) -> None:
    boot = Boot()
    absurd = told(1001, timing(usage=Usage(heard_s=1e300), cost=1e300), timing("nlu", "vendor", usage=Usage(10**19, 0, 3)))
    good = told(1002, timing(usage=Usage(heard_s=2.0)))
    send(durable_redis, [boot.entry(started()), boot.entry(absurd), boot.entry(good)])
    recorder_of(durable_redis).tally()
    found = merged(stored(HOUR_S))
    assert (found[LOCAL].uses, found[LOCAL].heard_ms, found[LOCAL].cost_nano) == (2, 2000, 0)
    assert (found[By("nlu", "vendor")].uses, found[By("nlu", "vendor")].tokens_read) == (1, 0)
    assert found[By(ANSWER)].answers == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OverflowError("too large"), DataError("out of range"), OperationalError("away")])
def test_tallies_that_fail_stop_neither_the_journal_nor_the_circuits_moves(
    durable_redis: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stop, rounds = threading.Event(), []

    def broken() -> int:
        rounds.append(Turn.objects.count())
        if len(rounds) > 1:
            stop.set()
        raise error

    monkeypatch.setattr(recorder_module, "tally_turns", broken)
    monkeypatch.setattr(recorder_module, "TALLY_EVERY_S", 0.0)
    operators.force("turns", CircuitState.FORCED_OPEN, "ann", "drill", redis_url=durable_redis)
    boot = Boot()
    send(durable_redis, [boot.entry(started()), boot.entry(told(1001))])
    Recorder(durable_redis, lambda: None).run(stop)
    assert rounds == [1, 1]
    assert CircuitMove.objects.get().by == "ann"


@pytest.mark.django_db
def test_a_reading_during_which_turns_went_in_is_repeated_and_never_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call.objects.create(call_uuid="call-1", started_at=BEGINNING, last_event_at=BEGINNING)
    Turn.objects.create(call=call, turn=1, outcome="understood", answer_ms=500.0, finished_at=BEGINNING)
    reads = tallies._stored

    def goes_in_meanwhile(*asked: Any) -> Any:
        found = reads(*asked)
        tally_turns()
        return found

    monkeypatch.setattr(tallies, "_stored", goes_in_meanwhile)
    assert read(BEGINNING, HOUR_S, LOCAL, BEGINNING).whole[By(ANSWER)].uses == 1

    def always(*asked: Any) -> Any:
        tallies._next_round()
        return reads(*asked)

    monkeypatch.setattr(tallies, "_stored", always)
    with pytest.raises(MixedReadingError):
        read(BEGINNING, HOUR_S, LOCAL, BEGINNING)


@pytest.mark.django_db
def test_what_is_older_than_it_is_kept_goes_and_the_rest_stays() -> None:
    now = BEGINNING + timedelta(days=100)
    for span_s, kept in KEPT.items():
        for age in (kept + timedelta(seconds=2 * span_s), kept - timedelta(seconds=span_s)):
            StageTally.objects.create(start=floor(now - age, span_s), span_s=span_s, stage="stt", engine="a", uses=1)
    assert prune(now) == 2
    assert prune(now) == 0
    assert StageTally.objects.count() == 2


@pytest.mark.django_db
def test_a_turn_of_before_that_is_told_anew_after_its_tally_was_pruned_makes_no_negative_one() -> None:
    with transaction.atomic():
        tallies.take_back([result(timing())])
    assert not StageTally.objects.exists()

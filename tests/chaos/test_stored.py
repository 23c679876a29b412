"""What a run reads of the records: who had a call, what was lost, and what was told twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.intake import store
from console.models import JournalLine
from esl_bridge.journal.events import CallEnded, EventsLost
from tests.chaos.compare import compare
from tests.chaos.stored import stored
from tests.console.journal import Boot, started

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_spool(tmp_path: Path, settings: Any) -> None:
    settings.LIFELINE_SPOOL_DIR = tmp_path


def lost_and_repeated() -> tuple[int, int]:
    findings = compare([], stored(), ())
    return findings.journal_lost, findings.journal_repeated


def test_what_never_came_is_lost_also_when_the_recorder_has_given_it_up() -> None:
    boot = Boot()
    entries = [boot.entry(started()) for _ in range(6)]
    store([*entries[:2], *entries[3:]], "1-1")
    assert lost_and_repeated()[0] == 1
    store(entries[5:], "1-2", given_up=[boot.boot_id])
    assert JournalLine.objects.filter(kind="events_lost").count() == 1
    assert lost_and_repeated()[0] == 1


def test_what_found_no_room_is_lost_though_no_number_is_missing() -> None:
    boot = Boot()
    store([boot.entry(started()), boot.entry(EventsLost(1000, 0), "", 0)], "1-1")
    assert lost_and_repeated() == (1000, 0)


def test_an_end_that_one_process_told_twice_is_repeated() -> None:
    boot = Boot()
    store([boot.entry(started()), boot.entry(CallEnded("NORMAL_CLEARING", "caller"))], "1-1")
    assert lost_and_repeated() == (0, 0)
    store([boot.entry(CallEnded("NORMAL_CLEARING", "caller"))], "1-2")
    assert lost_and_repeated() == (0, 1)


def test_who_finds_a_call_over_has_told_no_end() -> None:
    here, there = Boot(), Boot("boot-b")
    gone = CallEnded("FOUND_GONE", "unknown")
    store([here.entry(started()), here.entry(gone), there.entry(gone)], "1-1")
    assert [(call["is_over"], call["ends"]) for call in stored()["calls"]] == [(True, 0)]
    store([there.entry(CallEnded("NORMAL_CLEARING", "caller"), epoch=2), here.entry(CallEnded("NORMAL_CLEARING", "caller"))], "1-2")
    assert [call["ends"] for call in stored()["calls"]] == [2]


def test_every_bridge_that_had_the_call_is_known() -> None:
    store([Boot().entry(started("bridge-1")), Boot("boot-b").entry(started("bridge-2"), epoch=2)], "1-1")
    assert [call["bridges"] for call in stored()["calls"]] == [["bridge-1", "bridge-2"]]

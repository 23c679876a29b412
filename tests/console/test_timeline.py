"""A call's timeline tells what happened in the order in which it happened, whoever told it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from console.models import JournalLine
from console.timeline import in_order
from tests.console.test_pages import browser_of, make_call, text

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


def line(boot_id: str, seq: int, at_s: float, epoch: int = 1) -> JournalLine:
    return JournalLine(boot_id=boot_id, seq=seq, call_uuid="call-1", epoch=epoch, at=NOON + timedelta(seconds=at_s), kind="x")


def places(*lines: JournalLine) -> list[str]:
    """The same in whatever order they are read."""
    shuffled = random.Random(7).sample(lines, len(lines))
    found = [str(one) for one in in_order(shuffled)]
    assert found == [str(one) for one in in_order(lines)]
    return found


def test_what_the_switch_watch_tells_comes_when_it_happened_and_not_by_its_own_numbers() -> None:
    bridge = [line("bridge", 9001, 0), line("bridge", 9002, 5), line("bridge", 9003, 30)]
    watch = [line("watch", 3, 20), line("watch", 7, 41)]
    assert places(*bridge, *watch) == ["bridge/9001", "bridge/9002", "watch/3", "bridge/9003", "watch/7"]


def test_the_next_owner_begins_where_the_last_one_ended_whatever_their_clocks_say() -> None:
    assert places(line("b", 1, 0, epoch=2), line("a", 8, 60), line("b", 2, 1, epoch=2)) == ["a/8", "b/1", "b/2"]


def test_one_process_keeps_its_own_order_although_its_clock_was_set_back() -> None:
    bridge = [line("bridge", 1, 3600), line("bridge", 2, 3601), line("bridge", 3, 2), line("bridge", 4, 9)]
    assert places(*bridge, line("watch", 1, 5), line("watch", 2, 12)) == [
        "bridge/1", "bridge/2", "bridge/3", "watch/1", "bridge/4", "watch/2",
    ]  # fmt: skip


def test_what_happened_in_the_same_moment_has_one_order() -> None:
    assert places(line("b", 1, 0), line("a", 2, 0), line("a", 1, 0)) == ["a/1", "a/2", "b/1"]
    assert in_order([]) == []


@pytest.mark.django_db
def test_the_page_of_a_call_that_the_switch_s_own_menu_took_tells_its_beginning_first() -> None:
    call = make_call()
    told = [
        ("bridge", 9001, 0, "call_started", {"caller": "1", "destination": "9100", "bridge_id": "bridge-1"}),
        ("bridge", 9002, 1, "step_entered", {"step": "slot:account_number", "mode": "ai"}),
        ("watch", 1, 20, "last_resort_heard", {}),
        ("watch", 2, 40, "call_ended", {"hangup_cause": "NORMAL_CLEARING", "ended_by": "caller"}),
    ]
    for boot_id, seq, at_s, kind, data in told:
        at = NOON + timedelta(seconds=at_s)
        JournalLine.objects.create(call_uuid=call.call_uuid, epoch=1, boot_id=boot_id, seq=seq, at=at, kind=kind, data=data)
    page = text(browser_of("view_call"), f"/calls/{call.call_uuid}/")
    found = [page.index(NOON.replace(second=at_s).strftime("%H:%M:%S")) for _, _, at_s, _, _ in told]
    assert found == sorted(found)
    assert [one.seq for one in JournalLine.objects.all()] == [9001, 9002, 1, 2]

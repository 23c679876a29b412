"""The rules of order: whatever order two owners' journals arrive in, the records say the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.lost_calls import end_found_gone
from console.models import Call, Incident, Turn
from console.projection import ENDED_OPEN, Projection
from esl_bridge.journal.events import (
    CallEnded,
    Cause,
    Entry,
    FallbackReason,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    IntentServed,
    JournalEvent,
    LastResortHeard,
    LastResortLeft,
    Mode,
    Outcome,
    StepEntered,
    TurnStarted,
)
from tests.console.journal import Boot, closed, opened, started, understood

pytestmark = pytest.mark.django_db

END = CallEnded("NORMAL_CLEARING", "caller")


def project(entries: list[Entry]) -> None:
    projection = Projection(entries)
    projection.apply()
    projection.save()


def state() -> dict[str, Any]:
    """All that the records say of the one call, but for row numbers and the counter behind the rules."""
    call: dict[str, Any] = {**Call.objects.values().get(), "id": None, "seq": None}
    turns = list(Turn.objects.order_by("turn").values_list("turn", "expect", "outcome", "transcript", "answer_ms"))
    incidents = Incident.objects.order_by("incident_id").values_list("incident_id", "cause", "outcome", "proof", "opened_epoch")
    return {**call, "turns": turns, "incidents": list(incidents)}


some_event: st.SearchStrategy[Callable[[int], JournalEvent]] = st.sampled_from(
    [
        lambda epoch: StepEntered(f"step-{epoch}", Mode.AI),
        lambda epoch: TurnStarted(1000 * epoch + 1, "intent"),
        lambda epoch: FellBack(FallbackReason.INCIDENT, str(epoch)),
        lambda epoch: IncidentOpened(f"i-{epoch}", Cause.AI, "stt", "refused", 4, 1000 * epoch + 1),
        lambda epoch: IncidentOpened(f"late-{epoch}", Cause.AI, "turn", "no_answer", 1, 1000 * epoch + 2),
        lambda epoch: IncidentClosed("i-1", Outcome.FAILED_OVER, f"DTMF {epoch}"),
        lambda epoch: IncidentClosed("i-1", Outcome.DROPPED, f"hung up {epoch}"),
        lambda epoch: IncidentClosed(f"i-{epoch}", Outcome.RECOVERED, f"heard {epoch}"),
        lambda epoch: IntentServed("balance", Mode.FALLBACK),
    ]
)
owners = st.lists(st.lists(some_event, max_size=6), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=owners, ends=st.booleans(), seed=st.integers(0, 2**32), batch=st.integers(1, 7))
def test_the_order_of_arrival_changes_nothing(
    owners: list[list[Callable[[int], JournalEvent]]], ends: bool, seed: int, batch: int
) -> None:
    """Each owner (epoch) is a process whose journal comes in its own order; between them any order, in any batches."""
    journals = []
    at_us = 1_795_000_000_000_000
    for epoch, events in enumerate(owners, start=1):
        boot = Boot(f"boot-{epoch}", at_us)
        last: list[JournalEvent] = [StepEntered(f"menu-{epoch}", Mode.FALLBACK)]
        if ends and epoch == len(owners):
            last.append(END)
        made = [started(f"bridge-{epoch}", resumed=epoch > 1), *(event(epoch) for event in events), *last]
        journals.append([boot.entry(event, epoch=epoch) for event in made])
        at_us = boot.at_us
    in_order = [entry for one in journals for entry in one]
    Call.objects.all().delete()
    project(in_order)
    expected = state()
    shuffled = interleaved(journals, random.Random(seed))
    Call.objects.all().delete()
    for first in range(0, len(shuffled), batch):
        project(shuffled[first : first + batch])
    assert state() == expected
    assert (expected["epoch"], expected["step"], expected["mode"]) == (len(owners), f"menu-{len(owners)}", "fallback")


def interleaved(journals: list[list[Entry]], dice: random.Random) -> list[Entry]:
    left = [list(one) for one in journals]
    found = []
    while any(left):
        found.append(dice.choice([one for one in left if one]).pop(0))
    return found


def test_an_older_owners_close_never_replaces_a_newer_ones_and_gives_way_to_it() -> None:
    boot = Boot()
    project([boot.entry(opened()), boot.entry(closed(Outcome.DROPPED))])
    project([boot.entry(closed(Outcome.FAILED_OVER), epoch=2)])
    assert Incident.objects.get().outcome == "failed_over"
    project([boot.entry(closed(Outcome.DROPPED))])
    assert Incident.objects.get().outcome == "failed_over"


def test_a_late_step_of_the_same_owner_does_not_take_the_call_back() -> None:
    boot = Boot()
    late = boot.entry(StepEntered("listening", Mode.AI))
    project([boot.entry(started()), boot.entry(StepEntered("menu", Mode.FALLBACK))])
    project([late])
    assert (Call.objects.get().step, Call.objects.get().mode) == ("menu", "fallback")


def test_events_before_their_call_started_make_the_call_of_what_is_known() -> None:
    boot = Boot()
    project([boot.entry(StepEntered("menu", Mode.FALLBACK), epoch=2), boot.entry(understood(), epoch=2)])
    call = Call.objects.get()
    assert (call.caller, call.epoch, call.step, call.last_intent) == ("", 2, "menu", "balance")
    project([boot.entry(started())])
    call.refresh_from_db()
    assert (call.caller, call.epoch, call.bridge_id, call.step) == ("1000", 2, "", "menu")


def test_an_incident_that_opens_after_the_end_is_dropped_and_its_bridges_word_replaces_that() -> None:
    boot = Boot()
    project([boot.entry(started()), boot.entry(END)])
    project([boot.entry(opened())])
    incident = Incident.objects.get()
    assert (incident.outcome, incident.proof) == ("dropped", ENDED_OPEN)
    project([boot.entry(closed(Outcome.FAILED_OVER))])
    incident.refresh_from_db()
    assert (incident.outcome, incident.by_call_end, incident.proof) == ("failed_over", False, "PLAYBACK_START menu.wav")


@pytest.mark.parametrize("end_first", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.RECOVERED, Outcome.FAILED_OVER, Outcome.DROPPED])
def test_an_incident_of_a_frozen_bridge_that_woke_ends_as_the_call_fared_with_its_next_owner(
    outcome: Outcome, end_first: bool
) -> None:
    frozen, second = Boot("boot-a"), Boot("boot-b")
    project([frozen.entry(started()), second.entry(started("bridge-2", resumed=True), epoch=2)])
    late = [frozen.entry(opened("late"))]
    rest = [second.entry(opened("resumed"), epoch=2), second.entry(closed(outcome, "resumed"), epoch=2), second.entry(END, epoch=2)]
    for part in (rest, late) if end_first else (late, rest):
        project(part)
    incident = Incident.objects.get(incident_id="late")
    assert (incident.outcome, incident.proof) == (outcome.value, "taken over, resumed: PLAYBACK_START menu.wav")
    assert incident.by_call_end


def test_without_a_later_owners_proof_an_open_incident_of_an_older_owner_is_a_drop() -> None:
    boot = Boot()
    project([boot.entry(started()), boot.entry(opened()), boot.entry(started("bridge-2", resumed=True), epoch=2)])
    project([boot.entry(opened("resumed"), epoch=2), boot.entry(END, epoch=2)])
    assert set(Incident.objects.values_list("outcome", "proof")) == {("dropped", ENDED_OPEN)}


def test_what_is_longer_than_its_column_is_shortened() -> None:
    boot = Boot()
    project([boot.entry(opened()), boot.entry(IncidentClosed("i-1", Outcome.FAILED_OVER, "x" * 5000))])
    assert Incident.objects.get().proof == "x" * 300


def test_circuits_are_of_no_call() -> None:
    boot = Boot()
    project([boot.entry(started(), call_uuid="")])
    assert not Call.objects.exists()


def heard(*, by_chain: bool = True, proof: str = "PLAYBACK_START aa.wav") -> LastResortHeard:
    return LastResortHeard("1000", "9200", "demo", 1, by_chain, proof)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), batch=st.integers(1, 7), returns=st.booleans())
def test_what_was_heard_in_the_last_resort_is_the_same_in_any_order_of_journals(seed: int, batch: int, returns: bool) -> None:
    """A bridge dies with an incident open, the switch serves, and it may be that another bridge takes the call from there."""
    bridge, switch, heir = Boot("boot-1"), Boot("switch", 1_795_000_001_000_000), Boot("boot-2", 1_795_000_002_000_000)
    journals = [
        [bridge.entry(each) for each in (started(), opened(), StepEntered("menu", Mode.FALLBACK))],
        [switch.entry(each) for each in (heard(), heard(proof="PLAYBACK_START later.wav"))],
    ]
    if returns:
        last = (started("bridge-2", resumed=True), StepEntered("greeting", Mode.AI))
        journals.append([heir.entry(each, epoch=2) for each in last])
        journals[1].append(switch.entry(END, epoch=2))
    else:
        journals[1].append(switch.entry(END))
    in_any_order = interleaved(journals, random.Random(seed))
    Call.objects.all().delete()
    for first in range(0, len(in_any_order), batch):
        project(in_any_order[first : first + batch])
    call = Call.objects.get()
    assert (call.mode, call.step) == (("ai", "greeting") if returns else ("last_resort", "last_resort"))
    assert (call.ended_at is not None, call.ended_by) == (True, "caller")
    found = {incident.kind: incident for incident in Incident.objects.all()}
    assert {kind: incident.outcome for kind, incident in found.items()} == {"refused": "failed_over", "no_bridge": "failed_over"}
    assert found["no_bridge"].proof == "PLAYBACK_START aa.wav"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("heard_at_the_end", [True, False])
def test_what_an_owner_left_open_that_the_switch_never_knew_ends_as_the_last_visit_did(seed: int, heard_at_the_end: bool) -> None:
    """Seen in a chaos run: a bridge took the call, journalled that, and was killed before the switch had its name."""
    unknown, switch = Boot("boot-2"), Boot("switch", 1_795_000_001_000_000)
    resumed = IncidentOpened("u-1:2:1", Cause.BRIDGE, "bridge", "resumed", 1, 0)
    journals = [
        [unknown.entry(each, epoch=2) for each in (started("bridge-2", resumed=True), resumed)],
        [switch.entry(each) for each in (heard(), LastResortLeft("", False, heard_at_the_end), END)],
    ]
    Call.objects.all().delete()
    for entry in interleaved(journals, random.Random(seed)):
        project([entry])
    outcomes = dict(Incident.objects.values_list("kind", "outcome"))
    assert outcomes == {"no_bridge": "failed_over", "resumed": "failed_over" if heard_at_the_end else "dropped"}


def test_a_call_that_no_bridge_ever_had_is_in_the_records_as_the_switch_served_it() -> None:
    boot = Boot("switch")
    project([boot.entry(heard(), epoch=0), boot.entry(END, epoch=0)])
    call = Call.objects.get()
    assert (call.caller, call.destination, call.flow_slug, call.mode, call.bridge_id) == ("1000", "9200", "demo", "last_resort", "")
    assert (call.hangup_cause, Incident.objects.get().outcome) == ("NORMAL_CLEARING", "failed_over")


def test_a_call_that_a_living_bridge_sent_there_has_no_failure_of_ours_to_tell() -> None:
    boot = Boot("switch")
    project([Boot().entry(started()), boot.entry(heard(by_chain=False))])
    assert (Call.objects.get().mode, Incident.objects.count()) == ("last_resort", 0)


def test_what_was_heard_corrects_what_was_taken_for_lost() -> None:
    bridge = Boot()
    project([bridge.entry(started())])
    assert end_found_gone(Call.objects.get(), timezone.now())
    assert Incident.objects.get().outcome == "dropped"
    switch = Boot("switch", 1_795_000_001_000_000)
    project([switch.entry(heard()), switch.entry(END)])
    incident, call = Incident.objects.get(), Call.objects.get()
    assert (incident.kind, incident.outcome, incident.by_call_end) == ("no_bridge", "failed_over", False)
    assert (call.ended_by, call.hangup_cause) == ("caller", "NORMAL_CLEARING")


def test_who_was_in_the_menu_of_the_switch_and_was_lost_by_the_bridge_that_took_them_back_is_lost() -> None:
    """The menu's own incident ended well; what came after it did not."""
    switch, heir = Boot("switch"), Boot("boot-2", 1_795_000_001_000_000)
    project([switch.entry(heard())])
    project([heir.entry(each, epoch=2) for each in (started("bridge-2", resumed=True), StepEntered("menu", Mode.FALLBACK))])
    assert end_found_gone(Call.objects.get(), timezone.now())
    assert dict(Incident.objects.values_list("kind", "outcome")) == {"no_bridge": "failed_over", "lost": "dropped"}
    project([heir.entry(END, epoch=2)])  # it had seen the end, and only told it late
    assert dict(Incident.objects.values_list("kind", "outcome")) == {"no_bridge": "failed_over"}
    assert Call.objects.get().ended_by == "caller"


@pytest.mark.parametrize("looked_first", [True, False])
def test_two_visits_that_find_a_call_over_make_one_end_and_it_was_not_lost(looked_first: bool) -> None:
    """Its caller hung up before either had it. Who sees an end says more than who finds one, and more than a look at the switch."""
    one, other, gone = Boot(), Boot("boot-2", 1_795_000_001_000_000), CallEnded("FOUND_GONE", "unknown")
    project([one.entry(started())])
    if looked_first:
        assert end_found_gone(Call.objects.get(), timezone.now())
        assert Incident.objects.get().kind == "lost"
    project([one.entry(gone)])
    found = Call.objects.get()
    assert (found.ended_by, found.hangup_cause, Incident.objects.count()) == ("unknown", "FOUND_GONE", 0)
    project([other.entry(gone)])
    assert Call.objects.get().ended_at == found.ended_at
    project([other.entry(END)])
    assert (Call.objects.get().ended_by, Call.objects.get().hangup_cause) == ("caller", "NORMAL_CLEARING")


def test_a_bridge_whose_clock_is_ahead_does_not_keep_a_call_on_the_line() -> None:
    ahead = Boot(at_us=int(timezone.now().timestamp() * 1_000_000) + 3_600_000_000)
    project([ahead.entry(started())])
    assert Call.objects.get().last_event_at <= timezone.now()

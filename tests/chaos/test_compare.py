"""Callers' records against the console's: who is right about which call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from simulator.records import Silence
from tests.chaos.compare import Findings, Happened, compare, most_at_once
from tests.chaos.faults import Notice

KILL = Happened("kill bridge", Notice.BRIDGE_KILLED, 105.0, 109.0)
FREEZE = Happened("freeze bridge", Notice.BRIDGE_FROZEN, 105.0, 114.0)


def caller(
    outcome: str = "finished", silences: Sequence[tuple[float, float, bool] | Silence] = (), last_sound_at_s: float = 129.0,
    quiet_from_s: float = 130.0, *, quiet_after_a_cut: bool = False,
) -> dict[str, Any]:
    longest_ms = round(max((one[1] for one in silences), default=0.0) * 1000)
    return {
        "call_uuid": "u", "outcome": outcome, "because": "silence" if outcome == "disconnected" else "satisfied",
        "began_at_s": 100.0, "ended_at_s": 130.0, "longest_silence_ms": longest_ms,
        "silences": [list(Silence(*one)) for one in silences],
        "last_sound_at_s": last_sound_at_s, "quiet_from_s": quiet_from_s,
        "quiet_after_a_cut": quiet_after_a_cut,
    }  # fmt: skip


def call(*outcomes: str, **more: Any) -> dict[str, Any]:
    incidents = [{"cause": "ai", "stage": "stt", "kind": "hang", "outcome": outcome} for outcome in outcomes]
    call = {
        "call_uuid": "u", "bridge_id": "bridge-1", "bridges": ["bridge-1"], "is_over": True, "ends": 1, "ended_by": "caller",
        "incidents": incidents,
    }  # fmt: skip
    return {**call, **more}


def found(
    one: dict[str, Any], recorded: dict[str, Any] | None, *faults: Happened, boots: list[dict[str, Any]] | None = None,
    told_twice: list[dict[str, Any]] | None = None, unsent: dict[str, int] | None = None, late_s: float = 0.0,
) -> Findings:  # fmt: skip
    stored = {"calls": [recorded] if recorded else [], "boots": boots or [], "told_twice": told_twice or [], "unsent": unsent or {}}
    return compare([one], stored, faults, late_s)


def wrong(findings: Findings) -> list[str]:
    return [one.why for one in findings.wrong]


def test_a_finished_call_that_failed_over_is_right() -> None:
    findings = found(caller(), call("failed_over", "recovered"), KILL)
    assert (findings.calls, findings.dropped, findings.wrong) == (1, [], [])


def test_a_call_that_its_caller_lost_is_a_drop_and_the_records_must_say_so() -> None:
    findings = found(caller("disconnected"), call("dropped"), KILL)
    assert [(one.why, one.during) for one in findings.dropped] == [("silence", ("kill bridge",))]
    assert findings.wrong == []
    assert "the records do not" in wrong(found(caller("disconnected"), call("failed_over")))[0]


def test_a_drop_in_the_records_that_its_caller_did_not_see_is_wrong() -> None:
    assert "the records dropped it: ai/stt/hang" in wrong(found(caller(), call("dropped")))[0]


def test_no_record_no_end_two_ends_and_no_outcome_are_wrong() -> None:
    assert wrong(found(caller(), None)) == ["there is no record of it"]
    assert wrong(found(caller(), call(is_over=False))) == ["its record has no end"]
    assert wrong(found(caller(), call(ends=2))) == ["its end was told twice"]
    assert wrong(found(caller(), call(""))) == ["an incident has no outcome"]


def test_a_call_of_the_last_resort_that_the_records_lost_is_told_apart() -> None:
    lost = {"cause": "bridge", "stage": "bridge", "kind": "lost", "outcome": "dropped"}
    findings = found(caller(), call(incidents=[lost], ended_by="unknown"))
    assert findings.wrong == []
    assert len(findings.last_resort_as_lost) == 1


def test_who_hangs_up_before_anything_is_heard_again_was_dropped_however_content() -> None:
    resumed = {"cause": "bridge", "stage": "bridge", "kind": "resumed", "outcome": "dropped"}
    findings = found(caller(last_sound_at_s=104.0, quiet_from_s=105.2), call(incidents=[resumed]), KILL)
    assert (len(findings.left_in_silence), findings.wrong) == (1, [])
    lost = {**resumed, "kind": "lost"}
    findings = found(caller(last_sound_at_s=104.0, quiet_from_s=104.5), call(incidents=[lost], ended_by="unknown"), KILL)
    assert (len(findings.left_in_silence), findings.last_resort_as_lost) == (1, [])
    restart = Happened("restart bridge", Notice.BRIDGE_KILLED, 102.0, 109.0)
    findings = found(caller(last_sound_at_s=105.0, quiet_from_s=106.2), call(incidents=[resumed]), restart)
    assert (len(findings.left_in_silence), findings.wrong) == (1, [])
    findings = found(caller(last_sound_at_s=105.0, quiet_from_s=106.2), call(incidents=[lost], ended_by="unknown"), restart)
    assert (len(findings.left_in_silence), findings.last_resort_as_lost) == (1, [])
    elsewhere = call(incidents=[lost], ended_by="unknown", bridge_id="bridge-2", bridges=["bridge-1", "bridge-2"])
    findings = found(caller(last_sound_at_s=107.0, quiet_from_s=108.2), elsewhere, restart)
    assert (len(findings.left_in_silence), findings.last_resort_as_lost) == (1, [])
    findings = found(caller(last_sound_at_s=104.0, quiet_from_s=105.2), elsewhere, KILL)
    assert (len(findings.left_in_silence), findings.last_resort_as_lost) == (1, [])
    slow = Happened("kill bridge", Notice.BRIDGE_KILLED, 103.0, 109.0, done_s=104.9)
    findings = found(caller(last_sound_at_s=104.0, quiet_from_s=105.2), call(incidents=[resumed]), slow)
    assert (len(findings.left_in_silence), findings.wrong) == (1, [])
    stall = Happened("stall bridge", Notice.BRIDGE_FROZEN, 105.0, 109.0)
    findings = found(caller(last_sound_at_s=104.5, quiet_from_s=108.0), call(incidents=[resumed]), stall)
    assert (len(findings.left_in_silence), findings.wrong) == (1, [])


def test_a_caller_who_notices_late_what_was_cut_was_left_in_silence_all_the_same() -> None:
    resumed = {"cause": "bridge", "stage": "bridge", "kind": "resumed", "outcome": "dropped"}
    cut = caller(last_sound_at_s=104.0, quiet_from_s=106.4, quiet_after_a_cut=True)
    assert len(found(cut, call(incidents=[resumed]), KILL, late_s=1.0).left_in_silence) == 1
    assert len(found(cut, call(incidents=[resumed]), KILL, late_s=0.8).wrong) == 1, "later than they were"
    ended = caller(last_sound_at_s=104.0, quiet_from_s=106.4)
    assert len(found(ended, call(incidents=[resumed]), KILL, late_s=1.0).left_in_silence) == 1, "and by itself before they noticed"
    after = caller(last_sound_at_s=105.5, quiet_from_s=106.4)
    assert len(found(after, call(incidents=[resumed]), KILL, late_s=1.0).wrong) == 1, "it began after the death, and was not cut"
    slow = Happened("restart bridge", Notice.BRIDGE_KILLED, 102.0, 109.0)
    given_back = caller(last_sound_at_s=105.0, quiet_from_s=106.8)
    assert len(found(given_back, call(incidents=[resumed]), slow, late_s=0.4).left_in_silence) == 1
    assert len(found(given_back, call(incidents=[resumed]), slow).wrong) == 1
    ordered = caller(last_sound_at_s=105.8, quiet_from_s=108.0)
    assert len(found(ordered, call(incidents=[resumed]), FREEZE, late_s=0.9).left_in_silence) == 1, "before it froze"
    assert len(found(ordered, call(incidents=[resumed]), FREEZE).wrong) == 1
    another = caller(last_sound_at_s=106.2, quiet_from_s=108.0)
    assert len(found(another, call(incidents=[resumed]), FREEZE, late_s=5.0).wrong) == 1, "somebody else may have said it"


def test_of_who_goes_just_before_their_bridge_is_killed_nobody_has_seen_the_end() -> None:
    lost = {"cause": "bridge", "stage": "bridge", "kind": "lost", "outcome": "dropped"}
    for began_s, known in ((130.3, True), (130.7, False)):
        kill = Happened("kill bridge", Notice.BRIDGE_KILLED, began_s, 134.0)
        findings = found(caller(), call(incidents=[lost], ended_by="unknown"), kill)
        assert (len(findings.left_in_silence), len(findings.last_resort_as_lost)) == ((1, 0) if known else (0, 1))


@pytest.mark.parametrize(
    ("last_sound_at_s", "quiet_from_s", "cause", "kind", "faults"),
    [
        (106.0, 107.0, "bridge", "resumed", (KILL,)),  # they heard something after it
        (104.0, 114.0, "bridge", "resumed", (KILL,)),  # what they heard went on
        (106.0, 107.0, "bridge", "resumed", (Happened("stall bridge", Notice.BRIDGE_FROZEN, 105.0, 109.0),)),
        (104.0, 104.5, "ai", "hang", (KILL,)),  # it was not the bridge that dropped them
        (104.0, 104.5, "bridge", "stood_still", (Happened("kill bridge-2", Notice.BRIDGE_KILLED, 105.0, 109.0),)),  # not theirs
        (106.5, 106.8, "bridge", "resumed", (Happened("restart bridge", Notice.BRIDGE_KILLED, 102.0, 109.0),)),  # it had parted
        (105.0, 106.2, "bridge", "stood_still", (Happened("restart bridge", Notice.BRIDGE_KILLED, 102.0, 109.0),)),
        (104.0, 104.5, "bridge", "resumed", ()),  # no bridge failed
        (104.0, 104.5, "bridge", "resumed", (Happened("kill worker", Notice.TURN, 105.0, 109.0),)),
        (104.0, 104.5, "bridge", "resumed", (Happened("kill bridge", Notice.BRIDGE_KILLED, 131.0, 135.0),)),  # they had gone
    ],
)
def test_any_other_drop_that_its_caller_did_not_see_stays_wrong(
    last_sound_at_s: float, quiet_from_s: float, cause: str, kind: str, faults: tuple[Happened, ...]
) -> None:
    drop = {"cause": cause, "stage": "bridge", "kind": kind, "outcome": "dropped"}
    findings = found(caller(last_sound_at_s=last_sound_at_s, quiet_from_s=quiet_from_s), call(incidents=[drop]), *faults)
    assert (findings.left_in_silence, len(findings.wrong)) == ([], 1)


def test_gaps_doubles_and_what_lies_in_a_spool_are_counted() -> None:
    boots = [{"boot_id": "a", "lines": 9, "last": 10, "said_lost": 0}, {"boot_id": "b", "lines": 5, "last": 5, "said_lost": 0}]
    findings = found(caller(), call(), boots=boots, told_twice=[{"n": 3}], unsent={"c": 4})
    assert (findings.journal_events, findings.journal_lost, findings.journal_repeated) == (14, 5, 2)


def test_what_the_journal_itself_says_was_lost_is_lost() -> None:
    boots = [{"boot_id": "a", "lines": 9, "last": 9, "said_lost": 1000}]
    assert found(caller(), call(), boots=boots).journal_lost == 1000


def test_a_record_of_a_call_that_nobody_made_is_wrong() -> None:
    stored = {"calls": [call(), call("dropped", call_uuid="ghost")], "boots": [], "told_twice": [], "unsent": {}}
    findings = compare([caller()], stored, ())
    assert [(one.call_uuid, one.why) for one in findings.wrong] == [("ghost", "nobody made this call")]


def test_a_silence_has_the_limit_of_what_broke_in_it() -> None:
    findings = found(caller(silences=((104.0, 1.8, False),)), call(), KILL)
    assert findings.longest_ms == {Notice.TURN: 0, Notice.BRIDGE_KILLED: 800, Notice.BRIDGE_FROZEN: 0}
    assert findings.too_long == []
    findings = found(caller(silences=((104.0, 2.5, True),)), call(), KILL)
    assert [one.why for one in findings.too_long] == ["bridge_killed: 1.50 s of silence"]


def test_what_it_takes_to_know_that_a_caller_has_stopped_is_no_silence_of_ours() -> None:
    findings = found(caller(silences=((104.0, 5.1, True),)), call())
    assert (findings.longest_ms[Notice.TURN], findings.too_long) == (4400, [])
    assert [one.why for one in found(caller(silences=((104.0, 5.1, False),)), call()).too_long] == ["turn: 5.10 s of silence"]


def test_a_frozen_bridge_is_felt_while_it_is_frozen_and_no_longer() -> None:
    findings = found(caller(silences=((106.0, 6.0, True), (120.0, 5.0, False))), call(), FREEZE)
    assert findings.longest_ms[Notice.BRIDGE_FROZEN] == 6000
    assert [one.why for one in findings.too_long] == ["turn: 5.00 s of silence"]


OTHER_FROZEN = Happened("freeze bridge-2", Notice.BRIDGE_FROZEN, 109.0, 118.0)


def test_another_bridges_fault_excuses_no_silence() -> None:
    silences = ((108.0, 6.0, False),)
    assert [one.why for one in found(caller(silences=silences), call(), OTHER_FROZEN).too_long] == ["turn: 6.00 s of silence"]
    assert found(caller(silences=silences), call(bridges=["bridge-1", "bridge-2"]), OTHER_FROZEN).too_long == []
    killed = Happened("kill bridge-3", Notice.BRIDGE_KILLED, 104.5, 109.0)
    assert found(caller(silences=((104.0, 1.8, False),)), call(), killed).longest_ms[Notice.TURN] == 1800


def test_what_a_killed_or_restarted_bridge_breaks_off_is_its_own_silence() -> None:
    cut = (Silence(105.2, 1.8, after_a_cut=True),)
    assert [one.why for one in found(caller(silences=cut), call(), KILL).too_long] == ["bridge_killed: 1.80 s of silence"]
    slow = Happened("kill bridge", Notice.BRIDGE_KILLED, 103.0, 109.0, done_s=104.9)
    assert len(found(caller(silences=cut), call(), slow).too_long) == 1
    restart = Happened("restart bridge", Notice.BRIDGE_KILLED, 101.0, 108.0)
    assert len(found(caller(silences=cut), call(), restart).too_long) == 1
    thinking = (Silence(100.9, 3.0),)
    assert found(caller(silences=thinking), call(), restart).too_long == [], "it had the call until it gave it back"
    assert len(found(caller(silences=((100.9, 5.0, False),)), call(), restart).too_long) == 1
    ended = (Silence(105.2, 1.8),)
    assert found(caller(silences=ended), call(), KILL, restart).too_long == []
    later = (Silence(108.5, 1.8, after_a_cut=True),)
    assert found(caller(silences=later), call(), KILL, restart).too_long == []
    noticed = (Silence(106.4, 1.8, after_a_cut=True),)
    assert found(caller(silences=noticed), call(), KILL).too_long == []
    assert len(found(caller(silences=noticed), call(), KILL, late_s=1.0).too_long) == 1


def test_what_was_long_before_its_bridge_froze_is_the_turns() -> None:
    findings = found(caller(silences=((103.5, 9.5, False),)), call(bridges=["bridge-2"]), OTHER_FROZEN)
    assert [one.why for one in findings.too_long] == ["turn: 9.50 s of silence"]


def test_a_call_without_a_bridge_may_come_to_a_frozen_one() -> None:
    """It has to wait there for the timer: at its beginning, or when its own bridge is gone."""
    early = Happened("freeze bridge-2", Notice.BRIDGE_FROZEN, 99.0, 108.0)
    assert found(caller(silences=((100.2, 6.0, False),)), call(), early).too_long == []
    silences = ((104.5, 6.4, False),)
    assert found(caller(silences=silences), call(), KILL, early).too_long == []
    assert len(found(caller(silences=silences), call(bridges=["bridge-3"]), KILL, early).too_long) == 1


def test_the_most_calls_at_once_are_those_that_overlap() -> None:
    spans = [(0.0, 10.0), (1.0, 3.0), (3.0, 5.0), (4.0, 6.0), (20.0, 21.0)]
    assert most_at_once([{"began_at_s": began_s, "ended_at_s": ended_s} for began_s, ended_s in spans]) == 3
    assert most_at_once([]) == 0

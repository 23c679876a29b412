"""Callers' own records against the console's, call by call; and the journal's numbers. Pure.

The rule: a call that its caller finished has no incident that dropped it, and one that its caller lost has. Every record has
a caller and an end, and every incident an outcome. DESIGN's exception: who hangs up in the silence between a bridge's failure
and the next sound was dropped, "because that is what it is", however content they were.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from esl_bridge.media.voice import FRAME_MS, SILENCE_FRAMES
from tests.chaos.faults import Notice
from tests.chaos.world import DRAIN_S

# The demonstration's turn budget, and what the issue adds to it.
TURN_LIMIT_S = 4.0 + 0.5
# What it takes to know that a caller has stopped: no silence of ours, and the budget runs from its end.
END_OF_SPEECH_S = SILENCE_FRAMES * FRAME_MS / 1000
# The death of a bridge cuts what plays, and the caller's own clock may be late.
CUT_S = 0.5
# What came to a bridge so shortly before it was killed it may not have read.
UNREAD_S = 0.5
# No timer takes a call from a frozen bridge sooner: what its caller hears until then it had ordered before.
NOBODY_ELSE_S = 1.0
# Who has heard nothing since they dialled has no bridge yet.
BEGINNING_S = 1.0
BRIDGE_KILLED_LIMIT_S = 1.0
# The dead man's timer, and as much again as for a turn.
BRIDGE_FROZEN_LIMIT_S = 6.0 + 0.5
LIMITS_S = {
    Notice.TURN: TURN_LIMIT_S, Notice.BRIDGE_KILLED: BRIDGE_KILLED_LIMIT_S, Notice.BRIDGE_FROZEN: BRIDGE_FROZEN_LIMIT_S,
}  # fmt: skip
# Of whose lines one would read.
MOST_SILENT = 40
DROPPED = "dropped"
LOST = "lost"


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault as it was, by the machine's monotonic clock: ordered at ``began_s``, and done by ``done_s``, which on a machine
    without time is later."""

    name: str
    notice: Notice
    began_s: float
    over_s: float
    done_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    call_uuid: str
    why: str
    during: tuple[str, ...]


@dataclass(slots=True)
class Findings:
    """``left_in_silence``: finished calls that the records dropped, rightly: their callers heard nothing after their bridge failed.

    ``last_resort_as_lost``: finished calls that no bridge ended; the switch's own menu served them and the records say lost.

    ``ways``: the figures as each of the four ways has them, which the run fills in.
    """

    calls: int = 0
    most_at_once: int = 0
    dropped: list[Difference] = field(default_factory=list)
    wrong: list[Difference] = field(default_factory=list)
    left_in_silence: list[Difference] = field(default_factory=list)
    last_resort_as_lost: list[Difference] = field(default_factory=list)
    journal_events: int = 0
    journal_lost: int = 0
    journal_repeated: int = 0
    silences_ms: list[int] = field(default_factory=list)
    longest_ms: dict[Notice, int] = field(default_factory=lambda: dict.fromkeys(Notice, 0))
    too_long: list[Difference] = field(default_factory=list)
    ways: dict[str, dict[str, int]] = field(default_factory=dict)

    def in_question(self) -> list[str]:
        """The calls that were not as they should be, and some whose silence was too long."""
        return [one.call_uuid for one in (*self.wrong, *self.last_resort_as_lost, *self.too_long[:MOST_SILENT])]


def compare(
    callers: Sequence[Mapping[str, Any]], stored: Mapping[str, Any], faults: Sequence[Happened], late_s: float = 0.0
) -> Findings:
    """``late_s``: by how much the callers' own clocks were late, at most. They notice that much later what happened to them."""
    found = Findings(calls=len(callers), most_at_once=most_at_once(callers))
    calls = {call["call_uuid"]: call for call in stored["calls"]}
    for caller in callers:
        call = calls.pop(caller["call_uuid"], None)
        _compare_one(found, caller, call, faults, late_s)
        _silences(found, caller, call["bridges"] if call else (), faults, late_s)
    found.wrong += [Difference(call_uuid, "nobody made this call", ()) for call_uuid in calls]
    for boot in stored["boots"]:
        found.journal_events += boot["lines"]
        # What its own lines say was lost has no number; what the recorder gave up has, and counts twice but for one: no matter.
        found.journal_lost += boot["last"] - boot["lines"] + boot["said_lost"]
    found.journal_lost += sum(stored["unsent"].values())
    found.journal_repeated += sum(one["n"] - 1 for one in stored["told_twice"])
    return found


def most_at_once(callers: Iterable[Mapping[str, Any]]) -> int:
    """Of calls, by their beginnings and ends."""
    began = sorted(caller["began_at_s"] for caller in callers)
    ended = sorted(caller["ended_at_s"] for caller in callers)
    return max((number - bisect_right(ended, at_s) for number, at_s in enumerate(began, 1)), default=0)


def _compare_one(
    found: Findings, caller: Mapping[str, Any], call: Mapping[str, Any] | None, faults: Sequence[Happened], late_s: float
) -> None:
    during = tuple(fault.name for fault in faults if _overlap(fault, caller["began_at_s"], caller["ended_at_s"]))

    def difference(why: str) -> Difference:
        return Difference(caller["call_uuid"], why, during)

    lost = caller["outcome"] == "disconnected"
    if lost:
        found.dropped.append(difference(caller["because"]))
    if call is None:
        found.wrong.append(difference("there is no record of it"))
        return
    incidents = call["incidents"]
    drops = [one for one in incidents if one["outcome"] == DROPPED]
    if not call["is_over"]:
        found.wrong.append(difference("its record has no end"))
    elif call["ends"] > 1:
        found.wrong.append(difference("its end was told twice"))
    elif any(not one["outcome"] for one in incidents):
        found.wrong.append(difference("an incident has no outcome"))
    elif lost and not drops:
        found.wrong.append(difference(f"the caller lost it ({caller['because']}), the records do not"))
    elif not lost and drops:
        what = ", ".join(f"{one['cause']}/{one['stage']}/{one['kind']}" for one in drops)
        if _left_in_silence(caller, call["bridge_id"], call["bridges"], drops, faults, late_s):
            found.left_in_silence.append(difference(f"they hung up before they heard anything again: {what}"))
            return
        unseen = call["ended_by"] == "unknown" and any(one["kind"] == LOST for one in drops)
        where = found.last_resort_as_lost if unseen else found.wrong
        where.append(difference(f"the caller finished, the records dropped it: {what}"))


def _left_in_silence(
    caller: Mapping[str, Any], bridge_id: str, had_it: Sequence[str], drops: Sequence[Mapping[str, Any]],
    faults: Iterable[Happened], late_s: float,
) -> bool:  # fmt: skip
    """Whether a bridge of theirs failed, and from then on they heard nothing and did nothing until they hung up.

    A call that was resumed has its heir's name by then: whose failure it was cannot be told from that. A bridge that is restarted
    gives its calls back one after the other while it drains, and who goes before another takes them is lost.
    What plays when a bridge freezes goes on to its end. Of who goes so shortly before a bridge is killed that it has not read of
    it, nobody has seen the end. A caller whose last sound broke off heard nothing of anybody after it, however late they noticed.
    """
    if any(one["cause"] != "bridge" for one in drops):
        return False
    resumed = all(one["kind"] == "resumed" for one in drops)
    lost = all(one["kind"] == LOST for one in drops)

    def by(fault: Happened) -> bool:
        is_kill = fault.notice is Notice.BRIDGE_KILLED
        if not (resumed or _is_of(fault, had_it if lost and is_kill else (bridge_id,))):
            return False
        if caller["ended_at_s"] < fault.began_s - (UNREAD_S if lost and is_kill else 0.0):
            return False
        parted_s = _parted_s(fault, late_s, resumed=resumed, lost=lost)
        if not is_kill:
            return bool(caller["last_sound_at_s"] <= parted_s + min(late_s, NOBODY_ELSE_S))
        began_by_s = parted_s + (late_s if caller["quiet_after_a_cut"] else 0.0)
        return bool(caller["last_sound_at_s"] <= began_by_s and caller["quiet_from_s"] <= parted_s + CUT_S + late_s)

    return any(by(fault) for fault in faults if fault.notice in (Notice.BRIDGE_KILLED, Notice.BRIDGE_FROZEN))


def _is_of(fault: Happened, bridges: Iterable[str]) -> bool:
    _, _, part = fault.name.partition(" ")
    return part == "every bridge" or part in {name.removesuffix("-1") for name in bridges}  # The first one's process has no number.


def _parted_s(fault: Happened, late_s: float, *, resumed: bool, lost: bool) -> float:
    """When the last call of that bridge had left it. The last sockets that a bridge closes as it ends are those of calls which it
    lost before, and that others have: such a call goes into the chain once more, like every other."""
    if _is_restart(fault) and (resumed or lost):
        return fault.over_s if lost else min(fault.over_s, fault.began_s + DRAIN_S + late_s)
    return max(fault.began_s, fault.done_s)


def _is_restart(fault: Happened) -> bool:
    return fault.name.startswith("restart ")


def _silences(
    found: Findings, caller: Mapping[str, Any], bridges: Sequence[str], faults: Sequence[Happened], late_s: float
) -> None:
    """``bridges``: all that ever had the call."""
    found.silences_ms.append(caller["longest_silence_ms"])
    for began_s, length_s, after_words, after_a_cut in caller["silences"]:
        is_first = began_s < caller["began_at_s"] + BEGINNING_S
        cut_within_s = CUT_S + late_s if after_a_cut else 0.0
        notice, heard_s = _attributed(began_s, began_s + length_s, faults, bridges, is_first=is_first, cut_within_s=cut_within_s)
        if notice is Notice.TURN and after_words:
            heard_s -= END_OF_SPEECH_S
        found.longest_ms[notice] = max(found.longest_ms[notice], round(heard_s * 1000))
        if heard_s > LIMITS_S[notice]:
            during = tuple(fault.name for fault in faults if _overlap(fault, began_s, began_s + length_s))
            found.too_long.append(Difference(caller["call_uuid"], f"{notice.value}: {heard_s:.2f} s of silence", during))


def _attributed(
    began_s: float, ended_s: float, faults: Sequence[Happened], bridges: Sequence[str], *, is_first: bool, cut_within_s: float
) -> tuple[Notice, float]:
    """Whose limit a silence has, and how much of it counts: with a fault of the call's own bridge in it, what came after that.

    A killed bridge's counts when it died within the silence, or cut what was heard before it. One that is restarted has each call
    until it gives it back: only what is cut tells when that was. A frozen one's counts as long as it is frozen. A call that begins,
    or leaves its bridge, may be given to any bridge, and wait there for the timer if that one is frozen.
    """
    theirs = [one for one in faults if one.notice is not Notice.TURN and _is_of(one, bridges)]
    moves = is_first or any(_overlap(one, began_s, ended_s) for one in theirs)
    frozen = [one for one in (faults if moves else theirs) if one.notice is Notice.BRIDGE_FROZEN]
    killed = [
        one for one in theirs
        if one.notice is Notice.BRIDGE_KILLED
        and ((began_s <= one.began_s and not _is_restart(one)) or _cut(one, began_s, cut_within_s))
    ]  # fmt: skip
    for fault in [*frozen, *killed]:
        # What was long before it anyway is no matter of the bridge's.
        if _overlap(fault, began_s, ended_s) and fault.began_s - began_s < TURN_LIMIT_S:
            return fault.notice, ended_s - max(began_s, fault.began_s)
    return Notice.TURN, ended_s - began_s


def _cut(fault: Happened, at_s: float, within_s: float) -> bool:
    """Whether what broke off then, if anything did, did so by this. A restarted bridge gives its calls back until it is gone."""
    if not within_s:
        return False
    return fault.began_s <= at_s <= (fault.over_s if _is_restart(fault) else max(fault.began_s, fault.done_s) + within_s)


def _overlap(fault: Happened, began_s: float, ended_s: float) -> bool:
    return fault.began_s <= ended_s and began_s <= fault.over_s

"""How the console says what drills are and what came of them. Owns wording only."""

from __future__ import annotations

from dataclasses import dataclass

from ai_engine.drills.drill import Failure, Scope
from console import drills, words
from console.models import Drill

FAILURES = {
    Failure.REFUSE.value: "refuses connections",
    Failure.HANG.value: "accepts and never answers",
    Failure.ERROR.value: "answers error 500",
    Failure.SILENT.value: "answers with nothing",
    Failure.SLOW.value: "answers too late",
    Failure.GARBAGE.value: "answers something unreadable",
}
STAGES = {"stt": "Hearing", "nlu": "Understanding", "tts": "Speaking"}
VERDICTS = {
    drills.PASSED: "Passed",
    drills.FAILED: "Failed",
    drills.NOT_MET: "Met no call: it proves nothing",
    drills.NOT_KNOWN: "Not known: what became of some of its calls was not told",
    drills.NEVER_BEGAN: "Never began: Redis did not take it",
    "": "Under way",
}
SO_FAR = {
    drills.PASSED: "Passed so far",
    drills.FAILED: "Failed so far",
    drills.NOT_MET: "Met no call so far",
    drills.NOT_KNOWN: "Not known yet",
}
BADGES = {drills.PASSED: "kept", drills.FAILED: "lost"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a report; ``change`` says how it compares with the drill before, ``kind``: better, worse or same."""

    name: str
    value: str
    change: str = ""
    kind: str = ""


def what(failure: str, stage: str, scope: str, percent: int) -> str:
    whom = "simulated calls only" if scope == Scope.SIMULATED.value else f"{percent}% of all calls, real ones included"
    return f"{STAGES.get(stage, stage)} {FAILURES.get(failure, failure)}, for {whom}"


def verdict(drill: Drill) -> str:
    if drill.verdict in SO_FAR and drill.settled_at is None:
        return SO_FAR[drill.verdict]
    return VERDICTS.get(drill.verdict, drill.verdict)


def reasons(drill: Drill) -> str:
    """Why it failed, in a sentence; empty when it did not."""
    if drill.verdict != drills.FAILED:
        return ""
    limit_ms = drills.silence_limit_ms(drill)
    found = [f"{drill.dropped} callers were lost"] if drill.dropped > 1 else ["one caller was lost"] if drill.dropped else []
    if drills.was_silent_too_long(drill):
        found.append(f"somebody heard nothing for {words.milliseconds(drill.silence_most_ms)}, allowed are {limit_ms} ms")
    return " and ".join(found)


def ended(drill: Drill) -> str:
    if drill.over_at is None:
        return "not over"
    return f"ended by {drill.ended_by}" if drill.ended_by else "ended by itself"


def report(drill: Drill, earlier: Drill | None) -> list[Figure]:
    def compared(name: str, value: float | None, then: float | None, text: str, then_text: str, *, good: bool | None) -> Figure:
        if earlier is None or value is None or then is None:
            return Figure(name, text)
        if value == then or good is None:
            return Figure(name, text, "the same as last time" if value == then else f"last time {then_text}", "same")
        better = (value < then) is good
        return Figure(name, text, f"{'better' if better else 'worse'} than {then_text} last time", "better" if better else "worse")

    def count(name: str, field: str, *, good: bool | None = None) -> Figure:
        now, then = getattr(drill, field), getattr(earlier, field, None)
        return compared(name, now, then, words.thousands(now), words.thousands(then or 0), good=good)

    def took(name: str, field: str, scale: float) -> Figure:
        now, then = getattr(drill, field), getattr(earlier, field, None)
        said, said_then = (words.milliseconds(None if value is None else value * scale) for value in (now, then))
        return compared(name, now, then, said, said_then, good=True)

    return [
        count("Calls met", "calls"),
        count("Kept by the menu", "failed_over"),
        count("Lost", "dropped", good=True),
        count("Lost their bridge, went on", "recovered"),
        count("Sent straight to the menu", "sent_straight"),
        *([count("Not settled yet", "unsettled")] if drill.unsettled else []),
        took("Silence, half within", "silence_p50_ms", 1),
        took("Longest silence for its flow", "silence_most_ms", 1),
        took("Circuit open after", "open_after_s", 1000),
        took("Circuit closed after its end", "closed_after_s", 1000),
    ]

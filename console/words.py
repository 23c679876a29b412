"""How the console says things: states, kinds, durations and callers in plain words.

Owns wording only: no database, no Redis, no HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from ai_engine.circuits.states import TURNS, CircuitState, CircuitView

STAGES = {"stt": "Hearing (speech to text)", "nlu": "Understanding", "tts": "Speaking", TURNS: "The whole AI"}
MODES = {"ai": "AI", "fallback": "Keypad", "agent": "Person"}
OUTCOMES = {
    "": "Not settled yet",
    "recovered": "Recovered: the AI answered after all",
    "failed_over": "Caller kept",
    "dropped": "Caller lost",
}
CAUSES = {"ai": "The AI", "queue": "The queue to the AI", "media": "The audio connection", "bridge": "Lifeline's bridge"}
KINDS = {
    "refused": "refused the connection",
    "reset": "broke the connection",
    "timeout": "did not answer in time",
    "hang": "hung in the middle of its answer",
    "http_400": "refused the request (error 400)",
    "http_401": "did not accept our key (error 401)",
    "http_403": "did not allow it (error 403)",
    "http_404": "does not know the address or model (error 404)",
    "http_429": "said that we ask too much (error 429)",
    "http_500": "failed inside (error 500)",
    "garbage": "answered with something unreadable",
    "wrong_schema": "answered in another form than agreed",
    "empty": "answered with nothing",
    "silent": "stayed silent",
    "no_engine": "had no usable engine",
    "no_flow": "did not know the flow",
    "internal": "failed inside",
    "resumed": "went away in the middle of the call, and another took over",
}
FALLBACKS = {
    "incident": "the AI failed",
    "no_engine": "no AI engine could be used",
    "forced": "an operator holds a circuit open",
    "turns_open": "the way to the AI was known to be down",
    "shed": "the load was too high",
    "not_understood": "the caller was not understood three times",
    "caller_choice": "the caller chose it",
}
ENDERS = {
    "caller": "the caller hung up",
    "lifeline": "Lifeline ended the call as its flow says",
    "switch": "the telephone switch ended it",
    "unknown": "it was found gone afterwards",
}
SHOWN_DIGITS = 4


def plain(name: str) -> str:
    """A name from a flow (``ask_account``) as an operator reads it (``Ask account``)."""
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


def step(name: str) -> str:
    """Where a call is. The bridge names steps ``slot:account``, ``action:balance``, ``outcome:balance``, ``greeting``…"""
    part, _, of = name.partition(":")
    sentence = {"slot": "Asks for", "action": "Carries out", "outcome": "Tells the outcome of"}.get(part)
    if sentence and of:
        return f"{sentence} {plain(of).lower()}"
    return {"person": "Connects to a person", "intent": "Asks what it is about"}.get(name, plain(name))


def masked(caller: str) -> str:
    """The last four digits, which an operator needs to recognise a call, and no more."""
    if not caller:
        return "number withheld"
    return "•••" + caller[-SHOWN_DIGITS:] if len(caller) > SHOWN_DIGITS else "•••"


def duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def local_time(seconds: float) -> str:
    """Wall clock of the installation's time zone, with the day when it is not today."""
    moment = timezone.localtime(datetime.fromtimestamp(seconds, tz=timezone.get_current_timezone()))
    same_day = moment.date() == timezone.localdate()
    return f"{moment:%H:%M}" if same_day else f"{moment:%d %b %H:%M}"


def circuit_state(view: CircuitView) -> str:
    """The state without its countdown, which the page ticks by itself."""
    if view.state in (CircuitState.FORCED_OPEN, CircuitState.FORCED_CLOSED):
        which = "open" if view.state is CircuitState.FORCED_OPEN else "closed"
        until = f", until {local_time(view.until)}" if view.until is not None else ", until released"
        return f"Held {which} by {view.by or 'an operator'}: {view.why or 'no reason given'}{until}"
    return {
        CircuitState.CLOSED: "Closed – in use",
        CircuitState.OPEN: "Open – not used",
        CircuitState.HALF_OPEN: "Half-open – testing",
    }[view.state]


def failure(cause: str, stage: str, kind: str, attempts: int) -> str:
    """``The AI (hearing) did not answer in time, after 2 attempts``."""
    who = CAUSES.get(cause, plain(cause))
    # Of the other causes the stage only repeats the cause.
    where = f" ({STAGES[stage].split(' (')[0].lower()})" if stage in STAGES else ""
    tried = f", after {attempts} attempts" if attempts > 1 else ""
    return f"{who}{where} {KINDS.get(kind, 'failed: ' + plain(kind).lower())}{tried}"


def turn_result(outcome: str, transcript: str, intent: str, answer_ms: float | None) -> str:
    heard = f"heard “{transcript}”" if transcript else "heard nothing"
    took = f" in {milliseconds(answer_ms)}" if answer_ms is not None else ""
    if outcome == "understood":
        return f"The AI {heard} and understood “{plain(intent)}”{took}"
    return {
        "not_understood": f"The AI {heard} and did not understand it{took}",
        "failed": "The AI gave no answer to this turn",
        "abandoned": "The caller pressed a key or went before the AI had answered",
    }.get(outcome, f"The turn ended: {plain(outcome).lower()}")


def journal_line(kind: str, data: Mapping[str, Any], *, see_caller: bool) -> str:
    """One line of a call's timeline. Fields that are missing (another version wrote them) leave a shorter sentence."""

    def field(name: str) -> str:
        return str(data.get(name, "") or "")

    caller = field("caller") if see_caller else masked(field("caller"))
    number = int(data.get("turn", 0) or 0)
    sentences = {
        "call_started": f"{'Taken over' if data.get('resumed') else 'Call'} from {caller} to {field('destination')},"
        f" by {field('bridge_id')}",
        "step_entered": f"{step(field('step'))} ({MODES.get(field('mode'), field('mode'))})",
        "turn_started": f"Turn {number}: the AI listens for {plain(field('expect')).lower() or 'a request'}",
        "turn_finished": f"Turn {number}: "
        + turn_result(field("outcome"), field("transcript"), field("intent"), data.get("answer_ms")),
        "slot_collected": f"Noted {plain(field('name')).lower()} by {field('by')}"
        + (f": {field('value')}" if see_caller and field("value") else ""),
        "action_started": f"Action “{plain(field('action'))}” began",
        "action_finished": f"Action “{plain(field('action'))}” ended: {plain(field('outcome')).lower()}",
        "intent_served": f"Served “{plain(field('intent'))}” by {MODES.get(field('mode'), field('mode'))}",
        "incident_opened": "Failure: "
        + failure(field("cause"), field("stage"), field("kind"), int(data.get("attempts", 0) or 0)),
        "incident_closed": f"Failure settled: {OUTCOMES.get(field('outcome'), field('outcome'))}"
        + (f" (shown by {field('proof')})" if field("proof") else ""),
        "fell_back": f"To the keypad menu, because {FALLBACKS.get(field('reason'), plain(field('reason')).lower())}",
        "agent_requested": "Asked for a person",
        "agent_joined": "A person answered",
        "call_ended": "Call ended: " + ending(field("ended_by"), field("hangup_cause")),
    }
    return sentences.get(kind, plain(kind))


def ending(ended_by: str, hangup_cause: str) -> str:
    who = ENDERS.get(ended_by, "nobody knows how")
    return f"{who} ({hangup_cause.replace('_', ' ').lower()})" if hangup_cause else who

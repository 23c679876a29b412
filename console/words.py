"""How the console says things: states, kinds, durations and callers in plain words.

Owns wording only: no database, no Redis, no HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from ai_engine.circuits.states import TURNS, CircuitState, CircuitView

if TYPE_CHECKING:
    from console.models import SwitchReport

STAGES = {"stt": "Hearing (speech to text)", "nlu": "Understanding", "tts": "Speaking", TURNS: "The whole AI"}
# What is measured of a turn beside its stages (console/tally.py).
MEASURED = {**STAGES, "answer": "The whole answer", "queue": "Waiting for a worker"}
CACHES = {"intents": "answers known from before", "speech": "speech rendered before"}
MODES = {"ai": "AI", "fallback": "Keypad", "agent": "Person", "last_resort": "Last resort"}
OUTCOMES = {
    "": "Not settled yet",
    "recovered": "Lost its bridge, went on with another",
    "failed_over": "Caller kept",
    "dropped": "Caller lost",
}
CAUSES = {"ai": "The AI", "queue": "The queue to the AI", "media": "The audio connection", "bridge": "Lifeline's bridge"}
KINDS = {
    "refused": "refused the connection",
    "reset": "broke the connection",
    "timeout": "did not answer in time",
    "hang": "accepted and never answered",
    "no_partial": "heard no word although the caller spoke",
    "no_token": "did not begin its answer in time",
    "no_audio": "sent no sound in time",
    "no_pong": "did not answer on an open line",
    "stalled": "stopped in the middle of its answer",
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
    "busy": "had no place free within our own limits",
    "no_engine": "had no usable engine",
    "no_flow": "did not know the flow",
    "internal": "failed inside",
    "resumed": "went away in the middle of the call, and another took over",
    "lost": "went away, and nobody took the call before it ended",
    "no_bridge": "was not there, and the switch's own menu took the call",
    "stood_still": "stood still, and the caller went meanwhile",
    "no_result": "brought no result",
    "not_published": "took no turn, because Redis did not answer",
    "redis_away": "did not answer: its Redis is away",
    "not_taken": "had no worker that took the turn",
    "deadline": "brought no answer in time",
    "no_frames": "brought no sound",
    "not_connected": "did not connect in time",
    "closed": "ended in the middle of the call",
    "no_module": "is not installed on the switch (mod_audio_stream)",
    "reply_lost": "lost the AI's reply on its way to the switch",
    "prompt_missing": "had a prompt that the switch could not play",
    "fault": "failed inside, and the switch's own menu took the call",
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
# Causes with which a switch refuses to place a call (switch_types.h); any other is shown as it is.
REFUSALS = {
    "ALLOTTED_TIMEOUT": "nobody answered in time",
    "CALL_REJECTED": "the call was rejected",
    "CHAN_NOT_IMPLEMENTED": "the switch has no such kind of endpoint: see LIFELINE_TEST_CALL_ENDPOINT",
    "DESTINATION_OUT_OF_ORDER": "what was called is out of order",
    "GATEWAY_DOWN": "its gateway is down",
    "INVALID_GATEWAY": "the switch has no such gateway: see LIFELINE_TEST_CALL_ENDPOINT",
    "NO_ANSWER": "nobody answered in time",
    "NO_ROUTE_DESTINATION": "nothing is at that number: does the switch have Lifeline's dialplan?",
    "NORMAL_CLEARING": "it was hung up before it was answered",
    "NORMAL_TEMPORARY_FAILURE": "what was called failed for the moment",
    "PROGRESS_TIMEOUT": "nobody answered in time",
    "RECOVERY_ON_TIMER_EXPIRE": "what was called did not answer in time",
    "SUBSCRIBER_ABSENT": "nobody is registered there",
    "SWITCH_CONGESTION": "the switch takes no more calls: see its limits",
    "UNALLOCATED_NUMBER": "nobody has that number",
    "USER_BUSY": "it is busy",
    "USER_NOT_REGISTERED": "nobody is registered there",
}
SHOWN_DIGITS = 4


def plain(name: str) -> str:
    """A name from a flow (``ask_account``) as an operator reads it (``Ask account``)."""
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]


STEPS = {
    "person": "Connects to a person",
    "closed": "Asked for a person outside opening hours",
    "intent": "Asks what it is about",
    "last_resort": "In the telephone switch’s own menu",
}


def step(name: str) -> str:
    """Where a call is. The bridge names steps ``slot:account``, ``action:balance``, ``outcome:balance``, ``greeting``…"""
    part, _, of = name.partition(":")
    sentence = {"slot": "Asks for", "action": "Carries out", "outcome": "Tells the outcome of"}.get(part)
    if sentence and of:
        return f"{sentence} {plain(of).lower()}"
    return STEPS.get(name, plain(name))


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


def thousands(number: int) -> str:
    return f"{number:,}"


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


def kind(name: str) -> str:
    return KINDS.get(name, plain(name).lower())


def who_did(stage: str, engine: str, cache: str) -> str:
    """``Hearing (speech to text) by local-stt``, ``Understanding from the cache “intents” (answers known from before)``."""
    what = MEASURED.get(stage, plain(stage))
    if cache:
        return f"{what} from the cache “{cache}”" + (f" ({CACHES[cache]})" if cache in CACHES else "")
    return f"{what} by {engine}" if engine else what


def money(amount: float) -> str:
    """In whatever currency the engines' prices are; small amounts to the digit that says something."""
    if not amount:
        return "0"
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}" if amount >= 0.001 else f"{amount:.7f}"


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
        "last_resort_heard": "Heard the telephone switch’s own menu"
        + (f" (shown by {field('proof')})" if field("proof") else ""),
        "events_lost": f"{data.get('count', 0)} events of calls found no room and were lost",
        "last_resort_left": f"Left that menu: {_left(field('choice'), met_person=bool(data.get('met_person')))}",
        "call_ended": "Call ended: " + ending(field("ended_by"), field("hangup_cause")),
    }
    return sentences.get(kind, plain(kind))


def _left(choice: str, *, met_person: bool) -> str:
    chosen = "a person" if choice == "person" else f"“{plain(choice)}”"
    return (f"chose {chosen}" if choice else "chose nothing") + (", talked to a person" if met_person else ", met nobody")


def ending(ended_by: str, hangup_cause: str) -> str:
    who = ENDERS.get(ended_by, "nobody knows how")
    return f"{who} ({hangup_cause.replace('_', ' ').lower()})" if hangup_cause else who


def long_duration(seconds: float) -> str:
    """In its two largest units: ``4 s``, ``4 min 38 s``, ``3 d 4 h``. static/js/live.js says the same."""
    whole = max(0, int(seconds))
    for unit_s, unit, rest_s, rest in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit_s:
            left = whole % unit_s // rest_s
            return f"{whole // unit_s} {unit}" + (f" {left} {rest}" if left else "")
    return f"{whole} s"


def refusal(answer: str) -> str:
    """``-ERR USER_BUSY`` as a sentence, with the switch's own word for who looks it up."""
    cause = answer.removeprefix("-ERR").strip()
    return f"{REFUSALS[cause]} ({cause})" if cause in REFUSALS else f"the switch refused it ({cause or answer.strip()})"


def switch_state(known: str, report: SwitchReport) -> str:
    """What is said of a switch that was looked at: ``known`` is what that look is worth now."""
    since = local_time(report.since.timestamp())
    seen = "" if report.seen_at is None else f" It last answered at {local_time(report.seen_at.timestamp())}."
    if known == "reachable":
        return f"Answers since {since}" if report.is_ready else f"Answers since {since}, but is starting or shutting down"
    if known == "unreachable":
        return f"Since {since}: {report.reason}{seen}"
    if known == "unknown":
        return report.reason + seen
    then = {"reachable": "answered", "unreachable": "did not answer", "unknown": "could not be asked"}[report.state]
    looked = local_time(report.looked_at.timestamp())
    return f"Not looked at since {looked}, when it {then}: the worker that looks (celery) is not running."


CHANNEL_STATES = {
    "CS_EXECUTE": "runs its dialplan", "CS_EXCHANGE_MEDIA": "talks", "CS_ROUTING": "looks for its extension",
    "CS_INIT": "begins", "CS_CONSUME_MEDIA": "rings", "CS_HIBERNATE": "waits", "CS_PARK": "is parked",
    "CS_SOFT_EXECUTE": "waits for an application", "CS_HANGUP": "hangs up", "CS_REPORTING": "has ended",
}  # fmt: skip
# An extension is shorter; what is longer is most likely somebody's telephone number.
LONGEST_EXTENSION = 6


def dialled(destination: str) -> str:
    """A destination for who may not see callers: of a call that goes out it is a person's number."""
    digits = sum(letter.isdecimal() for letter in destination)
    return masked(destination) if digits > LONGEST_EXTENSION else destination


def endpoint(channel_name: str) -> str:
    """``sofia/internal`` of ``sofia/internal/+441632960217@192.0.2.1``: the rest is a number."""
    return "/".join(channel_name.split("/")[:2]) if channel_name.startswith("sofia/") else channel_name.split("/")[0]

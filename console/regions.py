"""What the live page shows, as HTML by region, for one degree of sight: the first page and every push use the same.

Owns reading it and rendering it; blocking, so the coalescer calls it in a thread. When to push is ``console/live.py``'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max
from django.template.loader import render_to_string
from django.utils import timezone

from ai_engine.circuits.states import TURNS, USABLE, CircuitState, CircuitView
from ai_engine.local.faults import Fault, current_fault
from ai_engine.local.faults import Mode as FaultMode
from console import switch_panel, words
from console.chart import latency_chart
from console.circuit_panel import MoveRow, last_moves
from console.drill_panel import RunningRow, drill_now
from console.figures import KEPT_FOR, LATENCY_MINUTES, MANY_ANSWERS, TURNS_PREFIX, Figures, figures, is_unwatched
from console.last_resort_panel import LastResortRow, last_resort_row, published_flows
from console.models import Call
from console.opening_panel import OpeningRow, opening_rows
from console.partials import hearing
from console.record_lag import behind, is_behind
from console.spools import nothing_waits, warnings
from console.switch_panel import SwitchRow, TrialRow
from console.trial_calls import LASTS_S

REGIONS = ("drill", "figures", "calls", "circuits", "switches", "trial", "answers", "workers", "fault")
# A table that an eye can still follow; the figures above it count every call.
SHOWN_CALLS = 100
FAULT_NAMES = {
    FaultMode.REFUSE: "refuses connections",
    FaultMode.HANG: "hangs",
    FaultMode.ERROR: "answers error 500",
    FaultMode.SILENT: "stays silent",
    FaultMode.GARBAGE: "answers garbage",
    FaultMode.DELAY: "is slow",
}
DISABLED = "disabled"
BADGES = {"ai": "ai", "fallback": "keypad", "agent": "person", "last_resort": "keypad"}


class Sight(NamedTuple):
    """What a viewer may see and do; viewers of the same sight get the same text."""

    caller: bool = False
    circuits: bool = False
    fault: bool = False
    channels: bool = False
    trial: bool = False
    drill: bool = False


def sight_of(user: AbstractBaseUser | AnonymousUser) -> Sight | None:
    """None: this user may not watch at all."""
    if not isinstance(user, AnonymousUser) and not user.is_active:
        return None
    may: Any = user
    if not may.is_authenticated or not may.has_perm("console.view_call"):
        return None
    return Sight(
        caller=may.has_perm("console.see_caller"),
        circuits=may.has_perm("console.toggle_circuit"),
        fault=settings.LIFELINE_DEMO and may.has_perm("console.break_engine"),
        channels=may.has_perm("console.see_channels"),
        trial=may.has_perm("console.place_test_call"),
        drill=may.has_perm("console.run_drill"),
    )


@dataclass(frozen=True, slots=True)
class CallRow:
    uuid: str
    caller: str
    flow: str
    step: str
    badge: str
    mode: str
    words: str
    saying: str
    """What they are just saying, while they do."""
    since_ms: int
    lasted: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class CircuitRow:
    name: str
    stage: str
    state: str
    kind: str
    retry_at_ms: int | None
    retry_in: str
    failures: int
    threshold: int
    why: str
    is_held: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading of everything, shared by all sights of a render."""

    figures: Figures
    calls: list[Call]
    fault: Fault
    switches: list[SwitchRow]
    trial: TrialRow | None
    test_calls: set[str]
    moves: list[MoveRow]
    saying: dict[str, str]
    at: float
    drill: RunningRow | None = None
    last_resort: LastResortRow | None = None
    opening: tuple[OpeningRow, ...] = ()


def see() -> Seen:
    live = list(Call.objects.filter(ended_at__isnull=True).order_by("-started_at")[:SHOWN_CALLS])
    fault = current_fault(settings.LIFELINE_DATA_DIR) if settings.LIFELINE_DEMO else Fault()
    test_calls = switch_panel.trials_among(call.call_uuid for call in live)
    now = timezone.now()
    return Seen(
        figures(), live, fault, switch_panel.switch_rows(now), switch_panel.trial_row(now), test_calls,
        last_moves(), hearing.now(time.monotonic()), time.time(), drill_now(),
        last_resort_row(), opening_rows(published_flows(), now),
    )


def render_all(sights: Iterable[Sight]) -> dict[Sight, dict[str, str]]:
    seen = see()
    return {sight: render(seen, sight) for sight in sights}


def render(seen: Seen, sight: Sight) -> dict[str, str]:
    context = live_context(seen, sight)
    return {name: render_to_string(f"console/regions/{name}.html", context) for name in REGIONS}


def live_context(seen: Seen, sight: Sight) -> dict[str, Any]:
    return {
        "figures": seen.figures,
        "since": timezone.localtime(seen.figures.since),
        **behind(seen.figures.recording_lag_s, seen.at),
        "spool_warnings": warnings(seen.figures.spools, seen.figures.journal_events_lost, seen.at),
        "losses_are_known": _losses_are_known(seen.figures),
        "not_asked": switch_panel.not_asked(seen.switches) if seen.figures.live_unwatched else "",
        "sight": sight,
        "drill": seen.drill,
        "calls": [_call_row(call, sight, seen) for call in seen.calls],
        "more_calls": max(0, seen.figures.live_calls - len(seen.calls)),
        "circuits": _circuit_rows(seen),
        "out_of_use": out_of_use(seen.figures.circuits, seen.figures.disabled_engines),
        "moves": seen.moves,
        "switches": seen.switches,
        "last_resort": seen.last_resort,
        "opening": seen.opening,
        "trial": seen.trial,
        "test_call_endpoint": settings.LIFELINE_TEST_CALL_ENDPOINT,
        "test_call_lasts_s": LASTS_S,
        "chart": latency_chart(seen.figures.latency_series),
        "latency_minutes": LATENCY_MINUTES,
        "latency_kept_s": int(KEPT_FOR.total_seconds()) if seen.figures.answer_ms.count >= MANY_ANSWERS else 0,
        "fault": _fault_words(seen.fault),
        "fault_mode": seen.fault.mode.value,
    }


def fingerprint() -> object:
    """Changes when the page would, apart from its clocks."""
    figures_now = figures()
    circuits = figures_now.circuits
    return (
        figures_now.live_calls,
        figures_now.calls_total,
        figures_now.ai_failures_dropped,
        figures_now.ai_failures_dropped_before,
        None if circuits is None else [(c.name, c.state, c.failures, c.threshold, c.by, c.why, c.until) for c in circuits],
        figures_now.workers,
        figures_now.disabled_engines,
        figures_now.engine_problems,
        figures_now.worker_namesakes,
        figures_now.bridges,
        is_behind(figures_now.recording_lag_s),
        warnings(figures_now.spools, figures_now.journal_events_lost, time.time()),
        _losses_are_known(figures_now),
        current_fault(settings.LIFELINE_DATA_DIR) if settings.LIFELINE_DEMO else None,
        Call.objects.filter(ended_at__isnull=True).aggregate(Max("last_event_at")),
        switch_panel.fingerprint(timezone.now()),
        (resort := last_resort_row()).problem,
        resort.rendered_ms,
        opening_rows(published_flows(), timezone.now()),
        (drill := drill_now()) and (drill.drill_id, drill.recovering),
    )


def _losses_are_known(figures_now: Figures) -> bool:
    """Nothing waits that may yet tell of one, in Redis or in a spool, and nothing that might have told of one is lost."""
    lag_s = figures_now.recording_lag_s
    unknown = figures_now.live_unwatched or figures_now.journal_events_lost
    return lag_s is not None and not is_behind(lag_s) and nothing_waits(figures_now.spools) and not unknown


def _call_row(call: Call, sight: Sight, seen: Seen) -> CallRow:
    lost_sight = is_unwatched(call, seen.figures.bridges)
    return CallRow(
        uuid=call.call_uuid,
        caller=call.caller or words.masked("") if sight.caller else words.masked(call.caller),
        flow=f"{words.plain(call.flow_slug)} v{call.flow_version}",
        step=words.step(call.step) or "Just connected",
        badge="open" if lost_sight else BADGES.get(call.mode, "ai"),
        mode="Bridge gone" if lost_sight else words.MODES.get(call.mode, call.mode),
        words=call.last_transcript,
        saying=seen.saying.get(str(call.call_uuid), ""),
        since_ms=int(call.started_at.timestamp() * 1000),
        lasted=words.duration(seen.at - call.started_at.timestamp()),
        is_test=call.call_uuid in seen.test_calls,
    )


def out_of_use(circuits: Sequence[CircuitView] | None, disabled: Sequence[tuple[str, str]]) -> list[str]:
    """Why callers go to the keypad menu now, a sentence for each part of the AI, or bridge, that is not in use.

    ``disabled``: engines by name and stage; their circuits are still told of for a minute. Without circuits nothing is known.
    """
    said = []
    for stage, name in words.STAGES.items() if circuits is not None else ():
        off = [engine for engine, of in disabled if of == stage]
        there = [view for view in circuits or () if view.stage == stage and view.name not in off]
        out = [view for view in there if view.state not in USABLE]
        if stage == TURNS:
            said += [
                f"{_whose_callers(view.name)} go to the keypad menu: the way to the AI is not in use ({words.circuit_state(view)})."
                for view in out
            ]
        elif len(out) == len(there):
            states = [f"{view.name}: {words.circuit_state(view)}" for view in out] + [f"{engine}: {DISABLED}" for engine in off]
            said.append(f"All callers go to the keypad menu: {name} has no engine in use ({'; '.join(states) or 'there is none'}).")
    return said


def _whose_callers(turns_circuit: str) -> str:
    """A hold of ``turns`` itself holds every bridge's."""
    return "All callers" if turns_circuit == TURNS else f"Callers of {turns_circuit.removeprefix(TURNS_PREFIX)}"


def _circuit_rows(seen: Seen) -> list[CircuitRow] | None:
    if seen.figures.circuits is None:
        return None
    off = {name for name, _stage in seen.figures.disabled_engines}
    rows = [(view.stage, _circuit_row(view, seen.at)) for view in seen.figures.circuits if view.name not in off]
    rows += [(stage, _disabled_row(name, stage)) for name, stage in seen.figures.disabled_engines]
    places = {stage: place for place, stage in enumerate(words.STAGES)}
    return [row for _stage, row in sorted(rows, key=lambda one: places.get(one[0], len(places)))]


def _circuit_row(view: CircuitView, now_s: float) -> CircuitRow:
    held = view.state in (CircuitState.FORCED_OPEN, CircuitState.FORCED_CLOSED)
    retry = view.retry_in_s
    return CircuitRow(
        name=view.name,
        stage=words.STAGES.get(view.stage, view.stage),
        state=words.circuit_state(view),
        kind=view.state.value.replace("_", "-"),
        retry_at_ms=None if retry is None else int((now_s + retry) * 1000),
        retry_in="" if retry is None else f"{retry:.0f}",
        failures=view.failures,
        threshold=view.threshold,
        why="" if held or not view.why else words.KINDS.get(view.why, view.why),
        is_held=held,
    )


def _disabled_row(name: str, stage: str) -> CircuitRow:
    return CircuitRow(
        name, words.STAGES.get(stage, stage), "Disabled: calls do not use it", DISABLED, None, "", 0, 0, "", is_held=False
    )


def _fault_words(fault: Fault) -> str:
    if fault.mode is FaultMode.NONE:
        return ""
    stage = "The local engine" if fault.stage is None else f"{words.STAGES[fault.stage.value]} of the local engine"
    until = f", until {words.local_time(fault.until)}" if fault.until is not None else ", until mended"
    return f"{stage} {FAULT_NAMES.get(fault.mode, fault.mode.value)}{until}"

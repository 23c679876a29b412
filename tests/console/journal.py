"""Journal batches as a bridge would send them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ai_engine.circuits import keys
from ai_engine.circuits.guard import turns_name
from ai_engine.circuits.states import CircuitState, CircuitView
from ai_engine.redis_clients import connect
from esl_bridge.journal.events import (
    FIELD,
    JOURNAL_STREAM,
    CallEnded,
    CallStarted,
    Cause,
    Entry,
    FallbackReason,
    FellBack,
    IncidentClosed,
    IncidentOpened,
    IntentServed,
    JournalEvent,
    Mode,
    Outcome,
    StepEntered,
    TurnFinished,
    TurnOutcome,
    TurnStarted,
    encode_batch,
)
from esl_bridge.journal.reports import REPORTS, SpoolReport
from esl_bridge.journal.reports import _fresh_key as fresh_key


class Boot:
    """One process's journal: numbers its events."""

    def __init__(self, boot_id: str = "boot-a", at_us: int = 1_795_000_000_000_000) -> None:
        self.boot_id = boot_id
        self.seq = 0
        self.at_us = at_us

    def entry(self, event: JournalEvent, call_uuid: str = "call-1", epoch: int = 1) -> Entry:
        self.seq += 1
        self.at_us += 1000
        return Entry(self.boot_id, self.seq, call_uuid, epoch, self.at_us, event)


def started(bridge: str = "bridge-1", *, resumed: bool = False) -> CallStarted:
    return CallStarted("1000", "9200", "demo", 1, "en", bridge, resumed)


def opened(incident: str = "i-1") -> IncidentOpened:
    return IncidentOpened(incident, Cause.AI, "stt", "refused", 4, 1001)


def closed(outcome: Outcome, incident: str = "i-1") -> IncidentClosed:
    return IncidentClosed(incident, outcome, "PLAYBACK_START menu.wav")


def understood() -> TurnFinished:
    return TurnFinished(1001, TurnOutcome.UNDERSTOOD, "what is my balance", "balance", 0.9, {}, (), 120.0, "worker-1")


def whole_call(boot: Boot, call_uuid: str, outcome: Outcome | None, *, reason: FallbackReason | None = None) -> list[Entry]:
    """A call from its start to its end, with an incident of that outcome, or sent to the menu for that reason."""
    events: list[JournalEvent] = [started(), StepEntered("greeting", Mode.AI), TurnStarted(1001, "intent")]
    if reason is not None:
        events += [FellBack(reason), StepEntered("menu", Mode.FALLBACK)]
    elif outcome is None:
        events += [understood(), IntentServed("balance", Mode.AI)]
    else:
        incident = f"{call_uuid}-i"
        events += [opened(incident), FellBack(FallbackReason.INCIDENT), StepEntered("menu", Mode.FALLBACK)]
        events += [closed(outcome, incident)]
    events.append(CallEnded("NORMAL_CLEARING", "caller"))
    return [boot.entry(event, call_uuid) for event in events]


def report_bridge(url: str, bridge_id: str = "bridge-1") -> None:
    """As a bridge does every second: its own circuit. That of a real one expires after three."""
    name = turns_name(bridge_id)
    view = CircuitView(name, "turns", CircuitState.CLOSED, 0, 3)
    with connect(url) as client:
        client.sadd(keys.LOCALS, name)
        client.set(keys.local_key(name), msgspec.json.encode(view), px=600_000)


def report_spool(url: str, process: str = "bridge-1", *, fresh: bool = True, **fields: Any) -> None:
    """As a process with a journal does every second; ``fresh``: just now. Nothing waits unless it is given."""
    empty: dict[str, Any] = {
        "bytes": 0, "limit_bytes": 1 << 30, "place": "here:/spool", "waiting": 0, "oldest_s": 0.0, "left_behind": 0, "lost": 0,
        "at_s": time.time(),
    }  # fmt: skip
    report = SpoolReport(process=process, boot_id=f"boot-of-{process}", **{**empty, **fields})
    with connect(url) as client:
        client.hset(REPORTS, report.boot_id, msgspec.json.encode(report))
        if fresh:
            client.set(fresh_key(report.boot_id), 1, px=600_000)
        else:
            client.delete(fresh_key(report.boot_id))


def send(url: str, *batches: list[Entry]) -> None:
    with connect(url) as client:
        for batch in batches:
            client.xadd(JOURNAL_STREAM, {FIELD: encode_batch(tuple(batch))})

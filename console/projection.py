"""Journal entries become rows. Owns the rules; the recorder owns reading, the transaction and the watermark.

The rules of order, so that it never matters in which order two bridges' journals arrive: within a call (epoch, seq)
decides. An event of a lower epoch than the call's highest changes no live state (mode, step, bridge), nor does one that
the same owner sent before the last that did; their turns and incidents are kept. An incident is settled by the
IncidentClosed of the highest epoch, and within an epoch by the first: an older owner's word never replaces a newer one's.
What the call's end settled as dropped because nobody had (``by_call_end``) gives way to any bridge's own word, which names
its proof; and an incident of an older owner, which nobody settled, shared the fate of what its call met under the next
owner: a bridge that froze and wakes may open one in a call that another has long been serving, and nobody hears of it.
A call ends once, by the first CallEnded; an end that was only found afterwards gives way to one that was seen.
Events may come before their CallStarted: the row is made of what is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from django.db import models
from django.utils import timezone

from console.models import Call, Incident, JournalLine, Turn
from console.tallies import result_of, take_back
from console.tally import TurnResult
from esl_bridge.journal import events as journal
from esl_bridge.journal.events import Entry

Row = TypeVar("Row", Call, Turn, Incident)
ENDED_OPEN = "ended while open"
FOUND_GONE = "unknown"
# Name and kind of the incident of a call that was found gone, and of one that the switch's own menu took. One call may have
# both: a bridge that took it back from the menu may have lost it afterwards.
LOST = "lost"
NO_BRIDGE = "no_bridge"
# How the weaker proof of a look at the switch begins (``lost_calls.py``).
LISTED = "listed by the switch"
# Where the last owner's journal can say nothing more of where the call is: the switch itself has it.
AFTER_THE_OWNER = 2**62
AFTER_EVERY_OWNER = 2**31 - 1


class Projection:
    """One transaction's worth of entries. Rows are read once, changed in memory and written by :meth:`save`."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = [entry for entry in entries if entry.call_uuid]
        uuids = {entry.call_uuid for entry in self._entries}
        # Locked, where the database has row locks: the settling of orphans must not end a call between read and write.
        self._calls = {call.call_uuid: call for call in Call.objects.select_for_update().filter(call_uuid__in=uuids)}
        self._turns = {(turn.call.call_uuid, turn.turn): turn for turn in self._stored_turns(uuids)}
        incidents = Incident.objects.filter(call__call_uuid__in=uuids).select_related("call")
        self._incidents = {incident.incident_id: incident for incident in incidents}
        self._retold: list[TurnResult] = []

    def apply(self) -> None:
        for entry in self._entries:
            self._apply(entry, self._call(entry))
        for call in self._calls.values():
            if call.ended_at is not None:
                settle_by_end(self._incidents_of(call), call.ended_at)

    def save(self) -> None:
        """Write everything; the caller holds the transaction."""
        take_back(self._retold)
        _save_rows(Call, list(self._calls.values()), key=["call_uuid"])
        _save_rows(Turn, list(self._turns.values()), key=["call", "turn"])
        _save_rows(Incident, list(self._incidents.values()), key=["incident_id"])

    # --- Inside ---

    def _stored_turns(self, uuids: set[str]) -> Iterable[Turn]:
        of_turns = (journal.TurnStarted, journal.TurnFinished)
        numbers = {entry.event.turn for entry in self._entries if isinstance(entry.event, of_turns)}
        if not numbers:
            return ()
        return Turn.objects.filter(call__call_uuid__in=uuids, turn__in=numbers).select_related("call")

    def _call(self, entry: Entry) -> Call:
        call = self._calls.get(entry.call_uuid)
        at = moment(entry.at_us)
        if call is None:
            call = Call(call_uuid=entry.call_uuid, started_at=at, last_event_at=at)
            self._calls[entry.call_uuid] = call
        if entry.epoch > call.epoch:
            call.epoch, call.seq = entry.epoch, 0
        # A clock that is ahead must not keep a call on the line: it is looked for by how long nothing has been heard of it.
        call.last_event_at = min(max(call.last_event_at, at), timezone.now())
        call.started_at = min(call.started_at, at)
        return call

    def _apply(self, entry: Entry, call: Call) -> None:
        event, at = entry.event, moment(entry.at_us)
        of_owner = entry.epoch >= call.epoch
        current = of_owner and entry.seq > call.seq
        match event:
            case journal.CallStarted():
                self._started(call, event, of_owner=of_owner)
            case journal.StepEntered() if current:
                call.step, call.mode, call.seq = event.step, event.mode.value, entry.seq
            case journal.TurnStarted():
                self._turn(call, event.turn).expect = event.expect
                self._turn(call, event.turn).started_at = at
            case journal.TurnFinished():
                self._turn_finished(call, event, at, of_owner=of_owner)
            case journal.IntentServed():
                if event.mode is journal.Mode.AI:
                    call.served_by_ai += 1
                else:
                    call.served_by_menu += 1
            case journal.FellBack():
                if call.fell_back_at is None or at < call.fell_back_at:
                    call.fell_back_reason, call.fell_back_at = event.reason.value, at
                    call.fell_back_drill = event.drill
                if current:
                    call.mode, call.seq = journal.Mode.FALLBACK.value, entry.seq
            case journal.IncidentOpened():
                self._incident_opened(call, entry, event)
            case journal.IncidentClosed():
                self._incident_closed(call, entry, event)
            case journal.CallEnded():
                self._ended(call, event, at)
            case journal.LastResortHeard():
                self._last_resort_heard(call, entry, event, of_owner=of_owner)
            case journal.LastResortLeft(heard=True):
                self._ended_in_last_resort(call)
            case _:
                pass

    def _started(self, call: Call, event: journal.CallStarted, *, of_owner: bool) -> None:
        call.caller = call.caller or event.caller
        call.destination = call.destination or event.destination
        call.flow_slug = call.flow_slug or event.flow_slug
        call.flow_version = call.flow_version or event.flow_version
        call.language = call.language or event.language
        call.is_simulated = call.is_simulated or event.simulated
        if of_owner:
            call.bridge_id = event.bridge_id

    def _turn(self, call: Call, number: int) -> Turn:
        key = call.call_uuid, number
        if key not in self._turns:
            self._turns[key] = Turn(call=call, turn=number)
        return self._turns[key]

    def _turn_finished(self, call: Call, event: journal.TurnFinished, at: datetime, *, of_owner: bool) -> None:
        turn = self._turn(call, event.turn)
        if turn.is_tallied:  # It finished before, by another owner's word: what that put into the tallies comes out again.
            self._retold.append(result_of(turn))
            turn.is_tallied = False
        turn.outcome, turn.transcript, turn.intent = event.outcome.value, event.transcript, event.intent
        turn.confidence, turn.answer_ms, turn.worker_id = event.confidence, event.answer_ms, event.worker_id
        turn.queue_ms, turn.drill = event.queue_ms, event.drill
        turn.stages = [msgspec.to_builtins(stage) for stage in event.stages]
        turn.finished_at = at
        if of_owner and event.transcript:
            call.last_transcript = event.transcript
        if of_owner and event.intent:
            call.last_intent = event.intent

    def _incident(self, call: Call, incident_id: str, at: datetime) -> Incident:
        if incident_id not in self._incidents:
            self._incidents[incident_id] = Incident(incident_id=incident_id, call=call, opened_at=at)
        return self._incidents[incident_id]

    def _incident_opened(self, call: Call, entry: Entry, event: journal.IncidentOpened) -> None:
        at = moment(entry.at_us)
        incident = self._incident(call, event.incident_id, at)
        incident.cause, incident.stage, incident.kind = event.cause.value, event.stage, event.kind
        incident.attempts, incident.turn, incident.drill = event.attempts, event.turn, event.drill
        incident.opened_at, incident.opened_epoch = at, entry.epoch

    def _incident_closed(self, call: Call, entry: Entry, event: journal.IncidentClosed) -> None:
        at = moment(entry.at_us)
        incident = self._incident(call, event.incident_id, at)
        if incident.outcome and not incident.by_call_end and entry.epoch <= incident.closed_epoch:
            return
        incident.outcome, incident.proof, incident.closed_at = event.outcome.value, event.proof, at
        incident.closed_epoch, incident.by_call_end, incident.silence_ms = entry.epoch, False, event.silence_ms

    def _ended(self, call: Call, event: journal.CallEnded, at: datetime) -> None:
        if call.ended_at is not None and call.ended_by != FOUND_GONE:
            return
        if call.ended_by == FOUND_GONE:
            self._was_not_lost(call)  # its bridge knew of the end, and only told it late
            if event.ended_by == FOUND_GONE:
                return
        call.ended_at, call.hangup_cause, call.ended_by = at, event.hangup_cause, event.ended_by

    def _was_not_lost(self, call: Call) -> None:
        lost = self._incidents.pop(f"{call.call_uuid}:{LOST}", None)
        if lost is not None:
            lost.delete()

    def _last_resort_heard(
        self, call: Call, entry: Entry, event: journal.LastResortHeard, *, of_owner: bool
    ) -> None:
        """The caller heard the switch's own menu. That nobody had the call is an incident of an owner after the last one, so
        that what that one left open shares its fate; what a look at the switch guessed of it meanwhile gives way."""
        call.caller = call.caller or event.caller
        call.destination = call.destination or event.destination
        call.flow_slug = call.flow_slug or event.flow_slug
        call.flow_version = call.flow_version or event.flow_version
        if of_owner:
            call.mode = call.step = journal.Mode.LAST_RESORT.value
            call.seq = AFTER_THE_OWNER
        if not event.by_chain:
            return
        if of_owner:  # and no bridge has had it since
            self._was_not_lost(call)
        at = moment(entry.at_us)
        incident = self._incident(call, f"{call.call_uuid}:{NO_BRIDGE}", at)
        is_seen_by_look = incident.proof.startswith(LISTED)
        is_heard = incident.kind == NO_BRIDGE and not is_seen_by_look
        if is_heard and incident.closed_at is not None and incident.closed_at <= at:
            return
        incident.cause, incident.stage, incident.kind = journal.Cause.BRIDGE.value, "bridge", NO_BRIDGE
        incident.attempts, incident.opened_at, incident.opened_epoch = 1, at, entry.epoch + 1
        incident.outcome, incident.proof, incident.closed_at = journal.Outcome.FAILED_OVER.value, event.proof, at
        incident.closed_epoch, incident.by_call_end = entry.epoch + 1, False

    def _ended_in_last_resort(self, call: Call) -> None:
        """Whoever said that the call was theirs before its last visit there, the switch had it at the end. A bridge that died
        before the switch knew it as the owner has the same epoch as our incident: what it left open shares this fate too."""
        incident = self._incidents.get(f"{call.call_uuid}:{NO_BRIDGE}")
        if incident is not None:
            incident.opened_epoch = AFTER_EVERY_OWNER

    def _incidents_of(self, call: Call) -> list[Incident]:
        return [incident for incident in self._incidents.values() if incident.call.call_uuid == call.call_uuid]


def _save_rows(model: type[Row], rows: list[Row], *, key: list[str]) -> None:
    for row in rows:
        _fit(row)
    names = [field.name for field in model._meta.concrete_fields if field.name != "id" and field.name not in key]
    model._default_manager.bulk_create([row for row in rows if row.pk is None])
    changed = [row for row in rows if row.pk is not None]
    # An insert that becomes an update: with bulk_update the recorder stored 470 entries a second on SQLite, so it stores 5,000.
    model._default_manager.bulk_create(changed, update_conflicts=True, update_fields=names, unique_fields=key)


def _fit(row: Row) -> None:
    """Shorten what is longer than its column: half a proof says more than a refused batch."""
    for field in row._meta.concrete_fields:
        if isinstance(field, models.CharField) and len(value := getattr(row, field.attname)) > (field.max_length or 0):
            setattr(row, field.attname, value[: field.max_length])


def settle_by_end(incidents: list[Incident], at: datetime) -> None:
    """Settle what is open among all incidents of one call that has ended. Gives the same in whatever order it is told.

    A call that ended while its incident was neither recovered nor failed over: that is a drop. But when a later owner met an
    incident of its own in that call and settled it with proof, the older one ended as that did.
    """
    theirs = sorted((each for each in incidents if _has_word(each)), key=lambda each: (each.opened_epoch, each.incident_id))
    for incident in incidents:
        if _has_word(incident):
            continue
        heir = next((each for each in theirs if each.opened_epoch > incident.opened_epoch), None)
        incident.outcome, incident.by_call_end = journal.Outcome.DROPPED.value, True
        incident.proof, incident.closed_at = ENDED_OPEN, at
        if heir is not None:
            incident.outcome, incident.closed_at = heir.outcome, heir.closed_at
            incident.proof = f"taken over, {heir.incident_id}: {heir.proof}"


def _has_word(incident: Incident) -> bool:
    """Whether a bridge said how it ended."""
    return bool(incident.outcome) and not incident.by_call_end


def lines(entries: Iterable[Entry]) -> list[JournalLine]:
    """The entries as they came, for the timeline."""
    found = []
    for entry in entries:
        data = msgspec.to_builtins(entry.event)
        kind = data.pop("type")
        found.append(
            JournalLine(
                boot_id=entry.boot_id, seq=entry.seq, call_uuid=entry.call_uuid, epoch=entry.epoch,
                at=moment(entry.at_us), kind=kind, data=data,
            )
        )  # fmt: skip
    return found


def moment(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, tz=UTC)

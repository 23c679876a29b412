"""One transaction of the recorder: what is new among the entries, the rows they make, the watermarks and the position.

Owns deduplication and the watermark; knows no Redis. A watermark says that *everything* through it is stored. Redis may
lose its last second and take what comes after: entries beyond such a gap are stored at once, but the watermark waits
before it, so that the producer keeps and sends again what is missing. Entries beyond it are told apart by their lines.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import msgspec
from django.db import transaction
from django.utils import timezone

from console.models import JournalLine, Producer, RecorderPosition
from console.projection import Projection, lines
from console.storable import storable
from esl_bridge.journal.events import JOURNAL_STREAM, Entry, EventsLost


@dataclass(frozen=True, slots=True)
class Stored:
    """``marks``: the watermark of every boot that was seen. ``gapped``: boots of which something before is missing."""

    count: int
    marks: dict[str, int]
    gapped: frozenset[str]


def store(entries: Sequence[Entry], position: str, given_up: Collection[str] = ()) -> Stored:
    """Store what is new, all or nothing. For boots in ``given_up`` the watermark passes over what never came.

    Doing it again with the same entries changes nothing. Raises what the database raises.
    """
    with transaction.atomic():
        # First of all, so that a second recorder, as in a rolling update, waits here.
        place, _ = RecorderPosition.objects.select_for_update().get_or_create(stream=JOURNAL_STREAM)
        boots = {entry.boot_id for entry in entries}
        producers = {one.boot_id: one for one in Producer.objects.select_for_update().filter(boot_id__in=boots)}
        beyond = {boot_id: _beyond(producers.get(boot_id), boot_id) for boot_id in boots}
        fresh = []
        for entry in entries:
            producer = producers.setdefault(entry.boot_id, Producer(boot_id=entry.boot_id))
            if entry.seq > producer.stored_seq and entry.seq not in beyond[entry.boot_id]:
                beyond[entry.boot_id].add(entry.seq)
                fresh.append(entry)
        if fresh:
            kept = storable(fresh)
            JournalLine.objects.bulk_create(lines(kept))
            projection = Projection(kept)
            projection.apply()
            projection.save()
        gapped = set()
        for boot_id in boots:
            if boot_id in given_up:
                _pass_over(producers[boot_id], beyond[boot_id])
            if _advance(producers[boot_id], beyond[boot_id]):
                gapped.add(boot_id)
        _save(producers.values())
        place.entry_id = position
        place.save()
    marks = {boot_id: producer.stored_seq for boot_id, producer in producers.items()}
    return Stored(len(fresh), marks, frozenset(gapped))


def _beyond(producer: Producer | None, boot_id: str) -> set[int]:
    """What is stored beyond the watermark: nothing, unless there is a gap."""
    mark = 0 if producer is None else producer.stored_seq
    return set(JournalLine.objects.filter(boot_id=boot_id, seq__gt=mark).values_list("seq", flat=True))


def _advance(producer: Producer, beyond: set[int]) -> bool:
    """Move the watermark through what is there. True when something beyond it is stored and something before is missing."""
    while producer.stored_seq + 1 in beyond:
        producer.stored_seq += 1
    return max(beyond, default=0) > producer.stored_seq


def _pass_over(producer: Producer, beyond: set[int]) -> None:
    """Go on without what never came, and say how much that was, as a producer does that had no room for it.

    Not while it is coming: whoever sends it again sends it in batches. The line has the number of the first that is missing.
    """
    first, highest = producer.stored_seq + 1, max(beyond, default=0)
    if first in beyond or highest < first:
        return
    missing = sum(1 for seq in range(first, highest) if seq not in beyond)
    now = timezone.now()
    data = msgspec.to_builtins(EventsLost(missing, int(now.timestamp() * 1_000_000)))
    kind = data.pop("type")
    JournalLine.objects.create(boot_id=producer.boot_id, seq=first, call_uuid="", epoch=0, at=now, kind=kind, data=data)
    producer.stored_seq = highest


def _save(producers: Iterable[Producer]) -> None:
    for producer in producers:
        producer.save()

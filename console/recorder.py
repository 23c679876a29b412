"""From the durable stream ``journal`` to the database: rows, watermark and position in one transaction.

Owns reading, deduplication, the watermark and trimming. Blocking, in a process of its own. Whatever is away, it waits;
an entry that cannot be read is put aside in ``journal:refused`` and never stops the others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import redis
import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections, transaction

from ai_engine.redis_clients import BLOCK_MS, connect
from console.models import JournalLine, Producer, RecorderPosition
from console.projection import Projection, lines
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM, Entry, decode_batch, watermark_key

log = structlog.get_logger(__name__)

REFUSED_STREAM = "journal:refused"
# Somebody will look at these within days; a flood of them must not fill Redis.
MAX_REFUSED = 1000
READ_COUNT = 100
RETRY_S = (0.2, 0.5, 1.0, 2.0)


class Recorder:
    """``nudge`` is called after each stored batch; its failure is the live page's, not the records'."""

    def __init__(self, redis_url: str, nudge: Callable[[], None]) -> None:
        self._redis = connect(redis_url)
        self._nudge = nudge
        self._position: str | None = None

    def run(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                self.step()
                failures = 0
            except (redis.RedisError, DatabaseError, OSError) as error:
                if failures == 0:
                    log.warning("the recorder waits", error=str(error))
                stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                self._position = None
                close_old_connections()
        self._redis.close()

    def step(self) -> int:
        """One read and one transaction; the number of entries stored. Raises what Redis and the database raise."""
        if self._position is None:
            self._position = self._start()
        found: Any = self._redis.xread({JOURNAL_STREAM: self._position}, count=READ_COUNT, block=BLOCK_MS)
        if not found:
            return 0
        rows: Sequence[tuple[bytes, dict[bytes, bytes]]] = found[0][1]
        entries = [entry for entry_id, fields in rows for entry in self._decoded(entry_id, fields)]
        last_id = rows[-1][0].decode()
        stored, marks = _store(entries, last_id)
        self._position = last_id
        self._confirm(marks, last_id)
        if stored:
            self._nudge()
        return stored

    def _start(self) -> str:
        """Where the database says we are. A stream that ends before it was lost and begun anew: read it whole."""
        row = RecorderPosition.objects.filter(stream=JOURNAL_STREAM).first()
        if row is None:
            return "0-0"
        last: Any = self._redis.xrevrange(JOURNAL_STREAM, count=1)
        if last and _order(last[0][0].decode()) < _order(row.entry_id):
            log.warning("the journal's stream was begun anew; reading it from its beginning", position=row.entry_id)
            return "0-0"
        return row.entry_id

    def _decoded(self, entry_id: bytes, fields: dict[bytes, bytes]) -> tuple[Entry, ...]:
        try:
            return decode_batch(fields[FIELD])
        except (KeyError, msgspec.DecodeError, msgspec.ValidationError) as error:
            log.error("a journal batch cannot be read and is put aside", entry=entry_id.decode(), error=str(error))
            aside: Any = {**fields, b"from": entry_id}
            self._redis.xadd(REFUSED_STREAM, aside, maxlen=MAX_REFUSED)
            return ()

    def _confirm(self, marks: dict[str, int], last_id: str) -> None:
        """Tell the producers what is stored and drop it from the stream; after a failure the next batch does both."""
        with self._redis.pipeline(transaction=False) as pipe:
            for boot_id, seq in marks.items():
                pipe.set(watermark_key(boot_id), seq)
            pipe.xtrim(JOURNAL_STREAM, minid=_after(last_id), approximate=False)
            pipe.execute()


def _store(entries: list[Entry], last_id: str) -> tuple[int, dict[str, int]]:
    """Entries not stored before, with their watermarks and the position. Returns how many, and every boot's watermark."""
    with transaction.atomic():
        boots = {entry.boot_id for entry in entries}
        marks = dict(Producer.objects.filter(boot_id__in=boots).values_list("boot_id", "stored_seq"))
        fresh = []
        for entry in entries:
            if entry.seq > marks.get(entry.boot_id, 0):
                marks[entry.boot_id] = entry.seq
                fresh.append(entry)
        if fresh:
            JournalLine.objects.bulk_create(lines(fresh))
            projection = Projection(fresh)
            projection.apply()
            projection.save()
        for boot_id in boots:
            Producer.objects.update_or_create(boot_id=boot_id, defaults={"stored_seq": marks[boot_id]})
        RecorderPosition.objects.update_or_create(stream=JOURNAL_STREAM, defaults={"entry_id": last_id})
    return len(fresh), marks


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _after(entry_id: str) -> str:
    milliseconds, number = _order(entry_id)
    return f"{milliseconds}-{number + 1}"

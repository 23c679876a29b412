"""From the durable stream ``journal`` to the database: rows, watermark and position in one transaction.

Owns reading, putting aside, telling the watermark and trimming; ``intake.py`` owns the transaction. Blocking, in a
process of its own. Whatever is away, it waits; a batch that cannot be read or stored is put aside in
``journal:refused`` and never stops the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import redis
import structlog
from django.db import DataError, IntegrityError, close_old_connections
from django.db import Error as DatabaseError

from ai_engine.redis_clients import BLOCK_MS, connect
from callflows.definition.errors import UNREADABLE
from console.circuit_moves import MoveRecorder
from console.intake import Stored, store
from console.models import RecorderPosition
from console.newer_schema import known_migrations, refuse_newer_schema
from console.tallies import MOST_TURNS, tally_turns
from esl_bridge.journal.events import FIELD, JOURNAL_STREAM, Entry, decode_batch, watermark_key

log = structlog.get_logger(__name__)

REFUSED_STREAM = "journal:refused"
# Somebody will look at these within days; a flood of them must not fill Redis.
MAX_REFUSED = 1000
READ_COUNT = 100
# How long entries gather after a read that took all there was. A transaction costs as much for one entry as for thirty: at a
# thousand calls the recorder and its database took a third of a core without this, and nobody sees a tenth of a second.
GATHER_S = 0.1
# A process that tells nothing for so long is gone, and its watermark would stay for ever. One that was not would send again what
# it still has, which the database knows.
MARK_KEPT_S = 30 * 86_400
RETRY_S = (0.2, 0.5, 1.0, 2.0)
# How often an idle recorder looks whether its stream is still the one that it knows.
LOOK_EVERY_S = 1.0
# What is missing after this long never comes: a producer sends again after 5 s, an adopted spool after 60 s.
GAP_LIMIT_S = 150.0
# Histograms cost a millisecond for each engine; who reads them reads what is not in them yet from the turns.
TALLY_EVERY_S = 5.0
# After a full round: 300 turns a second, more than come, with room between the rounds for those who read.
TALLY_AGAIN_S = 1.0
# What a database says to a value that it can never take (SQLite says the last two itself, in Python).
UNSTORABLE = (DataError, IntegrityError, OverflowError, ValueError)

Row = tuple[bytes, dict[bytes, bytes]]


class Recorder:
    """``nudge`` is called after each stored batch; its failure is the live page's, not the records'."""

    def __init__(self, redis_url: str, nudge: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = connect(redis_url)
        self._nudge = nudge
        self._moves = MoveRecorder(self._redis, nudge, clock)
        self._clock = clock
        self._known = known_migrations()
        self._position: str | None = None
        self._looked_at = 0.0
        self._tally_due = 0.0
        self._took_all = False
        # Boots of which something is missing: since when nothing of it has come, and the watermark before it.
        self._gap_since: dict[str, float] = {}
        self._marks: dict[str, int] = {}

    def run(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            try:
                self.step()
                self._moves.step()  # Before the tallies: they are recorded whatever becomes of those.
                if self._clock() >= self._tally_due:
                    self.tally()
                failures = 0
                if self._took_all:
                    time.sleep(GATHER_S)
            except (redis.RedisError, DatabaseError, OSError) as error:
                if failures == 0:
                    log.warning("the recorder waits", error=str(error))
                # Not stop.wait(): the signal's handler, in this thread, would wait for ever for a lock that it holds.
                time.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                self._position = None
                # Nothing was read meanwhile: what is missing may have been sent again long ago.
                self._gap_since = dict.fromkeys(self._gap_since, self._clock())
                close_old_connections()
        self._redis.close()

    def step(self) -> int:
        """One read and its transactions; the number of entries stored. Raises what Redis and the database raise."""
        self._took_all = False
        if self._position is None or self._clock() - self._looked_at >= LOOK_EVERY_S:
            self._position = self._start()
            self._looked_at = self._clock()
        found: Any = self._redis.xread({JOURNAL_STREAM: self._position}, count=READ_COUNT, block=BLOCK_MS)
        if not found:
            return 0
        rows: Sequence[Row] = found[0][1]
        self._looked_at = self._clock()
        stored = self._store_all(rows)
        self._position = rows[-1][0].decode()
        self._took_all = len(rows) < READ_COUNT
        return stored

    def tally(self) -> None:
        """One round, and when the next is due: sooner while this one was full.

        What no tally takes is in the records all the same, and they go on; it is read from the turns meanwhile.
        """
        is_full = False
        try:
            is_full = tally_turns() >= MOST_TURNS
        except UNSTORABLE as error:
            log.error("the tallies do not take what has finished", kind=type(error).__name__, error=str(error))
        self._tally_due = self._clock() + (TALLY_AGAIN_S if is_full else TALLY_EVERY_S)

    def _start(self) -> str:
        """Where the database says we are. A stream that ends before it was lost and begun anew: read it whole.

        Reading too much is harmless, what is stored already is skipped.
        """
        row = RecorderPosition.objects.filter(stream=JOURNAL_STREAM).first()
        if row is None:
            return "0-0"
        try:
            info: Any = self._redis.xinfo_stream(JOURNAL_STREAM)
        except redis.ResponseError:  # There is no stream: whatever comes will be new.
            return "0-0"
        if _order(info["last-generated-id"].decode()) < _order(row.entry_id):
            log.warning("the journal's stream was begun anew; reading it from its beginning", position=row.entry_id)
            return "0-0"
        return row.entry_id

    def _store_all(self, rows: Sequence[Row]) -> int:
        """All at once; only if the database refuses that, one stream entry at a time to find the one to put aside."""
        batches = [(row, self._decoded(row)) for row in rows]
        try:
            return self._store([entry for _, batch in batches for entry in batch], rows[-1][0])
        except UNSTORABLE as error:
            refuse_newer_schema(self._known)  # Then it refuses what we do not know of, and not the entries: they wait for who does.
            log.warning("the database refuses something; storing one batch at a time", error=str(error))
        stored = 0
        for row, batch in batches:
            try:
                stored += self._store(batch, row[0])
            except UNSTORABLE as error:
                self._put_aside(row, error)
                self._store((), row[0])
        return stored

    def _store(self, entries: Sequence[Entry], entry_id: bytes) -> int:
        now = self._clock()
        given_up = [boot for boot, since in self._gap_since.items() if now - since > GAP_LIMIT_S]
        stored = store(entries, entry_id.decode(), given_up)
        self._note_gaps(stored, now)
        if stored.count:
            self._nudge()
        self._confirm(stored.marks, entry_id.decode())
        return stored.count

    def _note_gaps(self, stored: Stored, now: float) -> None:
        for boot_id, mark in stored.marks.items():
            if boot_id in stored.gapped and mark > self._marks.get(boot_id, 0) and boot_id in self._gap_since:
                self._gap_since[boot_id] = now  # It is coming.
            elif boot_id not in stored.gapped:
                if now - self._gap_since.pop(boot_id, now) > GAP_LIMIT_S:
                    log.error("journal entries never came; going on without them", boot=boot_id, stored=mark)
            elif boot_id not in self._gap_since:
                self._gap_since[boot_id] = now
                log.warning("journal entries are missing; waiting for them to be sent again", boot=boot_id, after=mark)
            if boot_id in self._gap_since:
                self._marks[boot_id] = mark
            else:
                self._marks.pop(boot_id, None)

    def _decoded(self, row: Row) -> tuple[Entry, ...]:
        try:
            return decode_batch(row[1][FIELD])
        except (KeyError, *UNREADABLE) as error:
            self._put_aside(row, error)
            return ()

    def _put_aside(self, row: Row, error: Exception) -> None:
        entry_id, fields = row
        log.error("a journal batch is put aside", entry=entry_id.decode(), kind=type(error).__name__, error=str(error))
        aside: Any = {**fields, b"from": entry_id}
        self._redis.xadd(REFUSED_STREAM, aside, maxlen=MAX_REFUSED)

    def _confirm(self, marks: dict[str, int], last_id: str) -> None:
        """Tell the producers what is stored and drop it from the stream; after a failure the next batch does both."""
        with self._redis.pipeline(transaction=False) as pipe:
            for boot_id, seq in marks.items():
                pipe.set(watermark_key(boot_id), seq, ex=MARK_KEPT_S)
            pipe.xtrim(JOURNAL_STREAM, minid=_after(last_id), approximate=False)
            pipe.execute()


def lag_s(redis_url: str) -> float:
    """How long the oldest entry that is not stored yet has waited in the stream; 0 when none waits.

    By the server's clock, which dates the entries. Raises what Redis and the database raise.
    """
    row = RecorderPosition.objects.filter(stream=JOURNAL_STREAM).first()
    with connect(redis_url) as client:
        waiting: Any = client.xrange(JOURNAL_STREAM, min="-" if row is None else f"({row.entry_id}", count=1)
        if not waiting:
            return 0.0
        seconds, micros = client.time()
    return max(0.0, seconds + micros / 1_000_000 - _order(waiting[0][0].decode())[0] / 1000)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def _after(entry_id: str) -> str:
    milliseconds, number = _order(entry_id)
    return f"{milliseconds}-{number + 1}"

"""From the spool to the durable Redis stream, in order and at least once; the recorder drops what it has already stored.

Owns the journal of one process: numbering, spooling, sending, and telling how full the spool is. ``append`` never waits and
never fails for the caller: a live call does not depend on Redis, the recorder, or a disk with room. Without room on disk
events wait in memory; without room there they are not numbered but counted, and the count is an event of its own later.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio
import redis.exceptions
import structlog

from ai_engine.namesakes import Namesake
from esl_bridge.journal import reports
from esl_bridge.journal.adoption import Adopter
from esl_bridge.journal.delivery import Delivery
from esl_bridge.journal.events import Entry, EventsLost, JournalEvent
from esl_bridge.journal.reports import REPORT_EVERY_S, WARN_SHARE, SpoolReport
from esl_bridge.journal.spool import SPOOL_BYTES, Spool, bytes_under

log = structlog.get_logger(__name__)

# Together with the recorder's own batching this keeps the live page within a quarter of a second of the call.
SEND_EVERY_S = 0.05
WATERMARK_EVERY_S = 1.0
RETRY_S = (0.2, 0.5, 1.0, 2.0)
# Beyond this the spool's files are read again instead: memory stays bounded while Redis is away for hours.
MAX_IN_MEMORY = 20_000
# A piece of what waits in memory for the disk: writing all of it at once would hold up calls for a tenth of a second.
SPOOLED_AT_ONCE = 500
SAMPLE_EVERY_S = 1.0


@dataclass(slots=True)
class _Lost:
    count: int = 0
    since_us: int = 0


@dataclass(slots=True)
class _Ages:
    """When entries were made, one in a second: enough to say how long the oldest has waited."""

    samples: deque[tuple[int, float]] = field(default_factory=deque)

    def note(self, seq: int, now_s: float) -> None:
        if not self.samples or now_s - self.samples[-1][1] >= SAMPLE_EVERY_S:
            self.samples.append((seq, now_s))

    def oldest_s(self, stored: int, last: int, now_s: float) -> float:
        while len(self.samples) > 1 and self.samples[1][0] <= stored + 1:
            self.samples.popleft()
        return now_s - self.samples[0][1] if stored < last and self.samples else 0.0


class Journal:
    """One per process. ``append`` from anywhere on the loop; ``run`` sends until cancelled; ``drain`` waits for the rest.

    ``client`` is the durable Redis, ``volatile`` the other one, which is told about the spool under the name ``process``.
    """

    def __init__(
        self, root: Path, client: redis.asyncio.Redis, *, volatile: redis.asyncio.Redis | None = None, process: str = "",
        limit_bytes: int = SPOOL_BYTES, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._volatile = volatile
        self._process = process
        self._namesake = Namesake("journal", process)
        self._limit_bytes = limit_bytes
        self.boot_id = uuid.uuid4().hex
        self._spool = Spool.create(root, self.boot_id, limit_bytes)
        self._delivery = Delivery(self.boot_id, client, self._read, clock=clock)
        self._gone: set[str] = set()
        self._adopter = Adopter(root, client, self._gone.add, clock=clock)
        self._seq = 0
        # What follows each other without a gap, so that a whole batch can be taken from it.
        self._tail: deque[Entry] = deque()
        self._unspooled: deque[Entry] = deque()
        self._lost = _Lost()
        self._holes_through = 0
        self._ages = _Ages()
        self._warned = False
        self._wake = asyncio.Event()

    def append(self, call_uuid: str, epoch: int, event: JournalEvent) -> None:
        if self._tell_lost() and self._put(call_uuid, epoch, event):
            return
        if not self._lost.count:
            self._lost.since_us = time.time_ns() // 1000
            log.error("journal events are lost: there is no room for them on disk or in memory", bytes=self._spool.total_bytes)
        self._lost.count += 1

    async def run(self) -> None:
        """Send for ever; Redis may come and go."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_forever())
            tasks.create_task(self._adopter.run())
            tasks.create_task(self._report_forever())

    async def drain(self, limit_s: float) -> bool:
        """Wait until everything is sent; False when the limit came first or Redis is away (then the next boot adopts the spool)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._delivery.sent < self._seq:
                    try:
                        await self._send_all()
                        await self._check_watermark()
                    except (redis.exceptions.RedisError, OSError) as error:
                        log.debug("the journal is not drained yet", error=str(error))
                    if self._delivery.sent < self._seq:
                        await asyncio.sleep(SEND_EVERY_S)
        if self._lost.count:
            log.error("journal events were lost, and the journal will not tell", count=self._lost.count)
        if self._delivery.sent < self._seq:
            return False
        if self._volatile is not None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):  # What is left there is old by itself in seconds.
                await reports.withdraw(self._volatile, self.boot_id)
        return True

    def close(self) -> None:
        self._adopter.close()
        self._spool.close()

    # --- Taking ---

    def _put(self, call_uuid: str, epoch: int, event: JournalEvent) -> bool:
        """False: there is no room, and nothing has happened."""
        entry = Entry(self.boot_id, self._seq + 1, call_uuid, epoch, time.time_ns() // 1000, event)
        if not self._spooled(entry):
            if len(self._unspooled) >= MAX_IN_MEMORY:
                return False
            self._unspooled.append(entry)
        self._seq += 1
        self._ages.note(self._seq, time.monotonic())
        if len(self._tail) < MAX_IN_MEMORY and (not self._tail or self._tail[-1].seq == self._seq - 1):
            self._tail.append(entry)
        self._wake.set()
        return True

    def _spooled(self, entry: Entry) -> bool:
        """Whether the entry is on disk, behind all before it."""
        try:
            if not self._flush_unspooled():
                return False
            self._spool.append(entry)
        except OSError as error:
            if not self._unspooled:
                log.error("the journal cannot be spooled; it is kept in memory", error=str(error))
            return False
        return True

    def _flush_unspooled(self) -> bool:
        """Write a piece of what waits in memory; whether all of it is written. Raises OSError."""
        for _ in range(min(len(self._unspooled), SPOOLED_AT_ONCE)):
            self._spool.append(self._unspooled[0])
            self._unspooled.popleft()
        return not self._unspooled

    def _tell_lost(self) -> bool:
        """Enter in the journal what was lost. False: there is no room even for that."""
        if not self._lost.count:
            return True
        if not self._put("", 0, EventsLost(self._lost.count, self._lost.since_us)):
            return False
        log.error("there is room for journal events again; it is journalled how many were lost", count=self._lost.count)
        self._lost = _Lost()
        return True

    # --- Sending ---

    async def _send_forever(self) -> None:
        failures = 0
        checked_at = 0.0
        while True:
            try:
                await self._send_all()
                if time.monotonic() - checked_at >= WATERMARK_EVERY_S:
                    checked_at = time.monotonic()
                    await self._check_watermark()
                failures = 0
            except (redis.exceptions.RedisError, OSError) as error:
                if failures == 0:
                    log.warning("the journal waits in the spool: Redis cannot be reached", error=str(error))
                await asyncio.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                continue
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), WATERMARK_EVERY_S)
            await asyncio.sleep(SEND_EVERY_S)

    async def _send_all(self) -> None:
        """As much as may be on the way."""
        while self._delivery.sent < self._seq and await self._delivery.send():
            pass

    def _read(self, seq: int, limit: int) -> list[Entry]:
        """Entries behind ``seq``: from memory when the next one is there, else from the files."""
        while self._tail and self._tail[0].seq <= seq:
            self._tail.popleft()
        if self._tail and self._tail[0].seq == seq + 1:
            return [self._tail[index] for index in range(min(limit, len(self._tail)))]
        batch = self._spool.read_after(seq, limit)
        if not batch:
            batch = [entry for entry in self._unspooled if entry.seq > seq][:limit]
        self._note_holes(seq, batch)
        return batch

    def _note_holes(self, seq: int, batch: list[Entry]) -> None:
        """A damaged disk: entries that were written and are not to be read. They are lost like those without room."""
        last = batch[-1].seq if batch else self._seq
        missing = last - max(seq, self._holes_through) - sum(entry.seq > self._holes_through for entry in batch)
        self._holes_through = max(self._holes_through, last)
        if missing > 0:
            log.error("journal entries are lost: neither in memory nor on disk", after=seq, count=missing)
            self._lost.since_us = self._lost.since_us or time.time_ns() // 1000
            self._lost.count += missing
        if not batch:
            self._delivery.sent = self._seq

    async def _check_watermark(self) -> None:
        await self._delivery.check()
        self._spool.drop_through(self._delivery.stored)
        while self._unspooled and self._unspooled[0].seq <= self._delivery.stored:
            self._unspooled.popleft()

    # --- Telling ---

    def report(self, now_s: float) -> SpoolReport:
        """How full the spool is; ``now_s`` is the monotonic clock's."""
        oldest_s = self._ages.oldest_s(self._delivery.stored, self._seq, now_s)
        adopted_at_us = self._adopter.oldest_at_us
        if adopted_at_us is not None:
            oldest_s = max(oldest_s, time.time() - adopted_at_us / 1_000_000)
        return SpoolReport(
            process=self._process, boot_id=self.boot_id, bytes=self._spool.total_bytes + self._spool.others_bytes,
            limit_bytes=self._limit_bytes, place=f"{socket.gethostname()}:{self._root}",
            waiting=self._seq - self._delivery.stored, oldest_s=oldest_s,
            left_behind=self._adopter.count, lost=self._lost.count, at_s=time.time(), has_namesake=self._namesake.is_there,
        )  # fmt: skip

    async def _report_forever(self) -> None:
        failing = False
        while True:
            await self._look()
            report = self.report(time.monotonic())
            self._warn(report)
            try:
                if self._volatile is not None:
                    await self._namesake.look(self._volatile)
                    gone = set(self._gone)
                    await reports.tell(self._volatile, report, gone)
                    self._gone -= gone
                failing = False
            except (redis.exceptions.RedisError, OSError) as error:
                if not failing:
                    log.warning("nobody can be told how full the spool is", error=str(error))
                failing = True
            await asyncio.sleep(REPORT_EVERY_S)

    async def _look(self) -> None:
        """Measure the folder, and use what room there is."""
        try:
            total = await asyncio.to_thread(bytes_under, self._root)
            self._spool.others_bytes = max(0, total - self._spool.total_bytes)
            self._flush_unspooled()
            self._tell_lost()
        except OSError as error:
            log.debug("the spool has no room yet", error=str(error))

    def _warn(self, report: SpoolReport) -> None:
        is_full = report.bytes > WARN_SHARE * report.limit_bytes
        if is_full and not self._warned:
            log.warning(
                "the journal's spool is half full: are Redis, the recorder and the database running?",
                bytes=report.bytes, limit_bytes=report.limit_bytes, waiting=report.waiting, oldest_s=round(report.oldest_s),
            )  # fmt: skip
        self._warned = is_full

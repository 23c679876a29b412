"""The local spool: every journal entry is in a file before anything else is done with it.

Owns the files of one boot: append-only segments of ``length, crc32, entry``, dropped once the recorder's watermark has
passed them. A write reaches the kernel at once, so a killed process loses nothing. Blocking, but microseconds.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import structlog

from esl_bridge.journal.events import Entry, decode_entry, encode_entry

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 1 << 20
# An hour of 50 calls a second at 2 KB a call is about 360 MB; beyond this the disk is not ours to fill.
MAX_SPOOL_BYTES = 1 << 30
WARN_SPOOL_BYTES = MAX_SPOOL_BYTES // 4
_HEAD = struct.Struct("<II")
LOCK = "lock"


class SpoolFull(OSError):
    """The spool is at its limit, or its disk is."""


class Spool:
    """One boot's folder. Open it with ``create`` (ours) or ``adopt`` (a dead process's); the lock says who is alive."""

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self.folder = folder
        self.boot_id = folder.name
        self._lock_fd = lock_fd
        self._fd: int | None = None
        self._segment_size = 0
        self._total = sum(segment.stat().st_size for segment in self._segments())
        self._last_of: dict[Path, int] = {}
        self._current: Path | None = None
        self._warned = False

    @classmethod
    def create(cls, root: Path, boot_id: str) -> Spool:
        folder = root / boot_id
        folder.mkdir(parents=True)
        lock_fd = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(folder, lock_fd)

    @classmethod
    def adopt(cls, root: Path) -> Iterator[Spool]:
        """Spools under ``root`` whose process is dead, each locked for us."""
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            if not folder.is_dir():
                continue
            lock_fd = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock_fd)
                continue
            yield cls(folder, lock_fd)

    def append(self, entry: Entry) -> None:
        """Raises SpoolFull (an OSError, like a full disk's): nothing of the entry is in the spool then."""
        data = encode_entry(entry)
        record = _HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._total + len(record) > MAX_SPOOL_BYTES:
            raise SpoolFull(f"the spool {self.folder} holds {self._total} bytes")
        if self._total > WARN_SPOOL_BYTES and not self._warned:
            self._warned = True
            log.warning("the journal's spool is growing: is the recorder running?", bytes=self._total, limit=MAX_SPOOL_BYTES)
        if self._fd is None or self._segment_size + len(record) > SEGMENT_BYTES:
            self._open_segment(entry.seq)
        assert self._fd is not None
        assert self._current is not None
        written = os.write(self._fd, record)
        if written != len(record):
            os.ftruncate(self._fd, self._segment_size)
            raise SpoolFull(f"the disk of {self.folder} is full")
        self._segment_size += written
        self._total += written
        self._last_of[self._current] = entry.seq

    def read_after(self, seq: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries behind ``seq``, in order. A record cut short by a crash ends its segment."""
        found: list[Entry] = []
        segments = self._segments()
        for position, segment in enumerate(segments):
            following = segments[position + 1] if position + 1 < len(segments) else None
            if following is not None and int(following.stem) <= seq + 1:
                continue
            for entry in _read_segment(segment):
                if entry.seq > seq:
                    found.append(entry)
                    if len(found) >= limit:
                        return found
        return found

    def drop_through(self, seq: int) -> None:
        """Delete the segments that hold nothing behind ``seq``."""
        segments = self._segments()
        for segment, following in itertools.pairwise(segments):
            if int(following.stem) > seq + 1:
                return
            self._total -= segment.stat().st_size
            self._last_of.pop(segment, None)
            segment.unlink()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        os.close(self._lock_fd)

    def remove(self) -> None:
        """Everything in it is stored: take the folder away."""
        for path in [*self._segments(), self.folder / LOCK]:
            path.unlink(missing_ok=True)
        self.close()
        self.folder.rmdir()

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("*.journal"), key=lambda path: int(path.stem))

    def _open_segment(self, first_seq: int) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._current = self.folder / f"{first_seq:012d}.journal"
        self._fd = os.open(self._current, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._segment_size = 0


def _read_segment(path: Path) -> Iterator[Entry]:
    data = path.read_bytes()
    position = 0
    while position + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, position)
        body = data[position + _HEAD.size : position + _HEAD.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            log.warning("a journal segment ends in a broken record", segment=path.name, at=position)
            return
        yield decode_entry(body)
        position += _HEAD.size + length

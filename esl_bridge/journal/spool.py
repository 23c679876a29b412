"""The local spool: every journal entry is in a file before anything else is done with it.

Owns the files of one boot: append-only segments of ``length, crc32, entry``, dropped once the recorder's watermark has
passed them. A write reaches the kernel at once, so a killed process loses nothing; a power cut may take the last seconds.
Blocking, but microseconds. The bound is that of the folder above, because it is the disk that must not be filled.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import structlog

from callflows.definition.errors import UNREADABLE
from esl_bridge.journal.events import Entry, decode_entry, encode_entry

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 1 << 20
# An hour of 50 calls a second is 0.8 GB (docs/reliability.md); beyond this the disk is not ours to fill.
SPOOL_BYTES = 1 << 31
_HEAD = struct.Struct("<II")
# Some hundred entries: what one reading needs, and no more.
_CHUNK_BYTES = 1 << 16
LOCK = "lock"
SUFFIX = ".journal"


class SpoolFull(OSError):
    """The spool is at its limit, or its disk is."""


class SpoolUnreadable(Exception):
    """A whole entry that this version cannot read: a newer one wrote it. It is left for a newer one."""


class Spool:
    """One boot's folder. Open it with ``create`` (ours) or ``adopt`` (a dead process's); the lock says who is alive.

    ``others_bytes``: what other processes' spools beside it hold, as far as somebody has looked; it counts for the limit.
    """

    def __init__(self, folder: Path, lock_fd: int, limit_bytes: int = SPOOL_BYTES) -> None:
        self.folder = folder
        self.boot_id = folder.name
        self.others_bytes = 0
        self._limit_bytes = limit_bytes
        self._lock_fd = lock_fd
        self._fd: int | None = None
        self._segment_size = 0
        # Only the holder of the lock changes the folder, so it is listed once.
        self._segments = sorted(folder.glob(f"*{SUFFIX}"), key=_first_seq)
        self._total = sum(segment.stat().st_size for segment in self._segments)
        # Where the last reading ended: seq, segment, and the place behind it.
        self._cursor: tuple[int, Path, int] | None = None

    @property
    def total_bytes(self) -> int:
        return self._total

    @classmethod
    def create(cls, root: Path, boot_id: str, limit_bytes: int = SPOOL_BYTES) -> Spool:
        # Under a name that nobody adopts until it is locked.
        folder = root / f".{boot_id}"
        folder.mkdir(parents=True)
        lock_fd = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(folder.rename(root / boot_id), lock_fd, limit_bytes)

    @classmethod
    def adopt(cls, root: Path) -> Iterator[Spool]:
        """Spools under ``root`` whose process is dead, each locked for us."""
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            if folder.name.startswith(".") or not folder.is_dir():
                continue
            try:
                lock_fd = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:  # Another one has just taken it away.
                continue
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock_fd)
                continue
            if not _is_file(lock_fd, folder / LOCK):  # Taken away between the two lines above.
                os.close(lock_fd)
                continue
            yield cls(folder, lock_fd)

    def append(self, entry: Entry) -> None:
        """Raises SpoolFull (an OSError, like a full disk's): nothing of the entry is in the spool then."""
        data = encode_entry(entry)
        record = _HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._total + self.others_bytes + len(record) > self._limit_bytes:
            raise SpoolFull(f"the spools beside {self.folder} hold {self._total + self.others_bytes} bytes")
        if self._fd is None or self._segment_size + len(record) > SEGMENT_BYTES:
            self._fd = self._open_segment(entry.seq)
        written = os.write(self._fd, record)
        if written != len(record):
            os.ftruncate(self._fd, self._segment_size)
            raise SpoolFull(f"the disk of {self.folder} is full")
        self._segment_size += written
        self._total += written

    def read_after(self, seq: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries behind ``seq``, in order. A record cut short by a crash ends its segment.

        Going on where the last reading ended costs no more than what is read. Raises SpoolUnreadable.
        """
        found: list[Entry] = []
        for segment, offset in self._places_after(seq):
            for entry, behind in _read_segment(segment, offset):
                if entry.seq <= seq:
                    continue
                found.append(entry)
                self._cursor = entry.seq, segment, behind
                if len(found) >= limit:
                    return found
        return found

    def drop_through(self, seq: int) -> None:
        """Delete the segments that hold nothing behind ``seq``."""
        while len(self._segments) > 1 and _first_seq(self._segments[1]) <= seq + 1:
            segment = self._segments.pop(0)
            self._total -= segment.stat().st_size
            segment.unlink()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        os.close(self._lock_fd)

    def remove(self) -> None:
        """Everything in it is stored: take the folder away."""
        for path in [*self._segments, self.folder / LOCK]:
            path.unlink(missing_ok=True)
        self.close()
        self.folder.rmdir()

    def _places_after(self, seq: int) -> Iterator[tuple[Path, int]]:
        if self._cursor is not None and self._cursor[0] == seq and self._cursor[1] in self._segments:
            _, segment, offset = self._cursor
            position = self._segments.index(segment)
        else:
            later = [place for place, segment in enumerate(self._segments) if _first_seq(segment) > seq + 1]
            position, offset = max(0, (later[0] if later else len(self._segments)) - 1), 0
        for segment in self._segments[position:]:
            yield segment, offset
            offset = 0

    def _open_segment(self, first_seq: int) -> int:
        if self._fd is not None:
            # Not ours any more, whatever happens next: the number may be a caller's socket in a moment.
            fd, self._fd = self._fd, None
            os.close(fd)
        segment = self.folder / f"{first_seq:012d}{SUFFIX}"
        fd = os.open(segment, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if segment not in self._segments:
            self._segments.append(segment)
        self._segment_size = 0
        return fd


def bytes_under(root: Path) -> int:
    """What all spools in ``root`` hold, whoever's they are. Other processes change them meanwhile."""
    total = 0
    for segment in root.glob(f"*/*{SUFFIX}"):
        try:
            total += segment.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _first_seq(segment: Path) -> int:
    return int(segment.stem)


def _is_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _read_segment(path: Path, offset: int) -> Iterator[tuple[Entry, int]]:
    """Entries from ``offset`` on, each with the place behind it."""
    data = b""
    with path.open("rb") as segment:
        segment.seek(offset)
        while True:
            more = segment.read(_CHUNK_BYTES)
            data += more
            position = 0
            while (end := _record_end(data, position)) is not None:
                body = data[position + _HEAD.size : end]
                # Zeros, as a power cut leaves them, would be an empty record with the right checksum.
                if not body or zlib.crc32(body) != _HEAD.unpack_from(data, position)[1]:
                    log.warning("a journal segment ends in a broken record", segment=path.name, at=offset)
                    return
                offset += end - position
                position = end
                yield _decoded(body, path), offset
            data = data[position:]
            if not more:
                if data:
                    log.warning("a journal segment ends in a broken record", segment=path.name, at=offset)
                return


def _record_end(data: bytes, position: int) -> int | None:
    """Behind the record at ``position``; None while not all of it is there."""
    if position + _HEAD.size > len(data):
        return None
    end = int(position + _HEAD.size + _HEAD.unpack_from(data, position)[0])
    return end if end <= len(data) else None


def _decoded(body: bytes, path: Path) -> Entry:
    try:
        return decode_entry(body)
    except UNREADABLE as error:
        raise SpoolUnreadable(f"{path}: {error}") from error

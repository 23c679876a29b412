"""What is said of the dialplan of last resort on this machine: how old it is, of which versions, and whether to trust it.

Owns the words. It speaks of the file here; whether a switch has read it only that switch knows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import Snapshot, decode_snapshot
from callflows.last_resort import Rendering, look
from callflows.store import database_snapshot
from console import words

log = structlog.get_logger(__name__)

# A look reads the file, every sound file's size and the published versions, some milliseconds: not at each of four pushes a second.
LOOK_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class LastResortRow:
    """``problem`` is empty when a switch may have it. ``rendered_ms``: since 1970, None without a file."""

    what: str
    problem: str
    rendered_ms: int | None
    ago: str


class _Looked:
    """The last look of this process."""

    at = float("-inf")
    found: tuple[Rendering | None, Snapshot | None, str] = (None, None, "")


def published_flows() -> Snapshot | None:
    """As bridges use them: the database's, else those of the file; None when neither can be read."""
    return _look()[1]


def last_resort_row() -> LastResortRow:
    rendering, snapshot, unreadable = _look()
    if rendering is None:
        return LastResortRow("", unreadable or NOT_RENDERED, None, "")
    versions = ", ".join(f"{words.plain(slug)} {number}" for slug, number in sorted(rendering.versions.items()))
    age_s = (timezone.now() - rendering.rendered_at).total_seconds()
    return LastResortRow(
        what=f"made from {versions}; {rendering.files} sound files",
        problem=_problem(rendering, snapshot),
        rendered_ms=int(rendering.rendered_at.timestamp() * 1000),
        ago=words.long_duration(age_s),
    )


NOT_RENDERED = "There is none: callers without a bridge hear tones. Run manage.py render_dialplan."


def _problem(rendering: Rendering, snapshot: Snapshot | None) -> str:
    if rendering.problems:
        return f"A switch may refuse it: {rendering.problems[0]}."
    if rendering.missing:
        missing = len(rendering.missing)
        return f"{missing} of its sound files are missing or empty on the console's own disk. Run manage.py sync_switch."
    if snapshot is not None and rendering.is_older_than(snapshot):
        return "It is older than the flows that are published. Run manage.py render_dialplan."
    return ""


def _look() -> tuple[Rendering | None, Snapshot | None, str]:
    now = time.monotonic()
    if now - _Looked.at >= LOOK_EVERY_S:
        _Looked.found = _look_now(Path(settings.LIFELINE_LAST_RESORT_DIALPLAN), Path(settings.LIFELINE_FLOW_SNAPSHOT))
        _Looked.at = now
    return _Looked.found


def _look_now(path: Path, snapshot_path: Path) -> tuple[Rendering | None, Snapshot | None, str]:
    try:
        rendering, unreadable = look(path), ""
    except OSError as error:
        rendering, unreadable = None, f"It cannot be read: {error.strerror}."
    return rendering, _published(snapshot_path), unreadable


def _published(path: Path) -> Snapshot | None:
    """The file may be as old as the dialplan is: one full disk keeps both from being written."""
    try:
        snapshot = database_snapshot()
    except DatabaseError:
        snapshot = Snapshot(())
    if snapshot.flows:
        return snapshot
    try:
        return decode_snapshot(path.read_bytes())
    except (BadSnapshot, OSError):
        return None  # Nothing to compare it with; the bridges say so themselves.


def forget() -> None:
    """Look anew the next time."""
    _Looked.at = float("-inf")

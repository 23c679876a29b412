"""The files of this machine that follow from what is published: whether they are behind the database, and writing them.

Owns that a version is published whatever becomes of its files: what cannot be written is said, and written later.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
from django.conf import settings
from django.db import DatabaseError

from callflows import last_resort, store
from callflows.definition.errors import BadSnapshot
from callflows.definition.flow import Snapshot, decode_snapshot
from ivr_fallback.last_resort import newest

log = structlog.get_logger(__name__)

LATER = "The console tries again every half minute."


def write() -> list[str]:
    """Write all of them, each although another fails. Returns what is still to be written, in plain words."""
    problems = _export()
    try:
        snapshot = store.database_snapshot()
    except DatabaseError as error:
        return [*problems, f"The dialplan of last resort is not made anew: {error}. {LATER}"]
    return [*problems, *(_render(snapshot) if snapshot.flows else ())]


def catch_up() -> list[str]:
    """Write those that are behind the database. Raises the database's errors.

    An empty database takes no flow away. What a newer program wrote, and this one cannot read, is not behind.
    """
    snapshot = store.database_snapshot()
    problems = _export() if _is_behind(_in_snapshot_file(), snapshot) else []
    return [*problems, *(_render(snapshot) if _is_behind(_in_last_resort(), snapshot) else ())]


def _export() -> list[str]:
    path = Path(settings.LIFELINE_FLOW_SNAPSHOT)
    try:
        store.export(Path(settings.LIFELINE_PROMPT_DIR), path)
    except (OSError, DatabaseError) as error:
        log.error("flows_not_exported", path=str(path), error=str(error))
        why = error.strerror if isinstance(error, OSError) else str(error)
        return [f"{path} or a prompt beside it cannot be written: {why}. {LATER}"]
    return []


def _render(snapshot: Snapshot) -> list[str]:
    """The database's own: the file of flows may be older."""
    if last_resort.write_or_say_why_not(snapshot) is None:
        return [f"The dialplan of last resort is still the one before. {LATER}"]
    return []


def _is_behind(versions: Mapping[str, int] | None, snapshot: Snapshot) -> bool:
    return versions is not None and any(versions.get(flow.slug, 0) < flow.number for flow in newest(snapshot))


def _in_snapshot_file() -> dict[str, int] | None:
    """None: nobody here can tell."""
    try:
        return {flow.slug: flow.number for flow in newest(decode_snapshot(Path(settings.LIFELINE_FLOW_SNAPSHOT).read_bytes()))}
    except BadSnapshot:
        return None
    except OSError:
        return {}


def _in_last_resort() -> dict[str, int]:
    try:
        found = last_resort.look(Path(settings.LIFELINE_LAST_RESORT_DIALPLAN))
    except OSError:
        found = None
    return {} if found is None else found.versions

"""The dialplan of last resort on a disk: made whole from published flows or left as it was, and what is there now.

Owns the file. What stands in it is ``ivr_fallback/last_resort.py``'s; whether a switch has read it only that switch knows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from django.conf import settings

from callflows.definition.files import WAV_HEADER_BYTES
from callflows.definition.flow import FlowVersion, Snapshot
from callflows.definition.writing import write_whole
from callflows.errors import LastResortRefusedError
from ivr_fallback import last_resort_checks
from ivr_fallback.last_resort import LastResortError, Place, newest, phrases_in_use, render

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is on the disk. ``problems`` are reasons not to trust it, in plain words; without any a switch may have it."""

    rendered_at: datetime
    versions: dict[str, int]
    files: int
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    def is_older_than(self, snapshot: Snapshot) -> bool:
        return self.versions != {flow.slug: flow.number for flow in newest(snapshot)}


def place() -> Place:
    """This machine's, from the settings."""
    return Place(str(settings.LIFELINE_PROMPT_DIR), settings.LIFELINE_CHAIN_EXTENSION, settings.LIFELINE_CHAIN_CONTEXT)


def draft_problem(flow: FlowVersion) -> str:
    """Why a switch could not have this flow's menu, or an empty text. The place of the prompts is not the flow's fault."""
    try:
        render(Snapshot((flow,)), Place("/prompts"))
    except LastResortError as error:
        return str(error)
    return ""


def made_of(snapshot: Snapshot, where: Place) -> str:
    """The text, checked, and with every sound file of it on this disk. Raises :class:`LastResortRefusedError`."""
    try:
        text = render(snapshot, where)
    except LastResortError as error:
        raise LastResortRefusedError([str(error)]) from error
    problems = [*last_resort_checks.problems(text), *_missing(text)]
    names = last_resort_checks.files_named(text)
    unseen = [phrase.text for flow in newest(snapshot) for phrase in phrases_in_use(flow)
              if f"{where.prompt_dir}/{phrase.file}" not in names]  # fmt: skip
    if problems or unseen:
        raise LastResortRefusedError([*problems, *(f"the words {words!r} are not in it" for words in unseen)])
    return text


def write(snapshot: Snapshot, path: Path, where: Place) -> Rendering:
    """Replace the file in one step; the last good one stays when this raises :class:`LastResortRefusedError` or OSError."""
    text = made_of(snapshot, where)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())
    found = look(path)
    assert found is not None
    return found


def write_or_say_why_not(snapshot: Snapshot) -> Rendering | None:
    """For those whose work does not depend on it: the last good file stays, and the page says that it is old."""
    try:
        return write(snapshot, Path(settings.LIFELINE_LAST_RESORT_DIALPLAN), place())
    except (LastResortRefusedError, OSError) as error:
        log.error("last_resort_not_rendered", path=str(settings.LIFELINE_LAST_RESORT_DIALPLAN), error=str(error))
        return None


def look(path: Path) -> Rendering | None:
    """None when there is no file. Raises OSError when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read().decode("utf-8", "replace")
            rendered_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except FileNotFoundError:
        return None
    return Rendering(
        rendered_at,
        last_resort_checks.versions_named(text),
        len(last_resort_checks.files_named(text)),
        tuple(_missing(text)),
        tuple(last_resort_checks.problems(text)),
    )


def _missing(text: str) -> list[str]:
    """A file that is not there, or is a header without a sound, is silence on a switch: it skips it without a word."""
    return [
        f"{name} is missing or holds no sound"
        for name in sorted(last_resort_checks.files_named(text))
        if _size(name) <= WAV_HEADER_BYTES
    ]


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except OSError:
        return 0

"""Whether each switch finds the sound files that flows play, on its own disk and as its own user.

Owns when switches are asked for those of published flows, and what is kept and said of the answers. A file that a switch does
not find is silence in its last resort, and in a bridge a failure that sends the caller to the menu.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from console.last_resort_panel import published_flows
from console.models import SwitchReport
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import SwitchControlError

log = structlog.get_logger(__name__)

# Four hundred files take a switch a third of a second (measured, of which its own part is a tenth).
LOOK_EVERY = timedelta(minutes=1)
WHY = "they are not on its disk, or in a folder that its user may not pass"


def look(report: SwitchReport, control: Callable[[], SwitchControl]) -> None:
    """Ask a switch that has just answered for every file of the published flows, once a minute. What it says is kept."""
    snapshot, now = published_flows(), timezone.now()
    if snapshot is None or (report.files_looked_at is not None and now - report.files_looked_at < LOOK_EVERY):
        return
    paths = paths_of(frozenset[str]().union(*(flow.files() for flow in snapshot.flows)))
    try:
        report.files_problem = _not_found(control().missing_files(paths), paths)[:300]
    except (SwitchControlError, ValueError) as error:
        report.files_problem = f"was not asked for its sound files: {error}"[:300]
    report.files_asked, report.files_looked_at = len(paths), now
    if report.files_problem:
        log.error("files_not_found_by_switch", switch=report.name, problem=report.files_problem)
    report.save(update_fields=["files_problem", "files_asked", "files_looked_at"])


def paths_of(files: Collection[str]) -> list[str]:
    """Where a switch looks for these prompts, sorted."""
    return [f"{settings.LIFELINE_PROMPT_DIR}/{file}" for file in sorted(files)]


def _not_found(missing: list[str], paths: list[str]) -> str:
    return f"does not find {len(missing)} of {len(paths)} sound files, such as {missing[0]}: {WHY}" if missing else ""

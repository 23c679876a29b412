"""Whether each switch finds the sound files that flows play, on its own disk and as its own user.

Owns when switches are asked for those of published flows, and what is kept and said of the answers. A file that a switch does
not find is silence in its last resort, and in a bridge a failure that sends the caller to the menu.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from console.last_resort_panel import published_flows
from console.models import SwitchReport
from console.switch_settings import SwitchAddress
from console.unknown_questions import say_once
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import SwitchControlError, UnknownCommandError

log = structlog.get_logger(__name__)

# Four hundred files take a switch a third of a second (measured, of which its own part is a tenth).
LOOK_EVERY = timedelta(minutes=1)
WHY = "they are not on its disk, or in a folder that its user may not pass"


@dataclass(frozen=True, slots=True)
class Finding:
    """How many files a switch was asked for, and which of them it does not find or why it did not say."""

    asked: int
    missing: list[str] | SwitchControlError | ValueError


def due(switch: SwitchAddress) -> list[str] | None:
    """The files of the published flows, when this switch is to be asked for them now, which is once a minute."""
    snapshot, since = published_flows(), timezone.now() - LOOK_EVERY
    if snapshot is None or SwitchReport.objects.filter(name=switch.name, place=switch.place, files_looked_at__gt=since).exists():
        return None
    return paths_of(frozenset[str]().union(*(flow.files() for flow in snapshot.flows)))


def ask(control: SwitchControl, paths: list[str]) -> Finding:
    """Touches no database: switches are asked side by side."""
    try:
        return Finding(len(paths), control.missing_files(paths))
    except (SwitchControlError, ValueError) as error:
        return Finding(len(paths), error)


def keep(report: SwitchReport, found: Finding) -> None:
    """A problem of no files asked for is why nothing is known. Of a switch that does not know the question nothing is said."""
    if isinstance(found.missing, list):
        report.files_asked, report.files_problem = found.asked, not_found(found.missing, found.asked)[:300]
        if report.files_problem:
            log.error("files_not_found_by_switch", switch=report.name, problem=report.files_problem)
    elif isinstance(found.missing, UnknownCommandError):
        report.files_asked, report.files_problem = 0, ""
        say_once(report.name, str(found.missing))
    else:
        report.files_asked, report.files_problem = 0, str(found.missing)[:300]
        log.warning("switch_not_asked_for_files", switch=report.name, error=report.files_problem)
    report.files_looked_at = timezone.now()
    report.save(update_fields=["files_problem", "files_asked", "files_looked_at"])


def paths_of(files: Collection[str]) -> list[str]:
    """Where a switch looks for these prompts, sorted."""
    return [f"{settings.LIFELINE_PROMPT_DIR}/{file}" for file in sorted(files)]


def not_found(missing: list[str], asked: int) -> str:
    """As a sentence about the switch goes on; empty when it finds all."""
    return f"does not find {len(missing)} of {asked} sound files, such as {missing[0]}: {WHY}" if missing else ""

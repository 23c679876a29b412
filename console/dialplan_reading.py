"""Having the switches read the dialplan of last resort anew when the file here is another one.

Owns when they are asked and what is kept of their answer. Whether a switch's `include` names this file only its own
dialplan knows: one on another machine reads its own copy, and reading it once more does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.utils import timezone

from console.models import SwitchReport
from esl_bridge.control import SwitchControl, SwitchControlError

log = structlog.get_logger(__name__)

# A file that a switch refuses is not offered at every look: FreeSWITCH reads its whole configuration each time.
RETRY = timedelta(minutes=1)


def file_now() -> str:
    """What tells one file from another; empty without one that can be read."""
    try:
        return hashlib.sha256(Path(settings.LIFELINE_LAST_RESORT_DIALPLAN).read_bytes()).hexdigest()
    except OSError:
        return ""


def read_anew(report: SwitchReport, control: Callable[[], SwitchControl]) -> None:
    """Ask a switch that has just answered, when the file has changed since it last read one. What it says is kept."""
    wanted, now = file_now(), timezone.now()
    if not wanted or report.dialplan_file == wanted:
        return
    if report.dialplan_problem and report.dialplan_tried_at is not None and now - report.dialplan_tried_at < RETRY:
        return
    try:
        control().reload_dialplan()
    except SwitchControlError as error:
        report.dialplan_problem = str(error)[:300]
        log.error("dialplan_not_read", switch=report.name, error=report.dialplan_problem)
    else:
        report.dialplan_file, report.dialplan_problem, report.dialplan_read_at = wanted, "", now
        log.info("dialplan_read", switch=report.name)
    report.dialplan_tried_at = now
    report.save(update_fields=["dialplan_file", "dialplan_problem", "dialplan_read_at", "dialplan_tried_at"])

"""Having the switches read the dialplan of last resort anew when the file here is another one.

Owns when they are asked and what is kept of their answer. Whether a switch's `include` names this file only its own
dialplan knows: one on another machine reads its own copy, and reading it once more does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.utils import timezone

from callflows.definition.hours import zone_of
from console.models import SwitchReport
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import RefusedError, SwitchControlError
from ivr_fallback import last_resort_checks

log = structlog.get_logger(__name__)

# A file that a switch refuses is not offered at every look: FreeSWITCH reads its whole configuration each time.
RETRY = timedelta(minutes=1)
HALF_A_YEAR = timedelta(days=182)


def file_now() -> str:
    """What tells one file from another; empty without one that can be read."""
    try:
        return hashlib.sha256(Path(settings.LIFELINE_LAST_RESORT_DIALPLAN).read_bytes()).hexdigest()
    except OSError:
        return ""


def read_anew(report: SwitchReport, control: Callable[[], SwitchControl]) -> None:
    """Ask a switch that has just answered, when the file has changed since it last read one. What it says is kept."""
    wanted, now = file_now(), timezone.now()
    if not wanted or (report.dialplan_file == wanted and not report.dialplan_problem):
        return
    if report.dialplan_problem and report.dialplan_tried_at is not None and now - report.dialplan_tried_at < RETRY:
        return
    try:
        control().reload_dialplan()
    except SwitchControlError as error:
        report.dialplan_problem = str(error)[:300]
        log.error("dialplan_not_read", switch=report.name, error=report.dialplan_problem)
    else:
        report.dialplan_file, report.dialplan_read_at = wanted, now
        report.dialplan_problem = _wrong_hours(control(), now)[:300]
        log.info("dialplan_read", switch=report.name, problem=report.dialplan_problem)
    report.dialplan_tried_at = now
    report.save(update_fields=["dialplan_file", "dialplan_problem", "dialplan_read_at", "dialplan_tried_at"])


def _wrong_hours(control: SwitchControl, now: datetime) -> str:
    """Why the switch would take other hours for open than the bridges do, or an empty text.

    A zone that is not in its `timezones.conf.xml` makes FreeSWITCH compare with whatever its memory holds; an old file has old
    rules. Asked for now and for half a year from now, so that a summer time that came or went shows in any month.
    """
    for name in sorted(last_resort_checks.zones_named(_text())):
        zone = zone_of(name)
        for at in (now, now + HALF_A_YEAR):
            try:
                there = control.wall_clock(name, at)
            except RefusedError:
                return f"it does not know the time zone {name}, so it may take any hour for open; see its timezones.conf.xml."
            except SwitchControlError as error:
                return f"it was not asked for its time in {name}: {error}"
            here = "" if zone is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
            if there != here:
                return f"in {name} it takes {here or 'an unknown time'} for {there}; see its timezones.conf.xml."
    return ""


def _text() -> str:
    try:
        return Path(settings.LIFELINE_LAST_RESORT_DIALPLAN).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

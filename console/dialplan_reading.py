"""Having the switches read the dialplan of last resort anew until they have what the file here says.

Owns when they are asked and what is kept of their answer. Which file a switch's `include` names only its own dialplan knows: one
on another machine reads its own copy, which `sync_switch` makes there. So what it has in memory is asked for, not believed.
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
from console.unknown_questions import say_once
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import RefusedError, SwitchAwayError, SwitchControlError, UnknownCommandError
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
    """Have a switch that has just answered read it, when it has another one. What it says is kept."""
    wanted, now = file_now(), timezone.now()
    is_new = report.dialplan_file != wanted and not report.dialplan_problem
    if not wanted or (not is_new and report.dialplan_tried_at is not None and now - report.dialplan_tried_at < RETRY):
        return
    has_it = not is_new and not report.dialplan_problem
    report.dialplan_tried_at = now
    try:
        if not has_it or _another(report.name, control()):
            control().reload_dialplan()
            if another := _another(report.name, control()):
                raise RefusedError(another)
            report.dialplan_file, report.dialplan_read_at = wanted, now
            report.dialplan_problem = _wrong_hours(report.name, control(), now)[:300]
            log.info("dialplan_read", switch=report.name, problem=report.dialplan_problem)
    except SwitchControlError as error:
        if has_it and isinstance(error, SwitchAwayError):
            return  # It has what it had; that it is away, the next look says.
        report.dialplan_problem = str(error)[:300]
        log.error("dialplan_not_read", switch=report.name, error=report.dialplan_problem)
    report.save(update_fields=["dialplan_file", "dialplan_problem", "dialplan_read_at", "dialplan_tried_at"])


def _another(switch: str, control: SwitchControl) -> str:
    """How what the switch has in memory differs from the file here, or an empty text.

    It says +OK to reading, too, when its file is an older one on a disk of its own, or one that it cannot open. That counts all the
    same of a switch that does not know the question.
    """
    here = last_resort_checks.versions_named(_text())
    try:
        there = last_resort_checks.versions_named(control.dialplan(settings.LIFELINE_CHAIN_CONTEXT))
    except UnknownCommandError as error:
        say_once(switch, str(error))
        return ""
    if there == here:
        return ""
    return f"it has {_said(there)}, the console's file {_said(here)}. Run manage.py sync_switch on it; is its file readable there?"


def _said(versions: dict[str, int]) -> str:
    return ", ".join(f"{slug} {number}" for slug, number in sorted(versions.items())) or "none"


def _wrong_hours(switch: str, control: SwitchControl, now: datetime) -> str:
    """Why the switch would take other hours for open than the bridges do, or an empty text.

    A zone that is not in its `timezones.conf.xml` makes FreeSWITCH compare with whatever its memory holds; an old file has old
    rules. Asked for now and for half a year from now, so that a summer time that came or went shows in any month.
    """
    for name in sorted(last_resort_checks.zones_named(_text())):
        zone = zone_of(name)
        for at in (now, now + HALF_A_YEAR):
            try:
                there = control.wall_clock(name, at)
            except UnknownCommandError as error:
                say_once(switch, str(error))
                return ""
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

"""The switches: which there are, how to ask them, and looking at all of them now and then.

Owns the reports of the last look. What a page or a metric says of them is ``console/switch_panel.py``'s.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.utils import timezone

from console import dialplan_reading, switch_files
from console.models import SwitchReport, SwitchState
from console.switch_settings import MAIN, SwitchAddress
from esl_bridge.control import SwitchControl
from esl_bridge.control_answers import SwitchStatus
from esl_bridge.control_errors import ControlUnavailableError, SwitchControlError

# Three looks missed. One look may come late by a slow switch (3 s), a test call that rings (13 s) and orphans.
STALE = timedelta(seconds=30)
# A switch that is well answers in milliseconds, and python-ESL's process starts in tens of them.
DEADLINE_S = 3.0
# Each question is a process; so many at once do not disturb calls on the same machine.
AT_ONCE = 8


class Look(NamedTuple):
    """One answer, or why there is none, and when that was; and what it says of sound files, when it was asked for them."""

    found: SwitchStatus | SwitchControlError
    at: datetime
    files: switch_files.Finding | None = None


def switches() -> tuple[SwitchAddress, ...]:
    main = SwitchAddress(MAIN, settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT, settings.LIFELINE_SWITCH_PASSWORD)
    return (main, *settings.LIFELINE_SWITCHES)


def switch_named(name: str) -> SwitchAddress | None:
    return next((switch for switch in switches() if switch.name == name), None)


def control_of(switch: SwitchAddress, deadline_s: float = DEADLINE_S) -> SwitchControl:
    return SwitchControl(switch.host, switch.port, switch.password, deadline_s=deadline_s, password_setting=switch.password_setting)


def look_at_all() -> None:
    """Asks every switch at the same time, so that one that is silent delays no other, and stores what they say."""
    asked = switches()
    files = [switch_files.due(switch) for switch in asked]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(asked))) as pool:
        looks = list(pool.map(_look, asked, files))
    for switch, look in zip(asked, looks, strict=True):
        _store(switch, look)


def _look(switch: SwitchAddress, files: list[str] | None) -> Look:
    try:
        found = control_of(switch).status()
    except SwitchControlError as error:
        return Look(error, timezone.now())
    at = timezone.now()
    return Look(found, at, None if files is None else switch_files.ask(control_of(switch), files))


def _store(switch: SwitchAddress, look: Look) -> None:
    state, fields = _read(look)
    before = SwitchReport.objects.filter(name=switch.name).first()
    goes_on = before is not None and (before.state, before.place) == (state, switch.place) and look.at - before.looked_at <= STALE
    since = before.since if before is not None and goes_on else look.at
    if before is not None and before.place != switch.place:
        before.delete()  # Nothing that was known of the one is known of the other.
    row = {"place": switch.place, "state": state, "since": since, "looked_at": look.at, **fields}
    report, _ = SwitchReport.objects.update_or_create(name=switch.name, defaults=row)
    if state == SwitchState.REACHABLE:
        dialplan_reading.read_anew(report, lambda: control_of(switch))
    if look.files is not None:
        switch_files.keep(report, look.files)


def _read(look: Look) -> tuple[SwitchState, dict[str, Any]]:
    found = look.found
    if isinstance(found, SwitchStatus):
        return SwitchState.REACHABLE, {
            "reason": "", "seen_at": look.at, "version": found.version[:100], "is_ready": found.is_ready,
            "sessions": found.sessions, "sessions_peak": found.sessions_peak, "sessions_most": found.sessions_most,
            "sessions_per_s_most": found.sessions_per_s_most, "uptime_s": int(found.uptime.total_seconds()),
        }  # fmt: skip
    unknown = isinstance(found, ControlUnavailableError)
    return SwitchState.UNKNOWN if unknown else SwitchState.UNREACHABLE, {"reason": str(found)[:300]}

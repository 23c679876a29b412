"""A flow's opening hours as conditions that FreeSWITCH evaluates by itself, at every step of the menu of last resort.

Owns how the one rule (``callflows.definition.hours.is_open``) is said in a switch's XML. Pure: hours in, elements out.

As FreeSWITCH reads them (``switch_xml_std_datetime_check`` in ``switch_xml.c``, ``parse_exten`` in ``mod_dialplan_xml.c``):
the channel's ``timezone`` decides whose wall clock is asked, read anew for every condition; without it the switch's own does,
and ``tod_tz_offset`` would win over both. ``time-of-day`` holds from its first second to its last, both included, so the last
minute is named to its 59th second. ``wday`` is 1 for Sunday. ``time-of-day`` from a later to an earlier time goes over midnight;
nothing made here does. Times beside a ``field`` would be an "or", so they have conditions of their own.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from callflows.definition.hours import Hours, Span

OPEN_VARIABLE = "ll_lr_open"
OPEN, SHUT = "yes", "no"
# What a step that may lead to a person asks; the steps before have set it.
OPEN_CONDITION = (f"${{{OPEN_VARIABLE}}}", f"^{OPEN}$")
ZONE_VARIABLE = "timezone"
ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")


def write_hours(root: ElementTree.Element, base: str, hours: Hours) -> None:
    """Two extensions that every step of this flow passes and none ends in: whose clock, then whether it is open by it.

    Their actions run while conditions are still evaluated (``inline``), the other way round than all others. In the second each
    condition stands for itself (``break="never"``), and the last one that holds decides: a date after its weekday.
    """
    steps = f"^{re.escape(base)}:"
    clock = _passed_by(root, f"{base} clock", steps)
    _set(clock, f"{ZONE_VARIABLE}={hours.zone}")
    _set(clock, f"{OPEN_VARIABLE}={SHUT}")
    _passed_by(root, f"{base} hours", steps)
    extension = root[-1]
    for weekdays, spans in _alike(hours):
        _when(extension, OPEN, {"wday": weekdays, "time-of-day": _times(spans)})
    for special in hours.days:
        day = {"year": str(special.date.year), "mon": str(special.date.month), "mday": str(special.date.day)}
        _when(extension, SHUT, day)
        if special.spans:
            _when(extension, OPEN, day | {"time-of-day": _times(special.spans)})


def _alike(hours: Hours) -> list[tuple[str, tuple[Span, ...]]]:
    """Weekdays with the same times share a condition."""
    found: dict[tuple[Span, ...], list[str]] = {}
    for weekday, spans in enumerate(hours.week):
        if spans:
            found.setdefault(spans, []).append(str((weekday + 1) % 7 + 1))
    return [(",".join(weekdays), spans) for spans, weekdays in found.items()]


def _times(spans: tuple[Span, ...]) -> str:
    return ",".join(f"{_clock(span.opens)}:00-{_clock(span.closes - 1)}:59" for span in spans)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _passed_by(root: ElementTree.Element, name: str, expression: str) -> ElementTree.Element:
    extension = ElementTree.SubElement(root, "extension", {"name": name, "continue": "true"})
    return ElementTree.SubElement(extension, "condition", field="destination_number", expression=expression)


def _when(extension: ElementTree.Element, state: str, moment: dict[str, str]) -> None:
    condition = ElementTree.SubElement(extension, "condition", {**moment, "break": "never"})
    _set(condition, f"{OPEN_VARIABLE}={state}")


def _set(condition: ElementTree.Element, data: str) -> None:
    ElementTree.SubElement(condition, "action", application="set", data=data, inline="true")

"""Whether each published flow's people can be reached now, for the live page: a supervisor sees why nobody is connected.

Owns which flows are named. The words are ``callflows.hours_text``'s, the rule ``callflows.definition.hours``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from callflows.definition.flow import Snapshot
from callflows.definition.hours import is_open
from callflows.hours_text import people_now
from ivr_fallback.last_resort import newest


@dataclass(frozen=True, slots=True)
class OpeningRow:
    flow: str
    state: str
    is_open: bool


def opening_rows(snapshot: Snapshot | None, now: datetime) -> tuple[OpeningRow, ...]:
    """Of the flows that have hours; those that are always open need no line."""
    flows = [] if snapshot is None else [flow for flow in newest(snapshot) if flow.hours is not None]
    return tuple(OpeningRow(flow.name, people_now(flow.hours, now), is_open(flow.hours, now)) for flow in flows)

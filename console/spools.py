"""How full the spools are, as the processes with a journal told it, and what a person is told of it.

Owns the reading and the words. What is not of the last seconds is not known: it is never shown as zero.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.template.defaultfilters import filesizeformat

from console import words
from console.models import JournalLine
from console.recorder import lag_s
from esl_bridge.journal.reports import WARN_SHARE, SpoolReport, reports

LOST = "events_lost"
# A recorder that is well confirms within a second or two.
LATE_S = 5.0


@dataclass(frozen=True, slots=True)
class SpoolRow:
    """Of one process. ``report`` is the last one, None when there never was one; it is of now only when ``is_known``."""

    process: str
    is_known: bool
    report: SpoolReport | None


def spools(bridges: Sequence[str] | None) -> list[SpoolRow] | None:
    """By process; ``bridges`` are those that live. None when Redis cannot be asked."""
    try:
        told = reports(settings.LIFELINE_REDIS_VOLATILE_URL, time.time())
    except (redis.RedisError, OSError):
        return None
    rows: dict[str, SpoolRow] = {}
    for report, is_fresh in told:  # By time: a later boot's word replaces an earlier one's, but for one that nobody renews.
        before = rows.get(report.process)
        if is_fresh or before is None or not before.is_known:
            rows[report.process] = SpoolRow(report.process, is_fresh, report)
    for bridge in bridges or ():
        rows.setdefault(bridge, SpoolRow(bridge, is_known=False, report=None))
    return [rows[process] for process in sorted(rows)]


def records_lag() -> timedelta | None:
    """How long ago everything that is known to have happened is in the database; None with the durable Redis away.

    An end may also wait in the spool of a process that lives: it tells. While it cannot, the stream alone is asked.
    """
    try:
        waits_s = lag_s(settings.LIFELINE_REDIS_DURABLE_URL)
    except (redis.RedisError, OSError):
        return None
    told = (row.report.oldest_s for row in spools(None) or () if row.is_known and row.report is not None)
    return timedelta(seconds=max(waits_s, *told, 0.0))


def events_lost(since: datetime) -> int:
    """Events that found no room, as the journal itself tells. Raises what the database raises."""
    told = JournalLine.objects.filter(call_uuid="", kind=LOST, at__gte=since).values_list("data", flat=True)
    return sum(int(data["count"]) for data in told)


def nothing_waits(rows: Sequence[SpoolRow] | None) -> bool:
    """Whether every spool is known to hold nothing that should have been recorded by now. Not known is no."""
    reports_now = [row.report if row.is_known else None for row in rows or ()]
    return rows is not None and all(one is not None and one.oldest_s <= LATE_S and not one.lost for one in reports_now)


def warnings(rows: Sequence[SpoolRow] | None, lost_today: int, now_s: float) -> list[str]:
    """Sentences for the live page; none while all is well."""
    if rows is None:
        said = [
            "The volatile Redis does not answer. From bridges that do not reach it either no caller comes to the AI: they get the "
            "keypad menu. How full the journal’s spools are is not known."
        ]
    else:
        said = [*_of_full_places(rows), *(_not_known(row, now_s) for row in rows if not row.is_known)]
        said += [_twice(row.process) for row in rows if row.is_known and row.report is not None and row.report.has_namesake]
    losing = sum(row.report.lost for row in rows or () if row.is_known and row.report is not None)
    if losing:
        said.append(
            f"The spool is full: {losing:,} events of calls found no room so far and are lost. Calls go on, but what is shown and "
            "counted of them will lack these events. Start what does not run, or give more room (LIFELINE_SPOOL_BYTES)."
        )
    if lost_today:
        said.append(f"{lost_today:,} events of today’s calls found no room and were lost: today’s figures lack them.")
    return said


def _twice(process: str) -> str:
    return (
        f"Two processes that run are both called {process}: here one stands for both, and when it ends its calls still count as "
        "watched. Give each host a LIFELINE_HOST_NAME of its own, and start it again."
    )


def _of_full_places(rows: Sequence[SpoolRow]) -> list[str]:
    """A sentence for each folder that is more than half full: its processes share the room."""
    by_place: dict[str, list[SpoolReport]] = defaultdict(list)
    for row in rows:
        if row.is_known and row.report is not None:
            by_place[row.report.place].append(row.report)
    said = []
    for place, found in sorted(by_place.items()):
        used, limit = max(one.bytes for one in found), min(one.limit_bytes for one in found)
        if used > WARN_SHARE * limit:
            waiting, oldest_s = sum(one.waiting for one in found), max(one.oldest_s for one in found)
            share = f"{100 * used // limit}% full ({filesizeformat(used)} of {filesizeformat(limit)})"
            said.append(
                f"The journal’s spool in {place} is {share}: {waiting:,} events wait there to be recorded, the oldest for "
                f"{words.long_duration(oldest_s)}. Callers are not affected. Look whether Redis, the recorder and the database "
                "run: when it is full, newer events are lost."
            )
    return said


def _not_known(row: SpoolRow, now_s: float) -> str:
    if row.report is None:
        return f"How full the spool of {row.process} is is not known: it has not told."
    ago = words.long_duration(max(0.0, now_s - row.report.at_s))
    return (
        f"What waits in the spool of {row.process} is not known: it last told {ago} ago, and had {row.report.waiting:,} events "
        f"({filesizeformat(row.report.bytes)}) then. They are recorded when it, or another bridge beside it, runs."
    )

"""How many calls were on the line at once, at each full minute, from the calls' own beginnings and ends.

Owns that count only. Exact at the minutes, whatever the calls' number: the database adds up by minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import TruncMinute

from console.models import Call

MINUTE = timedelta(minutes=1)


def at_each_minute(since: datetime, until: datetime) -> dict[datetime, int]:
    """From ``since``, which is a full minute. Three queries."""
    on_the_line = Call.objects.filter(Q(ended_at__isnull=True) | Q(ended_at__gte=since), started_at__lt=since).count()
    changes = _by_minute("started_at", since)
    for minute, ended in _by_minute("ended_at", since).items():
        changes[minute] = changes.get(minute, 0) - ended
    found = {}
    minute = since
    while minute <= until:
        found[minute] = on_the_line
        on_the_line += changes.get(minute, 0)
        minute += MINUTE
    return found


def most_in(minutes: dict[datetime, int], starts: Iterable[datetime], span_s: int) -> list[int]:
    """The most at any full minute of each span; 0 for one that lies ahead."""
    steps = range(span_s // 60)
    return [max(minutes.get(start + MINUTE * step, 0) for step in steps) for start in starts]


def _by_minute(moment: str, since: datetime) -> dict[datetime, int]:
    rows = (
        Call.objects.filter(**{f"{moment}__gte": since})
        .order_by()
        .annotate(minute=TruncMinute(moment, tzinfo=UTC))
        .values_list("minute")
        .annotate(count=Count("pk"))
    )
    return dict(rows)

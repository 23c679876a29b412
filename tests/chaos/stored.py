"""``python -m tests.chaos.stored [CALL_UUID…]``: the console's records of every call, and the journal's numbers, as one JSON
object; of the calls that are named every line that was told of them.

A process of its own, because Django's settings are those of the running stack. Owns no judgement.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import django

# What one process tells once of a call that it has: by the kind of event, what names the one that is told.
TOLD_ONCE = {
    "call_started": "", "call_ended": "", "fell_back": "", "turn_started": "turn", "turn_finished": "turn",
    "incident_opened": "incident_id", "incident_closed": "incident_id", "action_started": "key", "action_finished": "key",
}  # fmt: skip


def stored(in_full: Sequence[str] = ()) -> dict[str, Any]:
    from django.conf import settings
    from django.db.models import Count, Max

    from console.models import Call, Incident, JournalLine, Producer
    from console.projection import FOUND_GONE

    incidents = defaultdict(list)
    for one in Incident.objects.select_related("call").order_by("opened_at"):
        names = ("incident_id", "cause", "stage", "kind", "outcome", "proof", "by_call_end", "opened_epoch")
        what = {name: getattr(one, name) for name in names}
        incidents[one.call.call_uuid].append(what)
    owners = defaultdict(set)
    for call_uuid, data in JournalLine.objects.filter(kind="call_started").values_list("call_uuid", "data"):
        owners[call_uuid].add(data["bridge_id"])
    # Who comes to a call and finds it over has seen no end: two visits that overlap may both tell so.
    seen = JournalLine.objects.filter(kind="call_ended").exclude(data__ended_by=FOUND_GONE)
    ends = dict(seen.values_list("call_uuid").annotate(found=Count("pk")).order_by())
    names = ("call_uuid", "bridge_id", "mode", "step", "ended_by", "hangup_cause", "fell_back_reason", "epoch")
    calls = [
        {
            **{name: getattr(call, name) for name in names},
            "is_over": call.ended_at is not None,
            "ends": ends.get(call.call_uuid, 0),
            "incidents": incidents[call.call_uuid],
            "bridges": sorted(owners[call.call_uuid]),
        }
        for call in Call.objects.all()
    ]
    boots = JournalLine.objects.values("boot_id").annotate(lines=Count("pk"), last=Max("seq"))
    said_lost: Counter[str] = Counter()
    for boot_id, data in JournalLine.objects.filter(kind="events_lost").values_list("boot_id", "data"):
        said_lost[boot_id] += data["count"]
    marks = dict(Producer.objects.values_list("boot_id", "stored_seq"))
    return {
        "calls": calls,
        "boots": [{**one, "said_lost": said_lost[one["boot_id"]]} for one in boots.order_by("boot_id")],
        "told_twice": [{"what": what, "n": n} for what, n in _told().items() if n > 1],
        "lines": list(
            JournalLine.objects.filter(call_uuid__in=in_full).order_by("call_uuid", "epoch", "pk")
            .values("call_uuid", "boot_id", "epoch", "seq", "at", "kind", "data")
        ),
        "unsent": _unsent(Path(settings.LIFELINE_SPOOL_DIR), marks),
    }


def _told() -> Counter[tuple[str, ...]]:
    from console.models import JournalLine

    told: Counter[tuple[str, ...]] = Counter()
    lines = JournalLine.objects.filter(kind__in=TOLD_ONCE).values_list("boot_id", "call_uuid", "epoch", "kind", "data")
    for boot_id, call_uuid, epoch, kind, data in lines:
        told[boot_id, call_uuid, str(epoch), kind, str(data.get(TOLD_ONCE[kind], ""))] += 1
    return told


def _unsent(folder: Path, marks: dict[str, int]) -> dict[str, int]:
    """What lies in spools and is in no record, by boot."""
    from esl_bridge.journal.spool import Spool

    found = {}
    for boot in folder.iterdir() if folder.is_dir() else ():
        spool = Spool(boot, os.open(os.devnull, os.O_RDONLY))
        try:
            count = len(spool.read_after(marks.get(boot.name, 0), 1_000_000))
        finally:
            spool.close()
        if count:
            found[boot.name] = count
    return found


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    json.dump(stored(sys.argv[1:]), sys.stdout, default=str)

"""``python -m tests.chaos.stored``: the console's records of every call, and the journal's numbers, as one JSON object.

A process of its own, because Django's settings are those of the running stack. Owns no judgement.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import django


def stored() -> dict[str, Any]:
    from django.conf import settings
    from django.db.models import Count, Max

    from console.models import Call, Incident, JournalLine, Producer

    incidents = defaultdict(list)
    for one in Incident.objects.select_related("call").order_by("opened_at"):
        names = ("incident_id", "cause", "stage", "kind", "outcome", "proof", "by_call_end", "opened_epoch")
        what = {name: getattr(one, name) for name in names}
        incidents[one.call.call_uuid].append(what)
    ends = dict(JournalLine.objects.filter(kind="call_ended").values_list("call_uuid").annotate(found=Count("pk")).order_by())
    names = ("call_uuid", "bridge_id", "mode", "step", "ended_by", "hangup_cause", "fell_back_reason", "epoch")
    calls = [
        {
            **{name: getattr(call, name) for name in names},
            "is_over": call.ended_at is not None,
            "ends": ends.get(call.call_uuid, 0),
            "incidents": incidents[call.call_uuid],
        }
        for call in Call.objects.all()
    ]
    boots = JournalLine.objects.values("boot_id").annotate(lines=Count("pk"), numbers=Count("seq", distinct=True), last=Max("seq"))
    repeated = (
        JournalLine.objects.values("call_uuid", "epoch", "at", "kind", "data").annotate(n=Count("pk")).filter(n__gt=1).order_by()
    )
    marks = dict(Producer.objects.values_list("boot_id", "stored_seq"))
    return {
        "calls": calls,
        "boots": list(boots.order_by("boot_id")),
        "told_twice": [{**one, "at": one["at"].isoformat()} for one in repeated],
        "unsent": _unsent(Path(settings.LIFELINE_SPOOL_DIR), marks),
    }


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
    json.dump(stored(), sys.stdout)

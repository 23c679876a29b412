"""One day's journal, and everything that a database makes of it, as plain values: the same on every database."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from console import tallies
from console.figures import figures
from console.intake import store
from console.management.commands.figures import as_dict, speed_dict
from console.models import Call, Incident, JournalLine, Producer, StageTally, Turn
from console.speed import Window, speed
from esl_bridge.journal.events import Entry, FallbackReason, JournalEvent, Mode, Outcome, StepEntered
from tests.console.journal import Boot, closed, opened, started, whole_call
from tests.console.test_tallies import timing, told

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
CALLS = 120
ENDINGS: tuple[Any, ...] = (None, None, *Outcome, *FallbackReason)
ROWS = {
    Call: (), Turn: ("call__call_uuid",), Incident: ("call__call_uuid",), JournalLine: (), Producer: (), StageTally: (),
}  # fmt: skip
# Given by each database as it likes.
OWN = ("id", "call", "call_id")


def journal() -> list[list[Entry]]:
    """Calls of the last hours from two bridges, some taken over, some still on the line; one batch a call, some twice."""
    dice = random.Random(7)
    boots = [Boot(f"boot-{number}", int((NOW - timedelta(hours=3)).timestamp() * 1e6)) for number in range(2)]
    batches = []
    for number in range(CALLS):
        boot = dice.choice(boots)
        for one in boots:
            one.at_us += dice.randrange(150_000_000)
        name, ending = f"call-{number:03d}", dice.choice(ENDINGS)
        is_reason = isinstance(ending, FallbackReason)
        entries = whole_call(boot, name, None if is_reason else ending, reason=ending if is_reason else None)
        for turn in range(dice.randrange(3)):
            kind = dice.choice(["", "", "timeout"])
            stages = (timing(total_ms=dice.uniform(50, 3000), kind=kind), timing("nlu", "vendor", cost=dice.random()))
            entries.append(boot.entry(told(1100 + turn, *stages, answer_ms=dice.uniform(300, 4000)), name))
        if dice.random() < 0.2:
            other = boots[1 - boots.index(boot)]
            later: list[JournalEvent] = [
                started("bridge-2", resumed=True),
                opened(f"{name}-j"),
                StepEntered("menü " * 30, Mode.FALLBACK),
            ]
            later += [closed(dice.choice(list(Outcome)), f"{name}-j")]
            batches.append([other.entry(event, name, epoch=2) for event in later])
        if dice.random() < 0.1:
            entries = [entry for entry in entries if type(entry.event).__name__ != "CallEnded"]
        batches += [entries] * dice.choice((1, 1, 2))
    dice.shuffle(batches)
    return batches


def records() -> str:
    """Stores the day, and tells every row and every figure, as JSON."""
    for number, batch in enumerate(journal()):
        store(batch, f"{number + 1}-1")
        if number % 40 == 0:
            tallies.tally_turns()
    # Some turns stay outside the tallies: both readings must count them.
    shown = as_dict(figures(NOW))
    speeds = {window.value: speed_dict(speed(window, now=NOW)) for window in Window}
    while tallies.tally_turns():
        pass
    assert speeds == {window.value: speed_dict(speed(window, now=NOW)) for window in Window}
    rows = {model.__name__: _rows(model, *more) for model, more in ROWS.items()}
    return json.dumps({"figures": shown, "speed": speeds, "rows": rows}, cls=DjangoJSONEncoder, sort_keys=True, indent=1)


def _rows(model: Any, *more: str) -> list[str]:
    names = [field.attname for field in model._meta.concrete_fields if field.attname not in OWN]
    found = model.objects.order_by().values(*names, *more)
    return sorted(
        json.dumps({name: _plain(value) for name, value in row.items()}, cls=DjangoJSONEncoder, sort_keys=True) for row in found
    )


def _plain(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value

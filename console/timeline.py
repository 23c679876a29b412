"""In which order a call's journal lines happened, as far as anybody can say. Pure.

Epochs come one after the other: a call's next owner begins where the last one ended. Within one several processes tell, each
with numbers of its own: the owner, and the switch watch, which journals under the last owner's epoch. What a process told
stays in its own order, by number; between processes the time decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.models import JournalLine


def in_order(lines: Iterable[JournalLine]) -> list[JournalLine]:
    """A clock that was set back contradicts its process's own order: what came before the step counts as no later than what
    came after, since a clock is set in order to be right. Two of the same moment: by process, the same at each look."""
    tellers: dict[tuple[int, str], list[JournalLine]] = defaultdict(list)
    for line in lines:
        tellers[line.epoch, line.boot_id].append(line)
    placed: list[tuple[int, datetime, str, int, JournalLine]] = []
    for (epoch, boot_id), told in tellers.items():
        told.sort(key=lambda line: line.seq)
        latest = told[-1].at
        for line in reversed(told):
            latest = min(latest, line.at)
            placed.append((epoch, latest, boot_id, line.seq, line))
    return [line for *_, line in sorted(placed, key=lambda one: one[:4])]

"""What became of the calls, by the console's figures and its records."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

from tests.stack import Stack


def until(stack: Stack, condition: Callable[[dict[str, Any]], bool], what: str, limit_s: float = 45.0) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def holds() -> bool:
        found.clear()
        found.update(stack.figures())
        return condition(found)

    stack.until(holds, what, limit_s)
    return found


def turns_begun(stack: Stack) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{stack.data_dir / 'lifeline.sqlite3'}?mode=ro", uri=True)) as records:
        return int(records.execute("select count(*) from console_turn").fetchone()[0])


def turns_of_newest_call(stack: Stack) -> list[tuple[str, str]]:
    """What became of each that has ended, and the intent that was understood."""
    with contextlib.closing(sqlite3.connect(f"file:{stack.data_dir / 'lifeline.sqlite3'}?mode=ro", uri=True)) as records:
        return records.execute(
            "select outcome, intent from console_turn where outcome != '' "
            "and call_id = (select max(id) from console_call) order by turn"
        ).fetchall()


def newest_call(stack: Stack, *, live: bool = False) -> dict[str, Any]:
    """Its row; ``live`` waits for one that has not ended."""

    def found() -> dict[str, Any] | None:
        with contextlib.closing(sqlite3.connect(f"file:{stack.data_dir / 'lifeline.sqlite3'}?mode=ro", uri=True)) as records:
            records.row_factory = sqlite3.Row
            row = records.execute("select * from console_call order by id desc limit 1").fetchone()
        return dict(row) if row is not None and (row["ended_at"] is None or not live) else None

    return stack.until(found, "a call is recorded") or {}


def over(stack: Stack) -> dict[str, Any]:
    return until(stack, lambda figures: figures["live_calls"] == 0 and figures["ai_failures_open"] == 0, "the call is over")


def people_joined(stack: Stack) -> int:
    """How often the journal says that a caller was put through to somebody, once all of it is recorded."""
    until(stack, lambda figures: figures["live_calls"] == 0, "no call is on the line")
    with contextlib.closing(sqlite3.connect(f"file:{stack.data_dir / 'lifeline.sqlite3'}?mode=ro", uri=True)) as records:
        return int(records.execute("select count(*) from console_journalline where kind = 'agent_joined'").fetchone()[0])

"""The table of docs/ai-engines.md: each adapter and each way to fail, what became of the call, how long nothing was heard."""

from __future__ import annotations

from pathlib import Path

from ai_engine.messages import StageTiming
from tests.engine_failures.world import Came

_BEGIN, _END = "<!-- failures: made by a test run -->", "<!-- failures: end -->"


class Table:
    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[str, Came]] = {}

    def note(self, adapter: str, fault: str, others: str, came: Came) -> None:
        self._rows.setdefault((adapter, fault), {})[others] = came

    def write(self, path: Path) -> None:
        lines = [
            "| adapter | failure | with a second engine | nothing heard | without one | nothing heard |",
            "|---|---|---|---|---|---|",
        ]
        for (adapter, fault), cells in self._rows.items():
            row = [adapter, fault]
            for others in ("second", "alone"):
                came = cells.get(others)
                row += ["not run", ""] if came is None else [words(came), f"{came.silence_s:.1f} s"]
            lines.append(f"| {' | '.join(row)} |")
        before, _, rest = path.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2] if _END in rest else rest
        path.write_text(f"{before}{_BEGIN}\n" + "\n".join(lines) + f"\n{_END}{after}")


def words(came: Came) -> str:
    """What happened, from the journal; whether the caller was lost, from the caller."""
    failed = [stage for stage in came.stages if stage.kind]
    tried = ", ".join(dict.fromkeys(_tried(stage) for stage in failed)) or "nothing failed"
    if came.record.outcome.value != "finished":
        return f"**{came.record.outcome.value}**: {tried}"
    return f"{tried}; {'keypad menu' if came.record.in_fallback else 'served by AI'}"


def _tried(stage: StageTiming) -> str:
    times = "once" if stage.attempts == 1 else f"{stage.attempts} times"
    return f"{stage.kind} ({times})"

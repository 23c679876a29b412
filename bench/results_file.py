"""The form of every file under ``bench/results``: the command, the day, the machine and the figures with their aims."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """``aim`` says in words what was wanted: ``at least 12``, ``under 20``, ``none``."""

    value: float | int | str
    unit: str
    aim: str = "none"

    @property
    def reached(self) -> bool | None:
        """None when there is no aim, or no number to hold against it."""
        words, _, bound = self.aim.rpartition(" ")
        if words not in ("at least", "at most", "under") or isinstance(self.value, str):
            return None
        limit = float(bound)
        return self.value >= limit if words == "at least" else self.value <= limit if words == "at most" else self.value < limit


def machine(packages: str) -> str:
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {packages}; load at the start {load}"


def write_results(path: Path, command: str, on_machine: str, figures: Mapping[str, Figure]) -> None:
    result = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": on_machine,
        "figures": {name: {"value": one.value, "unit": one.unit, "aim": one.aim} for name, one in figures.items()},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

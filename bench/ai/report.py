"""The AI side's results where people read them: a table between two marks of ``docs/performance.md``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.results_file import Figure

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- written by make bench-ai -->", "<!-- end of what make bench-ai writes -->"
NOT_SHOWN = frozenset({"time_taken_s"})


def write(figures: Mapping[str, Figure], on_machine: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    PAGE.write_text(before + "\n".join([BEGIN, *table(figures, on_machine), ""]) + after, encoding="utf-8")


def table(figures: Mapping[str, Figure], on_machine: str) -> list[str]:
    lines = [f"Measured on {on_machine}.", "", "| figure | value | aim | |", "|---|---|---|---|"]
    for name, figure in figures.items():
        if name not in NOT_SHOWN:
            mark = {True: "reached", False: "**missed**", None: ""}[figure.reached]
            aim = "" if figure.aim == "none" else figure.aim
            lines.append(f"| `{name}` | {figure.value} {figure.unit} | {aim} | {mark} |")
    return lines

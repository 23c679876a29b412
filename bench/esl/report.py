"""The results where people read them: a table between two marks of ``docs/performance.md``, and the growth as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.esl.load import Level
from bench.results_file import Figure

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
PICTURE = DOCS / "esl-growth.svg"
BEGIN, END = "<!-- written by make bench-esl -->", "<!-- end of what make bench-esl writes -->"
PANEL_W, PANEL_H, LEFT, TOP, GAP = 250, 130, 52, 30, 26
PANELS: tuple[tuple[str, Callable[[Level], float]], ...] = (
    ("event to command, P99, ms", lambda level: level.to_command_p99_ms),
    ("event loop lag, P99, ms", lambda level: level.lag_p99_ms),
    ("memory, KB a call", lambda level: level.kb_per_call),
    ("CPU, cores for 1,000 calls", lambda level: level.cpu_per_1000),
)


def write(figures: Mapping[str, Figure], levels: Sequence[Level], on_machine: str) -> None:
    PICTURE.write_text(growth_picture(levels), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(BEGIN)], page[page.index(END) :]
    PAGE.write_text(before + "\n".join([BEGIN, *tables(figures, levels, on_machine), ""]) + after, encoding="utf-8")


def tables(figures: Mapping[str, Figure], levels: Sequence[Level], on_machine: str) -> list[str]:
    lines = [f"Measured on {on_machine}.", "", "| figure | value | aim | |", "|---|---|---|---|"]
    for name, figure in figures.items():
        if figure.aim != "none":
            mark = {True: "reached", False: "**missed**", None: ""}[figure.reached]
            lines.append(f"| `{name}` | {figure.value} {figure.unit} | {figure.aim} | {mark} |")
    lines += ["", "| events per second of CPU | |", "|---|---|"]
    for name, figure in figures.items():
        if name.startswith("events_per_s_"):
            lines.append(f"| {name.removeprefix('events_per_s_').replace('_', '-')} | {figure.value:,} |")
    head = "| calls | event to command P50 | P99 | loop lag P99 | KB a call | CPU | CPU per 1,000 calls | idle CPU | others |"
    lines += ["", head, "|---" * 9 + "|"]
    for level in levels:
        lines.append(
            f"| {level.calls:,} | {level.to_command_p50_ms:.2f} ms | {level.to_command_p99_ms:.2f} ms | {level.lag_p99_ms:.2f} ms "
            f"| {level.kb_per_call:.1f} | {level.active_cpu:.2f} | {level.cpu_per_1000:.3f} "
            f"| {level.idle_cpu:.2f} | {level.foreign_cpu:.2f} |"
        )
    return lines


def growth_picture(levels: Sequence[Level]) -> str:
    """Four small charts side by side, calls on a logarithmic scale, each from zero up."""
    width = len(PANELS) // 2 * (PANEL_W + LEFT + GAP)
    height = 2 * (PANEL_H + TOP + GAP)
    drawn = [
        _panel(title, [(level.calls, of(level)) for level in levels], index % 2 * (PANEL_W + LEFT + GAP) + LEFT,
               index // 2 * (PANEL_H + TOP + GAP) + TOP)
        for index, (title, of) in enumerate(PANELS)
    ]  # fmt: skip
    style = (
        "text{font:12px sans-serif;fill:#57606a}.t{font-weight:600}.a{stroke:#8c959f;stroke-width:1}"
        ".l{fill:none;stroke:#0969da;stroke-width:2}circle{fill:#0969da}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="One bridge from 100 to 10,000 calls">\n<style>{style}</style>\n' + "\n".join(drawn) + "\n</svg>\n"
    )


def _panel(title: str, points: Sequence[tuple[int, float]], x: float, y: float) -> str:
    top = _round_up(max((value for _, value in points), default=1.0))
    first, last = (math.log10(points[at][0]) for at in (0, -1)) if points else (0.0, 1.0)
    span = max(last - first, 0.1)
    placed = [
        (x + (math.log10(calls) - first) / span * PANEL_W, y + PANEL_H - value / top * PANEL_H, calls, value)
        for calls, value in points
    ]
    line = " ".join(f"{px:.1f},{py:.1f}" for px, py, _, _ in placed)
    marks = [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{calls:,} calls: {value:.2f}</title></circle>'
             for px, py, calls, value in placed]  # fmt: skip
    names = [f'<text x="{px:.1f}" y="{y + PANEL_H + 16}" text-anchor="middle">{calls:,}</text>' for px, _, calls, _ in placed]
    return "\n".join(
        [
            f'<text class="t" x="{x}" y="{y - 10}">{title}</text>',
            f'<path class="a" fill="none" d="M{x} {y}V{y + PANEL_H}H{x + PANEL_W}"/>',
            f'<text x="{x - 6}" y="{y + 5}" text-anchor="end">{top:g}</text>',
            f'<text x="{x - 6}" y="{y + PANEL_H}" text-anchor="end">0</text>',
            f'<polyline class="l" points="{line}"/>',
            *marks,
            *names,
        ]
    )


def _round_up(value: float) -> float:
    """To the next 1, 2 or 5 of its power of ten."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)

"""How a run of calls looks on a terminal: one line while it runs, a table at the end. Pure."""

from __future__ import annotations

from typing import Any, Final

from simulator.records import Totals

_COLUMNS: Final = ("calls", "finished", "disconnected", "gave_up", "understood", "in_fallback")
_HEADS: Final = ("scenario", "calls", "finished", "disconnected", "gave up", "understood", "in fallback")


def progress_line(totals: Totals, *, started: int, live: int, limit: int | None, elapsed_s: float) -> str:
    figures: dict[str, Any] = totals.as_dict()
    done = figures["calls"]
    of = f"/{limit}" if limit is not None else ""
    bar = ""
    if limit:
        filled = round(20 * done / limit)
        bar = "[" + "#" * filled + "-" * (20 - filled) + "] "
    return (
        f"{bar}{done}{of} calls, {live} live, {started} placed, {figures['finished']} finished, "
        f"{figures['disconnected']} disconnected, {figures['in_fallback']} in fallback, {elapsed_s:.0f} s"
    )


def table(totals: Totals) -> str:
    """Outcomes as the callers saw them, one row a scenario and one for all, with the silences below."""
    figures: dict[str, Any] = totals.as_dict()
    rows = [[name, *(str(counts[column]) for column in _COLUMNS)] for name, counts in figures["by_scenario"].items()]
    rows.append(["all", *(str(figures[column]) for column in _COLUMNS)])
    widths = [max(len(row[index]) for row in [list(_HEADS), *rows]) for index in range(len(_HEADS))]

    def line(cells: list[str]) -> str:
        first, *rest = cells
        padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *padded])

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    silence = figures["silence_ms"]
    silences = f"P50 {silence['p50']} ms, P99 {silence['p99']} ms, max {silence['max']} ms"
    return "\n".join(
        [
            line(list(_HEADS)), rule, *(line(row) for row in rows[:-1]), rule, line(rows[-1]), "",
            f"longest silence of a call: {silences}", *_barge_ins(figures["barge_in_ms"]),
        ]
    )  # fmt: skip


def _barge_ins(figures: dict[str, dict[str, int]]) -> list[str]:
    """One line for each way of interrupting that somebody used."""
    return [
        f"prompts interrupted by {by}: {found['count']}, stopped after P50 {found['p50']} ms, P95 {found['p95']} ms, "
        f"max {found['max']} ms; {found['unheard']} played on"
        for by, found in figures.items()
        if found["count"]
    ]

"""``make bench-ai``: every figure of the AI side in one run, into ``bench/results/ai.json`` and the docs."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from bench.ai import answers, guard_cost, hop, report, throughput
from bench.results_file import FOLDER, Figure, machine, write_results

COMMAND = "make bench-ai"
RESULT = FOLDER / "ai.json"
PARTS: dict[str, Callable[[], Awaitable[dict[str, Figure]]]] = {
    "guard": guard_cost.figures,
    "hop": hop.figures,
    "throughput": throughput.figures,
    "answers": answers.figures,
}


async def measured(names: list[str]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name in names:
        say(f"{name} …")
        fresh = await PARTS[name]()
        for key, figure in fresh.items():
            mark = {True: f"({figure.aim}: reached)", False: f"({figure.aim}: MISSED)", None: ""}[figure.reached]
            say(f"  {key:36} {figure.value:>10} {figure.unit}  {mark}")
        found |= fresh
    return found


def main() -> None:
    """With names of parts only those are measured and nothing is written."""
    began = time.monotonic()
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("uvloop", "redis", "pocketsphinx"))
    on_machine = machine(packages)
    figures = uvloop.run(measured(sys.argv[1:] or list(PARTS)))
    if sys.argv[1:]:
        return
    figures["time_taken_s"] = Figure(round(time.monotonic() - began), "s")
    figures["load_at_the_end"] = Figure(round(os.getloadavg()[0], 2), "mean of the last minute, the bench's own included")
    write_results(RESULT, COMMAND, on_machine, figures)
    report.write(figures, on_machine)
    missed = [name for name, figure in figures.items() if figure.reached is False]
    say(f"written to {RESULT}" + (f"; aims missed: {', '.join(missed)}" if missed else "; every aim is reached"))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""``make bench-esl``: every figure of the Event Socket layer in one run, into ``bench/results/esl.json`` and the docs."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator

from bench.esl import load, reading, report, wire_bytes
from bench.results_file import FOLDER, Figure, machine, write_results

COMMAND = "make bench-esl"
RESULT = FOLDER / "esl.json"
NAMED_CALLS = 3_000
IDLE_CALLS = 10_000


def main() -> None:
    began = time.monotonic()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("bench-esl needs two cores: one for what is measured, one for the load")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("uvloop", "python-esl") if installed(name))
    on_machine = machine(packages)
    figures: dict[str, Figure] = {}
    levels: list[load.Level] = []
    pair = (cores[0], cores[1])
    for what, part in parts(pair, levels):
        say(f"{what} …")
        fresh = part()
        for name, figure in fresh.items():
            say(f"  {name:38} {figure.value:>10} {figure.unit}  {verdict(figure)}")
        figures |= fresh
    figures["time_taken_s"] = Figure(round(time.monotonic() - began), "s")
    figures["load_at_the_end"] = Figure(round(os.getloadavg()[0], 2), "mean of the last minute, the bench's own included")
    write_results(RESULT, COMMAND, on_machine, figures)
    report.write(figures, levels, on_machine)
    missed = [name for name, figure in figures.items() if figure.reached is False]
    say(f"written to {RESULT}" + (f"; aims missed: {', '.join(missed)}" if missed else "; every aim is reached"))


def parts(cores: tuple[int, int], levels: list[load.Level]) -> Iterator[tuple[str, Callable[[], dict[str, Figure]]]]:
    def growing() -> dict[str, Figure]:
        levels.extend(load.growth(cores))
        return load_figures(levels)

    yield "reading events, side by side", lambda: reading.figures(cores)
    yield "bytes of one call", lambda: wire_bytes.figures(cores)
    yield "one bridge, 100 to 10,000 calls", growing
    yield "set-ups a second", lambda: setup_figures(load.setups_per_s(cores))


def load_figures(levels: list[load.Level]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for level in levels:
        values = {
            "event_to_command_p50_ms": Figure(round(level.to_command_p50_ms, 2), "ms"),
            "event_to_command_p99_ms": Figure(round(level.to_command_p99_ms, 2), "ms", "under 20"),
            "loop_lag_p99_ms": Figure(round(level.lag_p99_ms, 2), "ms"),
            "kb_per_call": Figure(round(level.kb_per_call, 1), "KB", "under 30"),
            "cpu_per_1000_calls": Figure(round(level.cpu_per_1000, 3), "cores"),
            "foreign_cpu_on_the_bridges_core": Figure(round(level.foreign_cpu, 2), "cores, other programs and interrupts"),
            "load_generator_cpu": Figure(round(level.load_cpu, 2), "cores, not the bridge's"),
            "load_generator_lag_p99_ms": Figure(round(level.load_lag_p99_ms, 2), "ms, inside event_to_command"),
        }
        if level.calls == NAMED_CALLS:
            found |= values
        if level.calls == IDLE_CALLS:
            found["idle_10000_cpu"] = Figure(round(level.idle_cpu, 2), "cores")
        found |= {f"{name}_at_{level.calls}": Figure(one.value, one.unit) for name, one in values.items()}
    found["calls_lost"] = Figure(sum(level.lost for level in levels), "calls", "at most 0")
    return found


def setup_figures(p99_ms: dict[float, float]) -> dict[str, Figure]:
    held = [rate for rate, value in p99_ms.items() if value < load.SETUP_LIMIT_MS]
    found = {"setups_per_s": Figure(max(held, default=0.0), "a second, P99 to the first prompt under 100 ms", "at least 300")}
    for rate, value in p99_ms.items():
        found[f"setup_p99_ms_at_{rate:.0f}_per_s"] = Figure(value if value < 1e9 else "not all were greeted", "ms")
    return found


def verdict(figure: Figure) -> str:
    if figure.reached is None:
        return "" if figure.aim == "none" else f"(aim: {figure.aim})"
    return f"({figure.aim}: {'reached' if figure.reached else 'MISSED'})"


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

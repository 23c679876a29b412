"""Events a second of CPU, side by side: ours and other people's libraries, each in its own process, fed by one sender.

Owns the processes and the ratios. The readers are in ``readers/``; each prints the CPU seconds that it used.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.esl import packages
from bench.esl.recorded import READ_VARIABLE
from bench.results_file import Figure

ROOT = Path(__file__).parents[2]
READERS = Path(__file__).parent / "readers"
LIMIT_S = 60.0
# A quarter of a second of CPU and more of each; every one is measured as often, in turns, and the median counts.
TURNS = 5
BURSTS = (1_000, 100_000)


@dataclass(frozen=True, slots=True)
class Library:
    name: str
    command: tuple[str, ...]
    how: str
    events: int
    environment: dict[str, str] = field(default_factory=dict)


def libraries_here() -> list[Library]:
    """What this environment has: ours, and python-ESL where it could be built."""
    ours = (sys.executable, "-m", "bench.esl.readers.ours")
    python_esl = (sys.executable, str(READERS / "python_esl.py"))
    found = [Library("lazy", ours, "lazy", 40_000), Library("full", ours, "full", 8_000)]
    if subprocess.run([sys.executable, "-c", "import ESL"], capture_output=True, check=False).returncode == 0:
        found += [Library("python_esl", python_esl, "lazy", 5_000), Library("python_esl_full", python_esl, "full", 2_000)]
    return found


def libraries() -> list[Library]:
    """Ours first. What cannot be installed here is left out, and the figures say so."""
    found = libraries_here()
    python = packages.bench_python()
    if python is not None:
        found.append(Library("greenswitch", (str(python), str(READERS / "greenswitch_reader.py")), "lazy", 4_000))
        found.append(Library("genesis", (str(python), str(READERS / "genesis_reader.py")), "lazy", 2_000))
    modules = packages.modesl_folder()
    if modules is not None:
        node = ("node", str(READERS / "modesl_reader.js"))
        found.append(Library("modesl", node, "lazy", 4_000, {"NODE_PATH": str(modules)}))
    return found


@contextlib.contextmanager
def sender(core: int) -> Iterator[int]:
    """The sender's port, while it runs."""
    command = [sys.executable, "-m", "bench.esl.sender", str(core)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def cpu_seconds(library: Library, port: int, events: int, core: int) -> float:
    done = subprocess.run(
        [*library.command, str(port), str(events), library.how, READ_VARIABLE],
        capture_output=True, text=True, timeout=LIMIT_S, check=True, cwd=ROOT,
        env={**os.environ, **library.environment, "PYTHONPATH": str(ROOT)}, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def events_per_cpu_second(cores: tuple[int, int], turns: int = TURNS, share: float = 1.0) -> dict[str, float]:
    """The median of ``turns`` for each library; ``share`` makes it shorter."""
    rates: dict[str, list[float]] = {}
    with sender(cores[0]) as port:
        found = libraries()
        for _ in range(turns):
            for library in found:
                events = max(1, int(library.events * share))
                rates.setdefault(library.name, []).append(events / cpu_seconds(library, port, events, cores[1]))
    return {name: statistics.median(values) for name, values in rates.items()}


def burst_growth(cores: tuple[int, int], sizes: tuple[int, int] = BURSTS) -> float:
    """CPU time for one event in the large burst against that in the small one."""
    ours = libraries_here()[0]
    with sender(cores[0]) as port:
        small = statistics.median(cpu_seconds(ours, port, sizes[0], cores[1]) / sizes[0] for _ in range(5))
        large = statistics.median(cpu_seconds(ours, port, sizes[1], cores[1]) / sizes[1] for _ in range(3))
    return large / small


AIMS = (
    ("lazy_vs_python_esl", "lazy", "python_esl", 12),
    ("lazy_vs_greenswitch", "lazy", "greenswitch", 20),
    ("lazy_vs_modesl", "lazy", "modesl", 20),
    ("lazy_vs_genesis", "lazy", "genesis", 50),
    ("full_vs_python_esl", "full", "python_esl_full", 2),
)


def figures(cores: tuple[int, int]) -> dict[str, Figure]:
    rates = events_per_cpu_second(cores)
    found = {f"events_per_s_{name}": Figure(round(rate), "events per second of CPU") for name, rate in rates.items()}
    for name, ours, theirs, aim in AIMS:
        if theirs in rates:
            found[name] = Figure(round(rates[ours] / rates[theirs], 1), "times", f"at least {aim}")
        else:
            found[name] = Figure(f"skipped: {theirs} cannot be installed here", "times", f"at least {aim}")
    if "python_esl" in rates:
        # python-ESL decodes every header in C before it hands an event over, whether or not somebody reads them.
        value = round(rates["full"] / rates["python_esl"], 1)
        found["full_vs_python_esl_reading_three"] = Figure(value, "times")
    found["burst_growth"] = Figure(round(burst_growth(cores), 2), "times", "at most 1.5")
    return found

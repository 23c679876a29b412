"""``python -m tests.chaos``: the chaos run of ``make chaos``. Repeat one with its seed: ``--seed 7``.

Owns the command line. Prints what it does as it does it, and ends with 1 when an aim was missed.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.chaos import report
from tests.chaos.faults import all_faults
from tests.chaos.run import Ran, run
from tests.chaos.schedule import plan
from tests.chaos.world import Load, World

UNITS_S = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """``90``, ``90s``, ``5m`` or ``1h``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    return float(number) * UNITS_S[unit]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break everything while calls are going on.")
    parser.add_argument("--duration", type=seconds, default=300.0, help="how long calls begin: 300, 5m (default) or 1h")
    parser.add_argument("--speaking", type=int, default=30, help="callers who speak, at the same time")
    parser.add_argument("--keyed", type=int, default=970, help="callers with keys only, at the same time")
    parser.add_argument("--bridges", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None, help="of faults and callers; without it a new one, which is printed")
    parser.add_argument("--only", default="", help="only faults whose names have one of these words in them, with commas between")
    parser.add_argument("--calm", action="store_true", help="no faults: what this machine bears")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md and bench/results/chaos.json")
    parser.add_argument("--keep", default="", help="copy records, logs and findings into this folder")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    machine = report.on_this_machine()
    words = [word.strip() for word in given.only.split(",") if word.strip()]
    say(f"seed {seed}: {given.speaking} speaking and {given.keyed} keyed callers, {given.duration:g} s, {given.bridges} bridges")
    with World(bridges=given.bridges) as world:
        if world.clock is None:
            say("no C compiler: the wall clock is not stepped")
        faults = all_faults(world)
        kinds = [fault.kind for name, fault in faults.items() if not words or any(word in name for word in words)]
        planned = [] if given.calm else plan(seed, given.duration, kinds)
        load = Load(given.speaking, given.keyed)
        ran: Ran | None = None
        try:
            ran = run(world, faults, planned, load, given.duration, seed, say)
        finally:
            if given.keep:
                world.keep(given.keep, () if ran is None else ran.findings.in_question())
                for one in () if ran is None else ran.happened:
                    say(f"{one.name}: from {one.began_s:.3f}, done {one.done_s:.3f}, over {one.over_s:.3f}")
    for line in report.lines(ran.findings, ran.happened):
        say(line)
    names = [kind.name for kind in kinds]
    missed = sorted(set(names) - {one.name for one in ran.happened})
    say(f"not injected this time, {len(missed)} of {len(names)} kinds: {', '.join(missed)}")
    for line in report.machine_limits(ran.used, ran.late_ms):
        say(line)
    if given.write:
        calls = f"--speaking {given.speaking} --keyed {given.keyed}"
        options = f"--duration {given.duration:g} {calls} --bridges {given.bridges} --seed {seed}"
        load_words = f"{given.speaking} speaking callers and {given.keyed} with keys only at once, {given.bridges} bridges"
        command = f"python -m tests.chaos {options}"
        report.write(ran.findings, ran.happened, command, machine, load_words, names, ran.used, ran.late_ms)
    return 0 if report.passed(ran.findings, ran.happened) else 1


if __name__ == "__main__":
    sys.exit(main())

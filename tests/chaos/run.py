"""One run: callers, faults at their times, the way back, and what was found. Owns the order of things."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos import agreement
from tests.chaos.compare import Findings, Happened, compare
from tests.chaos.cpu import CpuMeter, Used
from tests.chaos.faults import Fault
from tests.chaos.schedule import Planned
from tests.chaos.world import Load, World

# The first callers render their voices before they call.
FIRST_CALLS_S = 60.0
EVERYTHING = ("engine", "recorder", "console", "gateway", "worker-1", "worker-2", "celery", "switch-watch")


@dataclass(frozen=True, slots=True)
class Ran:
    findings: Findings
    happened: list[Happened]
    used: Used
    late_ms: dict[str, int]


Say = Callable[[str], None]


def run(
    world: World, faults: dict[str, Fault], planned: Sequence[Planned], load: Load, duration_s: float, seed: int, say: Say
) -> Ran:  # fmt: skip
    """Raises AssertionError when the product or a switch cannot be run at all."""
    world.call(load, duration_s, seed)
    world.stack.until(lambda: world.stack.figures()["live_calls"] > 0, "the first call", FIRST_CALLS_S)
    over_s = time.monotonic() + duration_s
    with CpuMeter(world.process_ids) as meter:
        happened = inject(world, faults, planned, say)
        time.sleep(max(0.0, over_s - time.monotonic()))
        used = meter.used()
    say("everything is mended; waiting for the last calls")
    world.wait_for_the_last_call()
    figures = world.settled_figures()
    if figures["live_calls"] or figures["ai_failures_open"]:
        say(f"not settled: {figures['live_calls']} live calls, {figures['ai_failures_open']} open incidents")
    stored = world.stored()
    late_ms = world.late_ms()
    findings = compare(world.records(), stored, happened, late_ms.get("max", 0) / 1000)
    findings.ways = agreement.readings(world.stack)
    return Ran(findings, happened, used, late_ms)


def inject(world: World, faults: dict[str, Fault], planned: Sequence[Planned], say: Callable[[str], None]) -> list[Happened]:
    """Begin and end each at its time; whatever goes wrong here, everything is up afterwards."""
    began_s = time.monotonic()
    moments: list[tuple[float, int, Planned, tuple[float, float] | None]] = [
        (one.at_s, number, one, None) for number, one in enumerate(planned)
    ]  # fmt: skip
    heapq.heapify(moments)
    happened: list[Happened] = []
    ongoing: dict[int, Planned] = {}
    try:
        while moments:
            at_s, number, one, begun = heapq.heappop(moments)
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            now_s, fault = time.monotonic(), faults[one.fault]
            if begun is None:
                say(f"{now_s - began_s:6.1f} s  {one.fault}, for {one.lasts_s:.1f} s")
                ongoing[number] = one
                fault.begin(world)
                heapq.heappush(moments, (now_s - began_s + one.lasts_s, number, one, (now_s, time.monotonic())))
            else:
                fault.end(world)
                del ongoing[number]
                ordered_s, done_s = begun
                happened.append(Happened(one.fault, fault.notice, ordered_s, time.monotonic(), done_s))
    finally:
        for one in ongoing.values():
            faults[one.fault].end(world)
        world.heal([*world.bridges, *EVERYTHING])
    return happened

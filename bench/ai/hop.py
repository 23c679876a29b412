"""What the queue costs: bridge → worker → bridge with turns that no engine sees, 200 a second, every process real."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import time

import redis.asyncio

from ai_engine.messages import BridgeMessage, TurnDone
from ai_engine.redis_clients import connect_async
from ai_engine.worker import PROBE
from bench.ai.processes import Stage, bridge, cpu_s, stage, turn
from bench.esl.percentile import percentile
from bench.results_file import Figure
from esl_bridge.turn_link import TurnLink

PER_SECOND = 200
WORKERS = 2
# The median of some windows' percentiles: one foreign burst on the machine spoils one window.
WINDOWS, WINDOW_S = 8, 3.0
WARM_S = 2.0
LAST_S = 5.0


class Hops:
    def __init__(self) -> None:
        self._left_at: dict[str, float] = {}
        self.taken_s: list[float] = []
        self.twice = 0
        self._empty = asyncio.Event()

    def leaves(self, call_uuid: str) -> None:
        self._empty.clear()
        self._left_at[call_uuid] = time.perf_counter()

    def hear(self, message: BridgeMessage) -> None:
        if not isinstance(message, TurnDone):
            return
        left_at = self._left_at.pop(message.call_uuid, None)
        if left_at is None:
            self.twice += 1  # Its worker stood still for a second, and another one took it over.
        else:
            self.taken_s.append(time.perf_counter() - left_at)
            if not self._left_at:
                self._empty.set()

    async def all_back(self) -> int:
        """How many never came."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self._empty.wait()
        return len(self._left_at)


async def figures() -> dict[str, Figure]:
    with stage() as made:
        workers = [made.start_worker(f"worker-{number}", turns=64) for number in range(WORKERS)]
        client = connect_async(made.volatile_url)
        try:
            await made.workers_ready(client, WORKERS)
            return await _measured(made, client, workers)
        finally:
            await client.aclose()


async def _measured(made: Stage, client: redis.asyncio.Redis, workers: list[subprocess.Popen[bytes]]) -> dict[str, Figure]:
    hops = Hops()
    p50, p99, ping_p99, late_p99, lost = [], [], [], [], 0
    async with bridge(made, hops.hear) as link:
        await _window(link, hops, client, WARM_S, "warm")
        await hops.all_back()
        used_s, turns = cpu_s(*workers), 0
        for number in range(WINDOWS):
            hops.taken_s.clear()
            pings_s, late_s = await _window(link, hops, client, WINDOW_S, str(number))
            lost += await hops.all_back()
            turns += len(hops.taken_s)
            p50.append(percentile(hops.taken_s, 50) * 1000)
            p99.append(percentile(hops.taken_s, 99) * 1000)
            ping_p99.append(percentile(pings_s, 99) * 1000)
            late_p99.append(percentile(late_s, 99) * 1000)
        used_s = cpu_s(*workers) - used_s
    return {
        "queue_hop_p50_ms": Figure(round(statistics.median(p50), 2), "ms, bridge to worker to bridge, 200 turns a second"),
        "queue_hop_p99_ms": Figure(round(statistics.median(p99), 2), "ms, median of the windows", "under 10"),
        "queue_hop_p99_calmest_window_ms": Figure(round(min(p99), 2), "ms, the window with the least of other programs in it"),
        "queue_hop_p99_worst_window_ms": Figure(round(max(p99), 2), "ms"),
        "queue_hop_cpu_ms": Figure(round(used_s / max(1, turns) * 1000, 2), "ms of the workers' CPU a turn, whatever else runs"),
        "queue_hop_lost": Figure(lost, "turns", "at most 0"),
        "queue_hop_answered_twice": Figure(hops.twice, "turns, taken over from a worker that stood still for a second"),
        "redis_ping_p99_ms": Figure(round(statistics.median(ping_p99), 2), "ms, one round trip meanwhile: the machine's own part"),
        "queue_hop_publisher_late_p99_ms": Figure(round(statistics.median(late_p99), 2), "ms, the bench's own lateness"),
    }


async def _window(
    link: TurnLink, hops: Hops, client: redis.asyncio.Redis, seconds: float, name: str
) -> tuple[list[float], list[float]]:
    """Turns at their times, however long the ones before take; a ping beside every tenth."""
    pings_s: list[float] = []
    late_s: list[float] = []
    began = time.perf_counter()
    publishing: set[asyncio.Task[bool]] = set()
    for number in range(int(seconds * PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        late_s.append(time.perf_counter() - began - number / PER_SECOND)
        call_uuid = f"{name}-{number}"
        hops.leaves(call_uuid)
        publishing.add(asyncio.create_task(link.publish(turn(call_uuid, expect=PROBE))))
        if number % 10 == 0:
            asked_at = time.perf_counter()
            await client.ping()
            pings_s.append(time.perf_counter() - asked_at)
            publishing = {task for task in publishing if not task.done()}
    await asyncio.gather(*publishing)
    return pings_s, late_s

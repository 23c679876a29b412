"""The load: a process that plays FreeSWITCH's side of thousands of calls, told by lines of JSON what to do.

Owns dialling, the keys' rhythm and the report of what the wire saw. Its own CPU time and its own lag are part of the report.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import uvloop

from bench.esl.line import Figures, Line
from bench.esl.percentile import percentile

TICK_S = 0.01
# Answers that are still on their way when a window ends.
SETTLE_S = 1.0


class Generator:
    def __init__(self, port: int) -> None:
        self._port = port
        self._figures = Figures()
        self._lines: list[Line] = []
        self._count = 0
        self._lags: list[float] = []
        self._cpu_s = 0.0
        self._began_at = 0.0

    async def ramp(self, to: int, rate: float) -> None:
        """Until ``to`` calls are up, ``rate`` new ones a second."""
        self._clear()
        began, already = time.perf_counter(), len(self._lines)
        dialling: set[asyncio.Task[Line | None]] = set()
        for number in range(to - already):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            dialling.add(asyncio.create_task(self._dial()))
        self._lines += [line for line in await asyncio.gather(*dialling) if line is not None]
        await asyncio.sleep(SETTLE_S)

    async def active(self, seconds: float, every_s: float) -> None:
        """Each call presses a key every ``every_s``."""
        self._clear()
        began, pressed = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < seconds:
            due = int(elapsed / every_s * len(self._lines))
            while pressed < due:
                self._lines[pressed % len(self._lines)].press()
                pressed += 1
            target = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            self._lags.append(time.perf_counter() - target)

    async def idle(self, seconds: float) -> None:
        self._clear()
        await asyncio.sleep(seconds)

    async def setups(self, rate: float, seconds: float, hold_s: float) -> None:
        """``rate`` calls a second come, are greeted, and hang up ``hold_s`` later."""
        self._clear()
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        dialling: set[asyncio.Task[Line | None]] = set()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            task = asyncio.create_task(self._dial())
            dialling.add(task)
            task.add_done_callback(lambda done: (line := done.result()) and loop.call_later(hold_s, line.hang_up))
        await asyncio.gather(*dialling)
        await asyncio.sleep(hold_s + SETTLE_S)

    async def _dial(self) -> Line | None:
        self._count += 1
        self._figures.began += 1
        number, dialled_at = self._count, time.perf_counter()
        try:
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: Line(number, self._figures, dialled_at), "127.0.0.1", self._port
            )
        except OSError:
            self._figures.lost += 1
            return None
        return line

    def _clear(self) -> None:
        self._figures.clear()
        self._lags.clear()
        self._cpu_s, self._began_at = time.process_time(), time.perf_counter()

    def report(self) -> dict[str, float]:
        took_s = time.perf_counter() - self._began_at
        setups, answers = self._figures.setups, self._figures.to_command
        return {
            "calls": len(self._lines),
            "began": self._figures.began,
            "set_up": len(setups),
            "lost": self._figures.lost,
            "setup_p50_ms": percentile(setups, 50) * 1000,
            "setup_p99_ms": percentile(setups, 99) * 1000,
            "commands": len(answers),
            "to_command_p50_ms": percentile(answers, 50) * 1000,
            "to_command_p99_ms": percentile(answers, 99) * 1000,
            "own_lag_p99_ms": percentile(self._lags, 99) * 1000,
            "own_cpu": (time.process_time() - self._cpu_s) / took_s,
        }


async def serve(port: int) -> None:
    """One JSON object a line on standard input: ``{"do": "ramp", …arguments}``; one report a line on standard output."""
    generator = Generator(port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order: dict[str, Any] = json.loads(line)
        await getattr(generator, order.pop("do"))(**order)
        sys.stdout.write(json.dumps(generator.report()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    uvloop.run(serve(int(sys.argv[1])))

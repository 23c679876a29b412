"""The real bridge (``manage.py run_bridge``'s own composition) with one task more: it notes how late its loop wakes.

Run as ``python -m bench.esl.bridge_process CORE LAG_FILE``; settings come from the environment as for every process.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import time
from pathlib import Path

import uvloop

LAG = struct.Struct("<dd")
# Often enough to meet a stall of a few milliseconds, and a thousandth of the core.
SAMPLE_S = 0.01
WRITE_EVERY = 50


async def sample_lag(path: Path) -> None:
    """Appends (moment, lag) in seconds of the monotonic clock."""
    with path.open("ab", buffering=0) as file:
        samples: list[bytes] = []
        while True:
            target = time.monotonic() + SAMPLE_S
            await asyncio.sleep(SAMPLE_S)
            now = time.monotonic()
            samples.append(LAG.pack(now, max(0.0, now - target)))
            if len(samples) >= WRITE_EVERY:
                file.write(b"".join(samples))
                samples.clear()


def read_lags(path: Path, since: float, until: float) -> list[float]:
    return [lag for at, lag in LAG.iter_unpack(path.read_bytes()) if since <= at <= until]


async def main(path: Path) -> None:
    from esl_bridge.management.commands import run_bridge

    sampling = asyncio.create_task(sample_lag(path))
    try:
        await run_bridge._serve(0.0)
    finally:
        sampling.cancel()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    import django

    django.setup()
    from django.conf import settings

    from console.logs import configure_logging

    configure_logging(settings.LIFELINE_LOG_LEVEL, show_pii=False)
    uvloop.run(main(Path(sys.argv[2])))

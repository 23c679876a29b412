"""A launcher with parts given as JSON, run as a process of its own so that tests can interrupt and kill it.

``python -m tests.console.launcher.fake_stack DATA_DIR`` reads ``{"parts": [[name, stop order, program, ready], …], "prepare":
program | null, "spare": [name, …], "load": file}`` from standard input; a program is Python source, ``ready``, which may be
left out, a file that is there when the part is ready. ``spare`` parts are called in by the load that ``load`` holds as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from console.launcher import scaling as launcher_scaling
from console.launcher.data_folder import DataFolder
from console.launcher.errors import StartError
from console.launcher.launcher import SOCKET_NAME, Launcher, Scaling, Stack
from console.launcher.parts import Part, StartPhase, StopOrder
from console.launcher.scaling import Limits, Load

READY = "fakes are ready"
GRACE_S = 1.0
PHASES = {StopOrder.REDIS: StartPhase.DATA, StopOrder.CALLERS: StartPhase.CALLERS}


def python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source)


async def _run(folder: DataFolder, wanted: dict[str, Any]) -> None:
    parts = [
        Part(
            name,
            python(source),
            stop_order=StopOrder(order),
            grace_s=GRACE_S,
            ready=Path(ready[0]).exists if ready else None,
            phase=PHASES.get(order, StartPhase.SERVICES),
            spare=name in wanted["spare"],
        )
        for name, order, source, *ready in wanted["parts"]
    ]
    prepare = Part("prepare", python(wanted["prepare"])) if wanted["prepare"] else None
    state = {"LIFELINE_RUN_SOCKET": str(folder.make_runtime() / SOCKET_NAME), "LIFELINE_ESL_PORT": "4711"}
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    stack = Stack(parts, env, state, Path.cwd(), READY, prepare, scaling(wanted) if wanted["spare"] else None)
    await Launcher(folder, stack, sys.stdout).run()


def scaling(wanted: dict[str, Any]) -> Scaling:
    names = [name for name, *_ in wanted["parts"] if name.startswith("worker")]
    file = Path(wanted["load"])

    def look() -> Load | None:
        return msgspec.json.decode(file.read_bytes(), type=Load) if file.exists() else None

    return Scaling(names, Limits(3, len(names) - len(wanted["spare"]), len(names)), look)


def main() -> None:
    wanted = json.loads(sys.stdin.read())
    launcher_scaling.BUSY_FOR_S = launcher_scaling.IDLE_FOR_S = 0.0  # Its own tests are of the rule.
    try:
        with DataFolder(Path(sys.argv[1])) as folder:
            asyncio.run(_run(folder, wanted))
    except StartError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()

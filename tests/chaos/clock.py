"""The wall clock of a run's processes, which can be stepped: a library preloaded into them, made when it is needed.

Needs a C compiler and Linux; ``StepClock.make`` says None without, and the run leaves that fault out and says so.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_step.c")


class StepClock:
    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.settings = {"LD_PRELOAD": str(library), "CHAOS_CLOCK_FILE": str(file)}
        self.step(0)

    @classmethod
    def make(cls, folder: Path) -> StepClock | None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None or sys.platform != "linux":
            return None
        library = folder / "clock_step.so"
        options = ["-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        made = subprocess.run([compiler, *options], capture_output=True, check=False, timeout=60)
        return cls(library, folder / "clock") if made.returncode == 0 else None

    def step(self, seconds: int) -> None:
        """Off by so much from now on, in every process at once."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))

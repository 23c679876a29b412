"""``python -m console.launcher.keeper STACK STATE_FILE RUNTIME_DIR``: waits until the launcher is gone, then tidies up.

Owns the case in which the launcher cannot do it itself (kill -9, out of memory). The launcher holds the other end of
this process's standard input and never writes to it: its end is the signal. In an orderly stop the launcher has
stopped everything before, and nothing is found.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from console.launcher import leftovers


def main() -> None:
    stack, state_file, runtime_dir = sys.argv[1:4]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it has to outlive the launcher, and does not outlive it long
    while os.read(0, 4096):
        pass
    leftovers.kill(stack)
    Path(state_file).unlink(missing_ok=True)
    shutil.rmtree(runtime_dir, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Run by path, with no package around it, as ``child.py LAUNCHER_PID PROGRAM ARGUMENT…``: becomes that program.

Owns one promise: the kernel kills the program when the launcher dies, however the launcher dies (Linux; elsewhere the
keeper alone sees to it). The launcher starts it in a session of its own, so that Ctrl-C reaches the launcher only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    launcher_pid, program = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != launcher_pid:  # it died before the kernel was told
        raise SystemExit("the launcher is gone")
    try:
        os.execvp(program, sys.argv[2:])
    except OSError as error:
        raise SystemExit(f"{program} cannot be run: {error.strerror}") from error


if __name__ == "__main__":
    main()

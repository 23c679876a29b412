"""Run by path, with no package around it, as ``child.py LAUNCHER_PID NICE PROGRAM ARGUMENT…``: becomes that program.

Owns two promises. The kernel kills the program when the launcher dies, however the launcher dies (Linux; elsewhere the
keeper alone sees to it). And what no caller waits for leaves the processor to what a caller does wait for. The launcher
starts it in a session of its own, so that Ctrl-C reaches the launcher only.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
AUTOGROUP_AGAIN_S, AUTOGROUP_TRIES = 0.11, 20


def main() -> None:
    launcher_pid, nice, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != launcher_pid:  # it died before the kernel was told
        raise SystemExit("the launcher is gone")
    give_way(nice)
    try:
        os.execvp(program, sys.argv[3:])
    except OSError as error:
        raise SystemExit(f"{program} cannot be run: {error.strerror}") from error


def give_way(nice: int) -> None:
    """0 is an equal, 19 takes what is left over."""
    if not nice:
        return
    os.nice(nice)
    # Where the kernel groups processes by session, theirs are weighed first: alone in its group a nice process is an equal.
    for _ in range(AUTOGROUP_TRIES):
        try:
            with open("/proc/self/autogroup", "w") as group:  # noqa: PTH123 — pathlib takes its time
                group.write(str(nice))
        except BlockingIOError:  # one of the machine has just done so: a tenth of a second must lie between, for all but root
            time.sleep(AUTOGROUP_AGAIN_S)
        except OSError:  # a kernel that does not
            return
        else:
            return


if __name__ == "__main__":
    main()

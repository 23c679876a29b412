"""A rolling restart: every process of a running stack stops in good order and is ready again before the next one's turn.

Owns the order and the judgement of "ready again"; it runs in the command, not in the launcher, so that Ctrl-C between two
processes leaves a whole stack. The switch's stand-in, with its callers, is no process of the product and is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from console.launcher.errors import RollError
from console.launcher.parts import PartState, StartPhase
from console.launcher.remote import ask, restart

# A start takes 2 to 5 s on a busy small machine; one that takes longer than this is a part that does not come back.
BACK_LIMIT_S = 60.0
# A part that has no sign of its own counts as well once it has run this long: what fails at its start has failed by then.
STEADY_S = 5.0
POLL_S = 0.1
KILLED = -9


def roll(path: str, say: Callable[[str], None]) -> None:
    """Blocks until all are restarted. Raises RollError, StackAwayError; what was not reached then is as it was."""
    status = ask(path, "status")
    if not status["ready"]:
        raise RollError("The stack is still starting: wait for its ready line.")
    waiting = [process for process in status["processes"] if _is_rolled(process, say)]
    pids: dict[str, int] = {}
    while waiting:
        process = waiting[0]
        try:
            pids[process["name"]] = _restarted(path, process["name"], say)
        except RollError as error:
            left = ", ".join(other["name"] for other in waiting[1:]) or "nothing"
            raise RollError(f"{error} Not restarted: {left}.") from error
        del waiting[0]
    for process in ask(path, "status")["processes"]:
        if process["name"] in pids and process["pid"] != pids[process["name"]]:
            raise RollError(f"{process['name']} came back and ended again since (exit {process['last_exit']}).")
    say(f"restarted: {len(pids)} processes, one after the other")


def _is_rolled(process: dict[str, Any], say: Callable[[str], None]) -> bool:
    if process["phase"] == StartPhase.CALLERS:
        say(f"{process['name']}: left alone, it stands for the switch and its callers")
        return False
    if process["state"] == PartState.HELD:
        say(f"{process['name']}: held down, and stays so")
        return False
    return bool(process["state"] != PartState.SPARE)


def _restarted(path: str, name: str, say: Callable[[str], None]) -> int:
    """Its new process number."""
    process = ask(path, "ready", name)["process"]
    say(f"{name}: is asked to stop, and may take {process['grace_s']:g} s to finish what it does")
    began_s = time.monotonic()
    restart(path, name)
    stopped_s = time.monotonic()
    pid = _until_back(path, process, stopped_s + BACK_LIMIT_S)
    killed = " (it had to be killed)" if ask(path, "ready", name)["process"]["last_exit"] == KILLED else ""
    say(f"{name}: stopped in {stopped_s - began_s:.1f} s{killed}, ready again after {time.monotonic() - stopped_s:.1f} s more")
    return pid


def _until_back(path: str, before: dict[str, Any], deadline_s: float) -> int:
    name = before["name"]
    while True:
        answer = ask(path, "ready", name)
        now = answer["process"]
        started_anew = now["restarts"] > before["restarts"]
        if now["restarts"] > before["restarts"] + 1 or (started_anew and now["state"] == PartState.WAITING):
            raise RollError(f"{name} ended by itself after its restart (exit {now['last_exit']}); its own output says why.")
        if started_anew and answer["ready"] and (answer["has_sign"] or now["up_s"] >= STEADY_S):
            return int(now["pid"])
        if time.monotonic() > deadline_s:
            raise RollError(f"{name} is not ready {BACK_LIMIT_S:g} s after its restart; its own output may say why.")
        time.sleep(POLL_S)

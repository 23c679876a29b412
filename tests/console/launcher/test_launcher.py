"""The launcher with real processes: order, restarts, holds, and nothing left whatever happens to it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from console.environment import Environment
from console.launcher.parts import StopOrder
from tests.console.launcher.conftest import FakeStack, is_alive, until
from tests.console.launcher.fake_stack import READY

STEADY = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit("bye"))
print("hello")
while True: signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('hello')\nwhile True: signal.pause()"
# Its grandchild is in a session of its own, ignores SIGTERM and has init for a parent, as careless libraries make them.
WITH_GRANDCHILD = '''
import os, signal, subprocess, sys
child = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("grandchild", os.getpid(), flush=True)
signal.pause()
"""
parent = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
subprocess.run([sys.executable, "-c", parent, child])
while True: signal.pause()
'''
REDIS = ("redis", StopOrder.REDIS, STEADY)


def grandchild(stack: FakeStack) -> int:
    stack.until_said("grandchild ")
    return int(stack.text.rsplit("grandchild ", 1)[1].split()[0])


def test_ctrl_c_stops_callers_first_and_redis_last(stack: FakeStack) -> None:
    orders = {"recorder": 3, "worker": 2, "bridge": 1, "simulator": 0}
    stack.start(REDIS, *((name, order, STEADY) for name, order in orders.items()))
    stack.until_said(READY)
    assert READY + "\n" in stack.lines, "the ready line has no prefix"

    assert stack.interrupt() == 0

    goodbyes = [line.split()[1] for line in stack.lines if line.endswith("bye\n")]
    assert goodbyes == ["simulator", "bridge", "worker", "recorder", "redis"]
    assert stack.left() == []
    assert not (stack.data_dir / "state.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_other_stop_signals_do_the_same(stack: FakeStack, number: signal.Signals) -> None:
    stack.start(REDIS)
    stack.until_said(READY)
    runtime = Path(stack.state["env"]["LIFELINE_RUN_SOCKET"]).parent
    assert stack.interrupt(number) == 0
    assert stack.left() == []
    assert not runtime.exists()


def test_a_killed_launcher_leaves_nothing(stack: FakeStack) -> None:
    stack.start(REDIS, ("engine", 2, WITH_GRANDCHILD), ("stubborn", 2, STUBBORN))
    stack.until_said(READY)
    pids = [process["pid"] for process in stack.ask("status")["processes"]] + [grandchild(stack)]
    runtime = Path(stack.state["env"]["LIFELINE_RUN_SOCKET"]).parent

    stack.process.kill()

    until(lambda: not any(map(is_alive, pids)), "every process gone")
    until(lambda: not runtime.exists() and not (stack.data_dir / "state.json").exists(), "files gone")


def test_what_a_killed_launcher_and_keeper_left_is_found_by_the_next_start(stack: FakeStack) -> None:
    stack.start(REDIS, ("engine", 2, WITH_GRANDCHILD))
    pid = grandchild(stack)
    (keeper,) = [pid for pid in psutil.pids() if _is_keeper(pid, stack.mark)]
    os.kill(keeper, signal.SIGKILL)
    stack.process.kill()
    stack.process.wait()
    assert is_alive(pid)
    runtime = Path(stack.state["env"]["LIFELINE_RUN_SOCKET"]).parent
    assert runtime.exists()

    stack.start(REDIS)

    stack.until_said("killed 1 processes that an earlier run had left")
    assert not is_alive(pid)
    assert not runtime.exists()


def _is_keeper(pid: int, mark: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return b"console.launcher.keeper" in words and mark.encode() in words


def test_what_dies_is_started_again_without_its_orphans(stack: FakeStack) -> None:
    stack.start(REDIS, ("engine", 2, WITH_GRANDCHILD))
    stack.until_said(READY)
    orphan, before = grandchild(stack), stack.part("engine")["pid"]

    os.kill(before, signal.SIGKILL)

    stack.until_said("engine stopped (exit -9), starting again in 2 s")
    until(lambda: not is_alive(orphan), "the orphan gone")
    until(lambda: stack.part("engine")["state"] == "running", "the engine running again")
    after = stack.part("engine")
    assert after["pid"] != before
    assert (after["restarts"], after["last_exit"]) == (1, -9)


def test_a_held_part_stays_down_until_released(stack: FakeStack) -> None:
    stack.start(REDIS, ("worker", 2, STEADY))
    stack.until_said(READY)
    before = stack.part("worker")["pid"]

    stack.ask("hold", "worker")

    assert not is_alive(before)
    until(lambda: "worker is held down" in stack.text, "the hold said")
    assert stack.part("worker")["state"] == "held"
    assert "starting again" not in stack.text

    stack.ask("release", "worker")
    until(lambda: stack.part("worker")["state"] == "running", "the worker running again")
    assert stack.interrupt() == 0


def test_a_restart_is_orderly_and_at_once(stack: FakeStack) -> None:
    stack.start(REDIS, ("worker", 2, STEADY))
    stack.until_said(READY)
    until(lambda: stack.text.count("hello") == 2, "both up")
    before = stack.part("worker")["pid"]
    stack.ask("restart", "worker")
    until(lambda: stack.text.count("hello") == 3, "the worker up again")
    assert "bye" in stack.text
    assert "starting again" not in stack.text
    assert stack.part("worker")["pid"] not in (None, before)


def test_an_unknown_part_is_refused_with_the_names_there_are(stack: FakeStack) -> None:
    stack.start(REDIS)
    stack.until_said(READY)
    with pytest.raises(ValueError, match="there is no process 'worker'; there are redis"):
        stack.ask("hold", "worker")


def test_a_part_that_ignores_sigterm_is_killed_after_its_grace(stack: FakeStack) -> None:
    stack.start(REDIS, ("stubborn", 2, STUBBORN))
    stack.until_said(READY)
    until(lambda: stack.text.count("hello") == 2, "both up")
    assert stack.interrupt() == 0
    assert "stubborn did not stop within 1 s: killed" in stack.text
    assert stack.left() == []


def test_a_second_launcher_in_the_same_folder_is_refused(stack: FakeStack) -> None:
    stack.start(REDIS)
    stack.until_said(READY)
    second = FakeStack(stack.data_dir)
    second.start(REDIS)
    try:
        assert second.process.wait(20) == 1
        second.until_said(f"Lifeline runs already in {stack.data_dir} (pid {stack.process.pid})")
        assert stack.part("redis")["state"] == "running"
    finally:
        second._reader.join(20)


def test_a_failed_preparation_stops_the_start(stack: FakeStack) -> None:
    stack.start(REDIS, ("bridge", 1, STEADY), prepare="print('no table'); raise SystemExit(3)")
    assert stack.process.wait(20) == 1
    stack.until_said("prepare failed (exit 3); the lines above say why.")
    assert "no table" in stack.text
    assert " bridge" not in stack.text
    assert stack.left() == []


def test_ctrl_c_during_the_preparation_stops_it(stack: FakeStack) -> None:
    stack.start(REDIS, prepare="import time; print('begun', flush=True); time.sleep(600)")
    stack.until_said("begun")
    assert stack.interrupt() == 0
    assert stack.left() == []


def test_commands_beside_the_stack_find_its_settings_until_it_is_gone(stack: FakeStack) -> None:
    def port() -> str:
        return Environment(stack.data_dir, {}).text("LIFELINE_ESL_PORT", "8084")

    stack.start(REDIS)
    stack.until_said(READY)
    assert port() == "4711"
    assert (stack.data_dir / "state.json").stat().st_mode & 0o777 == 0o600
    text = (stack.data_dir / "state.json").read_text()
    stack.interrupt()
    assert port() == "8084"
    (stack.data_dir / "state.json").write_text(text.replace(str(stack.process.pid), str(os.getpid())))
    assert port() == "8084", "another process with the launcher's number is no stack"


def test_a_terminal_that_stands_still_stops_no_part(stack: FakeStack, tmp_path: Path) -> None:
    done = tmp_path / "done"
    source = f"print(('x' * 199 + chr(10)) * 30_000)\nopen({str(done)!r}, 'w').close()\nimport signal; signal.pause()"
    stack._read = lambda: None  # type: ignore[method-assign]  # nobody reads; the pipe holds 64 KiB
    stack.start(REDIS, ("chatty", 2, source))
    until(done.exists, "all 6 MB written")
    assert stack.process.stdout is not None
    stack.process.stdout.close()


def test_nobody_reading_any_more_stops_everything(stack: FakeStack) -> None:
    stack._read = lambda: None  # type: ignore[method-assign]
    stack.start(REDIS, ("silent", 2, "import signal; signal.pause()"))
    until((stack.data_dir / "state.json").exists, "the stack up")
    assert stack.process.stdout is not None
    stack.process.stdout.close()
    assert stack.process.wait(20) == 0
    assert stack.left() == []

"""A rolling restart of fake parts: one after the other, each ready before the next, and an end with a reason when one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.launcher import rolling
from console.launcher.errors import RollError
from console.launcher.rolling import roll
from tests.console.launcher.conftest import FakeStack, until
from tests.console.launcher.fake_stack import READY

# Says what it does, and how; ends at SIGTERM.
PART = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))
print("hello", flush=True)
while True:
    signal.pause()
"""


def once(mark: Path) -> str:
    """Runs well the first time, and fails at its second start."""
    fails = f"if Path({str(mark)!r}).exists():\n    raise SystemExit(7)"
    return f"from pathlib import Path\n{fails}\nPath({str(mark)!r}).touch()\n{PART}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "STEADY_S", 0.3)


def socket_of(stack: FakeStack) -> str:
    return str(stack.state["env"]["LIFELINE_RUN_SOCKET"])


def started(stack: FakeStack, *parts: tuple[str, int, str] | tuple[str, int, str, str]) -> dict[str, int | None]:
    stack.start(*parts)
    stack.until_said(READY)
    until(lambda: stack.text.count("hello") == len(parts), "all up")
    return pids(stack)


def pids(stack: FakeStack) -> dict[str, int | None]:
    return {process["name"]: process["pid"] for process in stack.ask("status")["processes"]}


def test_each_is_ready_again_before_the_next_is_stopped_and_callers_and_what_is_held_stay(stack: FakeStack) -> None:
    before = started(stack, ("redis", 4, PART), ("held", 2, PART), ("worker", 2, PART), ("bridge", 1, PART), ("callers", 0, PART))
    stack.ask("hold", "held")
    said: list[str] = []

    roll(socket_of(stack), said.append)

    after = pids(stack)
    assert after["callers"] == before["callers"]
    assert after["held"] is None
    assert all(after[name] not in (None, before[name]) for name in ("redis", "worker", "bridge"))
    until(lambda: stack.text.count("hello") == 8, "three up again")
    told = [line.split()[-2:] for line in stack.lines if line.split()[-1] in ("bye", "hello")]
    words = [word for _, word in told[5:]]
    assert words == ["bye", "hello"] * 3, stack.text
    assert "callers: left alone, it stands for the switch and its callers" in said
    assert "held: held down, and stays so" in said
    assert said[-1] == "restarted: 3 processes, one after the other"


def test_one_that_does_not_come_back_ends_it_with_the_reason_and_the_rest_goes_on(stack: FakeStack, tmp_path: Path) -> None:
    before = started(stack, ("redis", 4, PART), ("worker", 2, once(tmp_path / "ran")), ("bridge", 1, PART))
    said: list[str] = []

    with pytest.raises(RollError, match=r"worker ended by itself after its restart \(exit 7\).* Not restarted: bridge\."):
        roll(socket_of(stack), said.append)

    assert pids(stack)["bridge"] == before["bridge"]
    assert not any(line.startswith("bridge") for line in said)


@pytest.mark.slow
def test_one_that_never_gets_ready_ends_it_as_well(stack: FakeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    started(stack, ("redis", 4, PART), ("worker", 2, PART))
    monkeypatch.setattr(rolling, "STEADY_S", 1000.0)
    monkeypatch.setattr(rolling, "BACK_LIMIT_S", 0.5)
    with pytest.raises(RollError, match=r"redis is not ready 0\.5 s after its restart.* Not restarted: worker\."):
        roll(socket_of(stack), print)


def test_a_part_with_a_sign_of_its_own_is_not_back_because_it_runs(
    stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = tmp_path / "ready"
    sign.touch()
    started(stack, ("redis", 4, PART, str(sign)))
    sign.unlink()
    monkeypatch.setattr(rolling, "BACK_LIMIT_S", 2.0)
    with pytest.raises(RollError, match="redis is not ready 2 s after its restart"):
        roll(socket_of(stack), print)


@pytest.mark.slow
def test_one_that_was_killed_for_being_late_is_told_of(stack: FakeStack) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('hello', flush=True)\ntime.sleep(600)"
    started(stack, ("redis", 4, stubborn))
    said: list[str] = []
    roll(socket_of(stack), said.append)
    assert any("(it had to be killed)" in line for line in said), said

"""Starts the fake stack, reads what it prints, and leaves no process behind whatever the test does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from console.environment import STATE_FILE
from console.launcher import leftovers
from console.launcher.remote import ask

# Other work on the machine may hold a process up for seconds; a test that passes takes a fraction of this.
DEADLINE_S = 20.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """The condition's first true value. Polls processes, which have no event that a test could wait for."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")
        time.sleep(0.02)
    return value


class FakeStack:
    """One launcher process with fake parts. ``lines`` grows as it prints."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.mark = leftovers.stack_name(data_dir)
        self.lines: list[str] = []

    def start(
        self,
        *parts: tuple[str, int, str] | tuple[str, int, str, str],
        prepare: str | None = None,
        spare: Sequence[str] = (),
        load: Path | None = None,
    ) -> None:
        # Whoever runs the tests under nohup ignores it, and a launcher then does.
        ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.console.launcher.fake_stack", str(self.data_dir)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGHUP, ignored)
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(json.dumps({"parts": parts, "prepare": prepare, "spare": list(spare), "load": str(load)}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            self.lines.extend(iter(stdout.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def until_said(self, text: str) -> None:
        until(lambda: text in self.text or (self.process.poll() is not None and self._ended(text)), f"{text!r} said")

    def _ended(self, text: str) -> bool:
        self._reader.join(DEADLINE_S)
        assert text in self.text, self.text
        return True

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.data_dir / STATE_FILE).read_text())

    def ask(self, action: str, name: str = "") -> dict[str, Any]:
        return ask(self.state["env"]["LIFELINE_RUN_SOCKET"], action, name)

    def part(self, name: str) -> dict[str, Any]:
        return next(process for process in self.ask("status")["processes"] if process["name"] == name)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal and returns the launcher's exit code."""
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def left(self) -> list[int]:
        return [process.pid for process in leftovers.find(self.mark)]

    def clean(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        leftovers.kill(self.mark)
        self._reader.join(DEADLINE_S)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[FakeStack]:
    fake = FakeStack(tmp_path / "data")
    yield fake
    if hasattr(fake, "process"):
        fake.clean()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False

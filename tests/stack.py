"""The whole product as a test starts it: ``run_all`` on free ports in a data folder of its own, and what to do to it.

Owns one launcher process and the reading of its output. What the product then does is for the tests to say.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from console.environment import STATE_FILE
from console.launcher import leftovers
from console.launcher.remote import ask, restart

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"^Lifeline is ready: (?P<url>http://\S+) user admin password (?P<password>\S+)$", re.MULTILINE)
READY_LIMIT_S = 90.0
# The longest orderly stop: the bridges' drain limit (20 s) and 6 s, a worker's turns (18 s), three groups with 5 s each.
STOP_LIMIT_S = 60.0
MANAGE_LIMIT_S = 120.0
POLL_S = 0.05
Value = TypeVar("Value")


class Stack:
    """Settings are environment variables on top of the test's own. Use it as a context manager, or call ``stop()``."""

    def __init__(self, data_dir: Path | None = None, **settings: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="lifeline-stack-") if data_dir is None else None
        self.data_dir = data_dir or Path(self._temporary.name if self._temporary else "") / "data"
        self.settings = settings
        self._lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *, wait: bool = True) -> None:
        """Starts it, and waits for its ready line. Raises AssertionError with the output when that does not come."""
        self._lines.clear()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_all"],
            cwd=ROOT,
            env=self._environ({"LIFELINE_RUN_PORTS_FROM": "0"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        if wait:
            try:
                self.until(lambda: READY.search(self.log), "the ready line", READY_LIMIT_S)
            except AssertionError:
                self.stop()
                raise

    def stop(self) -> int | None:
        """Ctrl-C; after the limit, kill -9. Returns the exit code, None when it was not running."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            leftovers.kill(leftovers.stack_name(self.data_dir))
        self._reader.join(5.0)
        if self._temporary is not None:
            self._temporary.cleanup()
        return process.returncode

    # --- What it says and shows ---

    @property
    def log(self) -> str:
        return "".join(self._lines)

    @property
    def url(self) -> str:
        return self._ready()["url"]

    @property
    def password(self) -> str:
        return self._ready()["password"]

    @property
    def state(self) -> dict[str, str]:
        """The settings of the running stack, ports included."""
        return dict(json.loads((self.data_dir / STATE_FILE).read_text())["env"])

    def status(self, name: str) -> dict[str, Any]:
        """``state``, ``pid``, ``up_s``, ``restarts``, ``last_exit`` of one process."""
        return next(process for process in self.statuses() if process["name"] == name)

    def statuses(self) -> list[dict[str, Any]]:
        """Those of all processes."""
        return list(ask(self.state["LIFELINE_RUN_SOCKET"], "status")["processes"])

    @property
    def pid(self) -> int:
        """The launcher's."""
        assert self._process is not None, "the stack does not run"
        return self._process.pid

    def manage(
        self, *args: str, timeout_s: float = MANAGE_LIMIT_S, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A management command beside the running stack, as an operator types it. A failed one fails the test."""
        done = subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            said = done.stdout + done.stderr
            raise AssertionError(f"manage.py {' '.join(args)} ended with {done.returncode}:\n{said}")
        return done

    def figures(self) -> dict[str, Any]:
        return dict(json.loads(self.manage("figures", "--json").stdout))

    def until(self, condition: Callable[[], Value], what: str, limit_s: float = 30.0) -> Value:
        """The condition's first true value; AssertionError with the end of the output after ``limit_s``."""
        deadline = time.monotonic() + limit_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {limit_s:g} s: {what}. The stack said:\n{self.log[-8000:]}")
            if self._process is not None and self._process.poll() is not None:
                self._reader.join(5.0)
                raise AssertionError(f"the stack ended while waiting for {what}:\n{self.log[-8000:]}")
            time.sleep(POLL_S)
        return value

    # --- What is done to it ---

    def hold(self, *names: str) -> None:
        """kill -9, and kept down until ``release()``. Several at once are all down when this returns."""
        for name in names:
            ask(self.state["LIFELINE_RUN_SOCKET"], "hold", name)

    def release(self, *names: str) -> None:
        for name in names:
            ask(self.state["LIFELINE_RUN_SOCKET"], "release", name)

    def restart(self, name: str) -> None:
        """In good order, and at once."""
        restart(self.state["LIFELINE_RUN_SOCKET"], name)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """A signal from outside, of which the launcher learns nothing but the end of the process, if it ends."""
        os.kill(self.status(name)["pid"], number)

    # --- Inside ---

    def _ready(self) -> Mapping[str, str]:
        found = READY.search(self.log)
        assert found is not None, "the stack is not ready"
        return found.groupdict()

    def _environ(self, more: Mapping[str, str] = {}) -> dict[str, str]:
        not_ours = ("LIFELINE_", "DJANGO_", "DATABASE_URL")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
        return {**clean, "LIFELINE_DATA_DIR": str(self.data_dir), **more, **self.settings}

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as stdout:
            self._lines.extend(iter(stdout.readline, ""))

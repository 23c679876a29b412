"""Simulated callers placed beside a running stack, and what they say afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.stack import ROOT, Stack

CALLS_LIMIT_S = 200.0


class Callers:
    """``simulate_calls`` in the background: start it, do something to the stack, then ask for ``totals()``."""

    def __init__(self, stack: Stack, *, rate: float, limit: int, scenario: str = "mix", seed: int = 7) -> None:
        words = ["simulate_calls", "--json", "--rate", str(rate), "--limit", str(limit), "--scenario", scenario]
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", *words, "--seed", str(seed)],
            cwd=ROOT,
            env=stack._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def totals(self) -> dict[str, Any]:
        try:
            out, err = self._process.communicate(timeout=CALLS_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        assert self._process.returncode == 0, err[-3000:]
        return dict(json.loads(out.strip().splitlines()[-1]))

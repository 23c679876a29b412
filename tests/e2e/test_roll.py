"""A rolling restart of the whole product with callers on it: by their own record and by the console's, nobody is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.callers import Callers
from tests.e2e.test_first_call import settled
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Shorter than most calls, so that some are left at the limit and have to be resumed by the other bridge.
DRAIN_S = 4
# Enough for the whole of it: some 15 processes with 3 to 8 s each on two busy cores.
RATE, CALLS = 0.5, 75
ROLL_LIMIT_S = 280.0


@pytest.mark.timeout(480)
def test_a_rolling_restart_under_load_loses_no_caller() -> None:
    with Stack(
        LIFELINE_RUN_BRIDGES="2", LIFELINE_DRAIN_S=str(DRAIN_S), LIFELINE_SIMULATE_RATE="0", LIFELINE_CIRCUIT_OPEN_S="2"
    ) as stack:
        before = {process["name"]: process["pid"] for process in stack.processes()}
        callers = Callers(stack, rate=RATE, limit=CALLS)
        stack.until(lambda: stack.figures()["live_calls"] >= 3, "three live calls", 60)

        rolled = subprocess.run(
            [sys.executable, "manage.py", "stack", "roll"], cwd=ROOT, env=stack._environ(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=ROLL_LIMIT_S, check=False,
        )  # fmt: skip
        assert rolled.returncode == 0, rolled.stdout + rolled.stderr + stack.log[-8000:]
        assert callers.are_calling, "the last call was over before the roll was"

        after = {process["name"]: process["pid"] for process in stack.processes()}
        kept = [name for name in before if before[name] == after[name]]
        assert kept == ["simulator"], rolled.stdout
        assert "did not stop within" not in stack.log, stack.log[-8000:]
        totals = callers.totals()
        assert totals["calls"] == totals["finished"] == CALLS, totals
        assert totals["disconnected"] == 0, totals
        figures = settled(stack)
        assert figures["ai_failures_dropped"] == 0, figures
        assert figures["calls_total"] == CALLS, figures
        # Those that were left at a bridge's limit went on at the other one.
        assert int(str(figures["ai_failures_recovered"])) > 0, figures

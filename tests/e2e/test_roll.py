"""A rolling restart of the whole product with callers on it: by their own record and by the console's, nobody is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.compare import compare
from tests.e2e.test_first_call import settled
from tests.stack import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.soak]

# Shorter than most calls, so that some are left at the limit and have to be resumed by the other bridge.
DRAIN_S = 4
# Calls begin for longer than the roll takes: some 15 processes with 3 to 8 s each on two busy cores.
RATE, CALLING_S = 0.5, 170.0
ROLL_LIMIT_S = 280.0
LAST_CALL_S = 220.0


@pytest.fixture
def stack() -> Iterator[Stack]:
    # The simulator is the test's own, with a record for each call, and at the port that the console asks.
    with Stack(
        LIFELINE_RUN_WITHOUT="simulator", LIFELINE_RUN_BRIDGES="2", LIFELINE_DRAIN_S=str(DRAIN_S), LIFELINE_CIRCUIT_OPEN_S="2"
    ) as running:
        yield running


@pytest.fixture
def records(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """Calls begin now."""
    path = tmp_path / "records"
    path.touch()
    words = [
        "run_simulator", "--rate", str(RATE), "--duration", str(CALLING_S), "--seed", "7", "--records", str(path),
        "--port", stack.state["LIFELINE_SWITCH_PORT"], "--bridge", stack.state["LIFELINE_BRIDGES"],
    ]  # fmt: skip
    with (tmp_path / "switch.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=stack._environ(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    yield path
    process.terminate()
    process.wait(30)


def are_over(records: Path) -> bool:
    return '{"placed"' in records.read_text()[-200:]


def stored(stack: Stack) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.stored"], cwd=ROOT, env=stack._environ(), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@pytest.mark.timeout(600)
def test_a_rolling_restart_under_load_loses_no_caller(stack: Stack, records: Path) -> None:
    # A spare worker has none.
    before = {process["name"]: process["pid"] for process in stack.statuses() if process["pid"]}
    stack.until(lambda: stack.figures()["live_calls"] >= 3, "three live calls", 90)

    rolled = subprocess.run(
        [sys.executable, "manage.py", "stack", "roll"], cwd=ROOT, env=stack._environ(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=ROLL_LIMIT_S, check=False,
    )  # fmt: skip
    assert rolled.returncode == 0, rolled.stdout + rolled.stderr + stack.log[-8000:]
    assert not are_over(records), "the last call was over before the roll was"
    after = {process["name"]: process["pid"] for process in stack.statuses()}
    assert [name for name in before if before[name] == after[name]] == [], rolled.stdout
    assert "did not stop within" not in stack.log, stack.log[-8000:]

    stack.until(lambda: are_over(records), "the end of every call", LAST_CALL_S)
    figures = settled(stack)
    calls = [line for line in map(json.loads, records.read_text().splitlines()) if "call_uuid" in line]
    kept = stored(stack)
    found = compare(calls, kept, [])
    shown = (found.dropped, found.wrong, found.last_resort_as_lost, [call for call in kept["calls"] if call["incidents"]])
    assert (found.dropped, found.wrong, found.last_resort_as_lost) == ([], [], []), shown
    assert (found.journal_lost, found.journal_repeated) == (0, 0), shown
    assert figures["ai_failures_dropped"] == 0, (figures, shown)
    assert figures["calls_total"] == len(calls), figures
    # Those that were left at a bridge's limit went on at the other one.
    assert any(call["epoch"] > 1 for call in kept["calls"]), shown

"""`simulate_calls` and `run_simulator` as a person or a program starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.simulator.conftest import REPOSITORY


@pytest.fixture
def nobody_listens(settings: Settings, tmp_path: Path) -> None:
    settings.LIFELINE_ESL_PORT = 9
    settings.LIFELINE_DATA_DIR = tmp_path
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"


def simulate(*arguments: str) -> str:
    out = StringIO()
    call_command("simulate_calls", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.usefixtures("nobody_listens")
def test_json_is_one_object_with_the_promised_figures() -> None:
    figures = json.loads(simulate("--limit", "3", "--rate", "20", "--speed", "40", "--scenario", "person", "--json"))
    assert figures["calls"] == figures["finished"] == 3
    assert figures["disconnected"] == 0
    assert set(figures) == {
        "calls", "finished", "disconnected", "gave_up", "understood", "in_fallback", "silence_ms",
        "barge_in_ms", "by_scenario",
    }  # fmt: skip
    assert set(figures["silence_ms"]) == {"p50", "p99", "max"}


@pytest.mark.usefixtures("nobody_listens")
def test_the_table_for_people() -> None:
    shown = simulate("--duration", "1", "--rate", "3", "--speed", "40", "--scenario", "person", "--seed", "1")
    assert shown.splitlines()[0].split() == [
        "scenario", "calls", "finished", "disconnected", "gave", "up", "understood", "in", "fallback",
    ]  # fmt: skip
    assert "longest silence of a call" in shown


@pytest.mark.usefixtures("nobody_listens")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--scenario", "nobody"), "no scenario 'nobody'"),
        (("--rate", "0"), "must be above zero"),
    ],
)
def test_what_cannot_run_says_why(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        simulate(*arguments)


@pytest.mark.usefixtures("nobody_listens")
def test_a_missing_dialplan_says_where(settings: Settings, tmp_path: Path) -> None:
    settings.LIFELINE_DIALPLAN = tmp_path / "none.xml"
    with pytest.raises(CommandError, match=r"none\.xml"):
        simulate("--limit", "1")


def test_run_simulator_serves_the_event_socket_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {
        "LIFELINE_DATA_DIR": str(tmp_path), "LIFELINE_DEMO": "true", "LIFELINE_SWITCH_PORT": str(port),
        "LIFELINE_ESL_PORT": "9", "DJANGO_SETTINGS_MODULE": "console.settings",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_simulator", "--rate", "0"],
        cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        assert "switch_ready" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.settimeout(5)
            assert connection.recv(100) == b"Content-Type: auth/request\n\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert "switch_stopped" in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

"""Each switch is asked for the sound files of the published flows, and its card says which it does not find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.utils import timezone

from callflows.definition.flow import Snapshot
from callflows.store import write_snapshot
from console import last_resort_panel, switch_files, unknown_questions
from console.models import SwitchReport
from console.switch_panel import SwitchRow, switch_rows
from console.switch_settings import SwitchAddress
from console.switches import look_at_all
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import NoAnswerError
from simulator import api_commands
from simulator.switch import Switch
from tests.console.switch_thread import PASSWORD, running_switch
from tests.console.test_pages import browser_of, text
from tests.esl_bridge.calls.flow import demonstration

pytestmark = pytest.mark.django_db
FLOW = demonstration()
FILES = sorted(FLOW.files())


@pytest.fixture
def switch(tmp_path: Path, settings: Any) -> Iterator[Switch]:
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "last_resort.xml"
    settings.LIFELINE_PROMPT_DIR.mkdir()
    for file in FILES:
        (settings.LIFELINE_PROMPT_DIR / file).write_bytes(b"RIFF")
    write_snapshot(settings.LIFELINE_FLOW_SNAPSHOT, Snapshot((FLOW,)))
    last_resort_panel.forget()
    with running_switch(tmp_path) as running:
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT = "127.0.0.1", running.inbound_port
        settings.LIFELINE_SWITCH_PASSWORD = PASSWORD
        yield running
    last_resort_panel.forget()


def row() -> SwitchRow:
    (main,) = switch_rows(timezone.now())
    return main


def look_a_minute_later() -> None:
    SwitchReport.objects.update(files_looked_at=timezone.now() - switch_files.LOOK_EVERY)
    look_at_all()


def test_a_switch_that_finds_every_file_is_said_to(switch: Switch) -> None:
    look_at_all()
    assert (row().lacks, row().finds) == ("", len(FILES))
    assert f"Finds all {len(FILES)} sound files of the published flows" in text(browser_of("view_call"), "/")


def test_a_file_that_a_switch_does_not_find_is_said_before_a_call_needs_it(switch: Switch, settings: Any) -> None:
    look_at_all()
    lost = settings.LIFELINE_PROMPT_DIR / FILES[0]
    lost.rename(lost.with_name("kept"))
    look_at_all()
    assert row().finds, "not at every look"
    look_a_minute_later()
    assert row().finds == 0
    shown = text(browser_of("view_call"), "/")
    assert f"It does not find 1 of {len(FILES)} sound files, such as {lost}: they are not on its disk, or in a folder" in shown
    lost.with_name("kept").rename(lost)
    look_a_minute_later()
    assert row().lacks == ""


def test_a_switch_that_cannot_be_asked_for_files_is_not_said_to_find_them(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: SwitchControl, paths: list[str]) -> list[str]:
        raise NoAnswerError("It did not answer.")

    monkeypatch.setattr(SwitchControl, "missing_files", silent)
    look_at_all()
    assert (row().lacks, row().finds, row().files_not_known) == ("", 0, "It did not answer.")
    shown = text(browser_of("view_call"), "/")
    assert "Not known whether it finds its sound files, asked" in shown
    assert "Who needs one of them" not in shown, "nothing is known of callers"
    monkeypatch.undo()
    look_a_minute_later()
    assert (row().finds, row().files_not_known) == (len(FILES), "")


def test_of_a_switch_that_does_not_know_the_question_nothing_is_said(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(api_commands.API_COMMANDS, "file_exists")
    unknown_questions.say_once.cache_clear()
    with structlog.testing.capture_logs() as logs:
        look_at_all()
        look_a_minute_later()
    assert (row().lacks, row().finds, row().files_not_known) == ("", 0, "")
    assert "its sound files" not in text(browser_of("view_call"), "/")
    assert [(log["event"], log["log_level"]) for log in logs] == [("switch_does_not_know_question", "debug")]


def test_all_switches_are_asked_at_the_same_time(switch: Switch, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "localhost", switch.inbound_port, PASSWORD),)
    both = threading.Barrier(2)

    def far_away(self: SwitchControl, paths: list[str]) -> list[str]:
        both.wait(10)
        return []

    monkeypatch.setattr(SwitchControl, "missing_files", far_away)
    look_at_all()
    assert [row.finds for row in switch_rows(timezone.now())] == [len(FILES)] * 2


def test_without_published_flows_nothing_is_said(switch: Switch, settings: Any) -> None:
    settings.LIFELINE_FLOW_SNAPSHOT.unlink()
    last_resort_panel.forget()
    look_at_all()
    assert (row().lacks, row().finds) == ("", 0)

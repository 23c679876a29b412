"""A switch with a disk of its own: what it has in memory is what counts, not that it said +OK to reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.utils import timezone

from console import unknown_questions
from console.dialplan_reading import RETRY
from console.models import SwitchReport
from console.switch_panel import SwitchRow, switch_rows
from console.switches import control_of, look_at_all, switches
from esl_bridge.control import SwitchControl
from esl_bridge.control_errors import NoAnswerError
from simulator import api_commands
from tests.console.switch_thread import PASSWORD, running_switch
from tests.console.test_pages import browser_of, text

pytestmark = pytest.mark.django_db
CHAIN = (
    '<include>\n<context name="lifeline">\n<X-PRE-PROCESS cmd="include" data="theirs.xml"/>\n'
    '<extension name="end"><condition field="destination_number" expression="^9200$"><action application="hangup"/>'
    "</condition></extension>\n</context>\n</include>\n"
)


def menu(version: int) -> str:
    return (
        f'<include>\n<extension name="ll-lr-hotline:{version} new"><condition field="destination_number" expression="^ll-lr$">'
        '<action application="hangup"/></condition></extension>\n</include>\n'
    )


@pytest.fixture
def theirs(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """The last resort on the switch's disk, which is at the console's version when the test begins."""
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "ours.xml"
    settings.LIFELINE_LAST_RESORT_DIALPLAN.write_text(menu(1))
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "none.json"
    path = tmp_path / "theirs.xml"
    path.write_text(menu(1))
    with running_switch(tmp_path, text=CHAIN) as running:
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT = "127.0.0.1", running.inbound_port
        settings.LIFELINE_SWITCH_PASSWORD = PASSWORD
        look_at_all()
        yield path


def row() -> SwitchRow:
    (main,) = switch_rows(timezone.now())
    return main


def look_a_minute_later() -> None:
    SwitchReport.objects.update(dialplan_tried_at=timezone.now() - RETRY)
    look_at_all()


def test_a_switch_whose_own_file_is_older_is_shown_until_it_has_the_new_one(theirs: Path, settings: Any) -> None:
    assert row().not_read == ""
    settings.LIFELINE_LAST_RESORT_DIALPLAN.write_text(menu(2))
    look_at_all()
    assert "it has hotline 1, the console's file hotline 2" in row().not_read
    assert "It did not read the menu of last resort: it has hotline 1" in text(browser_of("view_call"), "/")
    theirs.write_text(menu(2))  # sync_switch there, of which nobody here hears
    look_a_minute_later()
    assert row().not_read == ""


def test_a_switch_that_cannot_open_its_file_is_shown_though_it_says_ok(theirs: Path, settings: Any) -> None:
    theirs.unlink()
    settings.LIFELINE_LAST_RESORT_DIALPLAN.write_text(menu(2))
    look_at_all()
    assert "it has none, the console's file hotline 2" in row().not_read


def test_a_switch_that_was_started_anew_with_an_older_file_has_it_read_again(theirs: Path) -> None:
    theirs.write_text(menu(0))
    control_of(switches()[0]).reload_dialplan()
    look_at_all()
    assert row().not_read == "", "not at every look"
    look_a_minute_later()
    assert "it has hotline 0" in row().not_read
    theirs.write_text(menu(1))
    look_a_minute_later()
    assert row().not_read == ""


def test_a_question_without_an_answer_says_nothing_against_what_a_switch_has(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: SwitchControl, context: str) -> str:
        raise NoAnswerError("It did not answer.")

    monkeypatch.setattr(SwitchControl, "dialplan", silent)
    look_a_minute_later()
    assert row().not_read == ""


def test_a_switch_that_cannot_be_asked_what_it_has_goes_by_its_ok(
    theirs: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(api_commands.API_COMMANDS, "xml_locate")
    monkeypatch.delitem(api_commands.API_COMMANDS, "strftime_tz")
    unknown_questions.say_once.cache_clear()
    zone = '<action application="set" data="timezone=Europe/Vienna" inline="true"/><action application="hangup"/>'
    settings.LIFELINE_LAST_RESORT_DIALPLAN.write_text(menu(2).replace('<action application="hangup"/>', zone))
    with structlog.testing.capture_logs() as logs:
        look_at_all()
        read_ms = row().read_ms
        look_a_minute_later()
    assert (row().not_read, row().wrong_hours, row().read_ms) == ("", "", read_ms), "and it is not told to read it again"
    asked = [log["answer"].split()[1] for log in logs if log["event"] == "switch_does_not_know_question"]
    assert sorted(asked) == ["strftime_tz", "xml_locate"]
    assert {log["log_level"] for log in logs} == {"debug", "info"}

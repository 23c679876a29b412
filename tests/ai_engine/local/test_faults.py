"""The file that tells the local engine to misbehave."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ai_engine.local.faults import FILE_NAME, NO_FAULT, Mode, current_fault, set_fault


def test_a_faults_time_ends_it(tmp_path: Path) -> None:
    folder = tmp_path
    assert current_fault(folder) == NO_FAULT
    fault = set_fault("hang", "tts", 60, folder=folder)
    assert current_fault(folder) == fault
    assert fault.until is not None
    assert fault.over(fault.until)
    assert not fault.over(fault.until - 1)
    with pytest.raises(ValueError, match="sabotage"):
        set_fault("sabotage", folder=folder)


def test_a_damaged_file_is_no_fault(tmp_path: Path) -> None:
    set_fault("hang", folder=tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b'{"mode": "ha')
    assert current_fault(tmp_path) == NO_FAULT


def test_the_command_breaks_one_stage_and_mends(tmp_path: Path, settings: object, capsys: pytest.CaptureFixture[str]) -> None:
    settings.LIFELINE_DEMO, settings.LIFELINE_DATA_DIR = True, tmp_path  # type: ignore[attr-defined]
    call_command("break_engine", "delay", "--stage", "nlu", "--seconds", "30")
    fault = current_fault(tmp_path)
    assert (fault.mode, fault.stage) == (Mode.DELAY, "nlu")
    assert capsys.readouterr().out == "The local engine breaks: delay in nlu, for 30 s.\n"
    call_command("break_engine", "none")
    assert current_fault(tmp_path) == NO_FAULT


def test_the_command_refuses_outside_demonstration_mode(tmp_path: Path, settings: object) -> None:
    settings.LIFELINE_DEMO, settings.LIFELINE_DATA_DIR = False, tmp_path  # type: ignore[attr-defined]
    with pytest.raises(CommandError, match="LIFELINE_DEMO"):
        call_command("break_engine", "hang")
    assert not (tmp_path / FILE_NAME).exists()

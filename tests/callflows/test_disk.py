"""Files that are behind what is published are written as soon as that is possible, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from callflows import disk, last_resort, publishing, store, tasks
from callflows.definition.flow import decode_snapshot
from callflows.models import Flow, FlowVersion


def numbers(settings: Any) -> tuple[list[int], dict[str, int]]:
    """Those in the file of flows, and in the dialplan of last resort."""
    snapshot = decode_snapshot(Path(settings.LIFELINE_FLOW_SNAPSHOT).read_bytes())
    found = last_resort.look(Path(settings.LIFELINE_LAST_RESORT_DIALPLAN))
    assert found is not None
    return [flow.number for flow in snapshot.flows], found.versions


def test_a_version_whose_files_cannot_be_written_is_published_and_said_with_a_warning(
    published: FlowVersion, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flow.objects.update(menu_intro=published.definition.system.greeting.text)  # No new sound: the disk is full later than that.
    monkeypatch.setattr(store, "write_snapshot", full)
    said: list[str] = []
    assert publishing.publish(published.flow, warn=said.append).number == 2
    assert "flows.json or a prompt beside it cannot be written: No space left" in said[0]
    assert len(said) == 1
    assert numbers(settings) == ([1], {"demonstration": 2}), "the last resort is of the database's"
    tasks.catch_up()
    assert numbers(settings)[0] == [1], "it is tried"
    monkeypatch.undo()
    tasks.catch_up()
    assert numbers(settings) == ([2, 1], {"demonstration": 2})


def full(*args: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_last_resort_that_is_behind_is_made_anew(
    published: FlowVersion, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flow.objects.update(menu_intro="Choose now.")
    monkeypatch.setattr(last_resort, "write_whole", full)
    said: list[str] = []
    publishing.publish(published.flow, warn=said.append)
    assert said == [f"The dialplan of last resort is still the one before. {disk.LATER}"]
    monkeypatch.undo()
    assert disk.catch_up() == []
    assert numbers(settings) == ([2, 1], {"demonstration": 2})
    Path(settings.LIFELINE_LAST_RESORT_DIALPLAN).unlink()
    Path(settings.LIFELINE_FLOW_SNAPSHOT).unlink()
    disk.catch_up()
    assert numbers(settings) == ([2, 1], {"demonstration": 2}), "files that are gone are behind too"


def test_a_database_that_goes_away_once_the_version_is_stored_is_a_warning(
    draft: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(store, "database_snapshot", away)
    said: list[str] = []
    assert publishing.publish(draft, warn=said.append).number == 1
    assert [f"gone. {disk.LATER}" in line for line in said] == [True, True]


def test_files_that_are_not_behind_are_left_alone(published: FlowVersion, settings: Any) -> None:
    paths = [Path(settings.LIFELINE_FLOW_SNAPSHOT), Path(settings.LIFELINE_LAST_RESORT_DIALPLAN)]
    before = [path.stat().st_mtime_ns for path in paths]
    assert disk.catch_up() == []
    assert [path.stat().st_mtime_ns for path in paths] == before
    paths[0].write_bytes(b"of a newer program")
    disk.catch_up()
    assert paths[0].read_bytes() == b"of a newer program"


def test_an_empty_database_leaves_the_files_of_the_flows_that_worked(published: FlowVersion, settings: Any) -> None:
    before = numbers(settings)
    FlowVersion.objects.all().delete()
    disk.catch_up()
    assert numbers(settings) == before

"""The page and the metrics say how old the menu of last resort is, and what keeps a switch from serving it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from callflows import demo, disk, publishing
from callflows.models import Flow, FlowVersion
from console import last_resort_panel
from console.last_resort_panel import last_resort_row
from console.metrics import last_resort_metrics


@pytest.fixture
def published(db: Any, settings: Any, tmp_path: Path) -> Iterator[FlowVersion]:
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "last_resort.xml"
    last_resort_panel.forget()
    draft, _ = demo.ensure_draft()
    version = publishing.publish(draft)
    yield version
    last_resort_panel.forget()


def ready() -> float:
    return next(metric for metric in last_resort_metrics() if metric.name.endswith("ready")).samples[0].value


def test_a_fresh_one_is_said_with_its_versions_and_files(published: FlowVersion) -> None:
    row = last_resort_row()
    assert row.problem == ""
    assert "Demonstration 1" in row.what
    assert row.rendered_ms is not None
    assert ready() == 1


def test_none_at_all_is_a_problem(published: FlowVersion, settings: Any) -> None:
    settings.LIFELINE_LAST_RESORT_DIALPLAN.unlink()
    last_resort_panel.forget()
    assert last_resort_row().problem == last_resort_panel.NOT_RENDERED
    assert ready() == 0


def test_one_that_is_older_than_the_flows_is_a_problem(published: FlowVersion, settings: Any) -> None:
    stale = settings.LIFELINE_LAST_RESORT_DIALPLAN.read_bytes()
    published.flow.goodbye = "Bye for now."
    published.flow.save()
    publishing.publish(published.flow)
    settings.LIFELINE_LAST_RESORT_DIALPLAN.write_bytes(stale)
    last_resort_panel.forget()
    assert "older than the flows" in last_resort_row().problem


def test_one_that_is_as_old_as_the_file_of_flows_is_compared_with_the_database(
    published: FlowVersion, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flow.objects.update(goodbye="Bye for now.")
    monkeypatch.setattr(disk, "write", list)
    publishing.publish(published.flow)
    last_resort_panel.forget()
    assert "older than the flows" in last_resort_row().problem
    assert ready() == 0

    def away() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(last_resort_panel, "database_snapshot", away)
    last_resort_panel.forget()
    assert last_resort_row().problem == "", "while the database is away bridges go by the file too"


def test_a_sound_file_that_is_gone_is_a_problem(published: FlowVersion, settings: Any) -> None:
    (settings.LIFELINE_PROMPT_DIR / published.definition.system.menu_intro.file).unlink()
    last_resort_panel.forget()
    assert "1 of its sound files are missing" in last_resort_row().problem
    assert ready() == 0


def test_the_look_is_not_repeated_at_every_push(published: FlowVersion, settings: Any) -> None:
    assert last_resort_row().problem == ""
    settings.LIFELINE_LAST_RESORT_DIALPLAN.unlink()
    assert last_resort_row().problem == "", "ten seconds later"

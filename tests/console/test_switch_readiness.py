"""No version is published whose sound files a switch has not: every call of it there would go to the menu as a failure."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callflows import demo, jobs, store
from callflows.models import Flow, FlowVersion, PublishJob
from console.switch_settings import SwitchAddress
from simulator import api_commands
from simulator.switch import Switch
from tests.console.switch_thread import PASSWORD, running_switch

pytestmark = pytest.mark.django_db


@pytest.fixture
def own_disk(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the switch has what others have in the prompt folder."""
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "last_resort.xml"
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"  # Published by the process that asks.
    folder = tmp_path / "of_the_switch"

    async def file_exists(_switch: Switch, argument: str) -> str:
        return "true" if (folder / Path(argument).relative_to(settings.LIFELINE_PROMPT_DIR)).is_file() else "false"

    monkeypatch.setitem(api_commands.API_COMMANDS, "file_exists", file_exists)
    with running_switch(tmp_path) as running:
        settings.LIFELINE_SWITCH_HOST, settings.LIFELINE_SWITCH_PORT = "127.0.0.1", running.inbound_port
        settings.LIFELINE_SWITCH_PASSWORD = PASSWORD
        yield folder


def published(flow: Flow) -> PublishJob:
    return jobs.begin(flow, None)


def test_a_version_waits_for_the_files_on_a_switchs_own_disk(own_disk: Path) -> None:
    flow, _ = demo.ensure_draft()
    job = published(flow)
    assert job.state == PublishJob.State.REFUSED
    (problem,) = job.problems
    assert problem.startswith("Switch main: ")
    assert "run manage.py sync_switch on its machine, then publish again" in problem
    assert not FlowVersion.objects.exists(), "no bridge learns of it"
    store.sync_prompts(own_disk)  # As sync_switch does there: they are rendered already.
    assert published(flow).state == PublishJob.State.PUBLISHED
    # Only what is new has to be there.
    Flow.objects.update(goodbye="Bye for now.")
    job = published(flow)
    assert job.state == PublishJob.State.REFUSED
    assert job.problems[0].startswith("Switch main: It does not find 1 of ")


def test_a_switch_that_is_away_keeps_nothing_from_being_published(own_disk: Path, settings: Any) -> None:
    flow, _ = demo.ensure_draft()
    store.sync_prompts(own_disk)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings.LIFELINE_SWITCHES = (SwitchAddress("east", "127.0.0.1", port, PASSWORD),)
    (problem,) = published(flow).problems
    assert problem.startswith("Switch main: "), "the other one is not named"
    store.sync_prompts(own_disk)
    assert published(flow).state == PublishJob.State.PUBLISHED

"""The demonstration flow, published once with real audio, and the table that a run makes when it is asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from callflows import demo, publishing
from callflows.definition.flow import decode_snapshot
from tests.engine_failures.table import Table
from tests.engine_failures.world import Flows


class _Undone(Exception):
    """Takes the rows back: only the files are wanted."""


@pytest.fixture(scope="session")
def flows(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> Flows:
    folder = tmp_path_factory.mktemp("published")
    paths = {"LIFELINE_PROMPT_DIR": folder / "prompts", "LIFELINE_FLOW_SNAPSHOT": folder / "flows.json"}
    paths["LIFELINE_LAST_RESORT_DIALPLAN"] = folder / "last_resort.xml"
    with django_db_blocker.unblock(), override_settings(**paths):
        try:
            with transaction.atomic():
                draft, _ = demo.ensure_draft()
                publishing.publish(draft)
                raise _Undone
        except _Undone:
            pass
        assert paths["LIFELINE_FLOW_SNAPSHOT"] == settings.LIFELINE_FLOW_SNAPSHOT
    data = paths["LIFELINE_FLOW_SNAPSHOT"].read_bytes()
    return Flows(decode_snapshot(data), paths["LIFELINE_FLOW_SNAPSHOT"], paths["LIFELINE_PROMPT_DIR"])


@pytest.fixture(scope="session")
def table() -> Any:
    """Written at the end when ENGINE_FAILURES_TABLE names the page; no test reads it."""
    made = Table()
    yield made
    if path := os.environ.get("ENGINE_FAILURES_TABLE"):
        made.write(Path(path))

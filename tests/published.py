"""The demonstration flow, published once a session with real audio: its snapshot, its prompts, its dialplan of last resort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from callflows import demo, publishing
from callflows.definition.flow import Snapshot, decode_snapshot


@dataclass(frozen=True, slots=True)
class Flows:
    """The demonstration flow as it is published, with its audio."""

    snapshot: Snapshot
    snapshot_path: Path
    prompt_dir: Path

    @property
    def last_resort(self) -> Path:
        return self.snapshot_path.with_name("last_resort.xml")


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

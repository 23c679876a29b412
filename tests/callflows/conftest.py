"""The demonstration flow as a draft or published with real speech, the test's own folders, and people of each group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from callflows import demo, publishing
from callflows.models import Flow, FlowVersion


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> Path:
    settings.LIFELINE_PROMPT_DIR = tmp_path / "prompts"
    settings.LIFELINE_FLOW_SNAPSHOT = tmp_path / "flows.json"
    settings.LIFELINE_LAST_RESORT_DIALPLAN = tmp_path / "last_resort.xml"
    # Nothing listens there: publishing is done by the process that asks.
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    # Nor is any switch asked whether it has the files.
    settings.LIFELINE_SWITCH_PORT = 1
    # WhiteNoise warns of a folder that does not exist.
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    return tmp_path


@pytest.fixture
def draft(db: None) -> Flow:
    flow, _ = demo.ensure_draft()
    return flow


@pytest.fixture
def published(draft: Flow) -> FlowVersion:
    return publishing.publish(draft)


@pytest.fixture
def person(db: None) -> Any:
    def make(*groups: str) -> User:
        user = User.objects.create_user("-".join(groups) or "nobody", password="x" * 12, is_staff=True)
        user.groups.set(Group.objects.filter(name__in=groups))
        return user

    return make

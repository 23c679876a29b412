"""What a developer's shell says of a stack reaches no test: neither their database nor their Redis, whatever is exported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.celery import app
from tests.settings import NOBODY
from tests.stack import ROOT, Stack

THEIRS = {
    "DATABASE_URL": "postgresql://anna@db.example.org/lifeline", "LIFELINE_REDIS_DURABLE_URL": "redis://db.example.org/0",
    "LIFELINE_REDIS_VOLATILE_URL": "redis://db.example.org/1", "LIFELINE_CELERY_BROKER_URL": "redis://db.example.org/2",
    "LIFELINE_SWITCH_HOST": "db.example.org", "LIFELINE_TEST_CALL_ENDPOINT": "sofia/internal/9200@db.example.org",
}  # fmt: skip
LOOK = """
import json, os
from tests import settings
held = {name: str(getattr(settings, name)) for name in dir(settings) if name.isupper()}
print(json.dumps([held, dict(os.environ)]))
"""


def test_nothing_that_is_exported_is_in_the_tests_settings_or_in_what_their_processes_inherit() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
    run = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, env=env | THEIRS, capture_output=True, text=True, check=True)
    held, inherited = json.loads(run.stdout)
    assert [name for name, value in [*held.items(), *inherited.items()] if "db.example.org" in value] == []
    assert held["LIFELINE_REDIS_DURABLE_URL"] == held["LIFELINE_REDIS_VOLATILE_URL"] == held["CELERY_BROKER_URL"] == NOBODY


def test_what_this_run_hands_to_workers_reaches_nobody() -> None:
    assert app.conf.broker_url == NOBODY


def test_a_stack_of_the_tests_has_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    assert [name for name, value in Stack(tmp_path)._environ().items() if "db.example.org" in value] == []

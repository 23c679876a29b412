"""What a process loads when it starts: one that serves no pages starts without them, and the checks see them all the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.stack import ROOT


def answer(program: str) -> str:
    """Of a fresh Python: this one has loaded everything by now."""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings", "LIFELINE_DEMO": "true"}
    done = subprocess.run([sys.executable, "-c", f"import django; django.setup(); {program}"], env=env, cwd=ROOT, check=True,
                          capture_output=True, text=True)  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("command", ["esl_bridge.management.commands.run_bridge", "console.management.commands.run_recorder"])
def test_a_process_without_pages_loads_none_of_them(command: str) -> None:
    pages = "callflows.admin ai_engine.admin callflows.rendering numpy celery"
    assert answer(f"import sys, {command}; print([each for each in '{pages}'.split() if each in sys.modules])") == "[]"


@pytest.mark.parametrize("loads", ["import console.urls", "from django.core.checks import run_checks; run_checks(tags=['admin'])"])
def test_who_serves_or_checks_the_admin_has_its_pages(loads: str) -> None:
    registered = "*(model.__name__ for model in admin.site._registry)"
    names = answer(f"{loads}; from django.contrib import admin; print({registered})")
    assert {"Engine", "Flow", "User"} <= set(names.split())

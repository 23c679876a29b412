"""The metrics that are exported, those that are documented and those that alerts ask for are the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings as project

from console.metrics import FiguresCollector, SpeedCollector

NAME = re.compile(r"\blifeline_\w+")


@pytest.mark.django_db
def test_exactly_the_metrics_there_are_are_documented_and_alerts_ask_for_no_others(volatile_redis: str, settings: Any) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    exported = [family.name for collector in (FiguresCollector(), SpeedCollector()) for family in collector.collect()]
    assert len(exported) == len(set(exported)) > 30
    page = (project.BASE_DIR / "docs/running.md").read_text()
    section = page[page.index("## Metrics") :].split("\n## ")[0]
    assert sorted(NAME.findall(section)) == sorted(exported)
    asked = NAME.findall((project.BASE_DIR / "deploy/prometheus/lifeline.rules.yml").read_text())
    assert len(asked) >= 6
    assert set(asked) <= set(exported)

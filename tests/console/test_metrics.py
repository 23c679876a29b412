"""The metrics that are exported, those that are documented and those that alerts ask for are the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from django.conf import settings as project
from django.db import OperationalError

from console import metrics
from console.metrics import FiguresCollector, SpeedCollector
from tests.console.journal import report_bridge

NAME = re.compile(r"\blifeline_\w+")
ABSENT = re.compile(r"\babsent\((\w+)\)")
RULES = project.BASE_DIR / "deploy/prometheus/lifeline.rules.yml"
AWAY = "unix:///nowhere/redis.sock"


@pytest.mark.django_db
def test_exactly_the_metrics_there_are_are_documented_and_alerts_ask_for_no_others(volatile_redis: str, settings: Any) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    exported = [family.name for collector in (FiguresCollector(), SpeedCollector()) for family in collector.collect()]
    assert len(exported) == len(set(exported)) > 30
    page = (project.BASE_DIR / "docs/running.md").read_text()
    section = page[page.index("## Metrics") :].split("\n## ")[0]
    assert sorted(NAME.findall(section)) == sorted(exported)
    asked = NAME.findall(RULES.read_text())
    assert len(asked) >= 6
    assert set(asked) <= set(exported)


def told() -> set[str]:
    """The series that a scrape finds now."""
    return {sample.name for family in FiguresCollector().collect() for sample in family.samples}


def raised(series: set[str]) -> set[str]:
    """The alerts that are raised because a series is missing: each asks for one, unless another one is missing as well."""
    found = set()
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        missing, _, more = (set(ABSENT.findall(part)) - series for part in rule["expr"].partition(" unless "))
        if missing and not more:
            found.add(rule["alert"])
    return found


@pytest.mark.django_db
def test_whatever_is_away_an_alert_says_so_since_the_rules_on_what_is_missing_are_silent(
    volatile_redis: str, durable_redis: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL, settings.LIFELINE_REDIS_VOLATILE_URL = durable_redis, volatile_redis
    assert raised(told()) == {"LifelineNoBridge"}
    report_bridge(durable_redis)
    assert raised(told()) == set()
    settings.LIFELINE_REDIS_VOLATILE_URL = AWAY
    assert raised(told()) == {"LifelineVolatileRedisAway"}
    settings.LIFELINE_REDIS_DURABLE_URL, settings.LIFELINE_REDIS_VOLATILE_URL = AWAY, volatile_redis
    assert raised(told()) == {"LifelineDurableRedisAway"}

    def away() -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(metrics, "figures", away)
    assert raised(told()) == {"LifelineNoFigures"}


def test_a_bridge_that_lives_and_never_told_of_its_spool_is_not_overlooked() -> None:
    """``lifeline_spool_told_at_seconds`` is missing then, and the rule on its age would be silent."""
    rules = {rule["alert"]: rule["expr"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    asked = re.sub(r"\s+", " ", rules["LifelineSpoolNotKnown"])
    assert re.search(r"lifeline_bridge_up\b.* unless on \(process\) lifeline_spool_told_at_seconds", asked)

"""Every incident of random calls ends as an oracle says, in whatever order it is told; and the four figures agree on them."""

from __future__ import annotations

import json
import random
from collections import Counter
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.intake import store
from console.lost_calls import end_found_gone
from console.models import Call, Incident
from console.projection import LOST
from tests.chaos import agreement
from tests.console.random_calls import RandomCall, outcomes
from tests.console.test_projection import interleaved

pytestmark = pytest.mark.django_db


def recorded(calls: list[RandomCall], dice: random.Random) -> None:
    """Stored in batches, owners' journals in any order; then the switch is asked after calls whose end nobody told."""
    told = interleaved([one for call in calls for one in call.entries], dice)
    while told:
        size = dice.randrange(1, 20)
        store(told[:size], "1-1")
        told = told[size:]
    for call in calls:
        if call.found_gone:
            assert end_found_gone(Call.objects.get(call_uuid=call.call_uuid), timezone.now())


def stored(call: RandomCall) -> dict[str, str]:
    found = Incident.objects.filter(call__call_uuid=call.call_uuid).values_list("incident_id", "outcome")
    return {"lost" if name == f"{call.call_uuid}:{LOST}" else name: outcome for name, outcome in found}


def now_us() -> int:
    return int(timezone.now().timestamp() * 1_000_000)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_each_incident_ends_as_the_oracle_says(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_each_incident_of_very_many_calls_ends_as_the_oracle_says(seed: int) -> None:
    check(seed)


def check(seed: int) -> None:
    dice = random.Random(seed)
    call = RandomCall.lived(dice, now_us())
    recorded([call], dice)
    assert stored(call) == outcomes(call.facts, found_gone=call.found_gone), call.facts
    assert Call.objects.get(call_uuid=call.call_uuid).ended_at is not None
    assert not Incident.objects.filter(call__call_uuid=call.call_uuid, outcome="").exists()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_page_metrics_command_and_database_agree_on_random_calls(seed: int, volatile_redis: str, settings: Any) -> None:
    settings.LIFELINE_REDIS_DURABLE_URL = settings.LIFELINE_REDIS_VOLATILE_URL = volatile_redis
    dice = random.Random(seed)
    calls = [RandomCall.lived(dice, now_us()) for _ in range(60)]
    recorded(calls, dice)
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))

    def command() -> dict[str, int]:
        out = StringIO()
        call_command("figures", "--json", stdout=out)
        return agreement.from_command(json.loads(out.getvalue()))

    figures = command()
    ways = {
        "page": agreement.from_page(client.get("/").content.decode()),
        "metrics": agreement.from_metrics(client.get("/metrics").content.decode()),
        "command": figures,
        "database": agreement.from_database(),
    }
    assert agreement.compare(ways) == []
    worst = Counter(worst_of(outcomes(call.facts, found_gone=call.found_gone)) for call in calls)
    assert figures["ai_failures_dropped"] == worst["dropped"] > 0
    assert figures["ai_failures_failed_over"] == worst["failed_over"] > 0
    assert figures["ai_failures_recovered"] == worst["recovered"] > 0
    assert figures["ai_failures_open"] == figures["live_calls"] == 0
    assert figures["calls_total"] == len(calls)


def worst_of(came: dict[str, str]) -> str:
    return next((each for each in ("dropped", "failed_over", "recovered") if each in came.values()), "")


def test_a_figure_that_differs_or_is_missing_is_said() -> None:
    whole = dict.fromkeys(agreement.ON_PAGE, 3)
    assert agreement.compare({"page": whole, "database": whole}) == []
    other = {**whole, "ai_failures_dropped": 4}
    assert agreement.compare({"page": whole, "database": other}) == ["ai_failures_dropped: page says 3, database says 4"]
    del other["live_calls"]
    assert "live_calls: page says 3, database says None" in agreement.compare({"page": whole, "database": other})

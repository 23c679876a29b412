"""The demonstration's business answers the same question the same way, and a booking asked twice is one booking."""

from __future__ import annotations

from datetime import datetime

import pytest

from esl_bridge.actions.demonstration import DemonstrationBusiness
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.calls.inputs import ActionDone, ActionFailed
from ivr_fallback.spoken import compose

NOON = datetime(2026, 11, 24, 12, 0).astimezone()


@pytest.mark.parametrize("action", ["balance", "order_status", "appointment"])
async def test_an_account_that_does_not_exist_is_said_so(action: str) -> None:
    outcome, values = await DemonstrationBusiness().perform(action, {"account_number": "0000"}, "k", NOON)
    assert (outcome, values) == ("unknown_account", {})


async def test_a_booking_with_the_same_key_is_the_same_booking() -> None:
    business = DemonstrationBusiness()
    first = await business.perform("appointment", {"account_number": "4217"}, "key-1", NOON)
    again = await business.perform("appointment", {"account_number": "4217"}, "key-1", NOON)
    other = await business.perform("appointment", {"account_number": "4217"}, "key-2", NOON)
    assert first == again != other


@pytest.mark.parametrize(("hour", "outcome"), [(12, "open"), (20, "closed")])
async def test_opening_hours_depend_on_the_clock(hour: int, outcome: str) -> None:
    assert (await DemonstrationBusiness().perform("opening_hours", {}, "k", NOON.replace(hour=hour)))[0] == outcome


async def test_every_answer_is_declared_and_every_declared_one_is_given_with_values_that_can_be_spoken() -> None:
    given: dict[str, set[str]] = {}
    for action, declared in DemonstrationBusiness.ACTIONS.items():
        for account in range(0, 10_000, 97):
            slots = dict.fromkeys(declared.slots, f"{account:04}")
            for hour in (7, 12):
                outcome, values = await DemonstrationBusiness().perform(action, slots, f"key-{account}", NOON.replace(hour=hour))
                assert values.keys() == declared.outcomes[outcome].keys()
                template = " ".join(f"{{{name}:{kind}}}" for name, kind in declared.outcomes[outcome].items())
                assert bool(compose(template, values, "en")) is bool(values)
                given.setdefault(action, set()).add(outcome)
    assert given == {action: set(declared.outcomes) for action, declared in DemonstrationBusiness.ACTIONS.items()}


async def test_an_action_that_does_not_exist_fails_and_hurts_nobody() -> None:
    runner = ActionRunner()
    assert await runner.run("launch", {}, "k") == ActionFailed("k", "unknown_action")
    assert isinstance(await runner.run("balance", {"account_number": "4217"}, "k2"), ActionDone)

"""The demonstration's business answers the same question the same way, and a booking asked twice is one booking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from esl_bridge.actions import runner as runner_module
from esl_bridge.actions.demonstration import Answer, DemonstrationBusiness
from esl_bridge.actions.runner import ActionRunner
from esl_bridge.calls.inputs import ActionDone, ActionFailed
from ivr_fallback.actions import Actions
from ivr_fallback.spoken import compose

Act = Callable[[Mapping[str, str]], Awaitable[Answer]]
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


# --- Whatever a business does ---


class BusinessOf:
    """Does what the test says."""

    ACTIONS: ClassVar[Actions] = DemonstrationBusiness.ACTIONS

    def __init__(self, act: Act) -> None:
        self._act = act

    async def perform(self, action: str, slots: Mapping[str, str], key: str, now: datetime) -> Answer:
        return await self._act(slots)


async def looks_up_wrongly(slots: Mapping[str, str]) -> Answer:
    return {"9999": ("ok", {})}[slots["account_number"]]


async def is_refused(slots: Mapping[str, str]) -> Answer:
    try:
        return await looks_up_wrongly(slots)
    except KeyError as error:
        raise ConnectionError(f"401 for https://bank/accounts/{slots['account_number']}") from error


async def lets_a_cancellation_out(slots: Mapping[str, str]) -> Answer:
    raise asyncio.CancelledError


async def cancels_itself(slots: Mapping[str, str]) -> Answer:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    raise AssertionError("unreachable")


async def answers_nothing(slots: Mapping[str, str]) -> Answer:
    return None  # type: ignore[return-value]


async def answers_half(slots: Mapping[str, str]) -> Answer:
    return None, {}  # type: ignore[return-value]


WRONG = [looks_up_wrongly, is_refused, lets_a_cancellation_out, cancels_itself, answers_nothing, answers_half]


@pytest.mark.parametrize("act", WRONG)
async def test_whatever_is_no_result_is_an_error_and_no_caller_waits_for_it(act: Act) -> None:
    with capture_logs() as logs:
        result = await ActionRunner(BusinessOf(act)).run("balance", {"account_number": "4217"}, "k")
    assert result == ActionFailed("k", "error")
    assert [line["event"] for line in logs] == ["an action failed"]


@pytest.mark.parametrize("act", [looks_up_wrongly, is_refused])
async def test_an_error_is_logged_by_its_type_and_place_and_without_its_words(
    act: Act, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await ActionRunner(BusinessOf(act)).run("balance", {"account_number": "4217"}, "k")
    printed = "".join(capfd.readouterr()) + caplog.text
    with capture_logs() as logs:
        await ActionRunner(BusinessOf(act)).run("balance", {"account_number": "4217"}, "k")
    (line,) = logs
    assert line["error"] in ("KeyError", "ConnectionError")
    assert line["raised_at"][-1].rpartition(":")[0] == __file__
    assert not line.get("exc_info")
    assert "4217" not in printed + str(line)


async def goes_deep(slots: Mapping[str, str]) -> Answer:
    return await goes_deep(slots)


async def test_of_an_endless_recursion_the_innermost_places_are_logged() -> None:
    with capture_logs() as logs:
        assert await ActionRunner(BusinessOf(goes_deep)).run("balance", {}, "k") == ActionFailed("k", "error")
    assert len(logs[0]["raised_at"]) == runner_module.FRAMES_MOST


async def test_who_does_not_answer_in_time_is_left_though_they_will_not_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "TIMEOUT_S", 0.01)
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def goes_on(slots: Mapping[str, str]) -> Answer:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await may_end.wait()
        ended.set()
        raise ValueError(slots["account_number"])

    run = ActionRunner(BusinessOf(goes_on)).run
    assert await run("balance", {"account_number": "4217"}, "k") == ActionFailed("k", "timeout")
    may_end.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert caplog.text == "", "nor does its late error say what it was about"


async def test_a_timeout_of_the_business_is_one_of_ours() -> None:
    async def times_out(slots: Mapping[str, str]) -> Answer:
        raise TimeoutError

    assert await ActionRunner(BusinessOf(times_out)).run("balance", {}, "k") == ActionFailed("k", "timeout")


async def test_a_bridge_that_ends_cancels_what_it_asked_for() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def waits(slots: Mapping[str, str]) -> Answer:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("unreachable")

    task = asyncio.create_task(ActionRunner(BusinessOf(waits)).run("balance", {}, "k"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cancelled.wait()

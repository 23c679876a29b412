"""An intent is held to what its action declares: each thing that would fail in every call is said in words."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ivr_fallback.actions import Action
from ivr_fallback.parity import problems
from ivr_fallback.spoken import Kind
from tests.ivr_fallback.flows import whole_flow

ACTIONS = {
    "balance": Action({"ok": {"balance": Kind.AMOUNT}}, ("account_number",)),
    "book": Action({"ok": {}, "full": {"date": Kind.DATE}}),
}


def said(**changes: Any) -> list[str]:
    flow = whole_flow()
    first, *others = flow.intents
    found = problems(replace(flow, intents=(replace(first, **changes), *others)), actions=ACTIONS)
    return [problem.text for problem in found if "have no audio" not in problem.text]


def test_an_intent_that_keeps_to_its_action_has_no_problem_and_an_outcome_more_is_none() -> None:
    assert said() == []
    assert said(outcomes={"ok": "Your balance is {balance:amount}.", "never": "Your balance is {x:date}"}) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"action": "balanse"}, "there is no action 'balanse'; there are balance, book"),
        ({"slots": ("language",)}, "its action 'balance' needs the slot 'account_number', and it does not ask for it"),
        ({"action": "book", "outcomes": {"ok": "Your balance is"}},
         "its action 'book' may answer 'full', and there is no such outcome"),
        ({"outcomes": {"ok": "{balanse:amount}"}}, "outcome 'ok': the action gives no 'balanse' here; it gives {balance:amount}"),
        ({"outcomes": {"ok": "{account_number:digits}"}},
         "outcome 'ok': the action gives no 'account_number' here; it gives {balance:amount}"),
        ({"outcomes": {"ok": "{balance:number}"}}, "outcome 'ok': write {balance:amount} in place of {balance:number}"),
        ({"action": "book", "outcomes": {"ok": "{date:date}", "full": "{date:date}"}},
         "outcome 'ok': the action gives no 'date' here; it gives no values at all"),
    ],
)  # fmt: skip
def test_what_would_fail_in_every_call_is_said(changes: dict[str, Any], text: str) -> None:
    assert said(**changes) == [text]


def test_what_is_wrong_anyway_is_said_once() -> None:
    assert said(outcomes={"ok": "{x"}) == ["outcome 'ok': a brace in '{x' is not part of a place: write {name:kind}"]
    assert said(action="") == ["it is automated, and no action is chosen"]

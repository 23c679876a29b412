"""An action whose result nobody knows keeps its key until it is known, through persons and bridges; what is done has a new one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from callflows.definition.hours import Hours, Span
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.actions_taken import ACTION_KEY, KEPT_MOST, ActionsTaken
from esl_bridge.expecting import Expecting, expected_of
from esl_bridge.journal.events import ActionFinished, ActionStarted
from tests.esl_bridge.calls.flow import demonstration
from tests.esl_bridge.calls.harness import UUID, Line

UNKNOWN_RESULTS = ["timeout", "error"]
FIRST, SECOND, THIRD = (f"{UUID}:balance:{visit}" for visit in (1, 2, 3))
ACCOUNT, OTHER = {"account": "4217"}, {"account": "9999"}


def kept_by(*lines: Line) -> dict[str, str]:
    kept: dict[str, str] = {}
    for line in lines:
        for one in line.all(order.SetVariables):
            kept |= one.values
    return kept


def in_the_menu(line: Line) -> Line:
    line.connect(use=told.AiUse.NO_ENGINE)
    line.hear_out()
    return line


def at_night() -> Line:
    line = Line(msgspec.structs.replace(demonstration(), hours=Hours("UTC", ((Span(9 * 60, 17 * 60),),) * 7)))
    line.began_at = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
    return line


def asks(line: Line, digits: str = "") -> str:
    """By keys; the key under which it is asked of the business now."""
    already = len(line.all(order.RunAction))
    for key in "1" + digits:
        line.key(key)
    assert len(line.all(order.RunAction)) == already + 1, "nothing is asked of the business"
    return line.all(order.RunAction)[-1].key


def fails(line: Line, kind: str) -> list[str]:
    line.tell(told.ActionFailed(line.all(order.RunAction)[-1].key, kind))
    return line.hear_out()


def is_done(line: Line) -> list[str]:
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "ok", {"balance": Decimal("1.00")}))
    return line.hear_out()


def next_owner(*before: Line, disposition: str = "") -> Line:
    line = Line(before[-1].flow, bridge_id="bridge-2")
    line.began_at = before[-1].began_at
    line.connect(kept=kept_by(*before), disposition=disposition, use=told.AiUse.NO_ENGINE)
    return line


# --- The same asked again ---


@pytest.mark.parametrize("kind", UNKNOWN_RESULTS)
def test_who_asks_again_for_what_may_have_been_done_asks_under_the_same_key_until_it_is_known(kind: str) -> None:
    line = in_the_menu(at_night())
    assert asks(line, "4217") == FIRST
    assert fails(line, kind) == ["action_failed", "closed", "anything_else_menu"]
    assert asks(line) == FIRST
    assert fails(line, kind) == ["action_failed", "closed", "anything_else_menu"]
    assert asks(line) == FIRST
    assert is_done(line)[:2] == ["Your balance is", "one"]
    assert asks(line) == f"{UUID}:balance:4", "what is known to be done is done anew"
    assert [one.key for one in line.journal(ActionStarted)] == [one.key for one in line.all(order.RunAction)]
    assert [one.outcome for one in line.journal(ActionFinished)] == [f"failed:{kind}"] * 2 + ["ok"]


def test_the_same_holds_by_voice() -> None:
    line = at_night()
    line.to_listening()
    line.understood("hours")
    line.tell(told.ActionFailed(f"{UUID}:hours:1", "timeout"))
    assert line.hear_out() == ["action_failed", "closed", "anything_else"]
    line.understood("hours")
    assert [one.key for one in line.all(order.RunAction)] == [f"{UUID}:hours:1"] * 2


@pytest.mark.parametrize("kind", UNKNOWN_RESULTS)
def test_who_comes_back_from_a_person_who_was_not_there_asks_under_the_same_key(kind: str) -> None:
    line = in_the_menu(Line())
    assert asks(line, "4217") == FIRST
    assert fails(line, kind) == ["action_failed"]
    assert line.all(order.TransferToAgent)
    after = next_owner(line, disposition="USER_BUSY")
    assert after.hear_out()[0] == "no_agent"
    assert asks(after) == FIRST
    is_done(after)
    assert kept_by(line, after)[ACTION_KEY] == ""
    later = next_owner(line, after)
    later.hear_out()
    assert asks(later) == THIRD


def test_an_heir_of_a_repeated_action_that_was_done_but_not_heard_of_asks_under_its_key() -> None:
    line = in_the_menu(at_night())
    asks(line, "4217")
    fails(line, "timeout")
    assert asks(line) == FIRST
    line.tell(told.ActionDone(FIRST, "ok", {"balance": Decimal("1.00")}))
    line.begin_play()
    heir = next_owner(line)
    assert [one.key for one in heir.all(order.RunAction)] == [FIRST]


def test_a_wish_that_a_star_ends_while_its_result_is_told_is_settled() -> None:
    line = in_the_menu(Line())
    asks(line, "4217")
    line.tell(told.ActionDone(FIRST, "ok", {"balance": Decimal("1.00")}))
    line.begin_play()
    line.key("*")
    assert kept_by(line)[ACTION_KEY] == ""
    line.hear_out()
    assert asks(line) == SECOND


@pytest.mark.parametrize("kind", ["key_not_kept", "unknown_action", "call_over"])
def test_what_was_certainly_not_begun_gets_a_new_key_but_not_when_it_may_have_been_before(kind: str) -> None:
    line = in_the_menu(at_night())
    asks(line, "4217")
    fails(line, kind)
    assert kept_by(line)[ACTION_KEY] == ""
    assert asks(line) == SECOND
    fails(line, "timeout")
    assert asks(line) == SECOND
    fails(line, kind)
    assert asks(line) == SECOND


def test_a_value_that_the_business_did_not_know_ends_that_wish() -> None:
    line = in_the_menu(Line())
    asks(line, "4217")
    line.tell(told.ActionDone(FIRST, "unknown_account", {}))
    for key in "4217":
        line.key(key)
    assert line.all(order.RunAction)[-1].key == SECOND


# --- Other wishes between ---


def begun(actions: ActionsTaken, slots: dict[str, str], intent: str = "balance", secret: tuple[str, ...] = ()) -> str:
    """Of a caller who asks anew: the key that is asked with, or nothing."""
    actions.new_visit()
    actions.settled()
    return again(actions, slots, intent, secret)


def again(actions: ActionsTaken, slots: dict[str, str], intent: str = "balance", secret: tuple[str, ...] = ()) -> str:
    orders, _ = actions.begin(intent, intent, slots, 0.0, secret=secret)
    keys = [one.key for one in orders if isinstance(one, order.RunAction)]
    return keys[0].removeprefix("call:") if keys else ""


def on_switch(actions: ActionsTaken) -> str:
    return actions._on_switch


def test_other_values_are_another_wish_and_the_first_ones_are_still_the_first() -> None:
    actions = ActionsTaken("call", "")
    assert begun(actions, ACCOUNT) == "balance:1"
    actions.ended(told.ActionFailed("call:balance:1", "timeout"), 3.0)
    assert begun(actions, OTHER) == "balance:2"
    actions.ended(told.ActionDone("call:balance:2", "ok", {}), 3.0)
    assert begun(actions, ACCOUNT) == "balance:1"


def test_another_wish_between_does_not_settle_the_first_in_this_bridge_or_the_next() -> None:
    actions = ActionsTaken("call", "")
    begun(actions, ACCOUNT)
    actions.ended(told.ActionFailed("call:balance:1", "timeout"), 3.0)
    assert begun(actions, {}, "hours") == "hours:2"
    heir = ActionsTaken("call", "2", on_switch(actions))
    actions.ended(told.ActionDone("call:hours:2", "open", {}), 3.0)
    assert begun(actions, ACCOUNT) == begun(heir, ACCOUNT) == "balance:1"
    assert begun(heir, {}, "hours") == "hours:2", "its bridge died before the answer"


def test_of_many_without_a_result_the_switch_keeps_the_newest_and_this_bridge_all() -> None:
    actions = ActionsTaken("call", "")
    for number in range(KEPT_MOST + 1):
        begun(actions, {"account": str(number)})
        actions.ended(told.ActionFailed(f"call:balance:{number + 1}", "error"), 1.0)
    heir = ActionsTaken("call", "3", on_switch(actions))
    assert [begun(heir, {"account": str(number)}) for number in (2, 1, 0)] == ["balance:3", "balance:2", "balance:6"]
    assert [begun(actions, {"account": str(number)}) for number in (2, 1, 0)] == ["balance:3", "balance:2", "balance:1"]


def test_who_asks_again_while_it_runs_waits_for_it() -> None:
    actions = ActionsTaken("call", "")
    begun(actions, ACCOUNT)
    assert begun(actions, {}, "hours") == "hours:2"
    assert begun(actions, ACCOUNT) == ""
    orders, is_awaited = actions.ended(told.ActionDone("call:hours:2", "open", {}), 1.0)
    assert ([type(one) for one in orders], is_awaited) == ([order.Record], False)
    assert actions.ended(told.ActionDone("call:balance:1", "ok", {}), 1.0)[1]
    assert actions.ended(told.ActionDone("call:balance:1", "ok", {}), 1.0) == ([], False)


def test_a_secret_value_tells_wishes_apart_where_it_is_known_and_leaves_no_trace_on_the_switch() -> None:
    kept = set()
    for pin in ("1234", "9876"):
        actions = ActionsTaken("call", "")
        begun(actions, {**ACCOUNT, "pin": pin}, secret=("pin",))
        actions.ended(told.ActionFailed("call:balance:1", "timeout"), 3.0)
        assert begun(actions, {**ACCOUNT, "pin": "0000"}, secret=("pin",)) == "balance:2"
        heir = ActionsTaken("call", "1", on_switch(actions).split(",")[0])
        assert begun(heir, {**ACCOUNT, "pin": "0000"}, secret=("pin",)) == "balance:1"
        assert begun(heir, {**OTHER, "pin": pin}, secret=("pin",)) == "balance:3"
        kept.add(on_switch(actions))
    assert len(kept) == 1


def test_a_wish_goes_on_under_its_visits_key_whatever_of_its_values_the_switch_had_no_room_for() -> None:
    actions = ActionsTaken("call", "")
    begun(actions, ACCOUNT)
    heir = ActionsTaken("call", "1", on_switch(actions))
    assert again(heir, OTHER) == "balance:1"
    heir.ended(told.ActionFailed("call:balance:1", "timeout"), 3.0)
    assert begun(heir, OTHER) == "balance:1"
    heir.ended(told.ActionDone("call:balance:1", "ok", {}), 3.0)
    assert begun(heir, ACCOUNT) == "balance:3"


@pytest.mark.parametrize("kept", ["", ",", "nonsense", f"{UUID}:balance:1", "balance:x:00000000", "balance:1:0000"])
def test_what_is_no_key_of_ours_is_none(kept: str) -> None:
    """As of a bridge of the release before, which leaves the key also of what is done."""
    assert begun(ActionsTaken("call", "1", kept), ACCOUNT) == "balance:2"


def test_only_the_order_before_an_action_has_it_wait_for_the_switch() -> None:
    orders, _ = ActionsTaken("call", "1").begin("balance", "balance", ACCOUNT, 0.0)
    assert [expected_of(one) for one in orders if isinstance(one, order.SetVariables)] == [Expecting.KEY]
    assert expected_of(order.SetVariables({ACTION_KEY: ""})) is Expecting.NOTHING


# --- Records ---


@pytest.mark.parametrize("result", [told.ActionDone(FIRST, "ok", {}), told.ActionFailed(FIRST, "timeout")])
def test_a_result_that_comes_after_the_caller_has_hung_up_is_recorded_and_nothing_else_follows(
    result: told.ActionDone | told.ActionFailed,
) -> None:
    line = in_the_menu(Line())
    asks(line, "4217")
    line.tell(told.HungUp("NORMAL_CLEARING"))
    line.now += 1.5
    outcome = result.outcome if isinstance(result, told.ActionDone) else f"failed:{result.kind}"
    assert line.tell(result) == [order.Record(ActionFinished("balance", FIRST, outcome, 1500.0))]
    assert line.tell(result) == []


def test_a_result_that_comes_after_somebody_moved_the_call_is_recorded() -> None:
    line = in_the_menu(Line())
    asks(line, "4217")
    line.tell(told.TakenElsewhere())
    assert line.tell(told.ActionDone(FIRST, "ok", {})) == [order.Record(ActionFinished("balance", FIRST, "ok", 0.0))]
    line.tell(told.HungUp("NORMAL_CLEARING"))
    assert line.tell(told.ActionDone(FIRST, "ok", {})) == []


@pytest.mark.parametrize("end", [told.OwnerChanged(), told.SocketClosed()])
def test_a_result_that_comes_when_another_has_the_call_is_for_that_one_to_tell(end: told.End) -> None:
    line = in_the_menu(Line())
    asks(line, "4217")
    line.tell(end)
    assert line.tell(told.ActionDone(FIRST, "ok", {})) == []

"""The keypad menu by itself: it offers, collects, acts and hands over, and nobody goes round in circles."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ivr_fallback.menu import CHOICE_TIMEOUT_MS, DIGIT_TIMEOUT_MS, Menu, State
from ivr_fallback.steps import (
    Act,
    AwaitKey,
    ChooseIntent,
    DropIntent,
    End,
    EnterStep,
    ForgetSlots,
    KeepSlot,
    MenuStep,
    Say,
    Served,
    ToPerson,
)
from tests.ivr_fallback.flows import whole_flow


def always() -> bool:
    return True


def of(steps: list[MenuStep], kind: type) -> list:
    return [step for step in steps if isinstance(step, kind)]


def words(steps: list[MenuStep]) -> list[str]:
    return [phrase.text for say in of(steps, Say) for phrase in say.phrases]


def entered(menu: Menu) -> Menu:
    menu.begin(())
    menu.on_said()
    return menu


def collecting() -> Menu:
    menu = entered(Menu(whole_flow(), slots={"language": "english"}, is_open=always))
    menu.on_key("1")
    return menu


def acting() -> Menu:
    menu = Menu(whole_flow(), slots={"language": "english", "account_number": "4217"}, is_open=always, intent="balance")
    menu.begin(())
    return menu


def test_it_offers_every_intent_and_names_the_keys() -> None:
    steps = Menu(whole_flow(), slots={}, is_open=always).begin(())
    assert words(steps) == ["menu_intro", "For your balance, press 1.", "For a person, press nine."]
    assert [say.names_keys for say in of(steps, Say)] == [False, True]


def test_it_asks_for_what_is_missing_and_then_acts() -> None:
    menu = collecting()
    assert menu.on_said() == [AwaitKey(CHOICE_TIMEOUT_MS)]
    assert menu.on_key("4") == [AwaitKey(DIGIT_TIMEOUT_MS)]
    menu.on_key("2")
    menu.on_key("1")
    steps = menu.on_key("7")
    assert KeepSlot("account_number", "4217") in steps
    assert of(steps, Act)[0].slots == {"language": "english", "account_number": "4217"}


def test_a_choice_is_picked_by_its_digit() -> None:
    menu = entered(Menu(whole_flow(), slots={"account_number": "4217"}, is_open=always))
    assert of(menu.on_key("1"), ChooseIntent) == [ChooseIntent("balance")]
    slot = whole_flow().slot("language")
    assert slot is not None
    steps = menu.on_key(slot.choices[0].digit)
    assert of(steps, KeepSlot) == [KeepSlot("language", slot.choices[0].value)]


def test_it_skips_what_is_already_known() -> None:
    steps = Menu(whole_flow(), slots={"language": "english", "account_number": "4217"}, is_open=always, intent="balance").begin(())
    assert words(steps) == ["menu_hint"]
    assert len(of(steps, Act)) == 1


def test_the_outcome_is_told_and_more_is_offered() -> None:
    menu = acting()
    steps = menu.on_action("ok", {"balance": Decimal("1.00")})
    assert words(steps)[0] == "Your balance is"
    after = menu.on_said()
    assert of(after, Served) == [Served("balance")]
    assert words(after) == ["anything_else_menu"]
    menu.on_said()
    goodbye = menu.on_silence()
    assert words(goodbye) == ["goodbye"]
    assert menu.on_said() == [End()]


@pytest.mark.parametrize("key", ["*", "0", "1"])
def test_a_key_during_the_goodbye_is_late_and_not_lost(key: str) -> None:
    """Seen under load: the star came 0.8 s before the five seconds were over, and was read after them."""
    menu = acting()
    menu.on_action("ok", {"balance": Decimal("1.00")})
    menu.on_said()
    menu.on_said()
    assert words(menu.on_silence()) == ["goodbye"]
    assert menu.on_key("#") == []
    assert menu.on_key(key)
    assert not of(menu.on_said(), End)


def test_a_late_hash_after_a_complete_number_changes_nothing() -> None:
    menu = acting()
    menu.on_action("ok", {"balance": Decimal("1.00")})
    assert menu.on_key("#") == []
    menu.on_said()
    assert menu.on_key("#") == []


def test_star_leads_back_to_the_menu_from_anywhere() -> None:
    menu = collecting()
    steps = menu.on_key("*")
    assert words(steps)[0] == "menu_intro"
    assert menu.state is State.CHOOSING
    assert of(steps, DropIntent), "whoever goes on from here does not begin it again"
    assert not of(menu.on_key("*"), DropIntent), "there is none any more"


@pytest.mark.parametrize("key", ["5", "8"])
def test_three_wrong_keys_bring_a_person(key: str) -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=always))
    for _ in range(2):
        assert words(menu.on_key(key))[0] == "invalid_choice"
    menu.on_key(key)
    assert of(menu.on_said(), ToPerson)


def test_three_silences_bring_a_person() -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=always))
    for _ in range(3):
        menu.on_silence()
    assert of(menu.on_said(), ToPerson)


def test_a_number_too_short_is_asked_for_again() -> None:
    menu = collecting()
    menu.on_key("4")
    assert words(menu.on_silence()) == ["invalid_choice", "Enter your account."]
    menu.on_key("4")
    assert words(menu.on_key("#"))[0] == "invalid_choice"


def test_zero_and_a_human_intent_bring_a_person() -> None:
    for key in ("0", "9"):
        menu = entered(Menu(whole_flow(), slots={}, is_open=always))
        assert words(menu.on_key(key)) == ["connecting"]
        assert of(menu.on_said(), ToPerson)


def test_an_action_that_fails_brings_a_person() -> None:
    menu = acting()
    assert words(menu.on_action_failed()) == ["action_failed"]
    assert of(menu.on_said(), ToPerson)


@pytest.mark.parametrize("key", ["*", "0", "1", "#"])
def test_a_key_while_the_action_runs_chooses_nothing_that_its_result_would_be_told_of(key: str) -> None:
    """Chosen once more it would be done twice, and another choice would be answered with this one's result."""
    menu = acting()
    assert menu.on_key(key) == []
    assert of(menu.on_action("ok", {"balance": Decimal("1.00")}), EnterStep) == [EnterStep("outcome:balance")]


def test_a_result_that_comes_when_a_person_is_already_called_changes_nothing() -> None:
    menu = acting()
    menu.on_prompt_missing()
    assert menu.on_action("ok", {}) == menu.on_action_failed() == []


def test_an_outcome_that_the_flow_cannot_say_brings_a_person() -> None:
    assert words(acting().on_action("sideways", {})) == ["action_failed"]


def test_a_wrong_account_is_forgotten_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = whole_flow()
    intent = flow.intents[0]
    intent.outcomes["unknown_account"] = "in english"
    menu = Menu(flow, slots={"language": "english", "account_number": "0000"}, is_open=always, intent="balance")
    menu.begin(())
    steps = menu.on_action("unknown_account", {})
    assert of(steps, ForgetSlots) == [ForgetSlots(intent.slots)]
    assert "in english" in words(steps)


def test_a_missing_prompt_brings_a_person_at_once() -> None:
    menu = Menu(whole_flow(), slots={}, is_open=always)
    menu.begin(())
    assert of(menu.on_prompt_missing(), ToPerson)


def test_keys_after_the_decision_for_a_person_change_nothing() -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=always))
    menu.on_key("0")
    assert menu.on_key("1") == []


def never() -> bool:
    return False


def after_hours(menu: Menu, steps: list[MenuStep]) -> list[str]:
    """What is said in place of a person; the menu must go on, and end by itself when nothing more is wanted."""
    assert [step.step for step in of(steps, EnterStep)] == ["closed", "anything_else"]
    assert (len(of(steps, DropIntent)), of(steps, ToPerson), menu.state) == (1, [], State.AFTER)
    assert of(menu.on_said(), AwaitKey)
    assert words(menu.on_silence()) == ["goodbye"]
    assert of(menu.on_said(), End)
    return words(steps)


@pytest.mark.parametrize("key", ["0", "9"])
def test_outside_opening_hours_a_key_to_a_person_says_so_and_offers_the_rest(key: str) -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=never))
    assert after_hours(menu, menu.on_key(key)) == ["closed", "anything_else_menu"]


def test_outside_opening_hours_tries_that_are_used_up_end_in_a_goodbye_and_not_in_circles() -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=never))
    menu.on_key("5")
    menu.on_silence()
    assert after_hours(menu, menu.on_key("5")) == ["invalid_choice", "closed", "anything_else_menu"]


def test_outside_opening_hours_an_action_that_failed_is_regretted_and_not_handed_over() -> None:
    menu = Menu(whole_flow(), slots={"language": "english", "account_number": "4217"}, is_open=never, intent="balance")
    menu.begin(())
    assert after_hours(menu, menu.on_action_failed()) == ["action_failed", "closed", "anything_else_menu"]


def test_the_moment_that_counts_is_when_the_person_is_asked_for() -> None:
    hour = [True]
    menu = entered(Menu(whole_flow(), slots={}, is_open=lambda: hour[0]))
    hour[0] = False
    assert words(menu.on_key("0"))[0] == "closed"
    menu.on_said()
    hour[0] = True
    assert words(menu.on_key("0")) == ["connecting"]
    hour[0] = False
    assert of(menu.on_said(), ToPerson), "who was told that they are being connected is"


def test_a_menu_that_cannot_be_heard_leads_to_a_person_at_any_hour() -> None:
    menu = entered(Menu(whole_flow(), slots={}, is_open=never))
    assert of(menu.on_prompt_missing(), ToPerson)

"""What callers decide."""

from __future__ import annotations

import random

import pytest

from simulator.mind import HANG_UP, WAIT, Action, Kind, Mind
from simulator.scenarios import GOALS, YES

ACCOUNT = "4217"


def mind(goal: str) -> Mind:
    return Mind(GOALS[goal], ACCOUNT, random.Random(1))


def hear(someone: Mind, text: str) -> Action:
    return someone.decide(text, unknown_speech=False)


def hear_voice(someone: Mind) -> Action:
    return someone.decide("", unknown_speech=True)


def says(action: Action, *words: str) -> bool:
    return action.kind is Kind.SAY and action.text in words


GREETING = "Welcome. How can I help you?"


def test_a_balance_in_words_the_caller_knows() -> None:
    caller = mind("balance")
    assert says(hear(caller, GREETING), *GOALS["balance"].utterances)
    assert says(hear(caller, "What is your account number?"), "four two one seven")
    assert hear(caller, "One moment please.") == WAIT
    assert hear(caller, "Your balance is ten pounds.") == WAIT
    assert caller.answered
    assert hear(caller, "Is there anything else?") == HANG_UP


def test_the_answer_and_the_next_question_may_come_in_one_breath() -> None:
    assert hear(mind("opening_hours"), "We are open from nine to five. Is there anything else?") == HANG_UP


def test_asked_again_they_say_it_in_other_words() -> None:
    caller = mind("balance")
    first = hear(caller, GREETING)
    second = hear(caller, "Sorry, I did not understand. Please say that again.")
    assert says(second, *GOALS["balance"].utterances)
    assert second != first


def test_asked_again_for_the_number_they_repeat_the_number() -> None:
    caller = mind("balance")
    hear(caller, GREETING)
    hear(caller, "What is your account number?")
    assert says(hear(caller, "Sorry, I did not catch that."), "four two one seven")


def test_replies_without_known_words_follow_the_errand() -> None:
    caller = mind("balance")
    hear(caller, GREETING)
    assert says(hear_voice(caller), "four two one seven")
    assert hear_voice(caller) == WAIT
    assert caller.answered


def test_a_reply_without_known_words_before_a_known_question_was_the_answer() -> None:
    caller = mind("opening_hours")
    hear(caller, GREETING)
    assert caller.decide("Is there anything else I can help you with?", unknown_speech=True) == HANG_UP
    early = mind("balance")
    assert says(early.decide(GREETING, unknown_speech=True), *GOALS["balance"].utterances)
    waiting = mind("person")
    hear(waiting, GREETING)
    assert hear_voice(waiting) == WAIT
    assert not waiting.satisfied


def test_the_menu_by_keys() -> None:
    caller = mind("order_status")
    menu = "For your balance, press 1. For the status of an order, press 2. To speak to a person, press 0."
    assert hear(caller, "Let me transfer you to our team. " + menu) == Action(Kind.PRESS, "2")
    assert caller.in_fallback
    enter = "Please enter your account number followed by the hash key. Press star to return to the menu."
    assert hear(caller, enter) == Action(Kind.PRESS, "4217#")
    assert hear(caller, "Your order is on its way. For anything else, press 1. To finish, press 2.") == HANG_UP


def test_in_the_menu_nobody_speaks() -> None:
    caller = mind("balance")
    hear(caller, "Let me transfer you to our team.")
    assert hear(caller, "How can I help you?") == WAIT


def test_a_menu_heard_again_after_a_mistake_is_answered_again() -> None:
    caller = mind("balance")
    menu = "For your balance, press 1. For opening hours, press 2."
    assert hear(caller, menu) == hear(caller, "That is not an option. " + menu) == Action(Kind.PRESS, "1")


def test_offered_times_are_taken_and_confirmed() -> None:
    caller = mind("appointment")
    menu = "For opening hours, press 1. To make an appointment, press 3."
    assert hear(caller, menu) == Action(Kind.PRESS, "3")
    offers = "For Monday at ten, press 1. For Tuesday at two, press 2. To hear them again, press 9."
    assert hear(caller, offers) == Action(Kind.PRESS, "1")
    assert hear(caller, "To confirm, press 1. To go back, press 2.") == Action(Kind.PRESS, "1")
    hear(caller, "Your appointment is booked.")
    assert caller.satisfied


def test_an_appointment_by_voice() -> None:
    caller = mind("appointment")
    hear(caller, GREETING)
    assert says(hear(caller, "I have Monday at ten or Tuesday at two. Which time suits you?"), "the first one please")
    assert says(hear(caller, "Monday at ten. Is that right?"), *YES)


def test_only_a_conversation_satisfies_who_wants_a_person() -> None:
    caller = mind("person")
    assert says(hear(caller, GREETING), *GOALS["person"].utterances)
    hear(caller, "Connecting you to a person now.")
    assert not caller.satisfied
    caller.helped_by_person = True
    assert hear(caller, "Is there anything else?") == HANG_UP


@pytest.mark.parametrize("goal", list(GOALS))
def test_every_goal_finds_its_key_in_a_plain_menu(goal: str) -> None:
    menu = (
        "For your balance, press 1. For the status of your order, press 2. For our opening hours, press 3. "
        "For an appointment, press 4. To speak to a person, press 0."
    )
    key = {"balance": "1", "order_status": "2", "opening_hours": "3", "appointment": "4", "person": "0"}[goal]
    assert hear(mind(goal), menu) == Action(Kind.PRESS, key)
    option = mind(goal).option_for_goal(menu)
    assert option is not None
    assert option.key == key


def test_silence_and_tones_call_for_nothing() -> None:
    assert hear(mind("balance"), "") == WAIT


YES_OR_NO = "Say yes or no, or press 1 for yes, 2 for no."


def answers(goal: str, question: str) -> set[str]:
    """What several callers say to the same question; keys as yes and no."""
    given = set()
    for seed in range(20):
        caller = Mind(GOALS[goal], ACCOUNT, random.Random(seed))
        hear(caller, GREETING)
        action = hear(caller, f"{question} {YES_OR_NO}")
        given.add({"1": "yes key", "2": "no key"}[action.text] if action.kind is Kind.PRESS else action.text.split()[0])
    return given


def test_asked_whether_it_was_this_they_want_callers_say_so_or_press_the_key() -> None:
    assert answers("balance", "Did you want to know your balance?") == {"yes", "yes key"}
    assert answers("balance", "Did you want to ask about your order?") == {"no", "no key"}
    assert answers("person", "Did you want to know our opening hours?") == {"no", "no key"}


def test_a_number_read_back_is_compared_with_their_own() -> None:
    assert answers("balance", "Is this number right? four two one seven") == {"yes", "yes key"}
    assert answers("balance", "Is this number right? four two one oh") == {"no", "no key"}
    caller = mind("balance")
    hear(caller, GREETING)
    hear(caller, "What is your account number?")
    hear(caller, f"Is this number right? four two one one {YES_OR_NO}")
    assert says(hear(caller, "Sorry, I did not understand that. What is your account number?"), "four two one seven")


def test_who_uses_keys_only_asks_for_the_menu_and_never_speaks() -> None:
    caller = Mind(GOALS["balance"], ACCOUNT, random.Random(1), keys_only=True)
    assert caller.ask_for_menu() == Action(Kind.PRESS, "*")
    assert hear(caller, "Sorry, I did not catch that. How can I help you?") == Action(Kind.PRESS, "*")
    assert hear(caller, "For your balance, press 1. For opening hours, press 2.") == Action(Kind.PRESS, "1")
    assert hear(caller, "Please enter your account number, followed by the hash key.") == Action(Kind.PRESS, "4217#")
    assert hear(caller, "Your balance is ten pounds.") == WAIT
    assert hear(caller, "For anything else, press 1.") == HANG_UP


MENU = "Please choose. For your balance, press 1. For the status of your order, press 2. For our opening hours, press 3."
MORE = "For anything else, press star. Otherwise you may hang up."


def with_two_errands() -> Mind:
    return Mind(GOALS["balance"], ACCOUNT, random.Random(1), keys_only=True, later=[GOALS["opening_hours"]])


def pressed(action: Action) -> str:
    return action.text if action.kind is Kind.PRESS else ""


def test_a_second_errand_begins_in_the_menu_when_the_first_is_answered() -> None:
    caller = with_two_errands()
    assert pressed(hear(caller, MENU)) == "1"
    assert pressed(hear(caller, f"Your balance is ten pounds. {MORE}")) == "*"
    assert not caller.satisfied
    assert pressed(hear(caller, MENU)) == "3"
    assert hear(caller, f"We are open from nine to five. {MORE}") == HANG_UP
    assert caller.satisfied


def test_another_bridge_that_offers_more_is_asked_for_the_menu_again() -> None:
    caller = with_two_errands()
    hear(caller, MENU)
    hear(caller, f"Your balance is ten pounds. {MORE}")
    assert pressed(hear(caller, MORE)) == "*"


def test_an_answer_that_was_never_heard_is_no_errand_done() -> None:
    caller = with_two_errands()
    hear(caller, MENU)
    assert pressed(hear(caller, MORE)) == "*"
    assert pressed(hear(caller, MENU)) == "1"
    assert hear(caller, MORE) == WAIT
    assert not caller.satisfied


def test_half_a_menu_without_the_wish_in_it_is_waited_out() -> None:
    caller = with_two_errands()
    assert pressed(hear(caller, MENU)) == "1"
    assert hear(caller, "For our opening hours, press 3. Please choose one of the following.") == WAIT
    assert pressed(hear(caller, MENU)) == "1"


def test_the_other_sides_goodbye_or_a_person_ends_the_errands_that_are_left() -> None:
    for end, helped in (("Your balance is ten pounds. Goodbye.", False), (MORE, True)):
        caller = with_two_errands()
        hear(caller, MENU)
        caller.helped_by_person = helped
        assert hear(caller, end) == HANG_UP


def test_an_answer_that_stops_in_the_middle_is_not_all_of_it() -> None:
    caller = mind("balance")
    assert hear(caller, "Your balance is four hundred") == WAIT
    assert not caller.told_all
    hear(caller, "Your balance is four hundred euros. Is there anything else?")
    assert caller.told_all

"""A caller who may have been misunderstood is asked, and only what they confirmed is acted on."""

from __future__ import annotations

from datetime import time

import pytest
from msgspec.structs import replace

from ai_engine.messages import TurnFailed
from callflows.definition.flow import UNSPOKEN, Choice, FlowVersion, Slot, SlotKind
from esl_bridge.calls import inputs as told
from esl_bridge.calls import orders as order
from esl_bridge.calls.confirming import Answer, read_answer
from esl_bridge.journal.events import FallbackReason, FellBack, SlotCollected, StepEntered
from tests.esl_bridge.calls.flow import demonstration, phrase
from tests.esl_bridge.calls.harness import UUID, Line

NUMBER = ["read_back", "four", "two", "one", "seven", "yes_or_no"]
MENU = ["menu_intro", "balance press 1", "hours press 2", "person press 9"]


def listening(flow: FlowVersion | None = None) -> Line:
    line = Line(flow)
    line.to_listening()
    return line


def asked_for_balance(*, confidence: float = 0.6) -> Line:
    line = listening()
    line.understood("balance", confidence=confidence, reply=True)
    return line


def actions(line: Line) -> list[tuple[str, dict[str, str]]]:
    return [(item.action, dict(item.slots)) for item in line.all(order.RunAction)]


def fell_back(line: Line) -> list[FallbackReason]:
    return [event.reason for event in line.journal(FellBack)]


def test_a_guess_is_asked_about_and_a_yes_goes_on() -> None:
    line = asked_for_balance()
    assert line.hear_out() == ["want balance", "yes_or_no"]
    assert line.all(order.PublishTurn)[-1].expect == "yes_or_no"
    line.understood(transcript="yes please")
    assert line.hear_out() == ["say account"]


@pytest.mark.parametrize(
    ("words", "understood", "then"),
    [
        ("no not my balance", "balance", MENU),  # what they have denied is not begun
        ("yes please", "", ["menu_hint", "key account"]),
        ("no the opening hours", "hours", ["menu_hint"]),
        ("hm", "", MENU),
    ],
)
def test_an_answer_stands_although_its_turn_then_fails(words: str, understood: str, then: list[str]) -> None:
    line = asked_for_balance()
    line.hear_out()
    line.speak()
    line.tell(TurnFailed(UUID, line.turn(), "tts", "silent", 4, (), words, understood, confidence=0.9))
    assert line.hear_out() == ["transfer_to_team", *then]
    assert [one.action for one in line.all(order.RunAction)] == (["opening_hours"] if understood == "hours" else [])


@pytest.mark.parametrize("key", ["1", "2"])
def test_keys_answer_as_well_also_while_the_question_is_being_asked(key: str) -> None:
    line = asked_for_balance()
    line.begin_play()
    line.key(key)
    assert line.words(line.all(order.Play)[-1].file) == ("say account" if key == "1" else "not_understood")


def test_after_a_no_they_are_asked_again_once_and_then_have_the_keypad() -> None:
    line = asked_for_balance()
    line.hear_out()
    line.understood(transcript="no")
    assert line.hear_out() == ["not_understood"]
    assert line.all(order.PublishTurn)[-1].expect == "intent"
    line.understood("hours", confidence=0.6)
    assert line.hear_out() == ["want hours", "yes_or_no"]
    line.understood(transcript="no that is wrong")
    assert fell_back(line) == [FallbackReason.NOT_UNDERSTOOD]
    assert line.hear_out() == MENU, "no intent of the two was kept"
    assert actions(line) == []


def test_a_no_with_the_right_wish_is_a_correction() -> None:
    line = asked_for_balance()
    line.hear_out()
    line.understood("hours", transcript="no when are you open", confidence=0.95)
    assert [name for name, _ in actions(line)] == ["opening_hours"]


def test_an_unsure_correction_is_asked_about_in_its_turn() -> None:
    line = asked_for_balance()
    line.hear_out()
    line.understood("hours", transcript="when are you", confidence=0.6)
    assert line.hear_out() == ["want hours", "yes_or_no"]
    line.understood(transcript="yes")
    assert [name for name, _ in actions(line)] == ["opening_hours"]


def test_neither_yes_nor_no_is_asked_once_more_and_then_the_keypad_follows() -> None:
    line = asked_for_balance()
    line.hear_out()
    line.understood(transcript="what")
    assert line.hear_out() == ["want balance", "yes_or_no"]
    line.understood(transcript="")
    assert fell_back(line) == [FallbackReason.NOT_UNDERSTOOD]


def test_money_and_bookings_need_more() -> None:
    flow = demonstration()
    careful = replace(flow, intents=(replace(flow.intents[0], careful=True), *flow.intents[1:]))
    line = listening(careful)
    line.understood("balance", confidence=0.9)
    assert line.hear_out() == ["want balance", "yes_or_no"]
    line = listening()
    line.understood("balance", confidence=0.9)
    assert line.hear_out() == ["say account"]


def test_a_version_without_confirming_questions_acts_as_before() -> None:
    flow = demonstration()
    system = replace(flow.system, read_back=UNSPOKEN, yes_or_no=UNSPOKEN)
    line = listening(replace(flow, system=system))
    line.understood("balance", confidence=0.6)
    assert line.hear_out() == ["say account"]
    line.understood(slots={"account": "4217"})
    assert actions(line) == [("balance", {"account": "4217"})]


# --- Numbers ---


def number_heard() -> Line:
    line = listening()
    line.understood("balance")
    line.hear_out()
    line.understood(slots={"account": "4217"}, transcript="four two one seven")
    assert line.hear_out() == NUMBER
    assert actions(line) == []
    return line


def test_a_number_that_was_heard_is_read_back_and_used_after_a_yes() -> None:
    line = number_heard()
    line.understood(transcript="yes that is right")
    assert actions(line) == [("balance", {"account": "4217"})]


def test_a_key_confirms_it_and_it_still_counts_as_heard() -> None:
    line = number_heard()
    line.key("1")
    assert actions(line) == [("balance", {"account": "4217"})]
    assert line.journal(SlotCollected) == [SlotCollected("account", "4217", "voice")]


def test_a_wrong_number_is_asked_for_again_and_then_by_keypad() -> None:
    line = number_heard()
    line.understood(transcript="no")
    assert line.hear_out() == ["not_understood", "say account"]
    line.understood(slots={"account": "4218"})
    assert line.hear_out() == ["read_back", "four", "two", "one", "eight", "yes_or_no"]
    line.key("2")
    assert fell_back(line) == [FallbackReason.NOT_UNDERSTOOD]
    assert line.hear_out() == ["menu_hint", "key account"], "the wish was confirmed, the number was not"
    for digit in "4217":
        line.key(digit)
    assert actions(line) == [("balance", {"account": "4217"})]


def test_a_corrected_number_is_read_back_again() -> None:
    line = number_heard()
    line.understood(slots={"account": "4218"}, transcript="no four two one eight")
    assert line.hear_out() == ["read_back", "four", "two", "one", "eight", "yes_or_no"]
    line.understood(transcript="yes")
    assert actions(line) == [("balance", {"account": "4218"})]


def test_typing_the_number_instead_of_an_answer_replaces_it() -> None:
    line = number_heard()
    for digit in "4218":
        line.key(digit)
    assert actions(line) == [("balance", {"account": "4218"})]


def test_a_typed_number_is_not_read_back() -> None:
    line = listening()
    line.understood("balance")
    line.hear_out()
    for digit in "4217":
        line.key(digit)
    assert actions(line) == [("balance", {"account": "4217"})]


def test_a_number_said_with_the_wish_is_read_back_before_it_is_used() -> None:
    line = listening()
    line.understood("balance", slots={"account": "4217"})
    assert line.hear_out() == NUMBER
    assert line.journal(StepEntered)[-1].step == "slot:account"
    line.understood(transcript="yes")
    assert actions(line) == [("balance", {"account": "4217"})]


def test_a_sensitive_number_is_never_said() -> None:
    flow = demonstration()
    line = listening(replace(flow, slots=(replace(flow.slots[0], sensitive=True),)))
    line.understood("balance", slots={"account": "4217"})
    assert actions(line) == [("balance", {"account": "4217"})]


def test_a_failure_gives_the_menu_what_was_confirmed_and_nothing_else() -> None:
    line = number_heard()
    line.turn_fails()
    assert line.hear_out() == ["transfer_to_team", "menu_hint", "key account"]
    line = asked_for_balance()
    line.hear_out()
    line.turn_fails()
    assert line.hear_out() == ["transfer_to_team", *MENU]


def served(flow: FlowVersion, intent: str, slots: dict[str, str]) -> Line:
    line = listening(flow)
    line.understood(intent, slots=slots)
    for _ in slots:
        if not actions(line):  # A number, which is read back.
            line.hear_out()
            line.understood(transcript="yes")
    line.tell(told.ActionDone(line.all(order.RunAction)[-1].key, "open", {"closes": time(18, 0)}))
    assert line.hear_out()[-1] == "anything_else"
    return line


def asking_for(slot: Slot) -> FlowVersion:
    """The opening hours and what people do, both of one day, or of one number."""
    flow = demonstration()
    hours = replace(flow.intents[1], slots=(slot.name,))
    other = replace(hours, name="people", action="staff", digit="3")
    return replace(flow, slots=(slot,), intents=(hours, other))


DAY = Slot("day", SlotKind.CHOICE, "Day", phrase("say the day"), phrase("key the day"),
           choices=(Choice("monday", "1", "on Monday"), Choice("tuesday", "2", "on Tuesday")))  # fmt: skip


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize(("intent", "action"), [("hours", "opening_hours"), ("people", "staff")])
def test_a_value_that_is_said_anew_takes_the_place_of_the_old_one_also_when_the_turn_fails(
    intent: str, action: str, fails: bool
) -> None:
    line = served(asking_for(DAY), "hours", {"day": "monday"})
    if fails:
        line.turn_fails(stage="tts", intent=intent, slots={"day": "tuesday"})
    else:
        line.understood(intent, slots={"day": "tuesday"})
    assert actions(line) == [("opening_hours", {"day": "monday"}), (action, {"day": "tuesday"})]
    assert [event.value for event in line.journal(SlotCollected)] == ["monday", "tuesday"]
    on_switch = [one.values["slot_day"] for one in line.all(order.SetVariables) if "slot_day" in one.values]
    assert on_switch == ["monday", "tuesday"]


def test_a_number_that_is_said_anew_is_read_back_and_never_the_old_one_used() -> None:
    line = served(asking_for(demonstration().slots[0]), "hours", {"account": "4217"})
    line.understood("hours", slots={"account": "4218"})
    assert line.hear_out() == ["read_back", "four", "two", "one", "eight", "yes_or_no"]
    assert order.SetVariables({"slot_account": "", "visit": "2"}) in line.orders, "nor would an heir use it"
    line.understood(transcript="yes")
    assert actions(line)[1:] == [("opening_hours", {"account": "4218"})]


def test_a_number_that_was_said_anew_before_the_turn_failed_is_asked_for_and_never_the_old_one_used() -> None:
    line = served(asking_for(demonstration().slots[0]), "hours", {"account": "4217"})
    line.turn_fails(stage="tts", intent="hours", slots={"account": "4218"})
    assert line.hear_out() == ["transfer_to_team", "menu_hint", "key account"]
    assert order.SetVariables({"slot_account": "", "visit": "2"}) in line.orders
    for digit in "4218":
        line.key(digit)
    assert actions(line)[1:] == [("opening_hours", {"account": "4218"})]


def test_what_is_known_and_said_again_is_not_asked_for_again() -> None:
    line = served(asking_for(demonstration().slots[0]), "hours", {"account": "4217"})
    line.turn_fails(stage="tts", intent="hours", slots={"account": "4217"})
    assert actions(line)[1:] == [("opening_hours", {"account": "4217"})]


def test_an_unsure_wish_of_a_failed_turn_is_chosen_anew() -> None:
    line = listening()
    line.turn_fails(stage="tts", intent="balance", confidence=0.6, slots={"account": "4217"})
    assert line.hear_out() == ["transfer_to_team", *MENU]
    line.key("1")
    assert line.hear_out() == ["key account"]


@pytest.mark.parametrize("key", ["*", "0"])
def test_the_menu_and_a_person_are_a_key_away(key: str) -> None:
    line = asked_for_balance()
    line.hear_out()
    line.key(key)
    assert line.hear_out() == (MENU if key == "*" else ["connecting"])


def test_another_bridge_asks_anew() -> None:
    line = Line()
    line.connect(kept={"owner": "bridge-2:1", "step": "confirming", "mode": "ai"})
    line.stream_up()
    assert line.hear_out() == ["not_understood"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Yes, please.", Answer.YES), ("that is right", Answer.YES), ("yes it is", Answer.YES), ("no", Answer.NO),
        ("no thank you", Answer.NO), ("that is not right", Answer.NO), ("that isn't right", Answer.NO),
        ("no, the right one is two", Answer.NO), ("what", Answer.UNCLEAR), ("", Answer.UNCLEAR),
    ],
)  # fmt: skip
def test_yes_and_no_in_other_words(said: str, answer: Answer) -> None:
    assert read_answer(said) is answer

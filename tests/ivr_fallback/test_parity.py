"""Every rule of parity: a flow that keeps it passes, one that breaks it is told so in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from callflows.definition.flow import UNSPOKEN, Choice, FlowVersion, Intent, Phrase, Policy, Slot
from callflows.definition.hours import Hours, Span
from esl_bridge.protocol.commands import safe_value
from ivr_fallback.parity import Problem, problems
from tests.ivr_fallback.flows import phrase, whole_flow

Break = Callable[[FlowVersion], FlowVersion]


def texts(flow: FlowVersion) -> list[str]:
    return [str(problem) for problem in problems(flow)]


def flow_with(**changes: Any) -> Break:
    return lambda flow: replace(flow, **changes)


def intent_with(**changes: Any) -> Break:
    return lambda flow: replace(flow, intents=(replace(flow.intents[0], **changes), *flow.intents[1:]))


def slot_with(index: int, **changes: Any) -> Break:
    def broken(flow: FlowVersion) -> FlowVersion:
        slots = list(flow.slots)
        slots[index] = replace(slots[index], **changes)
        return replace(flow, slots=tuple(slots))

    return broken


def without_phrase(words: str) -> Break:
    return lambda flow: replace(flow, phrases={key: value for key, value in flow.phrases.items() if key != words})


def test_a_flow_with_hours_must_have_words_for_closed_and_one_without_need_not() -> None:
    silent = replace(whole_flow().system, closed=UNSPOKEN, closed_greeting=UNSPOKEN)
    flow = replace(whole_flow(), system=silent)
    assert problems(flow) == []
    open_always = Hours("UTC", ((Span(0, 1440),),) * 7)
    assert problems(replace(flow, hours=open_always)) == [
        Problem("Phrase 'closed'", "there are no words to say")
    ]  # fmt: skip
    assert problems(replace(whole_flow(), hours=replace(open_always, zone=""))) == [
        Problem("Opening hours", "the opening hours need a time zone, such as Europe/Berlin")
    ]  # fmt: skip


def test_a_choice_may_hold_just_what_a_switch_keeps_of_it() -> None:
    flow = whole_flow()
    (index,) = (index for index, slot in enumerate(flow.slots) if slot.choices)
    first, *others = flow.slots[index].choices
    for sign in map(chr, range(32, 256)):
        for value in (sign, f"a{sign}b"):
            found = texts(slot_with(index, choices=(replace(first, value=value), *others))(flow))
            assert any("its value may hold letters" in text for text in found) is not safe_value(value), value


def test_a_whole_flow_has_no_problems() -> None:
    assert problems(whole_flow()) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (flow_with(destination_number=""), "Flow: the dialled number is missing"),
        (flow_with(destination_number="$a"), "Flow: the dialled number is missing or holds other signs"),
        (flow_with(intents=()), "Flow: there is no intent"),
        (flow_with(human_destination=""), "Flow: there is no human destination"),
        (flow_with(human_destination="a,b${x}"), "Flow: the human destination may hold"),
        (flow_with(human_destination="sip:team@example.org"), "Flow: the human destination may hold"),
        (flow_with(human_destination="gateway/carrier/123"), "Flow: the human destination may hold"),
        (
            flow_with(turn_budget_ms=6000),
            "Flow: the time for an AI response is 6000 ms; it must be from 3000 to 5000 ms",
        ),
        (flow_with(listen_limit_ms=10), "Flow: the listening limit is 10 ms"),
        (flow_with(language="xx"), "Flow: numbers and dates cannot be spoken in 'xx' yet"),
        (without_phrase("forty-two"), "Flow: 1 pieces of numbers and dates have no audio (forty-two"),
        (without_phrase("your balance is"), "Intent Balance: outcome 'ok': the words 'Your balance is' have no audio"),
        (without_phrase("in german"), "Slot Language: choice 'de': the words 'in German' have no audio"),
        (intent_with(name="Balance!"), "Intent Balance: its name must begin with a small letter"),
        (intent_with(name="person"), "Flow: 2 intents are called 'person'"),
        (intent_with(digit=""), "Intent Balance: it has no key in the keypad menu"),
        (intent_with(digit="0"), "Intent Balance: key 0 cannot be used: 0 always leads to a person"),
        (intent_with(digit="*"), "Intent Balance: key * cannot be used: * always leads back to the menu"),
        (intent_with(digit="#"), "Intent Balance: key # cannot be used"),
        (intent_with(digit="12"), "Intent Balance: key '12' is not one of 1 to 9"),
        (intent_with(digit="9"), "Intent Balance: key 9 is used by Balance and Person"),
        (intent_with(digit="2"), "its menu phrase 'For your balance, press 1.' does not name its key, 2"),
        (intent_with(menu=Phrase("", "")), "Intent Balance: its menu phrase: there are no words to say"),
        (intent_with(menu=Phrase("Press 1", "../x.wav")), "Intent Balance: its menu phrase: it has no audio file"),
        (intent_with(utterances=()), "Intent Balance: there is no example of what a caller says"),
        (
            intent_with(utterances=("A  person please",)),
            "Flow: 'a person please' is an example of both balance and person",
        ),
        (intent_with(slots=("pin",)), "Intent Balance: it needs the slot 'pin', which the flow does not have"),
        (intent_with(action=""), "Intent Balance: it is automated, and no action is chosen"),
        (intent_with(outcomes={}), "Intent Balance: there is no outcome"),
        (intent_with(outcomes={"ok": "{x:money}"}), "outcome 'ok': {x:money}: there is no kind 'money'"),
        (intent_with(outcomes={"ok": "{x}"}), "outcome 'ok': a brace in"),
        (intent_with(outcomes={"ok": " . "}), "outcome 'ok': there are no words to say"),
        (intent_with(outcomes={"ok": "{account_number:words}"}), "is a number; write {account_number:digits}"),
        (intent_with(destination="x y"), "Intent Balance: its destination may hold"),
        (slot_with(0, name="account number"), "Slot Account: its name must begin with a small letter"),
        (slot_with(0, name="language"), "Flow: 2 slots are called 'language'"),
        (slot_with(0, min_length=0), "Slot Account: its length must be from 1 to 32 digits"),
        (slot_with(0, max_length=3), "Slot Account: its length must be from 1 to 32 digits"),
        (slot_with(0, ask_keypad=Phrase("", "")), "Slot Account: its keypad question: there are no words to say"),
        (slot_with(1, choices=()), "Slot Language: there is nothing to choose from"),
        (slot_with(1, choices=(Choice("en", "0", "in english"),)), "choice 'en': key 0 cannot be used"),
        (slot_with(1, choices=(Choice("en", "x", "in english"),)), "choice 'en': its key must be one of 1 to 9"),
        (slot_with(1, choices=(Choice("en", "3", "in english"),)), "the keypad question does not name its key, 3"),
        (
            slot_with(1, choices=(Choice("en", "1", "in english"), Choice("de", "1", "in german"))),
            "Slot Language: key '1' is used 2 times",
        ),
    ],
)
def test_a_broken_rule_is_said_in_plain_words(broken: Break, said: str) -> None:
    found = texts(broken(whole_flow()))
    assert any(text.startswith(said) or said in text for text in found), found


def test_a_human_intent_without_any_destination_is_a_problem() -> None:
    flow = whole_flow()
    person = replace(flow.intents[1], destination="")
    assert not problems(replace(flow, intents=(flow.intents[0], person)))
    lost = replace(flow, intents=(flow.intents[0], person), human_destination="")
    assert "Intent Person: it leads to a person, and neither it nor the flow names a destination" in texts(lost)


def test_a_missing_system_phrase_is_named() -> None:
    flow = whole_flow()
    silent = replace(flow, system=replace(flow.system, transfer_to_team=Phrase(" ", "")))
    assert texts(silent) == ["Phrase 'transfer to team': there are no words to say"]


def test_files_that_do_not_exist_are_named_when_it_is_known_which_do() -> None:
    flow = whole_flow()
    assert problems(flow, known_files=flow.files()) == []
    gone = phrase("forty-two").file
    assert problems(flow, known_files=flow.files() - {gone}) == [
        Problem("Spoken piece 'forty-two'", f"its audio file {gone} does not exist")
    ]


def test_an_unnamed_intent_and_slot_are_called_by_their_names() -> None:
    flow = whole_flow()
    bare = Intent("x", "", Policy.AUTOMATE, (), "2", phrase("Press 2"))
    slot = Slot("y", flow.slots[0].kind, "", phrase("Y?"), phrase("Enter y"), 3, 2)
    found = texts(replace(flow, intents=(*flow.intents, bare), slots=(*flow.slots, slot)))
    assert {text.split(":")[0] for text in found} == {"Intent x", "Slot y"}


def test_a_question_of_yes_or_no_names_its_keys() -> None:
    flow = whole_flow()
    silent = replace(flow, system=replace(flow.system, yes_or_no=phrase("Yes or no?")))
    assert [str(problem) for problem in problems(silent)] == [
        "Phrase 'yes or no': 'Yes or no?' does not name the keys 1 for yes and 2 for no"
    ]


def test_a_version_without_confirming_questions_is_whole() -> None:
    assert problems(replace(whole_flow(), intents=tuple(replace(one, confirm=UNSPOKEN) for one in whole_flow().intents))) == []

"""A flow in words, and what changed between two."""

from __future__ import annotations

from msgspec.structs import replace

from callflows.differences import Change, Difference, describe, differences, keypad_menu
from tests.ivr_fallback.flows import phrase, whole_flow


def test_the_same_flow_has_no_differences() -> None:
    assert differences(whole_flow(), replace(whole_flow(), number=2)) == []


def test_a_changed_line_is_removed_and_added_with_its_place() -> None:
    flow = whole_flow()
    moved = replace(flow, intents=(replace(flow.intents[0], digit="3", menu=phrase("Press 3.")), flow.intents[1]))
    assert differences(flow, moved) == [
        Difference(Change.REMOVED, "Intent balance has key 1: For your balance, press 1."),
        Difference(Change.ADDED, "Intent balance has key 3: Press 3."),
    ]


def test_a_new_recording_of_the_same_words_is_a_difference() -> None:
    flow = whole_flow()
    again = replace(flow, phrases=flow.phrases | {"one": replace(flow.phrases["one"], file="f" * 64 + ".wav")})
    assert [difference.change for difference in differences(flow, again)] == [Change.REMOVED, Change.ADDED]


def test_a_flow_is_described_with_everything_that_can_be_edited() -> None:
    described = "\n".join(describe(whole_flow()))
    for words in (
        "Intent person leads to a person (agent@127.0.0.1:5090)", "Intent balance runs the action balance",
        "Intent balance needs: account_number, language", "Slot language choice de: key 2, in German",
        "Slot account_number is not sensitive", "Intent balance outcome ok: Your balance is {balance:amount}.",
        "Intent balance example: what is my balance", "Goodbye: goodbye",
    ):  # fmt: skip
        assert words in described


def test_the_keypad_menu_is_its_sentences_in_order() -> None:
    assert keypad_menu(whole_flow()) == ["menu_intro", "For your balance, press 1.", "For a person, press nine."]

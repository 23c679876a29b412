"""A small demonstration flow as a value: balance by account number, opening hours, a person."""

from __future__ import annotations

from callflows.definition.flow import FlowVersion, Intent, Phrase, Policy, Slot, SlotKind, SystemPhrases
from ivr_fallback.spoken import fragments


def phrase(text: str) -> Phrase:
    return Phrase(text, f"{text.lower().replace(' ', '_')}.wav", 1000)


def demonstration() -> FlowVersion:
    words = (*fragments("en"), "Your balance is", "We are open until", "I cannot find that account number.")
    return FlowVersion(
        slug="demo",
        number=3,
        name="Demo",
        destination_number="9200",
        language="en",
        voice="en-us",
        system=SystemPhrases(**{name: phrase(name) for name in SystemPhrases.__struct_fields__}),
        intents=(
            Intent("balance", "Balance", Policy.AUTOMATE, ("what is my balance",), "1", phrase("balance press 1"),
                   ("account",), "balance", {"ok": "Your balance is {balance:amount}",
                                             "unknown_account": "I cannot find that account number."},
                   confirm=phrase("want balance")),
            Intent("hours", "Hours", Policy.AUTOMATE, ("when are you open",), "2", phrase("hours press 2"),
                   (), "opening_hours", {"open": "We are open until {closes:time}"}, confirm=phrase("want hours")),
            Intent("person", "Person", Policy.HUMAN, ("a person",), "9", phrase("person press 9"),
                   destination="agent@127.0.0.1:5090"),
        ),
        slots=(Slot("account", SlotKind.DIGITS, "Account", phrase("say account"), phrase("key account"), 4, 4),),
        phrases={text.lower(): phrase(text) for text in words},
        human_destination="agent@127.0.0.1:5090",
    )  # fmt: skip

"""A small whole flow as a value, for tests that break one thing in it."""

from __future__ import annotations

import hashlib

from callflows.definition.flow import Choice, FlowVersion, Intent, Phrase, Policy, Slot, SlotKind, SystemPhrases
from ivr_fallback.spoken import fragments


def phrase(text: str) -> Phrase:
    return Phrase(text, f"{hashlib.sha256(text.encode()).hexdigest()}.wav", 500)


def whole_flow() -> FlowVersion:
    pieces = (*fragments("en"), "Your balance is", "in english", "in german")
    return FlowVersion(
        slug="utility",
        number=1,
        name="Utility",
        destination_number="9200",
        language="en",
        voice="en-us",
        system=SystemPhrases(
            **{name: phrase(name) for name in SystemPhrases.__struct_fields__}
            | {"yes_or_no": phrase("Press 1 for yes, 2 for no.")}
        ),
        intents=(
            Intent(
                name="balance",
                label="Balance",
                policy=Policy.AUTOMATE,
                utterances=("what is my balance",),
                digit="1",
                menu=phrase("For your balance, press 1."),
                slots=("account_number", "language"),
                action="balance",
                outcomes={"ok": "Your balance is {balance:amount}."},
            ),
            Intent(
                name="person",
                label="Person",
                policy=Policy.HUMAN,
                utterances=("a person please",),
                digit="9",
                menu=phrase("For a person, press nine."),
                destination="agent@127.0.0.1:5090",
            ),
        ),
        slots=(
            Slot(
                name="account_number",
                kind=SlotKind.DIGITS,
                label="Account",
                ask=phrase("Account?"),
                ask_keypad=phrase("Enter your account."),
                min_length=4,
                max_length=4,
            ),
            Slot(
                name="language",
                kind=SlotKind.CHOICE,
                label="Language",
                ask=phrase("Language?"),
                ask_keypad=phrase("For English press 1, for German press two."),
                choices=(Choice("en", "1", "in English"), Choice("de", "2", "in German")),
            ),
        ),
        phrases={words.lower(): phrase(words) for words in pieces},
        human_destination="agent@127.0.0.1:5090",
    )

"""A small published flow for tests of the AI side."""

from __future__ import annotations

from callflows.definition.flow import (
    Choice,
    FlowVersion,
    Intent,
    Phrase,
    Policy,
    Slot,
    SlotKind,
    Snapshot,
    SystemPhrases,
)


def phrase(text: str) -> Phrase:
    return Phrase(text, "x.wav", 500)


def demo_flow() -> FlowVersion:
    names = SystemPhrases.__struct_fields__
    account = Slot("account_number", SlotKind.DIGITS, "Account", phrase("?"), phrase("?"), min_length=4, max_length=8)
    choices = (Choice("en", "1", "English"), Choice("es", "2", "Spanish"))
    language = Slot("language", SlotKind.CHOICE, "Language", phrase("?"), phrase("?"), choices=choices)
    return FlowVersion(
        slug="demo",
        number=3,
        name="Demo",
        destination_number="*",
        language="en",
        voice="en-us",
        system=SystemPhrases(**{name: phrase(name) for name in names}),
        intents=(
            Intent(
                "opening_hours", "Opening hours", Policy.AUTOMATE,
                ("what are your opening hours", "when are you open"), "1", phrase("press 1"),
            ),
            Intent(
                "balance", "Balance", Policy.AUTOMATE, ("what is my balance",), "2", phrase("press 2"),
                slots=("account_number",),
            ),
        ),
        slots=(account, language),
        phrases={},
        human_destination="user/agent",
    )  # fmt: skip


def demo_snapshot() -> Snapshot:
    return Snapshot((demo_flow(),))

"""Which values may fill a slot: the one check between what anybody said and what a call keeps."""

from __future__ import annotations

from callflows.definition.flow import Slot, SlotKind
from esl_bridge.protocol.commands import safe_value


def fits(slot: Slot, value: str) -> bool:
    """True when the value has the slot's form, and may be mirrored to the switch."""
    if not value or not safe_value(value):
        return False
    if slot.kind is SlotKind.DIGITS:
        return value.isascii() and value.isdecimal() and slot.min_length <= len(value) <= slot.max_length
    return any(choice.value == value for choice in slot.choices)

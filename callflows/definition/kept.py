"""What of a call is kept on the switch, for the bridge that resumes it: how many bytes, and who may use how many of them.

FreeSWITCH reads a variable byte by byte and repeats it in every event (measured: 2 KB are about 5 ms and a third of an event).
The shares add up to the whole, so no share can push out another: a slot is never lost to the conversation's history.
"""

from __future__ import annotations

import re

from callflows.definition.flow import FlowVersion, Slot

PREFIX = "ll_"
SLOT_PREFIX = "slot_"
# Names and values together, in bytes; every value is ASCII that travels unencoded or as three bytes.
ALL_BYTES = 2048
# Owner, holder, flow and version, language, step, mode, intent, visit, actions and incident at their longest: 608.
STATE_BYTES = 640
# Seven addresses; a list that is longer is cut.
BRIDGES_BYTES = 128
SLOT_BYTES = 832
HISTORY_BYTES = 448
# What a choice's value may hold, as a variable may (``esl_bridge.protocol.commands``): it is kept there as it is.
CHOICE_VALUE = re.compile(r"[A-Za-z0-9_.:@+,#*/-]{1,40}")
CHOICE_VALUE_WORDS = "may hold letters (a to z), digits and . _ : @ + , # * / - only, 40 at most; what is heard are its words"


def slot_bytes(slot: Slot) -> int:
    """What a slot takes at its longest; a sensitive one is never given to the switch."""
    if slot.sensitive:
        return 0
    longest = max((len(choice.value) for choice in slot.choices), default=slot.max_length)
    return kept_bytes(SLOT_PREFIX + slot.name, "x" * longest)


def kept_bytes(name: str, value: str) -> int:
    """``name`` without the prefix; nothing for a variable that is unset."""
    return len(PREFIX) + len(name) + len(value) if value else 0


def slots_fit(flow: FlowVersion) -> bool:
    return sum(map(slot_bytes, flow.slots)) <= SLOT_BYTES

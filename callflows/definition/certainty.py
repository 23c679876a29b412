"""How sure an AI must be before a caller is taken at its word; below that they are asked back. Pure, and the same for the
bridge, which asks, and the worker, which renders no reply to what will be asked back.
"""

from __future__ import annotations

from callflows.definition.flow import UNSPOKEN, FlowVersion, Intent

# Below the worker's own limit (0.5) a caller is asked to say it again. From here on they are taken at their word: no wrong
# intent of the demonstration's utterances reached it.
SURE = 0.8
# Money and bookings: a wrong one cannot be taken back by asking for something else.
SURE_OF_CAREFUL = 0.92


def is_sure(intent: Intent, confidence: float) -> bool:
    return confidence >= (SURE_OF_CAREFUL if intent.careful else SURE)


def can_ask(flow: FlowVersion, intent: Intent) -> bool:
    """Versions published before there were confirming questions act as they did."""
    return UNSPOKEN not in (intent.confirm, flow.system.yes_or_no)


def acts_at_once(flow: FlowVersion, intent: Intent, confidence: float) -> bool:
    """Nothing to ask back, or no words to ask it with."""
    return is_sure(intent, confidence) or not can_ask(flow, intent)

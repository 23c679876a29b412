"""How an action's outcome is spoken: the same words for the AI and for the keypad menu, from audio rendered ahead."""

from __future__ import annotations

from callflows.definition.flow import FlowVersion, Intent, Phrase
from ivr_fallback.spoken import SpokenError, compose
from ivr_fallback.steps import ActionValues


def outcome_phrases(flow: FlowVersion, intent: Intent, outcome: str, values: ActionValues) -> tuple[Phrase, ...] | None:
    """The phrases of an outcome in order, or None when the flow cannot say it: no such outcome, or a piece is missing."""
    template = intent.outcomes.get(outcome)
    if template is None:
        return None
    try:
        words = compose(template, values, flow.language)
    except SpokenError:
        return None
    phrases = [flow.phrase(piece) for piece in words]
    if None in phrases:
        return None
    return tuple(phrase for phrase in phrases if phrase is not None)

"""What a business's actions need, and may answer with: declared by whoever writes them, so that flows can be held to it.

Owns the shape of that table and the comparison of an intent with it. Pure. Carrying an action out is the bridge's
(``esl_bridge/actions``), and which table there is, the setting LIFELINE_BUSINESS says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from callflows.definition.flow import Intent
from ivr_fallback.spoken import Kind, SpokenError, places


@dataclass(frozen=True, slots=True)
class Action:
    """``outcomes``: every name that it may answer with, and the values it gives then, each with the one kind it is spoken as.
    ``slots``: those without which it can only fail."""

    outcomes: Mapping[str, Mapping[str, Kind]]
    slots: tuple[str, ...] = field(default=())


Actions = Mapping[str, Action]


def action_problems(intent: Intent, actions: Actions) -> Iterator[str]:
    """Why callers would hear that it cannot be done, some of them after it has been done. An outcome more does no harm."""
    action = actions.get(intent.action)
    if action is None:
        if intent.action:
            yield f"there is no action {intent.action!r}; there are {', '.join(sorted(actions))}"
        return
    for name in action.slots:
        if name not in intent.slots:
            yield f"its action {intent.action!r} needs the slot {name!r}, and it does not ask for it"
    for outcome, values in action.outcomes.items():
        if outcome in intent.outcomes:
            yield from (f"outcome {outcome!r}: {text}" for text in _place_problems(intent.outcomes[outcome], values))
        else:
            yield f"its action {intent.action!r} may answer {outcome!r}, and there is no such outcome"


def _place_problems(template: str, values: Mapping[str, Kind]) -> Iterator[str]:
    try:
        named = places(template)
    except SpokenError:  # Said by parity, with all other faults of a template.
        return
    for place in named:
        if place.name not in values:
            given = ", ".join(f"{{{name}:{kind}}}" for name, kind in values.items()) or "no values at all"
            yield f"the action gives no {place.name!r} here; it gives {given}"
        elif place.kind is not values[place.name]:
            yield f"write {{{place.name}:{values[place.name]}}} in place of {{{place.name}:{place.kind}}}"

"""What a turn leaves behind that failed after its caller had been understood: the steps that it would have led to.

Owns which of it needs no confirming. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from ai_engine.messages import TurnFailed
from callflows.definition.certainty import is_sure
from callflows.definition.flow import FlowVersion
from esl_bridge.calls import confirming
from esl_bridge.calls.confirming import Answer
from esl_bridge.calls.slots import fits
from ivr_fallback.steps import ChooseIntent, ForgetSlots, KeepSlot


def salvaged(
    failed: TurnFailed, flow: FlowVersion, known: Mapping[str, str], *, chosen: str, doubted: str = ""
) -> list[KeepSlot | ForgetSlots | ChooseIntent]:
    """What was said last counts: a value takes the place of the one that is known; a number that nobody can confirm any more
    leaves the place empty, so that it is asked for.

    ``chosen``: the intent in the middle of which it failed. That one stands, as it does in the dialogue; any other wish is a
    new one, also for what was asked for and done before. ``doubted``: the intent that the caller was asked about in that turn; a
    clear yes or no stands.
    """
    steps: list[KeepSlot | ForgetSlots | ChooseIntent] = []
    for name, value in failed.slots.items():
        slot = flow.slot(name)
        if slot is None or not fits(slot, value) or known.get(name) == value:
            continue
        if not confirming.is_read_back(flow, slot):
            steps.append(KeepSlot(name, value))
        elif name in known:
            steps.append(ForgetSlots((name,)))
    intent, sure = flow.intent(failed.intent), failed.confidence
    answer = confirming.read_answer(failed.transcript) if doubted else Answer.UNCLEAR
    if answer is Answer.YES:
        intent, sure = flow.intent(doubted), 1.0
    elif answer is Answer.NO and failed.intent == doubted:
        intent = None
    if intent is not None and not chosen and is_sure(intent, sure):
        steps.append(ChooseIntent(intent.name))
    return steps
